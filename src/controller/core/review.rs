//! What jobs wait for of other jobs has come, or never will.
//!
//! | form | fulfilled | never |
//! |---|---|---|
//! | `after` | the other does not wait any more (and the minutes are over) | |
//! | `afterany` | it is over | |
//! | `afterok`, `aftercorr` | it is over, COMPLETED | it is over otherwise |
//! | `afternotok` | it is over otherwise | it is over, COMPLETED |
//! | `singleton` | no job of that user and name runs, and no older one waits | |
//! | all | the other job is not known (any more), as in Slurm | |
//!
//! "Over" is when its nodes have nothing left of it. An array is over when all its tasks are, and
//! has ended well when all have; it waits as long as one task does. Of an array that waits with
//! `aftercorr`, the tasks whose counterparts are over are split off.
//!
//! A job that would not be over by its deadline ends here, too ([`deadline`]).
//!
//! Invariants: what was found once stays found, whatever becomes of the other job (`dependency` of
//! the course is what is left); a job that waits for nothing any more has become eligible.

use crate::controller::core::array::{self, Split};
use crate::controller::core::dependency::{Dependencies, Dependency, Kind, Met, Task};
use crate::controller::core::ending::{end, next};
use crate::controller::core::ids::Ids;
use crate::controller::core::{Effect, Outcome, World, deadline};
use crate::controller::job::{Course, Job, task_ids};
use crate::controller::sched::wait::wait;
use crate::controller::state::{Change, State};
use crate::slurm::conf::Conf;
use crate::slurm::wire::constants::{job as state, reason};
use crate::slurm::wire::{Text, Time, Unset};
use std::collections::HashMap;
use std::sync::Arc;

/// In `bitflags`: cancel it when what it waits for never comes.
const KILL_INVALID: u64 = 1;
/// In `bitflags`: leave it, whatever slurm.conf says.
const KEEP_INVALID: u64 = 1 << 1;

/// Jobs whose state has to be written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Jobs that wait for something else than is written.
    pub jobs: Vec<u32>,
    /// When time alone makes the next one due.
    pub next: Option<i64>,
}

/// Looks for jobs that wait for others, and for which that has changed.
#[must_use]
pub fn due(state: &State, now: i64) -> Due {
    let mut others = Others { state, now, names: None, next: None };
    let (mut jobs, mut next) = (Vec::new(), None::<i64>);
    for job in state.pending.iter().filter_map(|id| state.job(*id)) {
        let is_due = match deadline::next(job) {
            _ if !job.course.dependency.is_empty() => others.changes(job),
            Some(time) if time > now => {
                next = Some(next.map_or(time, |next| next.min(time)));
                false
            }
            Some(_) => wait(state, job, now).is_none(),
            None => false,
        };
        if is_due {
            jobs.push(job.id);
        }
    }
    let times = [next, others.next];
    Due { jobs, next: times.into_iter().flatten().min() }
}

/// Writes down what has come for jobs that wait for others.
#[must_use]
pub fn review(world: World<'_>, jobs: &[u32]) -> Outcome {
    let World { state, now, .. } = world;
    let mut others = Others { state, now, names: None, next: None };
    let (mut ids, mut changes) = (Ids::of(world), Vec::new());
    let mut effects = Vec::new();
    let late = jobs.iter().filter_map(|id| state.job(*id)).filter(|job| {
        job.is_pending() && deadline::late(job, now) && wait(state, job, now).is_none()
    });
    for job in late {
        let (over, more) = end(world, job, state::DEADLINE, reason::DEADLINE);
        // As Slurm has it: no exit code, but a signal.
        let course = Course { exit_code: 1, ..over.course.clone() };
        effects.push(Effect::Note(format!("job {} would not be over by its deadline", job.id)));
        effects.extend(more);
        changes.push(Change::Job(next(&over, course)));
    }
    let waiting = jobs.iter().filter_map(|id| state.job(*id));
    for job in waiting.filter(|job| job.is_pending() && !job.course.dependency.is_empty()) {
        let Ok(mut found) = Dependencies::parse(&job.course.dependency.lossy()) else { continue };
        let mut left = Some(Arc::clone(job));
        for (task, met) in others.corresponding(job, &found) {
            let Some(array) = left.take() else { break };
            let Some(Split { task, rest }) = array::split(&array, task, &mut ids) else {
                left = Some(array);
                break;
            };
            let mut own = found.clone();
            own.list
                .iter_mut()
                .filter(|one| one.kind == Kind::AfterCorr)
                .for_each(|one| one.met = met);
            others.look(&task, &mut own);
            changes.push(decided(world, &task, &own, &mut effects));
            changes.extend(rest.iter().cloned().map(Change::Job));
            left = rest;
        }
        if let Some(job) = left
            && others.look(&job, &mut found)
        {
            changes.push(decided(world, &job, &found, &mut effects));
        }
    }
    changes.extend(ids.change());
    if !changes.is_empty() {
        effects.push(Effect::Schedule);
    }
    Outcome::done(changes, effects)
}

