//! Whole controllers in simulated time, by seed: the takeover core, the register and the store over
//! one fake disk, with processes that are killed, frozen and stopped, links that are cut or reject,
//! and primaries that lose their agents. Whatever happens, no acknowledged save is missing from a
//! later reign, no LSN is acknowledged twice, and once it is quiet, one reigns.
//!
//! `STATEDIR_FAILOVER=seed` runs one alone, `STATEDIR_FAILOVERS` sets how many reigns are wanted.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::random::Random;
use common::{fake_disk, shared, tiny};
use statedir::base::Lsn;
use statedir::disk::fake::FakeDisk;
use statedir::format::Reason;
use statedir::role::takeover::{Conf, Core, Effect, Event, Role, Why};
use statedir::role::{ClaimError, Heart, Register};
use statedir::store::{OpenError, share_on};
use statedir::{Batch, Epoch, Store};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

const T: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);
const HOSTS: usize = 3;
const AGENTS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    Cut,
    Rejects,
}

struct Process {
    core: Core,
    door: Register,
    store: Option<Store>,
    heart: Option<Heart>,
    /// Whether it had a connection to the primary at the last tick.
    linked: bool,
    frozen_until: Duration,
    down_until: Duration,
    alone_until: Duration,
}

struct Lab {
    disk: FakeDisk,
    now: Duration,
    hosts: Vec<Process>,
    links: Vec<(Link, Duration)>,
    acknowledged: BTreeMap<u64, (u64, u64)>,
    saves: u64,
    reigns: u64,
}

fn name(host: usize) -> String {
    ["a", "b", "c"][host].to_owned()
}

fn core(host: usize, now: Duration) -> Core {
    let hosts = (0..HOSTS).map(name).collect();
    Core::new(Conf { host: name(host), hosts, timeout: T }, now)
}

fn number(host: &str) -> usize {
    (0..HOSTS).find(|at| name(*at) == host).expect("one of them")
}

impl Lab {
    fn new() -> Lab {
        let disk = fake_disk(4096);
        Store::create_on(&disk).unwrap();
        let doors: Vec<Register> =
            (0..HOSTS).map(|at| Register::new(shared(&disk), &name(at), "").unwrap()).collect();
        let mut make = |cluster, epoch| {
            let made = doors[0].make(cluster, epoch);
            made.map(drop).map_err(|error| io::Error::other(error.to_string()))
        };
        share_on(&disk, &mut make).unwrap();
        let reigning = doors[0].claim(Reason::Start).unwrap();
        let mut heart = Heart::start(&reigning).unwrap();
        for door in &doors {
            door.join().unwrap();
        }
        heart.beat(0, false).unwrap();
        let process = |(host, door)| Process {
            core: core(host, Duration::ZERO),
            door,
            store: None,
            heart: None,
            linked: false,
            frozen_until: Duration::ZERO,
            down_until: Duration::ZERO,
            alone_until: Duration::ZERO,
        };
        Lab {
            disk,
            now: Duration::ZERO,
            hosts: doors.into_iter().enumerate().map(process).collect(),
            links: vec![(Link::Up, Duration::ZERO); HOSTS],
            acknowledged: BTreeMap::new(),
            saves: 0,
            reigns: 0,
        }
    }

    fn awake(&self, host: usize) -> bool {
        let one = &self.hosts[host];
        self.now >= one.frozen_until && self.now >= one.down_until
    }

    /// The link between two hosts.
    fn link(&self, one: usize, other: usize) -> Link {
        // Of three hosts, a pair is named by the third.
        let (link, until) = self.links[HOSTS - one - other];
        if self.now < until { link } else { Link::Up }
    }

