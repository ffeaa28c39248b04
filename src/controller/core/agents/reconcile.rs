//! The jobs that a node reports, against those that it should have.
//!
//! | reported, and the job … | comes to |
//! |---|---|
//! | runs there | it is there: a launch without an answer is confirmed |
//! | waits, and was never started | the state is behind (an old disk): see [`restored`] |
//! | runs elsewhere, or waits | it is aborted there; if the store was restored: see [`restored`] |
//! | is ending there | the request to end it goes out again |
//! | is over, and not just now | the same |
//! | is unknown, of an id that was given out | it is aborted there |
//! | is unknown, of an id that was not | the state is behind what the node knows (a restore): it is kept, and listed as a job of nobody that has the node to itself |
//!
//! A script that should run there, and is not reported though it had time to begin, is missing: the
//! job ends with exit code 1, or waits again. One whose launch nobody has confirmed waits again in
//! any case: it never began.
//!
//! Invariants: what runs and was acknowledged is never ended because the state is behind; ids go on
//! above every id that was ever reported.

use crate::controller::core::agents::node_of;
use crate::controller::core::draft::Draft;
use crate::controller::core::ending;
use crate::controller::core::restored;
use crate::controller::core::{Effect, Ending};
use crate::controller::job::{Course, Job, Share, unbegun};
use crate::controller::state::Change;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::wire::constants::{job as state, reason, step};
use crate::slurm::wire::tables::{JobDesc, Registration};
use crate::slurm::wire::{Bits, Field, Text, Time, Unset};
use std::cmp::min;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Ids from here on are of steps without an allocation.
const NO_ALLOCATION: u32 = 0xffff_0000;
/// Slurm's usual MessageTimeout, in seconds.
const USUAL_TIMEOUT: i64 = 10;

/// Compares them.
pub fn jobs(draft: &mut Draft<'_>, of: &Node, registration: &Registration) {
    let node = Text::from(of.name.as_str());
    let steps = registration.steps.iter().filter(|step| step.job_id < NO_ALLOCATION);
    let reported: BTreeSet<u32> = steps.clone().map(|step| step.job_id).collect();
    let batch: BTreeSet<u32> =
        steps.filter(|step| step.step_id == step::BATCH).map(|step| step.job_id).collect();
    for id in &reported {
        match draft.state.job(*id).cloned() {
            Some(job) if comes_back(draft, &job, &node, batch.contains(id)) => {}
            Some(job) => known_job(draft, &job, &node),
            None => unknown_job(draft, *id, of, batch.contains(id)),
        }
    }
    for id in draft.state.load_of(&of.name).active() {
        if !reported.contains(&id) {
            missing(draft, id, &node);
        }
    }
}

fn end(draft: &mut Draft<'_>, job: &Job, node: &Text, how: Ending) {
    let (id, uid) = (job.id, job.spec.user_id);
    draft.effect(Effect::End { job: id, uid, nodes: vec![node.clone()], how });
}

/// Whether a job was found of which the state is behind, and goes on: a start is durable before any
/// launch, so that what was never started cannot run by this history.
fn comes_back(draft: &mut Draft<'_>, job: &Arc<Job>, node: &Text, batch: bool) -> bool {
    let has = job.course.shares.iter().any(|share| share.node == *node);
    let may = (job.is_pending() || job.is_active() && !has) && !job.is_completing();
    let never = job.is_pending() && job.course.launches == 0;
    if !may || !batch || !never && !restored::is_behind(&draft.state, job) {
        return false;
    }
    if let Some(running) = restored::goes_on(draft, job, node) {
        joins(draft, &running, node);
    }
    true
}

fn known_job(draft: &mut Draft<'_>, job: &Job, node: &Text) {
    let has = job.course.shares.iter().any(|share| share.node == *node);
    let name = node.lossy();
    if job.is_active() && has {
        if job.course.batch_host == *node && job.course.confirmed != job.course.launches {
            let course = Course { confirmed: job.course.launches, ..job.course.clone() };
            draft.job((ending::next(job, course), Vec::new()));
        }
    } else if job.is_active() && is_found(job) {
        draft.note(format!("job {} of nobody runs on node {name}, too", job.id));
        joins(draft, job, node);
    } else if job.is_completing() && job.course.completing.contains(node) {
        end(draft, job, node, Ending::Terminate);
    } else if job.is_active() || job.is_pending() {
        draft.note(format!("job {} runs on node {name}, where it should not: aborted", job.id));
        end(draft, job, node, Ending::Abort);
    } else if draft.now - job.course.end_time.0 >= timeout(draft) {
        draft.note(format!("job {} is over, and runs on node {name}: it is ended there", job.id));
        end(draft, job, node, Ending::Terminate);
    }
}

fn timeout(draft: &Draft<'_>) -> i64 {
    i64::try_from(draft.conf.number("MessageTimeout")).unwrap_or(USUAL_TIMEOUT)
}

