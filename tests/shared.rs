//! A directory that several hosts may write: the register lets one reign at a time, whoever is
//! deposed acknowledges nothing more, and nothing acknowledged is missing from a later reign.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::{batch, changes, dump};
use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Local, Lsn, SegmentId};
use statedir::disk::fake::{Call, FakeDisk, Fault, FaultPlan};
use statedir::disk::{Access, Disk};
use statedir::format::{FileName, Reason};
use statedir::role::{Check, ClaimError, Heart, Register, RegisterError};
use statedir::store::{News, OpenError, Poison, Promoted, Refusal, SaveError, Saved, Standby};
use statedir::store::{orphaned_on, orphans_on, share_on};
use statedir::{Batch, Options, Reader, Store};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Two hosts' doors to one directory, the first one's made shared by it.
fn pair(check: Check) -> (FakeDisk, Register, Register) {
    let disk = fake_disk(4096);
    Store::create_on(&disk).unwrap();
    let door = |host| {
        let door = Register::new(shared(&disk), host, &format!("{host}:6817")).unwrap();
        door.checking(check)
    };
    let (a, b) = (door("a"), door("b"));
    share(&disk, &a);
    (disk, a, b)
}

fn share(disk: &FakeDisk, door: &Register) {
    let mut make = |cluster, epoch| match door.make(cluster, epoch) {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    };
    share_on(disk, &mut make).unwrap();
}

fn open(disk: &FakeDisk, door: &Register) -> (Store, Heart) {
    let reigning = door.claim(Reason::Start).unwrap();
    let heart = Heart::start(&reigning).unwrap();
    let store = Store::open_on(shared(disk), tiny(disk), Arc::new(reigning)).unwrap();
    (store, heart)
}

fn save(store: &Store, number: u64) -> Result<Lsn, SaveError> {
    store.save(batch(&changes(number, 100)))
}

fn is_fenced(error: &SaveError) -> bool {
    let (SaveError::Unknown(poison) | SaveError::Refused(Refusal::Stopped(poison))) = error else {
        return false;
    };
    matches!(poison, Poison::Fenced(_))
}

#[test]
fn who_is_deposed_acknowledges_nothing_and_says_by_whom_and_nothing_acknowledged_is_missing() {
    for check in [Check::Name, Check::Mark] {
        let (disk, a, b) = pair(check);
        let (first, mut heart) = open(&disk, &a);
        for number in 1..=5 {
            assert_eq!(save(&first, number).unwrap(), Lsn(number));
        }
        b.join().unwrap();
        assert_eq!(heart.beat(7, false).unwrap().len(), 1, "b is admitted");
        let (second, _) = open(&disk, &b);
        assert_eq!((second.epoch(), second.view().lsn()), (Epoch(2), Lsn(5)));
        let refused = save(&first, 6).unwrap_err();
        let says = "deposed by epoch 2 of b (own epoch 1)";
        assert!(refused.to_string().contains(says), "{refused}");
        assert!(is_fenced(&refused), "{refused:?}");
        let stopped = save(&first, 7).unwrap_err();
        assert!(is_fenced(&stopped), "{stopped:?}");
        assert_eq!(save(&second, 8).unwrap(), Lsn(6));
        assert!(first.checkpoint().is_err() || first.view().lsn() == Lsn(5));
        drop(first);
        drop(second);
        let (third, _) = open(&disk, &a);
        assert_eq!((third.epoch(), third.view().lsn()), (Epoch(3), Lsn(6)));
        let mut expected = common::model::Model::new();
        (1..=5).chain([8]).for_each(|number| expected.push(&changes(number, 100)));
        assert!(dump(&third.view()).unwrap() == *expected.after(6));
    }
}