    fn give(&mut self, host: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let effects = self.hosts[host].core.step(self.now, event);
            for effect in effects {
                events.extend(self.act(host, effect));
            }
        }
    }

    fn act(&mut self, host: usize, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Claim { after, reason } => return Some(self.claim(host, after, reason)),
            // It is dropped as if it were killed: nothing is flushed, nothing told.
            Effect::Drop => {
                self.hosts[host].store = None;
                self.hosts[host].heart = None;
            }
            Effect::Close => {
                let closed = self.hosts[host].store.take().map(Store::close);
                drop(closed);
                self.hosts[host].heart = None;
                return Some(Event::Closed);
            }
            Effect::Offer { to, epoch } => {
                let heir = number(&to);
                let reached = self.awake(heir) && self.link(host, heir) == Link::Up;
                if reached {
                    self.give(heir, Event::Offered { epoch });
                }
                let taken = self.hosts[heir].core.role() == Role::Primary;
                return Some(Event::Taken(taken));
            }
            Effect::AskFor { host: primary } => {
                let primary = number(&primary);
                if self.awake(primary) && self.link(host, primary) == Link::Up {
                    self.give(primary, Event::Cede { to: name(host) });
                }
            }
            Effect::Exit => self.kill(host, 20),
            Effect::Serve | Effect::StandBy | Effect::Say(_) => {}
        }
        None
    }

    /// The process ends, and another one is started after some ticks.
    fn kill(&mut self, host: usize, ticks: u32) {
        let one = &mut self.hosts[host];
        if let Some(a) = one.store.take() {
            std::mem::forget(a)
        }
        (one.heart, one.linked) = (None, false);
        one.down_until = self.now + TICK * ticks;
        one.core = core(host, one.down_until);
    }

    fn claim(&mut self, host: usize, after: Epoch, reason: Reason) -> Event {
        let sight = self.hosts[host].door.look().unwrap();
        if sight.reign.epoch != after {
            return Event::NotOpened { why: Why::Lost };
        }
        let reigning = match self.hosts[host].door.claim_after(&sight, reason) {
            Ok(reigning) => Arc::new(reigning),
            Err(ClaimError::Lost { .. }) => return Event::NotOpened { why: Why::Lost },
            Err(error) => panic!("{error}"),
        };
        let heart = Heart::start(&reigning).unwrap();
        let options = tiny(&self.disk).without_history();
        let store = match Store::open_on(shared(&self.disk), options, reigning) {
            Ok(store) => store,
            Err(OpenError::Fenced(_)) => return Event::NotOpened { why: Why::Lost },
            Err(error) => panic!("{error}"),
        };
        let (epoch, view) = (store.epoch(), store.view());
        let newest = self.acknowledged.keys().next_back().copied().unwrap_or(0);
        assert!(view.lsn() >= Lsn(newest), "S2: lsn {newest} is lost in epoch {epoch}");
        for (lsn, (save, by)) in self.acknowledged.iter().rev().take(20) {
            let there = view.get("all", &save.to_be_bytes()).unwrap();
            let right = there == Some(&by.to_be_bytes()[..]);
            assert!(right, "S2: save {save} at {lsn}, of epoch {by}, is lost in epoch {epoch}");
        }
        self.reigns += 1;
        (self.hosts[host].store, self.hosts[host].heart) = (Some(store), Some(heart));
        Event::Opened { epoch }
    }

    fn save(&mut self, host: usize) {
        let Some(store) = &self.hosts[host].store else { return };
        self.saves += 1;
        let (save, epoch) = (self.saves, store.epoch().0);
        let mut batch = Batch::new();
        batch.put("all", &save.to_be_bytes(), &epoch.to_be_bytes()).unwrap();
        let done = store.save(batch);
        if save % 50 == 0 {
            drop(store.checkpoint());
        }
        match done {
            Ok(lsn) => {
                let before = self.acknowledged.insert(lsn.0, (save, epoch));
                assert_eq!(before, None, "S4: lsn {lsn} is acknowledged again, in epoch {epoch}");
            }
            Err(_) => self.give(host, Event::Fenced),
        }
    }

    /// One tick of a host that is awake.
    fn tick(&mut self, host: usize) {
        let alone = self.now < self.hosts[host].alone_until;
        let agents = if alone { 0 } else { AGENTS };
        self.give(host, Event::Agents(agents));
        if let Some(heart) = &mut self.hosts[host].heart {
            heart.beat(agents, false).unwrap();
        }
        let sight = self.hosts[host].door.look().unwrap();
        let (epoch, primary) = (sight.reign.epoch, sight.reign.primary.clone());
        self.give(host, Event::Register { epoch, primary: primary.clone() });
        if let Some(beat) = sight.beat {
            let (ordinal, agents, stopping) = (beat.ordinal, beat.agents, beat.stopping);
            self.give(host, Event::Beat { epoch: beat.epoch, ordinal, agents, stopping });
        }
        if self.hosts[host].core.role() == Role::Primary {
            for other in (0..HOSTS).filter(|other| *other != host) {
                let ready = self.awake(other)
                    && self.link(host, other) == Link::Up
                    && self.hosts[other].core.role() == Role::Standby;
                self.give(host, Event::Standby { host: name(other), ready });
            }
            self.save(host);
        } else if let Some(primary) = primary.map(|primary| number(&primary))
            && primary != host
        {
            self.listen(host, primary, epoch);
        }
        self.give(host, Event::Tick);
    }

    /// What comes on the standing connection to the primary.
    fn listen(&mut self, host: usize, primary: usize, epoch: Epoch) {
        let link = self.link(host, primary);
        let down = self.now < self.hosts[primary].down_until;
        let reigns = self.hosts[primary].core.role() == Role::Primary
            && self.hosts[primary].core.own_epoch() == epoch;
        match link {
            Link::Rejects => self.end(host, primary),
            Link::Up if down => self.end(host, primary),
            Link::Up if self.awake(primary) && reigns => {
                self.hosts[host].linked = true;
                self.give(host, Event::Heard { epoch });
            }
            Link::Up | Link::Cut => {}
        }
    }

    fn end(&mut self, host: usize, primary: usize) {
        self.hosts[host].linked = false;
        self.give(host, Event::Ended { host: name(primary) });
    }

    /// Something happens to somebody.
    fn fault(&mut self, random: &mut Random) {
        let primary = (0..HOSTS).find(|at| self.hosts[*at].core.role() == Role::Primary);
        let host = match primary {
            Some(primary) if random.below(3) > 0 => primary,
            _ => random.index(HOSTS),
        };
        let time = TICK * u32::try_from(1 + random.below(80)).unwrap();
        match random.below(8) {
            0 | 1 => self.kill(host, u32::try_from(1 + random.below(60)).unwrap()),
            2 | 3 => self.hosts[host].frozen_until = self.now + time,
            4 if self.awake(host) => self.give(host, Event::Stop),
            5 if self.awake(host) => self.give(host, Event::TakeOver),
            6 => self.hosts[host].alone_until = self.now + time,
            _ => {
                let link = if random.below(2) == 0 { Link::Cut } else { Link::Rejects };
                self.links[random.index(HOSTS)] = (link, self.now + time);
            }
        }
    }

    fn run(&mut self, time: Duration, mut each: impl FnMut(&mut Lab)) {
        let until = self.now + time;
        while self.now < until {
            self.now += TICK;
            each(self);
            for host in 0..HOSTS {
                if self.awake(host) {
                    self.tick(host);
                }
            }
        }
    }

    fn primaries(&self) -> Vec<usize> {
        (0..HOSTS).filter(|at| self.hosts[*at].core.role() == Role::Primary).collect()
    }
}

