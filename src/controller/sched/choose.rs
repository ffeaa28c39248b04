//! Which nodes a job gets, of those that have something for it.
//!
//! As Slurm's cons_tres without a topology: nodes of the least weight first; of these, nodes that
//! follow each other and fit best; one node that suffices, and of several the one with the fewest
//! CPUs left over, before several nodes. Where that fails, nodes that offer the least are left out,
//! one size after the other.
//!
//! Where that fails, too, the largest are taken: Slurm, which leaves it at that, lets a job wait
//! for nodes to become fewer.
//!
//! Invariants: what is chosen has the nodes and the CPUs that the job needs, and every node that it
//! requires; nodes that are to follow each other do, unless the least loaded ones are wanted; what
//! would do among some offers is found among more of them.

use crate::controller::sched::need::Need;

/// What a node has for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its place.
    pub at: usize,
    /// CPUs, at least 1.
    pub cpus: u32,
    /// CPUs of a core, at least 1.
    pub per_core: u32,
    /// Lower ones are taken first.
    pub weight: u32,
    /// Whether the job must have it.
    pub required: bool,
}

/// Nodes by their place, ascending, each with the most CPUs to take of it.
pub type Chosen = Vec<(usize, u32)>;

/// How many nodes a job may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// How many it would like.
    pub like: u32,
}

/// Chooses among offers, which are in the order of their places. `None`: they do not suffice.
#[must_use]
pub fn choose(need: &Need, bounds: Bounds, offers: &[Offer], least_loaded: bool) -> Option<Chosen> {
    let mut bounds = bounds;
    if need.tasks > 0 && bounds.max > need.tasks {
        bounds.max = need.tasks.max(bounds.min);
    }
    if !may_suffice(need, bounds, offers) {
        return None;
    }
    let by = match (need.spread, least_loaded) {
        (true, _) => By::Place,
        (false, true) => By::Load,
        (false, false) => By::Run,
    };
    if let Some(chosen) = Try::new(need, bounds, offers, by).run() {
        return Some(chosen);
    }
    let most = offers.iter().map(|offer| offer.cpus).max().unwrap_or(0);
    let mut kept = offers.to_vec();
    for size in 1..most {
        let mut spare = kept.len() - bounds.min as usize;
        let before = spare;
        kept.retain(|offer| {
            let goes = spare > 0 && !offer.required && offer.cpus <= size;
            spare -= usize::from(goes);
            !goes
        });
        if spare < before {
            let found = Try::new(need, bounds, &kept, by).run();
            if found.is_some() {
                return found;
            }
        }
    }
    if by == By::Run && need.contiguous {
        return None;
    }
    Try::new(need, bounds, offers, By::Size).run()
}

/// Which nodes come first, of those that are not required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The least weight, then the fewest CPUs in use.
    Load,
    /// The least weight, then those that follow each other.
    Run,
    /// The least weight, then the order of slurm.conf.
    Place,
    /// The most CPUs, whatever their weight.
    Size,
}

/// Whether the largest offers would do: nothing else can, where they do not.
fn may_suffice(need: &Need, bounds: Bounds, offers: &[Offer]) -> bool {
    if offers.len() < bounds.min as usize || bounds.max < bounds.min {
        return false;
    }
    let all: u64 = offers.iter().map(|offer| u64::from(offer.cpus)).sum();
    if all < need.min_cpus.into() {
        return false;
    }
    if offers.len() <= bounds.max as usize {
        return true;
    }
    let mut sizes: Vec<u32> = offers.iter().map(|offer| offer.cpus).collect();
    sizes.select_nth_unstable_by(bounds.max as usize, |a, b| b.cmp(a));
    let best: u64 = sizes[..bounds.max as usize].iter().map(|cpus| u64::from(*cpus)).sum();
    best >= need.min_cpus.into()
}

/// Nodes that follow each other, of one weight: places in the offers, and what they have together.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: usize,
    last: usize,
    weight: u32,
    cpus: i64,
    nodes: i64,
    required: Option<usize>,
    used: bool,
}

struct Try<'a> {
    need: &'a Need,
    offers: &'a [Offer],
    by: By,
    taken: Vec<bool>,
    chosen: Chosen,
    cpus: i64,
    cpus_max: i64,
    nodes: i64,
    nodes_min: i64,
    /// Nodes that are liked beyond the least, as far as there may be as many.
    liked: i64,
    room: i64,
}

