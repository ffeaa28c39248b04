//! `scontrol update jobid=…`, `hold`, `uhold`, `release`: fields of jobs are changed.
//!
//! A request changes a record whole or not at all: the first field that may not be changed refuses
//! it, with Slurm's code. What is asked for and is so already is no change, and is never refused.
//!
//! | field | job | whose |
//! |---|---|---|
//! | comment, name, mail, requeue, delay_boot, switches | any | |
//! | partition, account, nodes, CPUs, memory, tasks, features, paths, begin, dependency | waits | |
//! | oversubscribe, contiguous, ntasks per node | waits | administrators (users: less of it) |
//! | time limit | waits: up to the partition's; runs | longer: administrators |
//! | end time | runs | later: administrators |
//! | deadline, admin_comment, site factor | | administrators |
//! | priority | see [`queue`] | see [`queue`] |
//! | reservation, licences, GRES, burst buffers, QOS, nodes of a job that runs | none | |

mod queue;
mod room;
mod shape;
mod time;
mod words;

use crate::controller::core::control::edit::{Answers, Edit};
use crate::controller::core::control::may;
use crate::controller::core::control::targets::{Found, Part, Target};
use crate::controller::core::{Effect, Outcome, Who, World};
use crate::controller::job::{Course, Job};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Message, Unset};
use std::sync::Arc;

/// What a job becomes.
struct Draft<'a> {
    world: World<'a>,
    who: &'a Who,
    desc: &'a JobDesc,
    job: &'a Job,
    spec: JobDesc,
    course: Course,
}

/// Refused, with a code.
type Refused = Result<(), u32>;

/// Changes jobs.
pub fn update(world: World<'_>, desc: &JobDesc, who: &Who) -> Outcome {
    // `scontrol -u`: for another user, with that user's rights.
    let who = &match desc.user_id.get() {
        Some(_) if !who.admin => return Outcome::refused(rc::USER),
        Some(uid) if uid != who.uid => Who { uid, admin: uid == 0, ..Who::default() },
        _ => who.clone(),
    };
    let mut edit = Edit::of(world);
    let found = if desc.job_id_str.is_none() {
        world.state.job(desc.job_id).map_or(Found::Nothing, |job| Found::One(job.id))
    } else {
        let max = u32::try_from(world.conf.number("MaxArraySize")).unwrap_or(u32::MAX);
        let target = desc.job_id_str.as_str().and_then(|text| Target::parse(text, max));
        target.map_or(Found::Nothing, |target| target.find(world.state))
    };
    let reply = match found {
        Found::Nothing => Message::code(rc::JOB),
        Found::One(id) => {
            let job = edit.job(id).expect("it was found");
            Message::code(one(&mut edit, &job, desc, who))
        }
        Found::Parts(array, parts) => of_array(&mut edit, array, parts, desc, who),
    };
    edit.outcome(reply)
}

fn of_array(
    edit: &mut Edit<'_>,
    array: u32,
    parts: Vec<Part>,
    desc: &JobDesc,
    who: &Who,
) -> Message {
    let mut answers = Answers::of(array);
    for part in parts {
        match part {
            Part::Record(id) => {
                let job = edit.job(id).expect("it was found");
                answers.add_job(&job, one(edit, &job, desc, who));
            }
            Part::Inside(id, tasks) => inside(edit, id, tasks, desc, who, &mut answers),
            Part::Missing(task) => answers.add(task, rc::JOB),
        }
    }
    answers.reply()
}

/// Tasks that wait among others: all are alike, so that one answer is that of all. They are split
/// off only if there is something to change.
fn inside(
    edit: &mut Edit<'_>,
    array: u32,
    tasks: Vec<u32>,
    desc: &JobDesc,
    who: &Who,
    answers: &mut Answers,
) {
    let whole = edit.job(array).expect("it was found");
    let alike = changed(edit.world, &whole, desc, who);
    for task in tasks {
        let code = match &alike {
            Err(code) => *code,
            Ok((_, None)) => rc::OK,
            Ok(_) => match edit.split(array, task) {
                Some(job) => one(edit, &job, desc, who),
                None => rc::ERROR,
            },
        };
        answers.add(task, code);
    }
}

