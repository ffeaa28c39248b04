//! Ids for new jobs: from FirstJobId up to one below MaxJobId, then from FirstJobId again, as in
//! Slurm.
//!
//! Invariants: an id is not given that a job has, or an array any task of which is known; the next
//! id changes in the same save as the jobs that take ids ([`Ids::change`]).

use crate::controller::core::World;
use crate::controller::state::{Change, State};

/// Gives ids.
#[derive(Clone, Debug)]
pub struct Ids<'a> {
    state: &'a State,
    first: u32,
    last: u32,
    next: u32,
    given: u32,
}

impl<'a> Ids<'a> {
    /// Ids above all that there were.
    #[must_use]
    pub fn of(world: World<'a>) -> Ids<'a> {
        let number = |name| u32::try_from(world.conf.number(name)).unwrap_or(u32::MAX);
        let first = number("FirstJobId").max(1);
        let last = number("MaxJobId").saturating_sub(1).clamp(first, MOST);
        let next = match world.state.next_id {
            0 => first,
            next => next,
        };
        Ids { state: world.state, first, last, next, given: 0 }
    }

    /// An id that nobody has. `None`: every one is taken.
    pub fn give(&mut self) -> Option<u32> {
        let taken = self.state.jobs.len() + self.state.arrays.len();
        // One more than there are ids to skip; each is looked at once.
        for _ in 0..=taken {
            if self.given > self.last - self.first {
                return None;
            }
            let id = if self.next < self.first || self.next > self.last {
                self.first
            } else {
                self.next
            };
            self.next = id + 1;
            self.given += 1;
            if !self.state.jobs.contains_key(&id) && !self.state.arrays.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }

    /// What has to be saved with the jobs; `None`: no id was given.
    #[must_use]
    pub fn change(&self) -> Option<Change> {
        (self.given > 0).then_some(Change::NextId(self.next))
    }
}

/// Ids have 26 bits in Slurm; what is above them names clusters of a federation.
const MOST: u32 = 0x03ff_ffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::job::{Job, unbegun};
    use crate::slurm::conf::Conf;
    use crate::slurm::wire::Field;
    use crate::slurm::wire::tables::JobDesc;
    use std::path::Path;
    use std::sync::Arc;

    fn conf() -> Conf {
        let text = "ClusterName=c\nSlurmctldHost=localhost\nFirstJobId=5\nMaxJobId=9\nNodeName=n\n\
                    PartitionName=p Nodes=ALL\n";
        Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap()
    }

    fn with(next_id: u32, jobs: &[(u32, u32)]) -> State {
        let mut state = State { next_id, ..State::default() };
        for (id, array_job_id) in jobs {
            let course =
                crate::controller::job::Course { array_job_id: *array_job_id, ..unbegun() };
            let spec = Arc::new(JobDesc::unset());
            state.take(Change::Job(Arc::new(Job { id: *id, spec, course })));
        }
        state
    }

    fn given(state: &State, count: usize) -> (Vec<Option<u32>>, Option<Change>) {
        let conf = conf();
        let mut ids = Ids::of(World { conf: &conf, state, now: 1 });
        let found = (0..count).map(|_| ids.give()).collect();
        (found, ids.change())
    }

    #[test]
    fn ids_begin_at_the_first_and_begin_again_there() {
        let (ids, change) = given(&State::default(), 2);
        assert_eq!((ids, change), (vec![Some(5), Some(6)], Some(Change::NextId(7))));
        let (ids, change) = given(&with(8, &[]), 2);
        assert_eq!((ids, change), (vec![Some(8), Some(5)], Some(Change::NextId(6))));
        assert_eq!(given(&with(7, &[]), 0).1, None);
    }

    #[test]
    fn an_id_that_is_in_use_is_not_given_and_neither_is_that_of_an_array() {
        let state = with(8, &[(8, 0), (5, 6)]);
        assert_eq!(given(&state, 3).0, [Some(7), None, None]);
        let state = with(5, &[(5, 0), (6, 0), (7, 0), (8, 0)]);
        assert_eq!(given(&state, 1).0, [None]);
    }

    #[test]
    fn a_range_that_moved_is_kept_to() {
        assert_eq!(given(&with(2, &[]), 1).0, [Some(5)]);
        assert_eq!(given(&with(900, &[]), 1).0, [Some(5)]);
    }
}