/// The job with what was found.
fn decided(world: World<'_>, job: &Job, found: &Dependencies, effects: &mut Vec<Effect>) -> Change {
    let met = found.met();
    let left = if met == Met::Is { String::new() } else { found.to_string() };
    let mut course = job.course.clone();
    course.dependency = if left.is_empty() { Text::NONE } else { left.into() };
    let held = course.priority == 0;
    match met {
        Met::Is if !held => {
            course.reason = reason::NONE;
            let eligible = Time(world.now.max(job.spec.begin_time.0));
            (course.eligible_time, course.accrue_time) = (eligible, eligible);
        }
        Met::Never if !held => course.reason = reason::DEPENDENCY_NEVER,
        Met::Not if !held => course.reason = reason::DEPENDENCY,
        _ => {}
    }
    let job = next(job, course);
    if met == Met::Never && is_killed(world.conf, &job) {
        let (over, more) = end(world, &job, state::CANCELLED, reason::DEPENDENCY_NEVER);
        effects.push(Effect::Note(format!("job {} waits for what never comes: cancelled", job.id)));
        effects.extend(more);
        return Change::Job(over);
    }
    Change::Job(job)
}

/// Whether a job is cancelled when what it waits for never comes.
fn is_killed(conf: &Conf, job: &Job) -> bool {
    let flags = job.spec.bitflags.get().unwrap_or(0);
    let says = |name: &str| {
        let words = conf.text(name).unwrap_or("");
        words.split(',').any(|word| word.trim().eq_ignore_ascii_case("kill_invalid_depend"))
    };
    let all = || says("DependencyParameters") || says("SchedulerParameters");
    flags & KILL_INVALID != 0 || flags & KEEP_INVALID == 0 && all()
}

/// By user and name: whether a job runs, and the oldest one that waits.
type Names<'a> = HashMap<(u32, &'a Text), (bool, u32)>;

/// The other jobs, as they are looked at.
struct Others<'a> {
    state: &'a State,
    now: i64,
    /// By user and name: whether one runs, and the oldest one that waits.
    names: Option<Names<'a>>,
    next: Option<i64>,
}

impl<'a> Others<'a> {
    /// Whether something else is the case for a job than is written.
    fn changes(&mut self, job: &'a Job) -> bool {
        let Ok(mut found) = Dependencies::parse(&job.course.dependency.lossy()) else {
            return false;
        };
        self.look(job, &mut found) || !self.corresponding(job, &found).is_empty()
    }

    /// Looks at what has not come yet; whether something has, or never will.
    fn look(&mut self, job: &Job, found: &mut Dependencies) -> bool {
        let mut changed = false;
        for one in found.list.iter_mut().filter(|one| one.met == Met::Not) {
            one.met = self.met(job, one);
            changed |= one.met != Met::Not;
        }
        // What was found before is written down, too, if it was not.
        let never = job.course.priority != 0 && job.course.reason != reason::DEPENDENCY_NEVER;
        changed || found.met() == Met::Never && never
    }