fn one(edit: &mut Edit<'_>, job: &Job, desc: &JobDesc, who: &Who) -> u32 {
    match changed(edit.world, job, desc, who) {
        Err(code) => code,
        Ok((code, None)) => code,
        Ok((code, Some(job))) => {
            edit.effect(Effect::Note(format!("uid {} changed job {}", who.uid, job.id)));
            edit.put(job);
            edit.effect(Effect::Schedule);
            code
        }
    }
}

/// What a job becomes, if it changes; the code may be a warning.
fn changed(
    world: World<'_>,
    job: &Job,
    desc: &JobDesc,
    who: &Who,
) -> Result<(u32, Option<Arc<Job>>), u32> {
    let throttled = throttle(job, desc)?;
    let over = !job.is_pending() && !job.is_active();
    if over && throttled.is_none() {
        return Err(rc::FINISHED);
    }
    if !may(who, job) {
        return Err(rc::USER);
    }
    let (spec, course) = (job.spec.as_ref().clone(), job.course.clone());
    let mut draft = Draft { world, who, desc, job, spec, course };
    draft.course.array_max_tasks = throttled.unwrap_or(draft.course.array_max_tasks);
    let mut code = rc::OK;
    if !over {
        draft.not_here()?;
        room::change(&mut draft)?;
        shape::change(&mut draft)?;
        time::change(&mut draft)?;
        code = queue::change(&mut draft)?;
        words::change(&mut draft)?;
    }
    let same = draft.spec == *job.spec && draft.course == job.course;
    let next = || Arc::new(Job { id: job.id, spec: Arc::new(draft.spec), course: draft.course });
    Ok((code, (!same).then(next)))
}

/// ArrayTaskThrottle, which comes where the tasks of a new array do. Other records have none.
fn throttle(job: &Job, desc: &JobDesc) -> Result<Option<u32>, u32> {
    if desc.array_inx.is_none() || job.id != job.course.array_job_id {
        return Ok(None);
    }
    let text = desc.array_inx.lossy();
    let digits = text.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
    match digits.parse() {
        Ok(most) => Ok(Some(most)),
        Err(_) if text.trim_start().starts_with('-') => Err(rc::TASK_COUNT),
        Err(_) => Ok(Some(0)),
    }
}

impl Draft<'_> {
    /// What this controller has none of.
    fn not_here(&self) -> Refused {
        let desc = self.desc;
        let gres = [
            &desc.cpus_per_tres,
            &desc.mem_per_tres,
            &desc.tres_per_job,
            &desc.tres_per_node,
            &desc.tres_per_socket,
            &desc.tres_per_task,
        ];
        let asked = [
            (!desc.burst_buffer.is_none(), rc::UNSUPPORTED),
            (!desc.reservation.is_empty(), RESERVATION),
            (!desc.licenses.is_empty(), LICENSES),
            (!desc.qos.is_empty(), QOS),
            (gres.iter().any(|text| !text.is_empty()), GRES),
            (!desc.cluster_features.is_none() || !desc.clusters.is_none(), rc::UNSUPPORTED),
        ];
        asked.iter().find(|(is, _)| *is).map_or(Ok(()), |(_, code)| Err(*code))
    }

    /// The job waits still.
    fn waits(&self) -> Refused {
        if self.job.is_pending() { Ok(()) } else { Err(rc::NOT_PENDING) }
    }

    /// The code, unless an administrator asks.
    fn admin_or(&self, code: u32) -> Refused {
        if self.who.admin { Ok(()) } else { Err(code) }
    }
}

const LICENSES: u32 = 2048;
const RESERVATION: u32 = 2053;
const QOS: u32 = 2066;
const GRES: u32 = 2072;
