//! A replica: a directory that takes its groups from another primary. It equals the primary at
//! every LSN, takes nothing that does not extend its history, and holds what it took through
//! crashes.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;
#[path = "replica/primary.rs"]
mod primary;

use common::frail::Frail;
use common::model::{Model, batch, changes, dump};
use common::{fake_disk, shared, tiny};
use primary::{Offer, Primary, continued, primary};
use statedir::base::{Chain, Id, Local, Lsn, SegmentId};
use statedir::disk::fake::{Call, Crashes, FakeDisk, Fault, FaultPlan};
use statedir::format::group::{HEADER_LEN, SEAL_LEN};
use statedir::format::{FileName, Group, GroupHeader, Kind, Seal, SegmentHeader};
use statedir::store::replica::{Replica, ReplicaError};
use statedir::store::{At, Level, OpenError, verify_on};
use statedir::{Reader, Store};
use std::sync::Arc;

fn replica_disk(primary: &Primary) -> FakeDisk {
    let disk = fake_disk(512);
    Replica::create_on(&disk, primary.cluster, primary.incarnation).unwrap();
    disk.mark(0);
    disk
}

fn open(disk: &FakeDisk) -> Replica {
    Replica::open_on(shared(disk)).unwrap()
}

fn append(replica: &mut Replica, offer: &Offer) -> Result<Lsn, ReplicaError> {
    replica.append(&offer.segment, offer.offset, &offer.bytes)
}

/// A replica that has taken the first `count` groups.
fn fed(primary: &Primary, count: usize) -> (FakeDisk, Replica) {
    let disk = replica_disk(primary);
    let mut replica = open(&disk);
    for offer in &primary.offers[..count] {
        append(&mut replica, offer).unwrap();
    }
    (disk, replica)
}

fn state_is(disk: &FakeDisk, model: &Model, lsn: u64) {
    let reader = Reader::open_on(shared(disk)).unwrap();
    assert_eq!(reader.view().lsn().0, lsn);
    assert_eq!(dump(reader.view()).unwrap(), *model.after(lsn));
}

#[test]
fn a_replica_equals_its_primary_at_every_lsn() {
    let primary = primary(4);
    // Opened anew after every group, after every third, never.
    for every in [1, 3, usize::MAX] {
        let disk = replica_disk(&primary);
        let mut replica = open(&disk);
        for (number, offer) in primary.offers.iter().enumerate() {
            assert_eq!(append(&mut replica, offer).unwrap(), offer.last);
            let at = replica.position();
            assert_eq!((at.segment, at.offset), (offer.id, offer.end));
            assert_eq!((at.lsn, at.chain), (offer.last, offer.link));
            if number % 4 == 3 {
                replica.publish().unwrap();
                state_is(&disk, &primary.model, offer.last.0);
            }
            if number % every == every - 1 {
                drop(replica);
                state_is(&disk, &primary.model, offer.last.0);
                replica = open(&disk);
                assert_eq!(replica.position(), at);
                assert_eq!(dump(replica.view()).unwrap(), *primary.model.after(offer.last.0));
            }
        }
        drop(replica);
        let reader = Reader::open_on(shared(&disk)).unwrap();
        for lsn in 0..=primary.model.saves() {
            let view = reader.at(At::Lsn(Lsn(lsn))).unwrap();
            assert_eq!(dump(&view).unwrap(), *primary.model.after(lsn));
        }
        same_bytes(&primary, &disk);
        let verified = verify_on(shared(&disk), Level::Full).unwrap();
        assert!(verified.findings.is_empty(), "{:?}", verified.findings);
    }
}

/// Segments are the primary's own: name, first block and groups.
fn same_bytes(primary: &Primary, disk: &FakeDisk) {
    let (theirs, ours) = (&primary.image, disk.image());
    for offer in &primary.offers {
        let name = FileName::Segment(offer.id).to_string();
        let end = usize::try_from(offer.end).unwrap();
        assert!(theirs.read(&name)[..end] == ours.read(&name)[..end], "{name} differs");
    }
}

