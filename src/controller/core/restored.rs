//! The store was restored, or is a copy that took the original's place: the state is behind what
//! happened since it was as it is now. So is an old disk's, of which only nodes can tell: there the
//! table holds for jobs that were never started.
//!
//! What is known of that time is what nodes report. A job that the state has as waiting may run by
//! now, or on another node than the state says:
//!
//! | a node reports the script of a job, which the state … | comes to |
//! |---|---|
//! | has as waiting | it goes on, and counts as started now; its node is full until it ends |
//! | has as running elsewhere | the same, there no more |
//! | has as an array with tasks that wait | it goes on, unlisted; the array is held |
//! | has as over, or started itself since | nothing else than always |
//!
//! Invariants: a restore is noticed by the incarnation of the store, which is saved together with
//! what follows from it; no job is started until every node has registered since, or is down, so
//! that none runs twice; ids go on MaxJobCount further.

use crate::controller::core::draft::Draft;
use crate::controller::core::ending;
use crate::controller::core::{Outcome, World, known};
use crate::controller::job::{Course, Job};
use crate::controller::state::{Change, Origin, State};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{job as state, node, rc, reason};
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::sync::Arc;

/// What it comes to that the state is in a store of that incarnation; `None`: it was there before.
pub fn begin(world: World<'_>, incarnation: &[u8; 16]) -> Option<Outcome> {
    let before = world.state.origin.as_ref();
    if before.is_some_and(|origin| origin.incarnation == incarnation) {
        return None;
    }
    let mut draft = Draft::new(world);
    let restored = before.map_or(Time(0), |_| Time(world.now));
    draft.put(Change::Origin(Origin { incarnation: incarnation.to_vec(), restored }));
    if restored.0 != 0 {
        let (from, until) = jump(&mut draft);
        draft.note(format!(
            "the store was restored: ids go on at {until}, {from} to {} may have been given out; \
             jobs start when every node has registered or is down; what waits here and has ended \
             meanwhile runs again; next: scontrol hold what must not",
            until - 1
        ));
    }
    Some(draft.outcome(Message::code(rc::OK)))
}

/// Ids that were given out since are not given again; which they were.
fn jump(draft: &mut Draft<'_>) -> (u32, u32) {
    let number = |name| u32::try_from(draft.conf.number(name)).unwrap_or(u32::MAX);
    let from = draft.state.next_id.max(number("FirstJobId")).max(1);
    let until = from.saturating_add(number("MaxJobCount")).min(number("MaxJobId")).max(from);
    let first = draft.state.unseen.map_or(from, |(first, _)| first.min(from));
    draft.put(Change::NextId(until));
    draft.put(Change::Unseen(first, until));
    (from, until)
}

fn since(state: &State) -> Option<i64> {
    state.origin.as_ref().map(|origin| origin.restored.0).filter(|at| *at != 0)
}

/// Whether the state may be behind what became of a job.
#[must_use]
pub fn is_behind(state: &State, job: &Job) -> bool {
    let (submitted, launched) = (job.course.submit_time.0, job.course.launched.0);
    since(state).is_some_and(|at| submitted < at && launched < at)
}

/// Nodes that may have jobs which the state does not know of: until they have registered, nothing
/// is started.
#[must_use]
pub fn awaited<'a>(conf: &'a Conf, state: &State) -> Vec<&'a str> {
    let Some(at) = since(state) else { return Vec::new() };
    let waits = |of: &&crate::slurm::conf::Node| {
        let record = known(state, of);
        let out = matches!(record.state & node::BASE, node::DOWN | node::FUTURE);
        let never = record.registered.0 == 0 && record.state & node::NO_RESPOND != 0;
        !out && !never && record.registered.0 < at
    };
    conf.nodes.iter().filter(waits).map(|of| of.name.as_str()).collect()
}

/// A node has the script of a job of which the state is behind: it goes on. `None`: the tasks of an
/// array cannot be told apart; none of them is started until somebody has looked.
#[must_use]
pub fn goes_on(draft: &mut Draft<'_>, job: &Job, name: &Text) -> Option<Arc<Job>> {
    let (id, node, now) = (job.id, name.lossy(), draft.now);
    if job.is_array() {
        draft.note(format!(
            "a task of array {id} runs on node {node}, and the state is behind it: it goes on, and \
             the array is held; next: scontrol release {id}, if its other tasks have not run"
        ));
        let course = Course { priority: 0, reason: reason::HELD, ..job.course.clone() };
        draft.job((ending::next(job, course), Vec::new()));
        return None;
    }
    draft.note(format!(
        "job {id} runs on node {node}, and the state is behind it: it goes on, and counts as \
         started now"
    ));
    let limit = job.course.time_limit.get().or(job.spec.time_limit.get());
    let minutes = limit.unwrap_or(u32::INFINITE);
    let end = if minutes == u32::INFINITE { 0 } else { now + i64::from(minutes) * 60 };
    let launches = job.course.launches + 1;
    let course = Course {
        state: state::RUNNING,
        reason: reason::NONE,
        state_desc: "it was found on its node after a restore".into(),
        start_time: Time(now),
        end_time: Time(end),
        time_limit: minutes,
        batch_host: name.clone(),
        shares: Vec::new(),
        launches,
        confirmed: launches,
        launched: Time(now),
        ..job.course.clone()
    };
    Some(ending::next(job, course))
}

#[cfg(test)]
mod tests;