#[test]
fn backup_becomes_the_active_controller_exactly_one_of_two_that_claim() {
    let (disk, a, b) = pair(Check::Name);
    let (_, mut heart) = open(&disk, &a);
    b.join().unwrap();
    heart.beat(0, false).unwrap();
    let (seen_by_a, seen_by_b) = (a.look().unwrap(), b.look().unwrap());
    let won = a.claim_after(&seen_by_a, Reason::Dead).unwrap();
    let lost = b.claim_after(&seen_by_b, Reason::Dead);
    assert!(
        matches!(&lost, Err(ClaimError::Lost { epoch: Epoch(2), host }) if host == "a"),
        "{lost:?}"
    );
    assert!(won.still().is_ok());
    // One that slept through more reigns finds its epoch taken, too.
    drop(open(&disk, &b));
    drop(open(&disk, &a));
    assert!(matches!(
        b.claim_after(&seen_by_b, Reason::Dead),
        Err(ClaimError::Lost { epoch: Epoch(2), .. })
    ));
    assert!(won.still().is_err());
}

/// Two directories that are not shared, under two SlurmctldHost lines.
#[test]
fn state_save_location_must_be_accessible_to_both_hosts_who_was_not_seen_to_see_it_does_not_reign()
{
    let (disk, a, b) = pair(Check::Name);
    assert!(matches!(b.claim(Reason::Start), Err(ClaimError::Denied(_))));
    let (_, mut heart) = open(&disk, &a);
    assert!(matches!(b.claim(Reason::Start), Err(ClaimError::Denied(_))), "joined, not admitted");
    assert_eq!(heart.beat(0, false).unwrap().len(), 0, "its echo is of an older reign");
    b.join().unwrap();
    assert_eq!(heart.beat(0, false).unwrap().len(), 1);
    assert!(b.claim(Reason::Start).is_ok());
    // A copy of the directory is another one: nobody was seen to see that.
    let copy = FakeDisk::from_image(&disk.image().copy());
    let door = Register::new(shared(&copy), "a", "a:6817").unwrap();
    assert!(matches!(door.claim(Reason::Start), Err(ClaimError::Denied(_))));
}

#[test]
fn a_shared_directory_is_not_opened_as_a_local_one_nor_the_other_way_round() {
    let (disk, a, _) = pair(Check::Name);
    let local = Store::open_on(shared(&disk), tiny(&disk), Arc::new(Local));
    assert!(matches!(local, Err(OpenError::Shared)), "{local:?}");
    let reigning = a.claim(Reason::Start).unwrap();
    let other = fake_disk(4096);
    Store::create_on(&other).unwrap();
    let none = Register::new(shared(&other), "a", "").unwrap();
    assert!(matches!(
        none.claim(Reason::Start),
        Err(ClaimError::Register(RegisterError::NotShared))
    ));
    let wrong = Store::open_on(shared(&other), tiny(&other), Arc::new(reigning));
    assert!(matches!(wrong, Err(OpenError::NotShared)), "{wrong:?}");
}

#[test]
fn a_reader_shows_nothing_that_no_reign_has_confirmed() {
    let (disk, a, b) = pair(Check::Name);
    let (first, mut heart) = open(&disk, &a);
    save(&first, 1).unwrap();
    b.join().unwrap();
    heart.beat(0, false).unwrap();
    let claimed = b.claim(Reason::Silent).unwrap();
    // Flushed, and never acknowledged: it may be found by b, or not.
    assert!(save(&first, 2).is_err());
    let reader = Reader::open_on(shared(&disk)).unwrap();
    assert!(reader.view().lsn() <= Lsn(1), "{}", reader.view().lsn());
    let second = Store::open_on(shared(&disk), tiny(&disk), Arc::new(claimed)).unwrap();
    assert_eq!(second.view().lsn(), Lsn(2), "whole, and now confirmed");
    assert_eq!(Reader::open_on(shared(&disk)).unwrap().view().lsn(), Lsn(2));
}

/// A pair of which `b` is admitted, and the first reign, `a`'s.
fn reigning_pair() -> (FakeDisk, Register, Register, Store) {
    let (disk, a, b) = pair(Check::Name);
    let (store, mut heart) = open(&disk, &a);
    b.join().unwrap();
    heart.beat(0, false).unwrap();
    (disk, a, b, store)
}

fn lsns(saves: &[Saved]) -> Vec<u64> {
    saves.iter().map(|saved| saved.lsn.0).collect()
}