#[test]
fn a_replica_becomes_a_primary_and_its_old_one_cannot_feed_it_any_more() {
    let old = primary(2);
    let (disk, replica) = fed(&old, old.offers.len());
    let (cut, taken) = (old.model.saves(), replica.position());
    drop(replica);
    let store = Store::open_on(shared(&disk), tiny(&disk), Arc::new(Local)).unwrap();
    assert!(store.epoch() > taken.segment.epoch);
    assert_eq!(dump(&store.view()).unwrap(), *old.model.after(cut));
    let changes = changes(cut + 1, 100);
    assert_eq!(store.save(batch(&changes)).unwrap(), Lsn(cut + 1));
    store.close().unwrap();
    // The old primary goes on, not knowing; in its own epoch, and in one that it takes.
    let late = continued(&old, 1, 7);
    let mut replica = open(&disk);
    for offer in late.offers.iter().skip(old.offers.len()) {
        let refused = append(&mut replica, offer);
        let known = matches!(refused, Err(ReplicaError::OldEpoch { .. } | ReplicaError::Gap(_)));
        assert!(known, "{refused:?}");
    }
    drop(replica);
    let mut model = old.model.clone();
    model.push(&changes);
    state_is(&disk, &model, cut + 1);
}

/// Offers that are refused leave the disk as it was, and the right one is taken afterwards.
fn refused(disk: &FakeDisk, replica: &mut Replica, offer: &Offer) -> ReplicaError {
    let (digest, at) = (disk.image().digest(), replica.position());
    let error = append(replica, offer).expect_err("it does not extend the history");
    assert_eq!(disk.image().digest(), digest, "{error}: something was written");
    assert_eq!(replica.position(), at);
    error
}

#[test]
fn whatever_does_not_come_next_is_refused_and_nothing_is_written() {
    let primary = primary(3);
    let disk = replica_disk(&primary);
    let mut replica = open(&disk);
    let mut old_epochs = 0;
    for (next, right) in primary.offers.iter().enumerate() {
        let seen = replica.position().segment.epoch;
        for (number, offer) in primary.offers.iter().enumerate() {
            if number == next {
                continue;
            }
            match refused(&disk, &mut replica, offer) {
                ReplicaError::OldEpoch { offered, seen: epoch } => {
                    assert!(offered == offer.id.epoch && offered < seen && epoch == seen);
                    old_epochs += 1;
                }
                ReplicaError::Gap(lsn) => {
                    assert!(offer.id.epoch >= seen);
                    assert_eq!(lsn, replica.position().lsn);
                }
                error => panic!("{error}"),
            }
        }
        append(&mut replica, right).unwrap();
    }
    assert!(old_epochs > 10);
    drop(replica);
    state_is(&disk, &primary.model, primary.model.saves());
}

#[test]
fn damaged_moved_and_foreign_groups_are_refused() {
    let primary = primary(2);
    let foreign = primary::primary(2);
    let disk = replica_disk(&primary);
    let mut replica = open(&disk);
    for (number, offer) in primary.offers.iter().enumerate() {
        let whole = offer.used;
        for bit in (number % 97..whole * 8).step_by(97) {
            let mut damaged = offer.clone();
            damaged.bytes[bit / 8] ^= 1 << (bit % 8);
            let error = refused(&disk, &mut replica, &damaged);
            assert!(matches!(error, ReplicaError::Format(_)), "bit {bit}: {error}");
        }
        for bit in (0..SegmentHeader::decode(&offer.segment).map_or(0, |_| 100 * 8)).step_by(7) {
            let mut damaged = offer.clone();
            damaged.segment[bit / 8] ^= 1 << (bit % 8);
            let error = refused(&disk, &mut replica, &damaged);
            assert!(matches!(error, ReplicaError::Format(_)), "bit {bit} of the header: {error}");
        }
        for len in (0..whole).step_by(31) {
            let mut short = offer.clone();
            short.bytes.truncate(len);
            let error = refused(&disk, &mut replica, &short);
            assert!(matches!(error, ReplicaError::Format(_)), "{len} bytes: {error}");
        }
        for offset in [0, offer.offset + 4096, offer.offset.wrapping_sub(4096), u64::MAX] {
            let moved = Offer { offset, ..offer.clone() };
            let error = refused(&disk, &mut replica, &moved);
            assert!(matches!(error, ReplicaError::Format(_)), "at {offset}: {error}");
        }
        for other in &foreign.offers {
            let error = refused(&disk, &mut replica, other);
            let named = matches!(error, ReplicaError::Foreign(id) if id == foreign.incarnation);
            assert!(named, "{error}");
        }
        append(&mut replica, offer).unwrap();
    }
}