#[test]
fn failovers_by_seed_lose_nothing_and_end_with_one_primary() {
    let asked = std::env::var("STATEDIR_FAILOVER").ok().map(|seed| seed.parse::<u64>().unwrap());
    let wanted = std::env::var("STATEDIR_FAILOVERS").map_or(10_000, |n| n.parse().unwrap());
    let (mut reigns, mut seed) = (0, asked.unwrap_or(1));
    while reigns < wanted {
        let mut random = Random::new(seed);
        let mut lab = Lab::new();
        println!("seed {seed}");
        lab.run(Duration::from_secs(60), |lab| {
            // About one every second: far more often than anywhere in the world.
            if random.below(20) == 0 {
                lab.fault(&mut random);
            }
        });
        let before = lab.saves;
        // It is quiet: within the longest wait for a standby that was not deposed, one reigns.
        lab.run(Duration::from_secs(10), |_| ());
        assert_eq!(lab.primaries().len(), 1, "one reigns");
        assert!(lab.saves > before, "and saves go on");
        reigns += lab.reigns;
        if asked.is_some() {
            break;
        }
        seed += 1;
    }
    println!("{reigns} reigns, {seed} seeds");
}

/// How often the role changed hands while `each` was done to a settled trio.
fn changes(time: u64, each: impl FnMut(&mut Lab)) -> u64 {
    let mut lab = Lab::new();
    lab.run(Duration::from_secs(5), |_| ());
    let before = lab.reigns;
    lab.run(Duration::from_secs(time), each);
    lab.reigns - before
}

#[test]
fn a_link_that_is_cut_for_a_minute_changes_no_role() {
    let cut = |lab: &mut Lab| lab.links = vec![(Link::Cut, lab.now + T); HOSTS];
    assert_eq!(changes(60, cut), 0);
}

#[test]
fn mutual_reject_for_a_minute_changes_the_role_once_at_most() {
    let reject = |lab: &mut Lab| {
        for pair in 0..HOSTS - 1 {
            lab.links[pair] = (Link::Rejects, lab.now + T);
        }
        lab.hosts[2].down_until = lab.now + T;
    };
    assert!(changes(60, reject) <= 1);
}

#[test]
fn a_primary_that_loses_its_agents_and_its_link_is_followed_by_one_that_reaches_them() {
    let cut = |lab: &mut Lab| {
        lab.links = vec![(Link::Cut, lab.now + T); HOSTS];
        lab.hosts[0].alone_until = lab.now + T;
    };
    assert_eq!(changes(30, cut), 1);
}
