//! Deletions of superseded files that were cut short may leave any of these and take any other:
//! whichever are gone, whoever asks for the past is told what it was, or from where on it is known.
//!
//! Left behind may be, too, what nothing leads on from any more: torn tails of killed writers, and
//! saves of deposed ones that were never acknowledged, whose epoch's end only a later epoch's first
//! segment tells.
//!
//! `STATEDIR_GAPS` sets the number of choices for each store, `STATEDIR_SEED` other ones.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::past::{Life, killed, looked_at, searched};
use common::random::Random;
use common::{fake_disk, shared, tiny};
use statedir::Store;
use statedir::base::Nanos;
use statedir::disk::Disk;
use statedir::disk::fake::FakeDisk;
use statedir::format::Reason;
use statedir::role::{Heart, Register};
use statedir::store::directory::Directory;
use statedir::store::{Standby, orphans_on, share_on, thin};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Choices of what is gone, for each store.
const CHOICES: u64 = 12;

/// The files that the newest state does not need.
fn superseded(disk: &FakeDisk) -> Vec<String> {
    let directory = Directory::read(disk).unwrap();
    let all = thin::retained(&directory);
    let gone: Vec<_> = all.iter().map(|s| (s.epoch, s.lsn)).collect();
    let files = thin::files(&directory, &gone, Nanos(u64::MAX), Duration::ZERO);
    files.into_iter().map(|file| file.name).collect()
}

/// Takes some of the superseded files away and judges what is left: each one alone, all but one,
/// and random choices.
fn each_gap(life: &Life, judge: impl Fn(&FakeDisk)) {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let mut random = Random::new(asked("STATEDIR_SEED").unwrap_or(9));
    let files = superseded(&FakeDisk::from_image(&life.image));
    let all = (1_u64 << files.len()) - 1;
    let single = (0..files.len()).flat_map(|at| [1 << at, all ^ (1 << at)]);
    let choices = asked("STATEDIR_GAPS").unwrap_or(CHOICES);
    let some = (0..choices).map(|_| random.next() & all);
    for gone in single.chain(some) {
        let disk = FakeDisk::from_image(&life.image);
        let names = files.iter().enumerate().filter(|(at, _)| gone >> at & 1 == 1);
        let names: Vec<&String> = names.map(|(_, name)| name).collect();
        names.iter().for_each(|name| disk.remove(name).unwrap());
        println!("without {names:?}");
        judge(&disk);
    }
    println!("{} files, {} choices", files.len(), choices + 2 * files.len() as u64);
}

#[test]
fn below_a_gap_the_torn_tails_of_killed_writers_are_no_damage() {
    let life = killed(&[3; 6], 4);
    each_gap(&life, |disk| searched(disk, &life));
}

#[test]
fn nor_are_they_where_the_beginning_of_the_last_writer_is_gone() {
    let life = killed(&[3, 4, 2, 14], 6);
    each_gap(&life, |disk| searched(disk, &life));
}

#[test]
fn one_writer_that_was_never_killed_leaves_gaps_only() {
    let life = killed(&[26], 6);
    each_gap(&life, |disk| searched(disk, &life));
}

/// Two hosts in turn. Each deposed one has flushed a save that it then could not acknowledge: a
/// whole group, behind its epoch's seal.
fn deposed() -> Life {
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    let door = |host| Register::new(shared(&disk), host, "").unwrap();
    let doors = ["a", "b"].map(door);
    let mut make = |cluster, epoch| {
        doors[0].make(cluster, epoch).map(drop).map_err(|error| io::Error::other(error.to_string()))
    };
    share_on(&disk, &mut make).unwrap();
    let mut life = Life::begin(&disk);
    let mut before: Option<Store> = None;
    for (number, saves) in [3, 4, 3, 5, 12].into_iter().enumerate() {
        let reigning = doors[number % 2].claim(Reason::Start).unwrap();
        let mut heart = Heart::start(&reigning).unwrap();
        doors.iter().for_each(|door| drop(door.join().unwrap()));
        heart.beat(0, false).unwrap();
        let store = Store::open_on(shared(&disk), tiny(&disk), Arc::new(reigning)).unwrap();
        if let Some(zombie) = before.take() {
            let asked = common::model::changes(1000, 100);
            assert!(zombie.save(common::model::batch(&asked)).is_err());
        }
        for _ in 0..saves {
            if life.save(&disk, &store).0.is_multiple_of(4) {
                store.checkpoint().unwrap();
            }
        }
        store.maintain().unwrap();
        before = Some(store);
    }
    before.unwrap().close().unwrap();
    let orphans = orphans_on(&disk).unwrap();
    assert!(orphans.len() >= 2, "{orphans:?}");
    life.image = disk.image();
    life
}

#[test]
fn what_a_deposed_writer_left_is_never_shown_as_the_past() {
    let life = deposed();
    let orphans = orphans_on(&FakeDisk::from_image(&life.image)).unwrap();
    each_gap(&life, |disk| {
        looked_at(disk, &life);
        let left = orphans_on(disk).unwrap();
        assert!(left.iter().all(|orphan| orphans.contains(orphan)), "{left:?}");
        let mut standby = Standby::open_on(shared(disk)).unwrap();
        assert_eq!(standby.lsn().0, life.model.saves());
        assert!(standby.poll().unwrap().is_none());
    });
}