/// Two histories that part: the same incarnation, epoch, segment, offset and LSN, another chain.
#[test]
fn a_group_of_a_history_that_parted_is_refused() {
    let trunk = primary(2);
    let (left, right) = (continued(&trunk, 2, 1), continued(&trunk, 2, 2));
    let common = trunk.offers.len();
    let twins = left.offers.iter().zip(&right.offers).skip(common);
    let same = twins.filter(|(l, r)| (l.id, l.offset, l.last) == (r.id, r.offset, r.last));
    assert!(same.count() > 4, "they stand at the same places");
    for count in common + 1..left.offers.len() {
        let (disk, mut replica) = fed(&left, count);
        for offer in &right.offers[common..] {
            let error = refused(&disk, &mut replica, offer);
            let known = matches!(error, ReplicaError::Gap(_) | ReplicaError::OldEpoch { .. });
            assert!(known, "{error}");
        }
        append(&mut replica, &left.offers[count]).unwrap();
    }
}

/// A replica that has groups which its primary lost: the next epoch's seal points before them. What
/// was taken is not cut here; the primary has to begin further back, or resync.
#[test]
fn a_seal_before_the_end_of_the_replica_is_refused() {
    let trunk = primary(1);
    let ahead = trunk.offers.len();
    for lost in 1..4 {
        let shorter = primary::cut(&trunk, ahead - lost);
        let next = continued(&shorter, 1, 3);
        assert!(next.offers.len() > ahead - lost);
        let (disk, mut replica) = fed(&trunk, ahead);
        for offer in &next.offers[ahead - lost..] {
            let error = refused(&disk, &mut replica, offer);
            assert!(matches!(error, ReplicaError::Gap(lsn) if lsn.0 == trunk.model.saves()));
        }
        drop(replica);
        state_is(&disk, &trunk.model, trunk.model.saves());
        // One that has not got so far takes it all.
        let (disk, mut replica) = fed(&trunk, ahead - lost);
        for offer in &next.offers[ahead - lost..] {
            append(&mut replica, offer).unwrap();
        }
        drop(replica);
        state_is(&disk, &next.model, next.model.saves());
    }
}

