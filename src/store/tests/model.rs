//! A model of a shared directory, for the checker: hosts that claim, read, seal, save, snapshot,
//! rotate, delete and may be frozen before any of their steps, and a follower.
//!
//! A step is one look at the directory or one change of it; what lies between two steps may take
//! for ever, and a host that is never moved again is a frozen one. What a step decides is decided
//! by the code that production runs ([`rules`], `Seals`, retention). No step knows the time.
//!
//! - S1: nobody serves an epoch beside another.
//! - S2: no acknowledged save is missing from the state of a primary of a later epoch.
//! - S4: never two acknowledged saves at one LSN.
//! - I10: what the follower hands out is a prefix of what every later primary holds.
//! - and nobody who claims finds the directory damaged.

use super::directory::{Dir, File, Group, Place, Recovered, Segment, Snap};
use crate::base::{Epoch, Id, Nanos};
use crate::format::{Host, Member, Reason, Reign};
use crate::role::rules::{self, Standing};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::BTreeSet;

/// The design, or one of the naive ways to do without a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Write, flush, check, acknowledge; claim, read, seal, check, serve.
    Good,
    /// A primary trusts that its heartbeat is young, and does not look at the register.
    HeartbeatAge,
    /// It looks before it writes, and not again before it acknowledges.
    CheckThenWrite,
    /// It looks once, and trusts that for a while.
    CachedLease,
    /// Who claims has read the log before.
    ReadBeforeClaim,
    /// Who claims records no seal.
    NoSeal,
    /// It serves once the seal is written, without a look at the register.
    ServeUnconfirmed,
    /// A snapshot holds what is flushed, and is published without a look at the register.
    PublishUnconfirmed,
    /// Files are deleted without a look at the register.
    DeleteUnconfirmed,
    /// The control file of an epoch vouches for what recovery found before the epoch is confirmed.
    VouchEarly,
    /// The follower takes a seal for a confirmation.
    FollowSeals,
    /// The follower reads the log before it reads how far that is vouched for.
    FollowLooksFirst,
}

/// All of them.
pub const ALL: [Variant; 12] = [
    Variant::Good,
    Variant::HeartbeatAge,
    Variant::CheckThenWrite,
    Variant::CachedLease,
    Variant::ReadBeforeClaim,
    Variant::NoSeal,
    Variant::ServeUnconfirmed,
    Variant::PublishUnconfirmed,
    Variant::DeleteUnconfirmed,
    Variant::VouchEarly,
    Variant::FollowSeals,
    Variant::FollowLooksFirst,
];

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub hosts: u8,
    pub saves: u8,
    pub claims: u8,
    pub snaps: u8,
    pub rotations: u8,
    pub crashes: u8,
    pub follower: bool,
    /// It begins with a reign that is over, of which a snapshot is left and no beginning.
    pub begun: bool,
}

/// The save that a directory begins with.
const OLD: u8 = 99;

/// A snapshot in the making.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Making {
    No,
    Frozen(Snap),
    Confirmed(Snap),
}

/// Deletions in their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Deleting {
    No,
    Listed(Vec<File>),
    Confirmed(Vec<File>),
}

/// A host that serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Serving {
    epoch: u8,
    segment: Segment,
    groups: u8,
    chain: u64,
    /// The values of all saves, flushed ones included.
    state: Vec<u8>,
    /// Where each save ended: place and chain, of those of this reign.
    ends: Vec<(Place, u64)>,
    committed: u8,
    acknowledged: u8,
    /// The register was looked at before the group in flight was written.
    checked: bool,
    base: Option<Snap>,
    making: Making,
    deleting: Deleting,
    rotating: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Rest,
    /// Has looked at the register: the newest epoch; and, in one variant, read the log.
    Looked(u8, Option<Recovered>),
    Claimed(u8),
    Read(u8, Recovered),
    /// Has made its control file.
    Marked(u8, Recovered),
    Sealed(u8, Recovered),
    /// Is confirmed, and about to say so in its control file.
    Confirmed(u8, Recovered),
    Serving(Box<Serving>),
}