/// How long a script may take from its start until its node reports it.
#[must_use]
pub fn patience(conf: &Conf) -> i64 {
    let seconds = |name| i64::try_from(conf.number(name)).unwrap_or(USUAL_TIMEOUT);
    seconds("BatchStartTimeout") + min(USUAL_TIMEOUT, seconds("MessageTimeout"))
}

fn missing(draft: &mut Draft<'_>, id: u32, node: &Text) {
    let Some(job) = draft.state.job(id).cloned() else { return };
    let begun = job.course.start_time.max(job.course.suspend_time).0;
    if job.course.batch_host != *node || begun >= draft.now - patience(draft.conf) {
        return;
    }
    let name = node.lossy();
    let next = if job.course.confirmed != job.course.launches {
        draft.note(format!("job {id} never began on node {name}: it waits again"));
        ending::relaunch(draft.world(), &job)
    } else {
        let course = Course { exit_code: 1, ..job.course.clone() };
        let failed = ending::next(&job, course);
        if job.spec.requeue == 1 {
            draft.note(format!("job {id} is missing from node {name}: it waits again"));
            ending::requeue_or_hold(draft.world(), &failed)
        } else {
            draft.note(format!("job {id} is missing from node {name}: it is over"));
            ending::end(draft.world(), &failed, state::NODE_FAIL, reason::DOWN_NODE)
        }
    };
    draft.job(next);
}

fn unknown_job(draft: &mut Draft<'_>, id: u32, of: &Node, batch: bool) {
    let name = &of.name;
    if !draft.state.is_unseen(id, first_id(draft)) {
        draft.note(format!("job {id} on node {name} is unknown here: it is aborted there"));
        let nodes = vec![name.as_str().into()];
        draft.effect(Effect::End { job: id, uid: u32::UNSET, nodes, how: Ending::Abort });
        return;
    }
    draft.note(format!(
        "job {id} runs on node {name}, and the state has not come so far: it is kept, as a job of \
         nobody, and the node with it; next: scancel {id}, or wait for its end"
    ));
    beyond(draft, id);
    let spec = JobDesc {
        name: "found".into(),
        user_id: u32::UNSET,
        group_id: u32::UNSET,
        requeue: 0,
        shared: 0,
        ..JobDesc::unset()
    };
    let course = Course {
        state: state::RUNNING,
        time_limit: u32::INFINITE,
        state_desc: "it was found on its node, and the state did not know it".into(),
        submit_time: Time(draft.now),
        eligible_time: Time(draft.now),
        start_time: Time(draft.now),
        batch_host: if batch { name.as_str().into() } else { Text::NONE },
        ..unbegun()
    };
    let job = Arc::new(Job { id, spec: Arc::new(spec), course });
    joins(draft, &job, &name.as_str().into());
}

/// Whether a job was found on its nodes, and nothing but that is known of it.
#[must_use]
pub fn is_found(job: &Job) -> bool {
    job.spec.user_id.is_unset()
}

/// A job of nobody has another node, and all that is free there, so that nothing else is put there.
fn joins(draft: &mut Draft<'_>, job: &Job, node: &Text) {
    let name = node.lossy();
    let Some(of) = node_of(draft.conf, &name) else { return };
    let load = draft.state.load_of(&name);
    let others = load.all();
    let shares = others.filter_map(|id| draft.state.job(id)).flat_map(|job| &job.course.shares);
    let taken: Vec<&Bits> =
        shares.filter(|share| share.node == *node).map(|share| &share.cores).collect();
    let cores = u32::from(of.sockets) * u32::from(of.cores);
    let free = (0..cores).filter(|core| !taken.iter().any(|bits| bits.has(*core)));
    let share = Share {
        node: node.clone(),
        cpus: of.cpus.saturating_sub(u16::try_from(load.cpus).unwrap_or(u16::MAX)),
        memory: of.real_memory.saturating_sub(load.memory),
        cores: Bits::from_set(cores, free),
    };
    let mut course = job.course.clone();
    course.shares.push(share);
    if course.batch_host.is_none() {
        course.batch_host = node.clone();
    }
    draft.job((ending::next(job, course), vec![Effect::Schedule]));
}

fn first_id(draft: &Draft<'_>) -> u32 {
    u32::try_from(draft.conf.number("FirstJobId")).unwrap_or(1).max(1)
}

/// Ids go on far above this one: others that were given out and forgotten may be reported yet.
fn beyond(draft: &mut Draft<'_>, id: u32) {
    let from = draft.state.next_id.max(first_id(draft));
    if id < from {
        return;
    }
    let jump = u32::try_from(draft.conf.number("MaxJobCount")).unwrap_or(u32::MAX);
    let until = id.saturating_add(1).saturating_add(jump).min(NO_ALLOCATION);
    let first = draft.state.unseen.map_or(from, |(first, _)| first.min(from));
    draft.put(Change::NextId(until));
    draft.put(Change::Unseen(first, until));
}
