//! One fault at every call that a store makes of the disk, one at a time; and an authority that
//! refuses, or holds back, at each point where it is asked.
//!
//! Invariants held here: nothing acknowledged is lost; a failed flush of a group ends the writer
//! and is never tried again; what cannot make room refuses saves and is over when the fault is;
//! EINTR and short calls never show; snapshots and deletions that fail leave the store usable.
//!
//! `STATEDIR_FAULT=Call,fault,nth` (such as `WriteDurable,Io,7`) plays that one alone.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;
#[path = "faults/doubt.rs"]
mod doubt;
#[path = "faults/gate.rs"]
mod gate;
#[path = "faults/script.rs"]
mod script;

use common::model::{batch, changes, dump};
use common::{shared, tiny};
use script::{Script, prepared};
use statedir::base::{Local, Lsn};
use statedir::disk::fake::{Call, FakeDisk, Fault, FaultPlan, Image};
use statedir::store::{OpenError, Refusal, SaveError, Ticket};
use statedir::{Batch, Options, Store};
use std::sync::{Arc, Mutex, Weak};

const FAULTS: [Fault; 4] = [Fault::Io, Fault::Full, Fault::Interrupted, Fault::Short];

/// Plays the script with one fault; whether the fault was reached.
fn play(start: &Script, image: &Image, call: Call, fault: Fault, nth: u64) -> bool {
    let disk = FakeDisk::from_image(image);
    let mut script = start.on(&disk);
    script.fault = Some((call, fault, nth));
    disk.fail(FaultPlan::nth_of(call, nth, fault));
    script.run();
    let reached = disk.calls(Some(call)) >= nth;
    disk.heal();
    script.judge();
    reached
}

#[test]
fn one_fault_at_any_call_loses_nothing_acknowledged() {
    let asked = std::env::var("STATEDIR_FAULT").ok();
    let (start, image) = prepared();
    let mut played = 0;
    for call in Call::ALL {
        for fault in FAULTS {
            let mut reached = 0;
            for nth in 1..100_000 {
                let name = format!("{call:?},{fault:?},{nth}");
                if asked.as_ref().is_some_and(|asked| *asked != name) {
                    if nth > 2000 {
                        break;
                    }
                    continue;
                }
                // Shown with a panic: the one to repeat.
                println!("STATEDIR_FAULT={name}");
                if !play(&start, &image, call, fault, nth) {
                    break;
                }
                reached += 1;
            }
            played += reached;
            assert!(asked.is_some() || reached > 0 || unused(call), "{call:?} is never called");
        }
    }
    println!("{played} faults, one at a time");
}

/// Calls that an open store never makes.
fn unused(call: Call) -> bool {
    // Nothing is renamed; the directory's own name is made durable by `create` alone.
    matches!(call, Call::Rename | Call::SyncParent)
}

/// A making of a store that failed is taken up again.
#[test]
fn one_fault_at_any_call_of_create_leaves_what_can_be_made_anew() {
    for fault in FAULTS {
        for nth in 1..1000 {
            let disk = common::fake_disk(512);
            disk.fail(FaultPlan::nth(nth, fault));
            let made = Store::create_on(&disk);
            let reached = disk.calls(None) >= nth;
            disk.heal();
            let seen = matches!(fault, Fault::Io | Fault::Full);
            assert!(made.is_ok() || (reached && seen), "{fault:?} {nth}: {made:?}");
            let again = Store::create_on(&disk);
            let stands = matches!(again, Err(OpenError::NotEmpty(_)));
            assert!(again.is_ok() || stands, "{fault:?} {nth}: {again:?}");
            let store = Store::open_on(shared(&disk), tiny(&disk), Arc::new(Local)).unwrap();
            assert_eq!(store.view().lsn(), Lsn::ZERO);
            store.close().unwrap();
            if !reached {
                break;
            }
        }
    }
}

/// Room that is wanting for long, at each way of making it.
#[test]
fn saves_work_again_once_there_is_room_without_a_restart() {
    for call in [Call::Allocate, Call::WriteAround, Call::Open, Call::SetLen] {
        let (start, image) = prepared();
        let disk = FakeDisk::from_image(&image);
        let mut script = start.on(&disk);
        let store = script.open().unwrap();
        disk.fail(FaultPlan::nth_of(call, 1, Fault::Full).forever());
        let mut refused = 0;
        for _ in 0..12 {
            match script.try_save(&store, 3000) {
                Ok(_) => {}
                Err(SaveError::Refused(Refusal::NoRoom(_))) => {
                    refused += 1;
                    script.forget_last();
                }
                Err(other) => panic!("{call:?}: {other}"),
            }
            assert_eq!(dump(&store.view()).unwrap(), *script.model.newest());
        }
        assert!(refused > 0, "{call:?} is needed to make room");
        assert!(store.checkpoint().is_err() || call == Call::Allocate, "{call:?}");
        disk.heal();
        for _ in 0..12 {
            script.try_save(&store, 3000).unwrap();
        }
        store.checkpoint().unwrap();
        store.close().unwrap();
        script.judge();
    }
}