/// A follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
struct Follower {
    handed: Vec<u8>,
    /// Read from the log, or vouched for, and not put together yet.
    looked: Option<(Vec<u8>, u8)>,
    published: Option<u8>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    dir: Dir,
    hosts: Vec<At>,
    follower: Follower,
    /// LSN, value and epoch.
    acknowledged: BTreeSet<(u8, u8, u8)>,
    saves: u8,
    snaps: u8,
    rotations: u8,
    crashes: u8,
    /// Somebody who claimed found the directory damaged.
    damaged: bool,
}

/// A step of a host, or of the follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Look(u8),
    Claim(u8),
    Read(u8),
    Mark(u8),
    Seal(u8),
    ConfirmReign(u8),
    Serve(u8),
    Check(u8),
    Save(u8),
    Confirm(u8),
    Acknowledge(u8),
    Publish(u8),
    Freeze(u8),
    ConfirmSnap(u8),
    PutSnap(u8),
    ConfirmRotation(u8),
    Rotate(u8),
    List(u8),
    ConfirmDeletion(u8),
    Delete(u8),
    Crash(u8),
    FollowerReadsMark,
    FollowerLooks,
}

/// What is checked.
#[derive(Clone, Debug)]
pub struct Shared {
    pub variant: Variant,
    pub limits: Limits,
}

fn name(host: u8) -> String {
    char::from(b'a' + host).to_string()
}

impl Shared {
    /// The record of an epoch, as the register has it: every host is a member.
    fn reign(&self, dir: &Dir, epoch: u8) -> Reign {
        let member = |host: u8| Member {
            host: name(host),
            address: String::new(),
            nonce: Id([host; 16]),
            handle: Vec::new(),
        };
        let primary = epoch.checked_sub(1).and_then(|at| dir.claims.get(usize::from(at)));
        Reign {
            cluster: Id::default(),
            epoch: Epoch(epoch.into()),
            nonce: Id::default(),
            claimed: Nanos(0),
            reason: Reason::Silent,
            primary: primary.map(|host| name(*host)),
            members: (0..self.limits.hosts).map(member).collect(),
        }
    }

    /// The epoch that `host` claims after `newest`, by the register's rules.
    fn next_epoch(&self, dir: &Dir, newest: u8, host: u8) -> u8 {
        let reign = self.reign(dir, newest);
        let member = reign.member(&name(host)).expect("all are").clone();
        let me = Host {
            cluster: reign.cluster,
            epoch: reign.epoch,
            echo: reign.nonce,
            written: Nanos(0),
            member,
        };
        let next = rules::next_reign(&reign, None, &me, Id::default(), Nanos(0), Reason::Silent);
        next.expect("all are members").epoch.0 as u8
    }

    /// Whether the register still names `epoch`.
    fn reigns(&self, dir: &Dir, epoch: u8) -> bool {
        let successor = dir.claims.get(usize::from(epoch)).map(|host| Some(name(*host)));
        let standing = Standing { gone: false, successor, end: None };
        rules::verdict(Epoch(epoch.into()), &standing).is_ok()
    }

    fn serving_actions(&self, host: u8, world: &World, serving: &Serving, out: &mut Vec<Step>) {
        let flushed = serving.state.len() as u8;
        let (limits, variant) = (&self.limits, self.variant);
        if world.saves < limits.saves {
            match (variant, serving.checked) {
                (Variant::CheckThenWrite, false) => out.push(Step::Check(host)),
                _ => out.push(Step::Save(host)),
            }
        }
        if flushed > serving.committed {
            out.push(Step::Confirm(host));
        }
        if serving.committed > serving.acknowledged {
            out.push(Step::Acknowledge(host));
        }
        if world.dir.marks.get(&serving.epoch).is_some_and(|mark| *mark < serving.committed) {
            out.push(Step::Publish(host));
        }
        let held = if variant == Variant::PublishUnconfirmed { flushed } else { serving.committed };
        let newer = serving.base.as_ref().map_or(0, |snap| snap.lsn) < held;
        match &serving.making {
            Making::No if world.snaps < limits.snaps && newer && self.end_of(serving, held) => {
                out.push(Step::Freeze(host));
            }
            Making::No => {}
            Making::Frozen(_) => out.push(Step::ConfirmSnap(host)),
            Making::Confirmed(_) => out.push(Step::PutSnap(host)),
        }
        match &serving.deleting {
            Deleting::No if serving.base.is_some() => out.push(Step::List(host)),
            Deleting::No => {}
            Deleting::Listed(_) => out.push(Step::ConfirmDeletion(host)),
            Deleting::Confirmed(_) => out.push(Step::Delete(host)),
        }
        if serving.rotating {
            out.push(Step::Rotate(host));
        } else if world.rotations < limits.rotations && serving.groups > 1 {
            out.push(Step::ConfirmRotation(host));
        }
    }