/// Everything that comes until nothing does; whether the view was loaded anew.
fn hear(standby: &mut Standby) -> (Vec<u64>, bool) {
    let (mut heard, mut again) = (Vec::new(), false);
    while let Some(news) = standby.poll().unwrap() {
        match news {
            News::Saves(saves) => heard.extend(lsns(&saves)),
            News::Again => again = true,
        }
    }
    (heard, again)
}

fn promote(disk: &FakeDisk, standby: &Standby, door: &Register) -> Promoted {
    let reigning = Arc::new(door.claim(Reason::Dead).unwrap());
    standby.promote(tiny(disk), reigning).unwrap()
}

#[test]
fn backup_reads_the_latest_state_checkpoint_through_rotation_snapshots_and_deletion() {
    let (disk, _a, b, store) = reigning_pair();
    let mut standby = Standby::open_on(shared(&disk)).unwrap();
    let mut heard = Vec::new();
    let mut model = common::model::Model::new();
    for number in 1..=60 {
        model.push(&changes(number, 900));
        store.save(batch(&changes(number, 900))).unwrap();
        if number % 7 == 0 {
            store.maintain().unwrap();
        }
        let (more, again) = hear(&mut standby);
        assert!(!again, "it keeps up");
        heard.extend(more);
        if number % 20 == 0 {
            store.checkpoint().unwrap();
        }
    }
    assert!(heard.iter().copied().eq(1..=heard.len() as u64), "in order, none twice: {heard:?}");
    assert!(heard.len() >= 56, "up to the last watermark: {}", heard.len());
    assert!(dump(&standby.view()).unwrap() == *model.after(heard.len() as u64));
    // The primary dies. What is above the watermark was acknowledged, and comes with the promotion.
    std::mem::forget(store);
    let Promoted { store, missed } = promote(&disk, &standby, &b);
    heard.extend(lsns(&missed));
    assert!(heard.iter().copied().eq(1..=60), "{heard:?}");
    assert!(dump(&store.view()).unwrap() == *model.newest());
    assert_eq!(save(&store, 61).unwrap(), Lsn(61));
    store.checkpoint().unwrap();
    store.close().unwrap();
    let reader = Reader::open_on(shared(&disk)).unwrap();
    model.push(&changes(61, 100));
    assert!(dump(reader.view()).unwrap() == *model.newest());
}

#[test]
fn a_follower_drops_what_a_deposed_primary_wrote_behind_the_seal() {
    let (disk, a, b, first) = reigning_pair();
    for number in 1..=3 {
        save(&first, number).unwrap();
    }
    first.maintain().unwrap();
    let mut standby = Standby::open_on(shared(&disk)).unwrap();
    let mut follower = Reader::open_on(shared(&disk)).unwrap().follow(Lsn(1)).unwrap();
    let mut follow = move || {
        let next = follower.next(Duration::ZERO).unwrap();
        next.map(|saved| (saved.lsn.0, saved.epoch.0))
    };
    assert_eq!(standby.lsn(), Lsn(3));
    for lsn in 1..=3 {
        assert_eq!(follow(), Some((lsn, 1)));
    }
    // Deposed while it flushes: nobody may see save 4 of epoch 1.
    let reigning = b.claim(Reason::Silent).unwrap();
    let second = Store::open_on(shared(&disk), tiny(&disk), Arc::new(reigning)).unwrap();
    assert!(save(&first, 4).is_err());
    assert_eq!((hear(&mut standby), follow()), ((vec![], false), None));
    assert_eq!(save(&second, 5).unwrap(), Lsn(4));
    assert_eq!(save(&second, 6).unwrap(), Lsn(5));
    second.maintain().unwrap();
    assert_eq!(hear(&mut standby), (vec![4, 5], false));
    assert_eq!((follow(), follow(), follow()), (Some((4, 2)), Some((5, 2)), None));
    assert!(dump(&standby.view()).unwrap() == dump(&second.view()).unwrap());
    // It is kept, and counted, and is no damage.
    let orphans = orphans_on(&disk).unwrap();
    let facts: Vec<_> = orphans.iter().map(|o| (o.epoch.0, o.first_lsn.0, o.saves)).collect();
    assert_eq!(facts, [(1, 4, 1)]);
    let kept = orphaned_on(&disk, &orphans[0]).unwrap();
    assert_eq!(lsns(&kept), [4]);
    let ops: Vec<_> = kept[0].ops().map(|op| format!("{:?}", op.unwrap())).collect();
    let asked = batch(&changes(4, 100));
    let asked: Vec<_> = asked.ops().map(|op| format!("{:?}", op.unwrap())).collect();
    assert_eq!(ops, asked);
    // And a third reign.
    let third = promote(&disk, &standby, &a).store;
    assert!(save(&second, 7).is_err());
    assert_eq!(save(&third, 8).unwrap(), Lsn(6));
    third.maintain().unwrap();
    assert_eq!(follow(), Some((6, 3)));
}