impl<'a> Try<'a> {
    fn new(need: &'a Need, bounds: Bounds, offers: &'a [Offer], by: By) -> Try<'a> {
        let like = bounds.like.min(bounds.max).max(bounds.min);
        Try {
            need,
            offers,
            by,
            taken: vec![false; offers.len()],
            chosen: Vec::new(),
            cpus: need.min_cpus.into(),
            cpus_max: need.max_cpus.map_or(need.min_cpus, |most| most.max(need.min_cpus)).into(),
            nodes: like.into(),
            nodes_min: bounds.min.into(),
            liked: (like - bounds.min).into(),
            room: bounds.max.into(),
        }
    }

    fn run(mut self) -> Option<Chosen> {
        for at in 0..self.offers.len() {
            if self.offers[at].required {
                self.take(at);
            }
        }
        if self.room < 0 {
            return None;
        }
        if !self.is_done() {
            match self.by {
                By::Load => self.in_order(|offer| (offer.weight, u32::MAX - offer.cpus)),
                By::Run => self.by_runs(),
                By::Place => self.in_order(|offer| (offer.weight, 0)),
                By::Size => self.in_order(|offer| (u32::MAX - offer.cpus, offer.weight)),
            }
        }
        self.top_up();
        let enough = self.cpus <= 0 && self.nodes <= self.liked;
        enough.then(|| {
            self.chosen.sort_unstable();
            self.chosen
        })
    }

    fn is_done(&self) -> bool {
        self.nodes <= 0 && self.cpus <= 0
    }

    fn take(&mut self, at: usize) {
        let Offer { at: place, cpus, per_core, .. } = self.offers[at];
        let mut cpus = i64::from(cpus);
        if !self.need.exclusive {
            // Each node still to come gets a core at least.
            let kept = (self.nodes_min - 1).max(0) * i64::from(per_core);
            let least = i64::from(self.need.node_cpus.max(self.need.cpus_per_task));
            let task = i64::from(self.need.cpus_per_task);
            cpus = cpus.min(((self.cpus_max - kept) / task * task).max(least));
        }
        self.taken[at] = true;
        self.chosen.push((place, u32::try_from(cpus).expect("at least a task's")));
        (self.cpus, self.cpus_max) = (self.cpus - cpus, self.cpus_max - cpus);
        (self.nodes, self.nodes_min) = (self.nodes - 1, self.nodes_min - 1);
        self.room -= 1;
    }

    /// What was left for other nodes is taken after all, if those had less than that.
    fn top_up(&mut self) {
        for (place, cpus) in &mut self.chosen {
            let at = self.offers.binary_search_by_key(place, |offer| offer.at);
            let offered = self.offers[at.expect("an offer was chosen")].cpus;
            let more = i64::from(offered - *cpus).min(self.cpus.max(0));
            *cpus += u32::try_from(more).expect("not below 0");
            self.cpus -= more;
        }
    }

    fn in_order(&mut self, key: impl Fn(&Offer) -> (u32, u32)) {
        let mut order: Vec<usize> = (0..self.offers.len()).collect();
        order.sort_by_key(|at| key(&self.offers[*at]));
        for at in order {
            if self.room <= 0 || self.is_done() {
                return;
            }
            let too_small = self.room == 1 && i64::from(self.offers[at].cpus) < self.cpus;
            if !self.taken[at] && !too_small {
                self.take(at);
            }
        }
    }

    fn by_runs(&mut self) {
        let mut runs = self.runs();
        while self.room > 0 {
            let Some(best) = self.best(&runs) else { return };
            let run = runs[best];
            match run.required {
                Some(from) => self.around(from, &run),
                None if self.need.contiguous => self.in_a_row(&run),
                None => self.within(&run),
            }
            let some = !self.chosen.is_empty();
            if self.is_done() || self.need.contiguous && some {
                return;
            }
            runs[best].used = true;
        }
    }

    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut before: Option<Offer> = None;
        for (at, offer) in self.offers.iter().enumerate() {
            let follows = before.is_some_and(|before| {
                before.at + 1 == offer.at && (before.weight == offer.weight || self.need.contiguous)
            });
            if !follows {
                let (weight, required) = (offer.weight, None);
                let used = false;
                runs.push(Run { first: at, last: at, weight, cpus: 0, nodes: 0, required, used });
            }
            let run = runs.last_mut().expect("one was pushed");
            run.last = at;
            if offer.required {
                run.required.get_or_insert(at);
            } else {
                (run.cpus, run.nodes) = (run.cpus + i64::from(offer.cpus), run.nodes + 1);
            }
            before = Some(*offer);
        }
        runs
    }

    fn suffices(&self, run: &Run) -> bool {
        run.cpus >= self.cpus && run.nodes >= self.nodes - self.liked
    }

    fn best(&self, runs: &[Run]) -> Option<usize> {
        let with_required = |run: &Run| run.required.is_some();
        let pinned = self.need.contiguous && self.offers.iter().any(|offer| offer.required);
        let usable = |run: &Run| {
            let alone = !self.need.contiguous || self.suffices(run);
            !run.used && run.nodes > 0 && (!pinned || with_required(run)) && alone
        };
        let mut best: Option<usize> = None;
        for (at, run) in runs.iter().enumerate().filter(|(_, run)| usable(run)) {
            let Some(other) = best.map(|best| &runs[best]) else {
                best = Some(at);
                continue;
            };
            let better = match (with_required(other), with_required(run)) {
                (false, true) => true,
                (true, false) => false,
                _ if run.weight != other.weight => run.weight < other.weight,
                _ => match (self.suffices(other), self.suffices(run)) {
                    (true, true) => run.cpus < other.cpus,
                    (false, false) => run.cpus > other.cpus,
                    (_, suffices) => suffices,
                },
            };
            if better {
                best = Some(at);
            }
        }
        best
    }

    /// Upwards from a node that is required, then downwards.
    fn around(&mut self, from: usize, run: &Run) {
        for at in (from..=run.last).chain((run.first..from).rev()) {
            if self.room <= 0 || self.is_done() {
                return;
            }
            if !self.taken[at] {
                self.take(at);
            }
        }
    }

    /// Of one node that suffices, the one with the fewest CPUs left over.
    fn tightest(&self, run: &Run) -> Option<usize> {
        let fits = (run.first..=run.last)
            .filter(|at| !self.taken[*at] && i64::from(self.offers[*at].cpus) >= self.cpus);
        fits.filter(|_| self.nodes <= 1).min_by_key(|at| self.offers[*at].cpus)
    }

    /// The first nodes of a run that suffice and follow each other; none, where there are none.
    fn in_a_row(&mut self, run: &Run) {
        if let Some(at) = self.tightest(run) {
            return self.take(at);
        }
        let most = usize::try_from(self.room).expect("there is room");
        let from = |first: usize, missing: i64| {
            let (mut cpus, mut nodes) = (self.cpus, self.nodes);
            (first..=run.last).take(most).find(|at| {
                (cpus, nodes) = (cpus - i64::from(self.offers[*at].cpus), nodes - 1);
                cpus <= 0 && nodes <= missing
            })
        };
        let first = |missing| {
            let mut starts = run.first..=run.last;
            starts.find_map(|first| from(first, missing).map(|last| first..=last))
        };
        if let Some(row) = first(0).or_else(|| first(self.liked)) {
            row.for_each(|at| self.take(at));
        }
    }

    fn within(&mut self, run: &Run) {
        if let Some(at) = self.tightest(run) {
            return self.take(at);
        }
        for at in run.first..=run.last {
            if self.room <= 0 || self.is_done() {
                return;
            }
            let alone = self.room == 1 && i64::from(self.offers[at].cpus) < self.cpus;
            if !self.taken[at] && !alone {
                self.take(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::sched::manner::Manner;
    use crate::controller::sched::need::Wanted;
    use crate::slurm::wire::Text;

    fn need(tasks: u32, each: u32, contiguous: bool) -> Need {
        Need {
            min_nodes: 1,
            max_nodes: None,
            nodes: 1,
            min_cpus: (tasks * each).max(1),
            max_cpus: None,
            tasks,
            cpus_per_task: each,
            tasks_per_node: 0,
            tasks_per_socket: 0,
            cpus_per_core: u32::MAX,
            threads: u32::MAX,
            node_cpus: 1,
            socket_cores: 1,
            sockets: 1,
            memory: Wanted::PerNode(0),
            tmp_disk: 0,
            exclusive: false,
            manner: Manner::Own,
            user: None,
            overcommit: false,
            contiguous,
            block: None,
            spread: false,
            plane: 0,
            features: Text::NONE,
            required: Text::NONE,
            excluded: Text::NONE,
        }
    }

    /// Nodes one after the other; those with nothing to offer are not there.
    fn offers(cpus: &[u32]) -> Vec<Offer> {
        let offer = |(at, cpus): (usize, &u32)| Offer {
            at,
            cpus: *cpus,
            per_core: 1,
            weight: 0,
            required: false,
        };
        cpus.iter().enumerate().filter(|(_, cpus)| **cpus > 0).map(offer).collect()
    }

    /// What a job likes beyond what it may have was taken off the least that it needs: two tasks of
    /// four CPUs on two nodes at least were given one node, which had room for both.
    #[test]
    fn nodes_that_are_liked_beyond_the_most_are_not_taken_off_the_least() {
        let bounds = Bounds { min: 2, max: 3, like: 3 };
        assert_eq!(choose(&need(2, 4, false), bounds, &offers(&[8, 3]), false), None);
        let two = choose(&need(2, 4, false), bounds, &offers(&[8, 4]), false);
        assert_eq!(two, Some(vec![(0, 4), (1, 4)]));
    }

    /// The last of two nodes that follow each other was left out where it was too small, and one
    /// further on was taken.
    #[test]
    fn nodes_that_are_to_follow_each_other_do() {
        let bounds = Bounds { min: 2, max: 2, like: 2 };
        let found = choose(&need(3, 1, true), bounds, &offers(&[1, 1, 12]), false);
        assert_eq!(found, Some(vec![(1, 1), (2, 2)]));
    }

    /// A row that was too short kept one of more weight from being looked at.
    #[test]
    fn nodes_in_a_row_are_found_whatever_else_weighs_less() {
        let mut offers = offers(&[6, 2, 12, 0, 2]);
        offers[..3].iter_mut().for_each(|offer| offer.weight = 1);
        let bounds = Bounds { min: 3, max: 3, like: 3 };
        let found = choose(&need(0, 1, true), bounds, &offers, false);
        assert_eq!(found, Some(vec![(0, 1), (1, 1), (2, 1)]));
    }

    /// Whether some of the offers would do, and are allowed.
    fn would_do(need: &Need, bounds: Bounds, offers: &[Offer]) -> bool {
        (1..1_u32 << offers.len()).any(|set| {
            let some: Vec<&Offer> =
                (0..offers.len()).filter(|at| set >> at & 1 == 1).map(|at| &offers[at]).collect();
            let count = u32::try_from(some.len()).unwrap();
            let row = some.windows(2).all(|pair| pair[0].at + 1 == pair[1].at);
            count >= bounds.min
                && count <= bounds.max
                && some.iter().map(|offer| offer.cpus).sum::<u32>() >= need.min_cpus
                && (row || !need.contiguous)
        })
    }

    #[test]
    fn what_would_do_is_found_and_nothing_else() {
        let mut found = 0;
        for shape in 0..5_u32.pow(4) {
            for (tasks, each) in [(0, 1), (1, 1), (3, 1), (5, 1), (9, 1), (2, 2), (4, 2)] {
                let sizes: Vec<u32> = (0..4).map(|at| shape / 5_u32.pow(at) % 5 * each).collect();
                let mut offers = offers(&sizes);
                for offer in &mut offers {
                    offer.weight = [0, 1, 1, 0][(offer.at + tasks as usize) % 4];
                }
                for (min, max, like) in [(1, 9, 1), (1, 2, 2), (2, 3, 3), (2, 2, 2), (3, 9, 4)] {
                    for (contiguous, least_loaded) in [(false, false), (false, true), (true, false)]
                    {
                        let need = need(tasks, each, contiguous);
                        let mut bounds = Bounds { min, max, like };
                        let chosen = choose(&need, bounds, &offers, least_loaded);
                        if tasks > 0 {
                            bounds.max = max.min(tasks.max(min));
                        }
                        let told = format!("{sizes:?} {need:?} {bounds:?}: {chosen:?}");
                        assert_eq!(chosen.is_some(), would_do(&need, bounds, &offers), "{told}");
                        let Some(chosen) = chosen else { continue };
                        found += 1;
                        let taken = |offer: &&Offer| chosen.iter().any(|(at, _)| *at == offer.at);
                        let of: Vec<Offer> = offers.iter().filter(taken).copied().collect();
                        assert!(would_do(&need, bounds, &of), "{told}");
                        let cpus: u32 = chosen.iter().map(|(_, cpus)| cpus).sum();
                        assert!(cpus >= need.min_cpus && of.len() == chosen.len(), "{told}");
                        let row = of.windows(2).all(|pair| pair[0].at + 1 == pair[1].at);
                        assert!(row || !contiguous, "{told}");
                    }
                }
            }
        }
        assert!(found > 10_000, "{found} of them");
    }
}