    /// Whether a snapshot at `lsn` is of this reign's saves.
    fn end_of(&self, serving: &Serving, lsn: u8) -> bool {
        let before = serving.state.len() - serving.ends.len();
        usize::from(lsn) > before
    }
}

fn serving(world: &mut World, host: u8) -> &mut Serving {
    match &mut world.hosts[usize::from(host)] {
        At::Serving(serving) => serving,
        other => unreachable!("{other:?} does not serve"),
    }
}

impl Shared {
    /// Asks the register for a primary; what it does if it is deposed: it stops.
    fn ask(&self, world: &mut World, host: u8, then: impl FnOnce(&mut Serving)) {
        let epoch = serving(world, host).epoch;
        if self.reigns(&world.dir, epoch) {
            then(serving(world, host));
        } else {
            world.hosts[usize::from(host)] = At::Rest;
        }
    }

    fn reach(&self, world: &mut World, host: u8, step: Step) {
        let at = usize::from(host);
        let here = world.hosts[at].clone();
        world.hosts[at] = match (step, here) {
            (Step::Look(_), At::Rest) => {
                let early = self.variant == Variant::ReadBeforeClaim;
                let read = early.then(|| world.dir.recover(true)).flatten();
                At::Looked(world.dir.newest(), read)
            }
            (Step::Claim(_), At::Looked(newest, read)) => {
                let epoch = self.next_epoch(&world.dir, newest, host);
                // The link succeeds for one.
                if world.dir.newest() + 1 == epoch {
                    world.dir.claims.push(host);
                    read.map_or(At::Claimed(epoch), |read| At::Read(epoch, read))
                } else {
                    At::Rest
                }
            }
            (Step::Read(_), At::Claimed(epoch)) => {
                match world.dir.recover(self.variant != Variant::NoSeal) {
                    Some(mut found) => {
                        found.vouched = found.vouched.max(world.dir.published());
                        At::Read(epoch, found)
                    }
                    None => {
                        world.damaged = true;
                        At::Rest
                    }
                }
            }
            (Step::Mark(_), At::Read(epoch, found)) => {
                let early = self.variant == Variant::VouchEarly;
                let mark = if early { found.state.len() as u8 } else { found.vouched };
                world.dir.marks.insert(epoch, mark);
                At::Marked(epoch, found)
            }
            (Step::Seal(_), At::Marked(epoch, mut found)) => {
                let lsn = found.state.len() as u8;
                let first = found.end.0.0 == 0;
                let place = if first { ((0, 0), 0) } else { found.end };
                let watermark = match self.variant {
                    Variant::VouchEarly => lsn,
                    _ => found.vouched,
                };
                let group = Group {
                    seal: Some((place, lsn, found.chain)),
                    lsn,
                    value: 0,
                    watermark,
                    prev: found.chain,
                };
                if self.variant == Variant::NoSeal {
                    world.dir.segments.insert((epoch, 1), Vec::new());
                    found.end = ((epoch, 1), 0);
                } else {
                    found.chain = group.link(epoch);
                    found.end = ((epoch, 1), 1);
                    world.dir.segments.insert((epoch, 1), vec![group]);
                }
                At::Sealed(epoch, found)
            }
            (Step::ConfirmReign(_), At::Sealed(epoch, found)) => {
                let blind = [Variant::ServeUnconfirmed, Variant::HeartbeatAge];
                let fine = blind.contains(&self.variant) || self.reigns(&world.dir, epoch);
                if fine { At::Confirmed(epoch, found) } else { At::Rest }
            }
            (Step::Serve(_), At::Confirmed(epoch, found)) => {
                let lsn = found.state.len() as u8;
                world.dir.marks.insert(epoch, lsn);
                world.dir.marks.retain(|other, _| *other >= epoch);
                At::Serving(Box::new(Serving {
                    epoch,
                    segment: found.end.0,
                    groups: found.end.1,
                    chain: found.chain,
                    committed: lsn,
                    acknowledged: lsn,
                    state: found.state,
                    ends: Vec::new(),
                    checked: false,
                    base: found.base,
                    making: Making::No,
                    deleting: Deleting::No,
                    rotating: false,
                }))
            }
            (Step::Crash(_), _) => {
                world.crashes += 1;
                At::Rest
            }
            (step, here) => unreachable!("{step:?} at {here:?}"),
        };
    }

