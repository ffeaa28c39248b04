//! What is free when: now, and at the time for which a job that cannot start yet holds its nodes.
//!
//! ```text
//! now ──────────── hold 1 begins ───────── hold 2 begins ──▶
//! levels[0]        levels[1] = levels[0]   levels[2] = levels[1]
//!                  and what hold 1 leaves  and what hold 2 leaves
//! ```
//!
//! A job that would end before hold 1 begins may take what is free on level 0; one that ends later,
//! only what is free on level 1 as well, and so on. Nodes only become free as time passes, except
//! where a hold begins: so these are all the times that have to be looked at.
//!
//! Invariants: no job that is started delays a hold; holds do not overlap each other, but for cores
//! that jobs share.

use crate::controller::job::Job;
use crate::controller::sched::grid::{Busy, Grid, Taken};
use crate::controller::sched::layout::Layout;
use std::sync::Arc;

/// Seconds of that many minutes; `u32::MAX` is without end.
#[must_use]
pub fn seconds(minutes: u32) -> i64 {
    if minutes == u32::MAX { i64::MAX } else { i64::from(minutes) * 60 }
}

/// Nodes that a job holds from some time on.
#[derive(Clone, Debug)]
struct Hold {
    start: i64,
    end: i64,
    job: Arc<Taken>,
    /// What is free when it begins, without what it takes itself.
    after: Grid,
}

/// What jobs give back, by the time of their end.
type End = (i64, Arc<Taken>);

/// What is free when.
#[derive(Clone, Debug)]
pub struct Times {
    now: i64,
    levels: Vec<Grid>,
    holds: Vec<Hold>,
    ends: Vec<End>,
    sorted: bool,
}

impl Times {
    /// Now, with the jobs that there are.
    #[must_use]
    pub fn of(busy: &[Busy<'_>], grid: Grid, now: i64) -> Times {
        let end = |job: &Job| match (job.is_completing(), job.course.time_limit) {
            // What should be over already may be any moment.
            (true, _) => now + 1,
            (false, u32::MAX) => i64::MAX,
            (false, _) => job.course.end_time.0.max(now + 1),
        };
        let ends = busy.iter().map(|(job, taken)| (end(job), Arc::clone(taken))).collect();
        Times { now, levels: vec![grid], holds: Vec::new(), ends, sorted: false }
    }

    /// What a job may take that would start now and end then.
    #[must_use]
    pub fn until(&self, end: i64) -> &Grid {
        let holds = self.holds.iter().take_while(|hold| hold.start < end).count();
        &self.levels[holds]
    }

    /// What is free now.
    #[must_use]
    pub fn now(&self) -> &Grid {
        &self.levels[0]
    }

    /// A job starts now.
    pub fn start(&mut self, layout: &Layout, job: &Arc<Taken>, end: i64) {
        self.levels.iter_mut().for_each(|grid| grid.take(layout, job));
        let later = self.holds.iter_mut().filter(|hold| hold.start < end);
        later.for_each(|hold| hold.after.take(layout, job));
        self.ends.push((end, Arc::clone(job)));
        self.sorted = false;
    }

    /// The earliest time at which `fits` finds what a job takes in what is free for so many
    /// seconds; it is held from then on.
    pub fn hold(
        &mut self,
        layout: &Layout,
        duration: i64,
        mut fits: impl FnMut(&Grid) -> Option<Taken>,
    ) -> Option<(i64, Arc<Taken>)> {
        if !self.sorted {
            self.ends.sort_by_key(|(end, _)| *end);
            self.sorted = true;
        }
        let ends = self.ends.iter().map(|(end, _)| *end);
        let mut times: Vec<i64> = ends.chain(self.holds.iter().map(|hold| hold.end)).collect();
        times.sort_unstable();
        times.dedup();
        times.retain(|time| *time > self.now && *time < i64::MAX);
        let mut fits_at = |time: i64| {
            let grid = self.free(layout, time, time.saturating_add(duration));
            fits(&grid)
        };
        // More and more becomes free: halving finds the first time, and a good one where holds of
        // others make it less for a while.
        let (mut low, mut high, mut found) = (0, times.len(), None);
        while low < high {
            let middle = usize::midpoint(low, high);
            match fits_at(times[middle]) {
                Some(taken) => {
                    found = Some((times[middle], taken));
                    high = middle;
                }
                None => low = middle + 1,
            }
        }
        let (start, taken) = found?;
        let job = Arc::new(taken);
        self.add(layout, start, start.saturating_add(duration), Arc::clone(&job));
        Some((start, job))
    }

    /// What is free from `time` to `end`.
    fn free(&self, layout: &Layout, time: i64, end: i64) -> Grid {
        let mut grid = self.levels[0].clone();
        let ended = self.ends.iter().take_while(|(end, _)| *end <= time);
        ended.for_each(|(_, job)| grid.give(layout, job));
        for hold in &self.holds {
            if hold.start <= time && time < hold.end {
                grid.take(layout, &hold.job);
            } else if hold.start > time && hold.start < end {
                grid = grid.and(&hold.after);
            }
        }
        grid
    }

    fn add(&mut self, layout: &Layout, start: i64, end: i64, job: Arc<Taken>) {
        let mut after = self.free(layout, start, start);
        after.take(layout, &job);
        for hold in self.holds.iter_mut().filter(|hold| hold.start >= start && hold.start < end) {
            hold.after.take(layout, &job);
        }
        self.holds.push(Hold { start, end, job, after });
        self.holds.sort_by_key(|hold| hold.start);
        self.levels.truncate(1);
        for at in 0..self.holds.len() {
            self.levels.push(self.levels[at].and(&self.holds[at].after));
        }
    }
}
