//! Savers that a snapshot cannot keep up with: memory for what changed stays bounded, they are
//! slowed and counted, nobody waits for ever, nothing is lost.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::fake_disk;
use common::held::{Door, Held};
use common::limited::{AtEnd, until};
use statedir::base::{Local, Lsn};
use statedir::store::{Refusal, SaveError};
use statedir::{Batch, Options, Reader, Store};
use std::sync::Arc;
use std::thread;

const SAVERS: u64 = 4;
const VALUE: usize = 2000;

/// What may be logged since the last snapshot: 256 KiB, and one group of every saver's save.
const BOUND: u64 = (256 << 10) + SAVERS * 4096;

fn store() -> (Arc<Store>, Held) {
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    let held = Held::new(Arc::new(disk), |name| name.starts_with("snap-"));
    let options = Options {
        snapshot_min_bytes: 64 << 10,
        changes_max_bytes: 256 << 10,
        ..Options::default().without_history()
    };
    let store = Store::open_on(Arc::new(held.clone()), options, Arc::new(Local)).unwrap();
    (Arc::new(store), held)
}

fn batch(saver: u64, number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put("jobs", &[saver as u8, (number % 4) as u8], &[number as u8; VALUE]).unwrap();
    batch
}

#[test]
fn memory_stays_bounded_while_a_snapshot_is_held_up_and_savers_are_slowed_and_counted() {
    const SAVES: u64 = 500;
    let (store, held) = store();
    held.set(Door::Held);
    thread::scope(|scope| {
        let opens = AtEnd(|| held.set(Door::Open));
        let save_all = |saver| {
            let store = &store;
            scope.spawn(move || {
                for number in 0..SAVES {
                    store.save(batch(saver, number)).unwrap();
                    let changed = store.view().change_bytes();
                    assert!(changed <= BOUND, "{changed} bytes are kept in memory");
                }
            })
        };
        let savers: Vec<_> = (0..SAVERS).map(save_all).collect();
        until("somebody is slowed, or all is saved", || {
            store.progress().slowed > 0 || savers.iter().all(|saver| saver.is_finished())
        });
        drop(opens);
    });
    let progress = store.progress();
    assert!(progress.slowed > 0, "nobody was slowed");
    assert!(progress.checkpoints > 0, "the snapshot came");
    assert_eq!(progress.commit_lsn, Lsn(SAVERS * SAVES));
    for saver in 0..SAVERS {
        let last = store.get("jobs", &[saver as u8, ((SAVES - 1) % 4) as u8]).unwrap();
        assert_eq!(last.unwrap(), [(SAVES - 1) as u8; VALUE]);
    }
}

#[test]
fn where_no_snapshot_can_be_made_saves_are_refused_and_work_again_once_one_can() {
    let (store, held) = store();
    held.set(Door::Shut);
    let mut saved = 0;
    let refused = loop {
        match store.save(batch(0, saved)) {
            Ok(_) => saved += 1,
            Err(error) => break error,
        }
        assert!(store.view().change_bytes() <= BOUND, "{saved} saves");
    };
    assert!(matches!(refused, SaveError::Refused(Refusal::Backlog(_))), "{refused}");
    assert_eq!(store.view().lsn(), Lsn(saved), "a refused save changes nothing");
    held.set(Door::Open);
    // Until the checkpoint thread has tried again.
    until("saves work again", || store.save(batch(0, saved)).is_ok());
    let last = store.view().lsn();
    assert_eq!(last, Lsn(saved + 1));
    Arc::into_inner(store).expect("the only owner").close().unwrap();
    let reader = Reader::open_on(Arc::new(held)).unwrap();
    assert_eq!(reader.view().lsn(), last);
}

/// The save that waits is flushed; the snapshot is not waited for by it, but by the end of the
/// thread that makes it.
#[test]
fn a_store_closes_while_a_save_waits_for_a_snapshot() {
    let (store, held) = store();
    held.set(Door::Held);
    let mut saved = 0;
    while store.progress().log_bytes < 256 << 10 {
        saved = store.save(batch(0, saved)).unwrap().0;
    }
    let ticket = store.submit(batch(0, saved)).unwrap();
    let last = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let outcome = ticket.wait();
            held.set(Door::Open);
            outcome
        });
        Arc::into_inner(store).expect("the only owner").close().unwrap();
        waits.join().unwrap().unwrap()
    });
    assert_eq!(last, Lsn(saved + 1));
    assert_eq!(Reader::open_on(Arc::new(held)).unwrap().view().lsn(), last);
}
