//! Jobs that are told to stop or to go on by a signal: SIGNALING until the agents have answered,
//! and STOPPED from when one of them has passed SIGSTOP on until one has passed SIGCONT on.
//!
//! As in Slurm a second such signal is refused while the first one is on its way, and a job that is
//! stopped so keeps its cores and its time runs on: that is what `scontrol suspend` is for.
//!
//! Invariants: what is on its way is so as long as this process lives, and no longer; both flags go
//! with the run.

use crate::controller::core::draft::Draft;
use crate::controller::core::ending::next;
use crate::controller::core::{Outcome, World};
use crate::controller::job::{Course, Job};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::{job as state, rc};
use std::sync::Arc;

const SIGCONT: u16 = 18;
const SIGSTOP: u16 = 19;

/// Whether a job is stopped by a signal, or goes on.
#[must_use]
pub fn matters(signal: u16) -> bool {
    signal == SIGSTOP || signal == SIGCONT
}

/// A job that runs is sent one of the two. `None`: one is on its way.
#[must_use]
pub fn sent(job: &Job) -> Option<Arc<Job>> {
    let on_its_way = job.course.state & state::SIGNALING != 0;
    (!on_its_way).then(|| with(job, job.course.state | state::SIGNALING))
}

/// The agents have answered; `taken`: one of them has passed it on.
pub fn answered(world: World<'_>, id: u32, signal: u16, taken: bool) -> Outcome {
    let mut draft = Draft::new(world);
    if let Some(job) = world.state.job(id).filter(|job| job.is_active()) {
        let flags = job.course.state & !state::SIGNALING;
        let flags = match (taken, signal) {
            (true, SIGSTOP) => flags | state::STOPPED,
            (true, SIGCONT) => flags & !state::STOPPED,
            _ => flags,
        };
        if flags != job.course.state {
            draft.job((with(job, flags), Vec::new()));
        }
    }
    draft.outcome(Message::code(rc::OK))
}

/// Nobody who sent a signal lives any more.
pub fn forget(draft: &mut Draft<'_>) {
    let jobs: Vec<Arc<Job>> =
        draft.state.busy.iter().filter_map(|id| draft.state.job(*id)).cloned().collect();
    for job in jobs.iter().filter(|job| job.course.state & state::SIGNALING != 0) {
        draft.job((with(job, job.course.state & !state::SIGNALING), Vec::new()));
    }
}

fn with(job: &Job, state: u32) -> Arc<Job> {
    next(job, Course { state, ..job.course.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::core::{Command, apply};
    use crate::controller::job::unbegun;
    use crate::controller::state::{Change, State};
    use crate::slurm::conf::Conf;
    use crate::slurm::wire::Field;
    use crate::slurm::wire::tables::JobDesc;
    use std::path::Path;

    #[test]
    fn a_job_is_stopped_once_an_agent_has_stopped_it_and_not_while_nobody_answers() {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n";
        let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
        let course = Course { state: state::RUNNING, ..unbegun() };
        let job = Job { id: 1, spec: Arc::new(JobDesc::unset()), course };
        let mut kept = State::default();
        let on_its_way = sent(&job).unwrap();
        assert_eq!(on_its_way.course.state, state::RUNNING | state::SIGNALING);
        assert_eq!(sent(&on_its_way), None, "one at a time");
        kept.take(Change::Job(on_its_way));
        let mut after = |command: &Command| {
            let world = World { conf: &conf, state: &kept, now: 1 };
            let changes = apply(world, command).changes;
            changes.into_iter().for_each(|change| kept.take(change));
            kept.job(1).unwrap().course.state
        };
        let answer = |signal, taken| Command::Signalled { job: 1, signal, taken };
        assert_eq!(after(&answer(SIGSTOP, false)), state::RUNNING);
        assert_eq!(after(&answer(SIGSTOP, true)), state::RUNNING | state::STOPPED);
        assert_eq!(after(&answer(SIGCONT, false)), state::RUNNING | state::STOPPED);
        assert_eq!(after(&answer(SIGCONT, true)), state::RUNNING);
        kept.take(Change::Job(sent(kept.job(1).unwrap()).unwrap()));
        let world = World { conf: &conf, state: &kept, now: 1 };
        let changes = apply(world, &Command::Read { again: false }).changes;
        changes.into_iter().for_each(|change| kept.take(change));
        assert_eq!(kept.job(1).unwrap().course.state, state::RUNNING, "a restart forgets it");
    }
}
