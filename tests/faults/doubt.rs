//! After a write or a flush that failed the page cache shows what the disk may not have, and no
//! later sync brings it there. What an open on the running system makes of it must survive a power
//! cut.

use crate::FAULTS;
use crate::common::frail::Frail;
use crate::common::model::dump;
use crate::common::{shared, tiny};
use crate::script::{Script, prepared};
use statedir::base::Local;
use statedir::disk::fake::{Call, Crash, Crashes, FakeDisk, Fault, FaultPlan, Image};
use statedir::{Reader, Store};
use std::sync::Arc;

#[test]
fn what_an_open_shows_after_a_failed_flush_survives_a_power_cut() {
    let (start, image) = prepared();
    let mut shown = 0;
    for nth in 1..12 {
        let disk = FakeDisk::from_image(&image);
        let mut script = start.on(&disk);
        let store = script.open().unwrap();
        disk.fail(FaultPlan::nth_of(Call::WriteDurable, nth, Fault::Full));
        let failed = (0..12).any(|_| script.try_save(&store, 100).is_err());
        disk.heal();
        drop(store);
        if !failed {
            break;
        }
        let store = script.open().unwrap();
        let lsn = store.view().lsn().0;
        shown += u64::from(lsn == script.model.saves());
        script.settle(lsn);
        let end = disk.crash_points() - 1;
        for crash in Crashes::new(4, nth).within(&disk, end..end + 1) {
            script.judge_image(&crash.image);
        }
    }
    // A save of one sector or two: of a write that runs out of room, those are there.
    assert!(shown > 0, "some failed flush leaves a whole group");
}

/// A process that dies of a failed call, whatever it was at, and leaves things as they were then.
#[test]
fn what_is_built_on_a_failed_call_survives_a_power_cut() {
    let (start, image) = prepared();
    let mut crashes = 0;
    for call in [Call::Write, Call::WriteAround, Call::WriteDurable, Call::Sync] {
        for fault in FAULTS.into_iter().filter(|fault| matches!(fault, Fault::Io | Fault::Full)) {
            let fits = |nth: &u64| die_of(&start, &image, call, fault, *nth).is_some();
            let last = (1..10_000).find(|nth| !fits(nth)).expect("lives are short");
            for nth in 1..last {
                let dead = die_of(&start, &image, call, fault, nth).expect("as before");
                crashes += build_on(dead, &format!("{call:?} {fault:?} {nth}"));
            }
        }
    }
    println!("{crashes} power cuts");
    assert!(crashes > 1000, "{crashes} power cuts are too few");
}

/// Opens, saves and makes a snapshot in a process that dies of the fault; `None`: it does not.
fn die_of(start: &Script, image: &Image, call: Call, fault: Fault, nth: u64) -> Option<Script> {
    let disk = FakeDisk::from_image(image);
    let mut script = start.on(&disk);
    disk.fail(FaultPlan::nth_of(call, nth, fault));
    let process = Frail::touchy(shared(&disk));
    let options = tiny(&disk).without_history();
    if let Ok(store) = Store::open_on(Arc::new(process.clone()), options, Arc::new(Local)) {
        for round in 0..2 {
            let _ = script.try_save(&store, 100);
            let _ = store.maintain();
            let _ = store.checkpoint();
            if round == 1 && !process.is_dead() {
                let _ = script.try_save(&store, 100);
            }
        }
    }
    let died = process.is_dead();
    process.kill();
    disk.heal();
    died.then_some(script)
}

/// What another process makes of it: deletions, a save, a closing watermark.
fn build_on(mut script: Script, name: &str) -> usize {
    let disk = script.disk.clone();
    let seen = Reader::open_on(shared(&disk)).expect(name).view().lsn().0;
    let from = disk.crash_points();
    let store = script.open().expect(name);
    let saves = store.view().lsn().0;
    assert!((script.acknowledged..=script.model.saves()).contains(&saves), "{name}: {saves} saves");
    assert!(seen <= saves, "{name}: a reader has shown {seen} saves, of which {saves} are left");
    script.settle(saves);
    store.prune().expect(name);
    script.try_save(&store, 100).expect(name);
    store.close().expect(name);
    let mut count = 0;
    for crash in Crashes::new(8, 3).within(&disk, from..usize::MAX) {
        count += 1;
        holds(&script, &crash, seen, name);
    }
    count
}

fn holds(script: &Script, crash: &Crash, seen: u64, name: &str) {
    let name = format!("{name}, then {:?} at moment {}", crash.survivors, crash.point);
    let disk = FakeDisk::from_image(&crash.image);
    let opened = Store::open_on(shared(&disk), tiny(&disk), Arc::new(Local));
    let store = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
    let saves = store.view().lsn().0;
    let least = crash.acknowledged.unwrap_or(0).max(seen);
    assert!((least..=script.model.saves()).contains(&saves), "{name}: {saves} saves, not {least}");
    assert_eq!(dump(&store.view()).unwrap(), *script.model.after(saves), "{name}");
}