/// A row of saves that rest on each other: there is no room for the large one, and there would be
/// for the small one, which is put on its way while the large one is being refused: by the store's
/// clock, which is looked at when room is made.
#[test]
fn no_save_of_a_row_is_durable_if_one_before_it_was_refused() {
    let put = |key: &str, bytes: usize| {
        let mut batch = Batch::new();
        batch.put("row", key.as_bytes(), &vec![b'v'; bytes]).unwrap();
        batch
    };
    let (_, image) = prepared();
    let disk = FakeDisk::from_image(&image);
    let meanwhile: Arc<Mutex<(Weak<Store>, Option<Batch>)>> = Arc::default();
    let tickets: Arc<Mutex<Vec<Ticket>>> = Arc::default();
    let (hook, caught, clock) = (Arc::clone(&meanwhile), Arc::clone(&tickets), tiny(&disk).clock);
    let clock = Arc::new(move || {
        let due = {
            let mut hook = hook.lock().unwrap();
            hook.0.upgrade().and_then(|store| Some((store, hook.1.take()?)))
        };
        if let Some((store, batch)) = due {
            let ticket = store.submit_after(batch, store.refusals()).unwrap();
            caught.lock().unwrap().push(ticket);
        }
        clock()
    });
    let options = Options { clock, ..tiny(&disk) };
    let store = Arc::new(Store::open_on(shared(&disk), options, Arc::new(Local)).unwrap());
    let seen = store.refusals();
    store.submit_after(put("first", 10), seen).unwrap().wait().unwrap();
    disk.set_room(Some(0));
    *meanwhile.lock().unwrap() = (Arc::downgrade(&store), Some(put("meanwhile", 10)));
    let large = store.submit_after(put("large", 1 << 20), seen).unwrap().wait();
    assert!(matches!(large, Err(SaveError::Refused(Refusal::NoRoom(_)))), "{large:?}");
    let small = tickets.lock().unwrap().pop().expect("the clock was looked at").wait();
    assert!(matches!(small, Err(SaveError::Refused(Refusal::Behind))), "{small:?}");
    let late = store.submit_after(put("late", 10), seen);
    assert!(matches!(late, Err(SaveError::Refused(Refusal::Behind))), "{late:?}");
    store.submit_after(put("again", 10), store.refusals()).unwrap().wait().unwrap();
    let view = store.view();
    let kept: Vec<_> = view.scan("row", b"").map(|entry| entry.unwrap().0).collect();
    assert_eq!(kept, [b"again".to_vec(), b"first".to_vec()]);
    Arc::into_inner(store).expect("the only owner").close().unwrap();
}

/// Saves that come while a snapshot is being made that fails: by the store's clock, which is looked
/// at when it begins.
#[test]
fn a_snapshot_that_fails_keeps_the_saves_that_came_meanwhile() {
    let (start, image) = prepared();
    let calls = [Call::Open, Call::WriteAround, Call::Sync, Call::WriteDurable, Call::SyncNames];
    let mut failed = 0;
    for (call, nth) in calls.into_iter().flat_map(|call| (1..6).map(move |nth| (call, nth))) {
        let disk = FakeDisk::from_image(&image);
        let mut script = start.on(&disk);
        let meanwhile: Arc<Mutex<(Weak<Store>, Option<Batch>)>> = Arc::default();
        let (hook, clock) = (Arc::clone(&meanwhile), tiny(&disk).clock);
        let clock = Arc::new(move || {
            let due = {
                let mut hook = hook.lock().unwrap();
                hook.0.upgrade().zip(hook.1.take())
            };
            if let Some((store, batch)) = due {
                store.save(batch).unwrap();
            }
            clock()
        });
        let options = Options { clock, ..tiny(&disk) };
        let store = Arc::new(Store::open_on(shared(&disk), options, Arc::new(Local)).unwrap());
        script.try_save(&store, 100).unwrap();
        let changes = changes(script.model.saves() + 1, 100);
        *meanwhile.lock().unwrap() = (Arc::downgrade(&store), Some(batch(&changes)));
        script.model.push(&changes);
        // Behind the save's own flush, which is the first.
        let nth = if call == Call::WriteDurable { nth + 1 } else { nth };
        disk.fail(FaultPlan::nth_of(call, nth, Fault::Io));
        failed += u64::from(store.checkpoint().is_err());
        disk.heal();
        script.settle(script.model.saves());
        assert_eq!(store.view().lsn().0, script.acknowledged, "{call:?} {nth}");
        assert_eq!(dump(&store.view()).unwrap(), *script.model.newest(), "{call:?} {nth}");
        store.checkpoint().unwrap();
        assert_eq!(dump(&store.view()).unwrap(), *script.model.newest(), "{call:?} {nth}");
        Arc::into_inner(store).expect("the only owner").close().unwrap();
        script.judge();
    }
    assert!(failed > 5, "{failed} snapshots failed");
}