    fn save(&self, world: &mut World, host: u8) {
        world.saves += 1;
        let value = world.saves;
        let one = serving(world, host);
        let group = Group {
            seal: None,
            lsn: one.state.len() as u8 + 1,
            value,
            watermark: one.committed,
            prev: one.chain,
        };
        one.chain = group.link(one.epoch);
        one.groups += 1;
        one.state.push(value);
        one.ends.push(((one.segment, one.groups), one.chain));
        one.checked = false;
        let segment = one.segment;
        world.dir.segments.entry(segment).or_default().push(group);
    }

    fn confirm(&self, world: &mut World, host: u8) {
        let blind = [Variant::HeartbeatAge, Variant::CheckThenWrite, Variant::CachedLease];
        let commit = |one: &mut Serving| one.committed = one.state.len() as u8;
        if blind.contains(&self.variant) {
            commit(serving(world, host));
        } else {
            self.ask(world, host, commit);
        }
    }

    fn acknowledge(&self, world: &mut World, host: u8) {
        let one = serving(world, host);
        let (epoch, from, until) = (one.epoch, one.acknowledged, one.committed);
        one.acknowledged = until;
        let values = one.state.clone();
        for lsn in from..until {
            world.acknowledged.insert((lsn + 1, values[usize::from(lsn)], epoch));
        }
    }

    fn freeze(&self, world: &mut World, host: u8) {
        world.snaps += 1;
        let flushed = self.variant == Variant::PublishUnconfirmed;
        let one = serving(world, host);
        let lsn = if flushed { one.state.len() as u8 } else { one.committed };
        let before = one.state.len() - one.ends.len();
        let (resume, chain) = one.ends[usize::from(lsn) - before - 1];
        let state = one.state[..usize::from(lsn)].to_vec();
        one.making = Making::Frozen(Snap { epoch: one.epoch, lsn, chain, resume, state });
    }

    fn put_snap(&self, world: &mut World, host: u8) {
        let one = serving(world, host);
        if let Making::Confirmed(snap) = std::mem::replace(&mut one.making, Making::No) {
            one.base = Some(snap.clone());
            world.dir.snaps.insert(snap);
        }
    }

    fn rotate(&self, world: &mut World, host: u8) {
        world.rotations += 1;
        let one = serving(world, host);
        one.segment.1 += 1;
        (one.groups, one.rotating) = (0, false);
        let segment = one.segment;
        world.dir.segments.insert(segment, Vec::new());
    }

    fn list(&self, world: &mut World, host: u8) {
        let one = serving(world, host).clone();
        let gone = world.dir.superseded(one.segment, one.base.as_ref(), one.state.len() as u8);
        if !gone.is_empty() {
            serving(world, host).deleting = Deleting::Listed(gone);
        }
    }

    fn delete(&self, world: &mut World, host: u8) {
        let one = serving(world, host);
        let Deleting::Confirmed(files) = &mut one.deleting else { unreachable!("listed") };
        let file = files.remove(0);
        if files.is_empty() {
            one.deleting = Deleting::No;
        }
        world.dir.remove(&file);
    }