    fn met(&mut self, job: &Job, one: &Dependency) -> Met {
        if one.kind == Kind::Singleton {
            return if self.is_single(job) { Met::Is } else { Met::Not };
        }
        let others: Vec<&Job> = match one.task {
            Task::One(task) => self.task(one.job, task).into_iter().collect(),
            Task::Alone | Task::All => {
                let own = self.state.job(one.job).into_iter();
                let rest = self.state.array(one.job).filter(|other| other.id != one.job);
                own.chain(rest).map(|job| &**job).collect()
            }
        };
        if others.is_empty() {
            return Met::Is;
        }
        let over = others.iter().all(|other| other.is_over());
        let well = others.iter().all(|other| other.base() == state::COMPLETE);
        let if_over = |met| if over { met } else { Met::Not };
        match one.kind {
            Kind::After => self.after(one.minutes, &others),
            Kind::AfterAny => if_over(Met::Is),
            Kind::AfterOk => if_over(if well { Met::Is } else { Met::Never }),
            Kind::AfterNotOk => if_over(if well { Met::Never } else { Met::Is }),
            Kind::AfterCorr if job.is_array() => if_over(if well { Met::Is } else { Met::Not }),
            Kind::AfterCorr => match self.task(one.job, job.course.array_task_id) {
                Some(other) => ended_well(other),
                None => if_over(if well { Met::Is } else { Met::Never }),
            },
            Kind::Singleton => unreachable!("looked at above"),
        }
    }

    fn after(&mut self, minutes: u32, others: &[&Job]) -> Met {
        if others.iter().any(|other| other.is_pending()) {
            return Met::Not;
        }
        let started = others.iter().map(|other| other.course.start_time.0).max().unwrap_or(0);
        let time = started + i64::from(minutes) * 60;
        if time <= self.now {
            return Met::Is;
        }
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
        Met::Not
    }

    /// A task of an array, or the record that it is still in.
    fn task(&self, array: u32, task: u32) -> Option<&'a Job> {
        let of = |job: &&Arc<Job>| match job.is_array() {
            true => array::has(&job.course.tasks, task),
            false => job.course.array_task_id == task,
        };
        self.state.array(array).find(of).map(|job| &**job)
    }

    /// Tasks of an array that waits, whose counterparts are over; and what that comes to.
    fn corresponding(&self, job: &Job, found: &Dependencies) -> Vec<(u32, Met)> {
        let with: Vec<u32> = found
            .list
            .iter()
            .filter(|one| one.kind == Kind::AfterCorr && one.met == Met::Not)
            .map(|one| one.job)
            .collect();
        if with.is_empty() || !job.is_array() {
            return Vec::new();
        }
        let of_task = |task| {
            let mut all = with.iter().map(|array| self.task(*array, task).map(ended_well));
            // Where there is no counterpart, the array as a whole counts.
            all.try_fold(Met::Is, |sum, met| match (sum, met?) {
                (Met::Never, _) | (_, Met::Never) => Some(Met::Never),
                (Met::Is, Met::Is) => Some(Met::Is),
                _ => Some(Met::Not),
            })
        };
        let tasks = task_ids(&job.course.tasks).map(|task| (task, of_task(task)));
        let over = tasks.filter_map(|(task, met)| met.map(|met| (task, met)));
        over.filter(|(_, met)| *met != Met::Not).collect()
    }

    fn is_single(&mut self, job: &Job) -> bool {
        let state = self.state;
        let names = self.names.get_or_insert_with(|| {
            let mut names: HashMap<(u32, &Text), (bool, u32)> = HashMap::new();
            for other in state.jobs.values() {
                let key = (other.spec.user_id, &other.spec.name);
                if other.is_active() {
                    names.entry(key).or_insert((false, u32::MAX)).0 = true;
                } else if other.is_pending() {
                    let oldest = &mut names.entry(key).or_insert((false, u32::MAX)).1;
                    *oldest = (*oldest).min(other.id);
                }
            }
            names
        });
        let found = names.get(&(job.spec.user_id, &job.spec.name));
        found.is_none_or(|(runs, oldest)| !runs && *oldest >= job.id)
    }
}

fn ended_well(job: &Job) -> Met {
    match (job.is_over(), job.base() == state::COMPLETE) {
        (false, _) => Met::Not,
        (true, true) => Met::Is,
        (true, false) => Met::Never,
    }
}

#[cfg(test)]
mod tests;
