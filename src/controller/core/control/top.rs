//! `scontrol top`: jobs take the best of the priorities that their user's jobs have.
//!
//! Users may only if SchedulerParameters has `enable_user_top`, as in Slurm. What the jobs that are
//! named win is taken from the user's other jobs of that partition: as much `nice` is added as was
//! removed, so that nobody else's job comes later for it.
//!
//! Invariants: held jobs, and those that wait no more, are not touched; no priority falls below 1.

use crate::controller::core::control::edit::Edit;
use crate::controller::core::control::may;
use crate::controller::core::control::targets::{Found, Part, Target};
use crate::controller::core::{Effect, Outcome, Who, World};
use crate::controller::job::Job;
use crate::slurm::wire::constants::job::NICE_OFFSET;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::TopJob;
use crate::slurm::wire::{Message, Unset};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Makes jobs the first of their user.
pub fn top(world: World<'_>, request: &TopJob, who: &Who) -> Outcome {
    let parameters = world.conf.text("SchedulerParameters").unwrap_or("").to_ascii_lowercase();
    if !who.admin && !parameters.contains("enable_user_top") {
        return Outcome::refused(rc::ACCESS);
    }
    let chosen = match chosen(world, request, who) {
        Ok(chosen) => chosen,
        Err(code) => return Outcome::refused(code),
    };
    let mut edit = Edit::of(world);
    raise(&mut edit, &chosen);
    edit.effect(Effect::Schedule);
    edit.outcome(Message::code(rc::OK))
}

/// The jobs that are named and can be raised, in the order in which they are named.
fn chosen(world: World<'_>, request: &TopJob, who: &Who) -> Result<Vec<Arc<Job>>, u32> {
    let text = request.job_id_str.lossy().into_owned();
    let text = if text.is_empty() { request.job_id.to_string() } else { text };
    let (mut chosen, mut seen, mut last) = (Vec::new(), BTreeSet::new(), rc::JOB);
    for part in text.split(',') {
        let job = named(world, part).ok_or(rc::JOB)?;
        if !may(who, job) {
            return Err(rc::ACCESS);
        }
        if !job.is_pending() {
            last = rc::NOT_PENDING;
        } else if job.spec.partition.bytes().contains(&b',') {
            return Err(rc::PARTITION_CONFIG);
        } else if job.course.priority == 0 {
            last = rc::HELD;
        } else if seen.insert(job.id) {
            chosen.push(Arc::clone(job));
        }
    }
    if chosen.is_empty() { Err(last) } else { Ok(chosen) }
}

fn named<'a>(world: World<'a>, text: &str) -> Option<&'a Arc<Job>> {
    let max = u32::try_from(world.conf.number("MaxArraySize")).unwrap_or(u32::MAX);
    let target = Target::parse(text, max)?;
    let id = match target.find(world.state) {
        Found::One(id) => id,
        Found::Parts(_, parts) => match parts.first()? {
            Part::Record(id) | Part::Inside(id, _) => *id,
            Part::Missing(_) => return None,
        },
        Found::Nothing => return None,
    };
    world.state.job(id)
}

/// The priority that a job counts with; one that has none yet comes by its id.
fn priority(job: &Job) -> i64 {
    job.course.priority.get().map_or(FIRST - i64::from(job.id), i64::from)
}

/// The first priority that is given.
const FIRST: i64 = 4_294_901_759;

fn raise(edit: &mut Edit<'_>, chosen: &[Arc<Job>]) {
    let first = &chosen[0];
    let named: BTreeSet<u32> = chosen.iter().map(|job| job.id).collect();
    let alike = |job: &&Arc<Job>| {
        job.spec.user_id == first.spec.user_id
            && job.spec.partition == first.spec.partition
            && job.spec.account == first.spec.account
            && priority(job) > 1
            && !named.contains(&job.id)
    };
    let waiting = edit.world.state.pending.iter().filter_map(|id| edit.world.state.job(*id));
    let others: Vec<Arc<Job>> = waiting.filter(alike).cloned().collect();
    let mut best: Vec<i64> = chosen.iter().chain(&others).map(|job| priority(job)).collect();
    best.sort_unstable_by_key(|priority| Reverse(*priority));
    let (mut last, mut won) = (i64::MAX, 0);
    for (job, next) in chosen.iter().zip(best) {
        let next = if next >= last && last > 2 { last - 1 } else { next };
        won += next - priority(job);
        last = next;
        edit.put(moved(job, next));
    }
    let mut left = i64::try_from(others.len()).unwrap_or(i64::MAX);
    for job in &others {
        let share = won / left.max(1);
        let next = (priority(job) - share).min(last - 1).max(1);
        won -= priority(job) - next;
        left -= 1;
        edit.put(moved(job, next));
    }
}

/// The job with that priority: what it wins or loses is in its `nice`.
fn moved(job: &Arc<Job>, next: i64) -> Arc<Job> {
    let mut moved = Job::clone(job);
    let nice = i64::from(job.spec.nice.get().unwrap_or(NICE_OFFSET)) - (next - priority(job));
    let most = i64::from(u32::MAX) - 2;
    Arc::make_mut(&mut moved.spec).nice = u32::try_from(nice.clamp(0, most)).expect("clamped");
    moved.course.priority = u32::try_from(next.clamp(1, most)).expect("clamped");
    Arc::new(moved)
}