/// With as much log as makes it look for a newer snapshot, and none there, it does not read the old
/// one again at each look: the whole state, thousands of times.
#[test]
fn a_standby_far_behind_the_snapshot_reads_no_snapshot_at_each_look_and_the_next_one_once() {
    let (disk, a, _b, store) = reigning_pair();
    drop(store);
    let reigning = Arc::new(a.claim(Reason::Start).unwrap());
    let size = 64 << 20;
    let options = Options { segment_min: size, segment_max: size, ..tiny(&disk) };
    let options = Options { snapshot_min_bytes: u64::MAX, ..options };
    let store = Store::open_on(shared(&disk), options, reigning).unwrap();
    let big = |number: u8| {
        let mut batch = Batch::new();
        batch.put("jobs", &[number % 4], &vec![number; 1 << 20]).unwrap();
        store.save(batch).unwrap();
    };
    (0..4).for_each(big);
    store.checkpoint().unwrap();
    (4..8).for_each(big);
    store.maintain().unwrap();
    let mut standby = Standby::open_on(shared(&disk)).unwrap();
    let idle = |standby: &mut Standby| {
        let before = disk.calls(Some(Call::Read));
        assert!(standby.poll().unwrap().is_none());
        disk.calls(Some(Call::Read)) - before
    };
    let few = idle(&mut standby);
    (8..80).for_each(big);
    store.maintain().unwrap();
    hear(&mut standby);
    assert_eq!(standby.lsn(), store.view().lsn());
    assert_eq!(idle(&mut standby), few, "72 MiB over the snapshot");
    store.checkpoint().unwrap();
    let with_the_next = idle(&mut standby);
    assert!(with_the_next > few, "the next one is the base");
    assert_eq!(idle(&mut standby), few);
    assert_eq!(dump(&standby.view()).unwrap(), dump(&store.view()).unwrap());
}

#[test]
fn a_standby_that_was_frozen_begins_again_from_the_newest_snapshot() {
    let (disk, _a, b, store) = reigning_pair();
    save(&store, 1).unwrap();
    store.maintain().unwrap();
    let mut standby = Standby::open_on(shared(&disk)).unwrap();
    drop(store);
    let door = Register::new(shared(&disk), "a", "a:6817").unwrap();
    let reigning = Arc::new(door.claim(Reason::Start).unwrap());
    let options = tiny(&disk).without_history();
    let store = Store::open_on(shared(&disk), options, reigning).unwrap();
    for number in 2..=40 {
        save(&store, number).unwrap();
        if number % 10 == 0 {
            store.checkpoint().unwrap();
        }
    }
    store.maintain().unwrap();
    let (heard, again) = hear(&mut standby);
    assert!(again && heard.is_empty(), "{heard:?}");
    assert!(dump(&standby.view()).unwrap() == dump(&store.view()).unwrap());
    save(&store, 41).unwrap();
    let Promoted { store, missed } = promote(&disk, &standby, &b);
    assert_eq!((lsns(&missed), store.view().lsn()), (vec![41], Lsn(41)));
}