    fn follow(&self, world: &mut World, step: Step) {
        let follower = &mut world.follower;
        if step == Step::FollowerReadsMark {
            follower.published = Some(world.dir.published());
        } else {
            let Some(found) = world.dir.recover(true) else { return };
            // Groups vouch for those before them; a seal for nothing, but in one variant.
            let mut vouched = found.vouched;
            if self.variant == Variant::FollowSeals {
                vouched = vouched.max(self.sealed(&world.dir, &found));
            }
            follower.looked = Some((found.state, vouched));
        }
        if let (Some(published), Some((state, vouched))) =
            (follower.published, follower.looked.clone())
        {
            let until = state.len().min(published.max(vouched).into());
            if until > follower.handed.len() {
                follower.handed = state[..until].to_vec();
            }
            (follower.published, follower.looked) = (None, None);
        }
    }

    fn sealed(&self, dir: &Dir, found: &Recovered) -> u8 {
        let groups = dir.segments.get(&(found.end.0.0, 1));
        let start = groups.and_then(|groups| groups.first());
        start.and_then(|group| group.seal.as_ref()).map_or(0, |(_, lsn, _)| *lsn)
    }
}

impl Model for Shared {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let (mut dir, mut acknowledged) = (Dir::default(), BTreeSet::new());
        if self.limits.begun {
            let (resume, state) = (((1, 2), 0), vec![OLD]);
            dir.claims.push(0);
            dir.segments.insert((1, 2), Vec::new());
            dir.snaps.insert(Snap { epoch: 1, lsn: 1, chain: 7, resume, state });
            dir.marks.insert(1, 1);
            acknowledged.insert((1, OLD, 1));
        }
        vec![World {
            dir,
            hosts: vec![At::Rest; usize::from(self.limits.hosts)],
            follower: Follower::default(),
            acknowledged,
            saves: 0,
            snaps: 0,
            rotations: 0,
            crashes: 0,
            damaged: false,
        }]
    }

    fn actions(&self, world: &World, out: &mut Vec<Step>) {
        for (host, at) in (0..).zip(&world.hosts) {
            match at {
                At::Rest if world.dir.newest() < self.limits.claims => out.push(Step::Look(host)),
                At::Rest => {}
                At::Looked(..) => out.push(Step::Claim(host)),
                At::Claimed(_) => out.push(Step::Read(host)),
                At::Read(..) => out.push(Step::Mark(host)),
                At::Marked(..) => out.push(Step::Seal(host)),
                At::Sealed(..) => out.push(Step::ConfirmReign(host)),
                At::Confirmed(..) => out.push(Step::Serve(host)),
                At::Serving(one) => self.serving_actions(host, world, one, out),
            }
            if *at != At::Rest && world.crashes < self.limits.crashes {
                out.push(Step::Crash(host));
            }
        }
        if self.limits.follower {
            let follower = &world.follower;
            match self.variant {
                Variant::FollowLooksFirst if follower.looked.is_none() => {
                    out.push(Step::FollowerLooks);
                }
                Variant::FollowLooksFirst => out.push(Step::FollowerReadsMark),
                _ if follower.published.is_none() => out.push(Step::FollowerReadsMark),
                _ => out.push(Step::FollowerLooks),
            }
        }
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Check(host) => self.ask(&mut world, host, |one| one.checked = true),
            Step::Save(host) => self.save(&mut world, host),
            Step::Confirm(host) => self.confirm(&mut world, host),
            Step::Acknowledge(host) => self.acknowledge(&mut world, host),
            Step::Publish(host) => {
                let (epoch, mark) =
                    (serving(&mut world, host).epoch, serving(&mut world, host).committed);
                world.dir.marks.insert(epoch, mark);
            }
            Step::Freeze(host) => self.freeze(&mut world, host),
            Step::ConfirmSnap(host) => {
                let confirm = |one: &mut Serving| {
                    if let Making::Frozen(snap) = one.making.clone() {
                        one.making = Making::Confirmed(snap);
                    }
                };
                match self.variant {
                    Variant::PublishUnconfirmed => confirm(serving(&mut world, host)),
                    _ => self.ask(&mut world, host, confirm),
                }
            }
            Step::PutSnap(host) => self.put_snap(&mut world, host),
            Step::ConfirmRotation(host) => self.ask(&mut world, host, |one| one.rotating = true),
            Step::Rotate(host) => self.rotate(&mut world, host),
            Step::List(host) => self.list(&mut world, host),
            Step::ConfirmDeletion(host) => {
                let confirm = |one: &mut Serving| {
                    if let Deleting::Listed(files) = one.deleting.clone() {
                        one.deleting = Deleting::Confirmed(files);
                    }
                };
                match self.variant {
                    Variant::DeleteUnconfirmed => confirm(serving(&mut world, host)),
                    _ => self.ask(&mut world, host, confirm),
                }
            }
            Step::Delete(host) => self.delete(&mut world, host),
            Step::FollowerReadsMark | Step::FollowerLooks => self.follow(&mut world, step),
            Step::Look(host)
            | Step::Claim(host)
            | Step::Read(host)
            | Step::Mark(host)
            | Step::Seal(host)
            | Step::ConfirmReign(host)
            | Step::Serve(host)
            | Step::Crash(host) => self.reach(&mut world, host, step),
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Shared>> {
        vec![
            Property::always(
                "S1 nobody serves an epoch beside another",
                |_: &Shared, world: &World| {
                    let mut epochs: Vec<u8> = primaries(world).map(|one| one.epoch).collect();
                    let all = epochs.len();
                    epochs.sort_unstable();
                    epochs.dedup();
                    epochs.len() == all
                },
            ),
            Property::always(
                "S2 no acknowledged save is missing from a later primary",
                |_: &Shared, world: &World| {
                    primaries(world).all(|one| {
                        world.acknowledged.iter().all(|(lsn, value, epoch)| {
                            one.epoch <= *epoch
                                || one.state.get(usize::from(*lsn) - 1) == Some(value)
                        })
                    })
                },
            ),
            Property::always(
                "S4 never two acknowledged saves at one LSN",
                |_: &Shared, world: &World| {
                    let lsns: BTreeSet<u8> =
                        world.acknowledged.iter().map(|(lsn, ..)| *lsn).collect();
                    let saves: BTreeSet<(u8, u8)> =
                        world.acknowledged.iter().map(|(lsn, value, _)| (*lsn, *value)).collect();
                    lsns.len() == saves.len()
                },
            ),
            Property::always(
                "I10 the follower hands out a prefix of the history",
                |_: &Shared, world: &World| {
                    let handed = &world.follower.handed;
                    let newest = world.dir.newest();
                    primaries(world)
                        .filter(|one| one.epoch == newest)
                        .all(|one| one.state.starts_with(handed))
                },
            ),
            Property::always("nobody who claims finds damage", |_: &Shared, world: &World| {
                !world.damaged
            }),
            Property::sometimes(
                "a save is acknowledged in a third epoch",
                |_: &Shared, world: &World| {
                    world.acknowledged.iter().any(|(_, _, epoch)| *epoch == 3)
                },
            ),
        ]
    }
}

fn primaries(world: &World) -> impl Iterator<Item = &Serving> {
    world.hosts.iter().filter_map(|at| match at {
        At::Serving(one) => Some(&**one),
        _ => None,
    })
}

/// Walks through everything that may happen, or until something is wrong: how many states, and
/// what is wrong.
pub fn check(variant: Variant, limits: Limits) -> (usize, Vec<String>) {
    let model = Shared { variant, limits };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = model.checker().threads(threads);
    let checker = match variant {
        Variant::Good | Variant::DeleteUnconfirmed => checker,
        // It is a test of the checker: one thing that is wrong will do.
        _ => checker.finish_when(HasDiscoveries::AnyFailures),
    };
    let checker = checker.spawn_bfs().join();
    let wrong = checker.discoveries();
    let mut wrong: Vec<String> = wrong
        .into_iter()
        .filter(|(name, _)| !name.starts_with("a save is"))
        .map(|(name, path)| format!("{name}: {:?}", path.into_actions()))
        .collect();
    wrong.sort();
    (checker.unique_state_count(), wrong)
}
