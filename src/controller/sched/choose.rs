//! Which nodes a job gets, of those that have something for it.
//!
//! As Slurm's cons_tres without a topology: nodes of the least weight first; of these, nodes that
//! follow each other and fit best; one node that suffices, and of several the one with the fewest
//! CPUs left over, before several nodes. Where that fails, nodes that offer the least are left out,
//! one size after the other.
//!
//! Invariant: what is chosen has the nodes and the CPUs that the job needs, and every node that it
//! requires.

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
    if let Some(chosen) = Try::new(need, bounds, offers, least_loaded).run() {
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
            let found = Try::new(need, bounds, &kept, least_loaded).run();
            if found.is_some() {
                return found;
            }
        }
    }
    None
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
    least_loaded: bool,
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
    fn new(need: &'a Need, bounds: Bounds, offers: &'a [Offer], least_loaded: bool) -> Try<'a> {
        let like = bounds.like.min(bounds.max).max(bounds.min);
        Try {
            need,
            offers,
            least_loaded,
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
            if self.least_loaded { self.by_load() } else { self.by_runs() }
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

    /// The nodes with the most to offer first.
    fn by_load(&mut self) {
        let mut order: Vec<usize> = (0..self.offers.len()).collect();
        order.sort_by_key(|at| (self.offers[*at].weight, u32::MAX - self.offers[*at].cpus));
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
            if self.need.contiguous && !self.suffices(&run) {
                return;
            }
            match run.required {
                Some(from) => self.around(from, &run),
                None => self.within(&run),
            }
            if self.is_done() {
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
        let usable = |run: &Run| !run.used && run.nodes > 0 && (!pinned || with_required(run));
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

    fn within(&mut self, run: &Run) {
        if self.nodes <= 1 {
            let fits = (run.first..=run.last)
                .filter(|at| !self.taken[*at] && i64::from(self.offers[*at].cpus) >= self.cpus);
            if let Some(at) = fits.min_by_key(|at| self.offers[*at].cpus) {
                return self.take(at);
            }
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