#[test]
fn a_standby_begins_again_where_what_it_reads_is_gone_or_stale_and_says_any_other_error() {
    let (disk, _a, _b, store) = reigning_pair();
    let mut standby = Standby::open_on(shared(&disk)).unwrap();
    let mut number = 0;
    for fault in [Fault::Gone, Fault::Stale, Fault::Io] {
        let mut again = 0;
        // At every call of a look in turn.
        for nth in 1.. {
            number += 1;
            save(&store, number).unwrap();
            store.maintain().unwrap();
            let (before, at) = (disk.calls(None), standby.lsn());
            disk.fail(FaultPlan::nth(nth, fault));
            let news = standby.poll();
            let reached = disk.calls(None) - before >= nth;
            disk.heal();
            match news {
                Ok(news) => again += usize::from(matches!(news, Some(News::Again))),
                Err(error) => {
                    assert_eq!((fault, standby.lsn()), (Fault::Io, at), "{nth}: {error}");
                    again += 1;
                }
            }
            hear(&mut standby);
            let lsn = standby.lsn();
            assert_eq!(lsn, Lsn(number), "call {nth}, {fault:?}: it gets on");
            assert!(dump(&standby.view()).unwrap() == dump(&store.view()).unwrap());
            if !reached {
                break;
            }
        }
        assert!(again > 0, "{fault:?}");
    }
}

#[test]
fn a_seal_that_nobody_has_confirmed_vouches_for_nothing() {
    let (disk, a, b, first) = reigning_pair();
    save(&first, 1).unwrap();
    first.maintain().unwrap();
    let mut standby = Standby::open_on(shared(&disk)).unwrap();
    // Flushed by a, confirmed by nobody; then b claims, seals it, and is deposed before it asks.
    let reigning = Arc::new(b.claim(Reason::Silent).unwrap());
    assert!(save(&first, 2).is_err());
    let later = a.claim(Reason::Start).unwrap();
    let refused = Store::open_on(shared(&disk), tiny(&disk), reigning);
    assert!(matches!(refused, Err(OpenError::Fenced(_))), "{refused:?}");
    assert_eq!(hear(&mut standby), (vec![], false));
    assert_eq!(Reader::open_on(shared(&disk)).unwrap().view().lsn(), Lsn(1));
    let third = Store::open_on(shared(&disk), tiny(&disk), Arc::new(later)).unwrap();
    assert_eq!(hear(&mut standby).0.len(), third.view().lsn().0 as usize - 1);
}

/// A disk that was full as the reign began: the heartbeat's file was there, and each later try was
/// refused because it was. The reign had no heartbeat, and admitted nobody, until its end.
#[test]
fn a_heart_that_did_not_start_at_once_starts_as_soon_as_the_disk_takes_it() {
    let (disk, a, b) = pair(Check::Name);
    let reigning = a.claim(Reason::Start).unwrap();
    disk.fail(FaultPlan::nth_of(Call::Write, 1, Fault::Full));
    assert!(Heart::start(&reigning).is_err());
    let mut heart = Heart::start(&reigning).unwrap();
    b.join().unwrap();
    assert_eq!(heart.beat(7, false).unwrap().len(), 1, "b is admitted");
    let seen = b.look().unwrap().beat.unwrap();
    assert_eq!((seen.epoch, seen.ordinal, seen.agents), (Epoch(1), 1, 7));
}

/// The log behind the newest snapshot was gone, and an epoch had begun that was never sealed: each
/// new beginning led to another one, until the stack was full.
#[test]
fn a_standby_that_finds_no_log_behind_the_snapshot_says_so() {
    let (disk, a, _) = pair(Check::Name);
    let (store, _) = open(&disk, &a);
    for number in 1..=5 {
        save(&store, number).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let names = disk.list().unwrap().into_iter().map(|entry| entry.name);
    for name in names.filter(|name| matches!(FileName::parse(name), Some(FileName::Segment(_)))) {
        disk.remove(&name).unwrap();
    }
    let unsealed = FileName::Segment(SegmentId { epoch: Epoch(2), ordinal: 99 });
    disk.open(&unsealed.to_string(), Access::Create).unwrap();
    let refused = Standby::open_on(shared(&disk)).map(drop).unwrap_err();
    assert!(refused.to_string().contains("too far behind"), "{refused}");
}
