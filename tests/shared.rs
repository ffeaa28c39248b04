//! A directory that several hosts may write: the register lets one reign at a time, whoever is
//! deposed acknowledges nothing more, and nothing acknowledged is missing from a later reign.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::{batch, changes, dump};
use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Local, Lsn};
use statedir::disk::fake::FakeDisk;
use statedir::format::Reason;
use statedir::role::{Check, ClaimError, Heart, Register, RegisterError};
use statedir::store::{OpenError, Poison, Refusal, SaveError, share_on};
use statedir::{Reader, Store};
use std::io;
use std::sync::Arc;

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
        assert_eq!(dump(&third.view()).unwrap(), *expected.after(6));
    }
}

#[test]
fn of_two_that_claim_after_the_same_reign_exactly_one_wins() {
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
fn a_host_that_no_primary_has_seen_to_see_this_directory_does_not_reign() {
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
