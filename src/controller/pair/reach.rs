//! How many agents are reached from here, asked only while the controllers do not hear each other:
//! whether a host's network or the link between two is cut, the agents tell them apart.
//!
//! | cut | the primary reaches | the standby reaches | |
//! |---|---|---|---|
//! | the primary's network | none | all | it takes over |
//! | the link between the two | all | all | nothing happens |
//! | the standby's network | all | none | nothing happens |
//!
//! Invariants:
//! - Nothing here keeps two from reigning: the register does. A mistake costs time.
//! - One ping that is lost, or answered late, changes nothing: the primary says the more, the
//!   standby the less of what it found twice.
//! - Agents are asked for no more than a word: some of them, the same ones by every controller.
//! - A round has an end, also where names are not resolved (`names`).

use crate::controller::pair::names::Names;
use crate::controller::pair::{Pair, lock};
use crate::role::takeover::Event;
use crate::slurm::auth::{Auth, To};
use crate::slurm::conf::Conf;
use crate::slurm::link::{Times, ask_at};
use crate::slurm::wire::Message;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// How many are asked, at a time.
const ASKED: usize = 16;

/// After so many SlurmctldTimeout in silence the other one is not there: nobody compares.
const GONE: u32 = 60;

/// What is known of it.
pub struct Reach {
    /// When another controller was heard last; `None`: never.
    heard: Mutex<Option<Instant>>,
    /// For the heartbeat.
    found: AtomicU32,
}

impl Reach {
    /// Nothing yet.
    pub fn new() -> Reach {
        Reach { heard: Mutex::new(None), found: AtomicU32::new(u32::MAX) }
    }

    /// Another controller has said something.
    pub fn heard(&self) {
        *lock(&self.heard) = Some(Instant::now());
    }

    /// How many the heartbeat says are reached; as long as nobody has reason to ask, all.
    pub fn found(&self) -> u32 {
        self.found.load(Ordering::Acquire)
    }

    /// How long nobody was heard; `None`: nobody ever was.
    pub fn silence(&self) -> Option<Duration> {
        lock(&self.heard).map(|at| at.elapsed())
    }
}

/// Where agents are, with how long their answers may take.
struct Sample {
    agents: Vec<(String, u16)>,
    times: Times,
}

impl Sample {
    fn of(conf: &Conf, timeout: Duration) -> Sample {
        let step = conf.nodes.len().div_ceil(ASKED).max(1);
        let agents = conf.nodes.iter().step_by(step);
        let agents = agents.map(|node| (node.address.clone(), node.port)).collect();
        let times = Times { connect: timeout / 4, answer: timeout / 2 };
        Sample { agents, times }
    }

    /// How many of them answer. Waits for all.
    fn ask(&self, auth: &Auth, names: &Arc<Names>, may: impl Fn(u32) -> bool + Sync) -> u32 {
        let answers = |(host, port): &(String, u16)| {
            let addresses = names.of(host, *port, self.times.connect);
            ask_at(auth, &addresses, &Message::Ping, To::Anybody, self.times, &may).is_ok()
        };
        let answers = &answers;
        scope(|scope| {
            let asking: Vec<_> =
                self.agents.iter().map(|agent| scope.spawn(move || answers(agent))).collect();
            let answered = asking.into_iter().map(|one| one.join().unwrap_or(false));
            answered.map(u32::from).sum()
        })
    }
}

/// What two rounds in a row have found.
fn both(before: Option<u32>, now: u32, reigns: bool) -> u32 {
    match (before, reigns) {
        (None, true) => u32::MAX,
        (None, false) => 0,
        (Some(before), true) => before.max(now),
        (Some(before), false) => before.min(now),
    }
}

/// Asks whenever the other controller has been silent for a quarter of SlurmctldTimeout, until the
/// process ends.
pub fn run(pair: &Arc<Pair>, conf: &Conf) {
    let (mut conf, mut before) = (conf.clone(), None);
    loop {
        sleep(pair.pulse());
        let quiet = pair.reach.silence();
        if quiet.is_none_or(|time| time < pair.timeout / 4 || time > pair.timeout * GONE) {
            pair.reach.found.store(u32::MAX, Ordering::Release);
            before = None;
            continue;
        }
        if before.is_none() {
            conf = pair.conf(&conf);
        }
        let may = |uid| uid == 0 || uid == pair.host.slurm_user || uid == pair.host.slurmd_user;
        let now = Sample::of(&conf, pair.timeout).ask(&pair.auth, &pair.names, may);
        let reigns = pair.epoch() > 0;
        let found = both(before.replace(now), now, reigns);
        pair.reach.found.store(found, Ordering::Release);
        if !reigns {
            pair.happened(Event::Agents(found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ping_that_is_lost_makes_no_standby_reach_more_than_the_primary() {
        // The first round of either proves nothing.
        assert_eq!((both(None, 0, true), both(None, 9, false)), (u32::MAX, 0));
        // One loses a ping, once.
        assert_eq!((both(Some(9), 8, true), both(Some(9), 9, false)), (9, 9));
        assert_eq!((both(Some(8), 9, true), both(Some(9), 9, false)), (9, 9));
        // The primary is cut off.
        assert_eq!((both(Some(0), 0, true), both(Some(9), 9, false)), (0, 9));
    }

    #[test]
    fn every_controller_asks_the_same_agents_and_not_all_of_many() {
        let nodes = "NodeName=n[1-1000] NodeAddr=10.0.0.[1-250],10.0.1.[1-250],10.0.2.[1-250],\
                     10.0.3.[1-250]\nPartitionName=p Nodes=ALL\n";
        let text = format!("ClusterName=a\nSlurmctldHost=b(10.9.9.9)\n{nodes}");
        let path = std::path::Path::new("/slurm.conf");
        let conf = Conf::read(path, &mut |_| Ok(text.clone())).unwrap();
        let sample = Sample::of(&conf, Duration::from_secs(1)).agents;
        assert_eq!(sample.len(), ASKED);
        assert_eq!(sample, Sample::of(&conf, Duration::from_secs(1)).agents);
        assert_ne!(sample[0].0, sample[ASKED - 1].0);
    }
}