/// The start of an epoch that links to the end here, but whose seal speaks of another place.
#[test]
fn an_epoch_whose_seal_does_not_fit_is_refused() {
    let primary = primary(2);
    let start = primary.offers.iter().position(|offer| offer.id.epoch.0 > 1).unwrap();
    let right = &primary.offers[start];
    let seed = SegmentHeader::decode(&right.segment).unwrap().seed(right.offset);
    let group = Group::decode(seed, &right.bytes).unwrap();
    let seal = group.seal().expect("it starts an epoch");
    let crafted = |seal: Seal| {
        let mut offer = right.clone();
        offer.bytes[HEADER_LEN..HEADER_LEN + SEAL_LEN].copy_from_slice(&seal.encode());
        group.header.encode_into(seed, &mut offer.bytes);
        offer
    };
    let elsewhere = SegmentId { ordinal: seal.segment.ordinal + 1, ..seal.segment };
    let (disk, mut replica) = fed(&primary, start);
    for wrong in [
        Seal { offset: seal.offset - 4096, ..seal },
        Seal { offset: seal.offset + 4096, ..seal },
        Seal { segment: elsewhere, ..seal },
        Seal { segment: SegmentId::default(), ..seal },
        Seal { lsn: seal.lsn.next(), ..seal },
        Seal { lsn: Lsn(seal.lsn.0 - 1), ..seal },
        Seal { chain: Chain([7; 16]), ..seal },
    ] {
        let error = refused(&disk, &mut replica, &crafted(wrong));
        assert!(matches!(error, ReplicaError::Gap(_)), "{wrong:?}: {error}");
    }
    // Saves of an epoch that was never started.
    let save = GroupHeader { kind: Kind::Saves, saves: 1, ..group.header };
    let mut unstarted = right.clone();
    let payload = batch(&changes(1, 10)).encode();
    unstarted.bytes[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(&payload);
    let save = GroupHeader { payload_len: u32::try_from(payload.len()).unwrap(), ..save };
    save.encode_into(seed, &mut unstarted.bytes);
    let error = refused(&disk, &mut replica, &unstarted);
    assert!(matches!(error, ReplicaError::Gap(_)), "{error}");
    // The right one, put together in the same way, is taken.
    append(&mut replica, &crafted(seal)).unwrap();
}

#[test]
fn a_failed_flush_ends_the_replica_and_want_of_room_does_not() {
    let primary = primary(2);
    for nth in 1..=primary.offers.len() as u64 {
        let disk = replica_disk(&primary);
        let mut replica = open(&disk);
        // One flush for each group, and one for the first block of each segment: those are no
        // groups, and are not written this way.
        disk.fail(FaultPlan::nth_of(Call::WriteDurable, nth, Fault::Io));
        let mut taken = Lsn::ZERO;
        for offer in &primary.offers {
            match append(&mut replica, offer) {
                Ok(lsn) => taken = lsn,
                Err(ReplicaError::Poisoned(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let flushes = disk.calls(Some(Call::WriteDurable));
        let again = append(&mut replica, &primary.offers[nth as usize - 1]);
        assert!(matches!(again, Err(ReplicaError::Poisoned(_))), "{again:?}");
        assert_eq!(disk.calls(Some(Call::WriteDurable)), flushes, "it is not tried again");
        disk.heal();
        drop(replica);
        let end = disk.crash_points() - 1;
        for crash in Crashes::new(2, nth).within(&disk, end..end + 1) {
            catches_up(&FakeDisk::from_image(&crash.image), &primary, taken.0);
        }
    }
    for call in [Call::Allocate, Call::Open, Call::WriteAround, Call::Sync, Call::SyncNames] {
        let disk = replica_disk(&primary);
        let mut replica = open(&disk);
        disk.fail(FaultPlan::nth_of(call, 1, Fault::Full));
        let refused = append(&mut replica, &primary.offers[0]);
        assert!(matches!(refused, Err(ReplicaError::Room(_))), "{call:?}: {refused:?}");
        for offer in &primary.offers {
            append(&mut replica, offer).unwrap();
        }
        drop(replica);
        state_is(&disk, &primary.model, primary.model.saves());
    }
}

/// Opens what a crash has left, and feeds it the rest.
fn catches_up(disk: &FakeDisk, primary: &Primary, least: u64) {
    let mut replica = open(disk);
    let at = replica.position();
    assert!((least..=primary.model.saves()).contains(&at.lsn.0), "{} of {least}", at.lsn);
    assert_eq!(dump(replica.view()).unwrap(), *primary.model.after(at.lsn.0));
    let next = match at.chain {
        chain if chain == Chain::default() => 0,
        chain => primary.offers.iter().position(|o| o.link == chain).expect("a prefix") + 1,
    };
    for offer in &primary.offers[next..] {
        append(&mut replica, offer).unwrap();
    }
    drop(replica);
    state_is(disk, &primary.model, primary.model.saves());
    let verified = verify_on(shared(disk), Level::Full).unwrap();
    assert!(verified.findings.is_empty(), "{:?}", verified.findings);
}

/// Every crash of what `disk` has recorded from `moment` on; how many states there were.
fn every_crash(disk: &FakeDisk, primary: &Primary, moment: usize, name: &str) -> u64 {
    let mut states = 0;
    for crash in Crashes::new(4, 9).within(disk, moment..usize::MAX) {
        let disk = FakeDisk::from_image(&crash.image);
        let Some(least) = crash.acknowledged else {
            let opened = Replica::open_on(shared(&disk));
            let fine = matches!(opened, Ok(_) | Err(OpenError::NotAStore));
            assert!(fine, "{:?}: {:?}", crash.survivors, opened.err());
            continue;
        };
        states += 1;
        // Shown with a panic.
        println!("{name}, moment {}, {:?}", crash.point, crash.survivors);
        catches_up(&disk, primary, least);
    }
    states
}

/// Feeds the groups from `next` on until one is refused, opening anew and publishing now and then.
fn feed(disk: &FakeDisk, process: &Frail, primary: &Primary, mut next: usize) {
    let mut replica = None;
    while let Some(offer) = primary.offers.get(next) {
        let again = || Replica::open_on(Arc::new(process.clone())).ok();
        let Some(open) = replica.as_mut() else {
            replica = again();
            if replica.is_none() {
                return;
            }
            continue;
        };
        let Ok(lsn) = append(open, offer) else { return };
        disk.mark(lsn.0);
        if next % 5 == 2 && open.publish().is_err() {
            return;
        }
        if next % 7 == 5 {
            replica = None;
        }
        next += 1;
    }
}

#[test]
fn what_a_replica_took_survives_every_crash_and_it_catches_up() {
    let primary = primary(5);
    let mut states = 0;
    for unit in [512, 4096] {
        let disk = fake_disk(unit);
        Replica::create_on(&disk, primary.cluster, primary.incarnation).unwrap();
        disk.mark(0);
        feed(&disk, &Frail::new(shared(&disk), u64::MAX), &primary, 0);
        states += every_crash(&disk, &primary, 0, &format!("unit {unit}"));
    }
    println!("{states} states");
    assert!(states > 300, "{states} states are too few");
}

/// A process that is killed at each of its steps, another one that goes on, and a power cut at any
/// moment after that.
#[test]
fn a_replica_that_is_killed_at_any_step_loses_nothing_that_it_took() {
    let primary = primary(2);
    let mut states = 0;
    for step in 1.. {
        let disk = replica_disk(&primary);
        let process = Frail::new(shared(&disk), step);
        feed(&disk, &process, &primary, 0);
        let survived = !process.is_dead();
        process.kill();
        let moment = disk.crash_points() - 1;
        let replica = open(&disk);
        let at = replica.position();
        // What it shows is promised.
        disk.mark(at.lsn.0);
        drop(replica);
        let taken = primary.offers.iter().position(|offer| offer.link == at.chain);
        let next = taken.map_or(0, |taken| taken + 1);
        feed(&disk, &Frail::new(shared(&disk), u64::MAX), &primary, next);
        states += every_crash(&disk, &primary, moment, &format!("killed at {step}"));
        if survived {
            break;
        }
    }
    println!("{states} states");
    assert!(states > 1000, "{states} states are too few");
}

#[test]
fn a_replica_is_made_only_in_an_empty_directory() {
    let disk = fake_disk(512);
    let (cluster, incarnation) = (Id([1; 16]), Id([2; 16]));
    Replica::create_on(&disk, cluster, incarnation).unwrap();
    let again = Replica::create_on(&disk, cluster, incarnation);
    assert!(matches!(again, Err(OpenError::NotEmpty(_))), "{again:?}");
    let replica = open(&disk);
    assert!(matches!(Replica::open_on(shared(&disk)), Err(OpenError::Locked)));
    assert_eq!(replica.position().lsn, Lsn::ZERO);
}
