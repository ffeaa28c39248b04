//! One workload for each row of what a store does with its disk.

use crate::common::model::{Model, batch, changes};
use crate::common::{shared, tiny};
use crate::copies::{copy, overtaken_copy};
use crate::explore::Workload;
use crate::stage::{Broken, Stage};
use statedir::disk::fake::{Crashes, FakeDisk, Image};
use statedir::store::{OpenError, Refusal, SaveError};
use statedir::{Options, Reader, Store};

/// The least number of states of each.
pub const LEAST: u64 = 2000;

pub const ALL: [Workload; 19] = [
    Workload { name: "init", run: init, random: 40 },
    Workload { name: "first-group", run: first_group, random: 300 },
    Workload { name: "rotation-prepared", run: rotation_prepared, random: 12 },
    Workload { name: "rotation-unprepared", run: rotation_unprepared, random: 30 },
    Workload { name: "torn-tail-twice", run: torn_tail_twice, random: 150 },
    Workload { name: "seal", run: seal, random: 40 },
    Workload { name: "snapshot", run: snapshot, random: 8 },
    Workload { name: "deletion", run: deletion, random: 6 },
    Workload { name: "control-slots", run: control_slots, random: 40 },
    Workload { name: "idle-watermark", run: idle_watermark, random: 60 },
    Workload { name: "large-groups", run: large_groups, random: 300 },
    Workload { name: "shared-groups", run: shared_groups, random: 60 },
    Workload { name: "full-disk", run: full_disk, random: 10 },
    Workload { name: "copy", run: copy, random: 20 },
    Workload { name: "overtaken-copy", run: overtaken_copy, random: 20 },
    Workload { name: "kill-in-open", run: kill_in_open, random: 9 },
    Workload { name: "kill-in-save", run: kill_in_save, random: 4 },
    Workload { name: "kill-in-checkpoint", run: kill_in_checkpoint, random: 4 },
    Workload { name: "crash-in-recovery", run: crash_in_recovery, random: 1 },
];

pub fn closed(store: Store) -> Result<(), Broken> {
    store.close().map_err(|error| format!("close: {error}"))
}

pub fn maintained(store: &Store) -> Result<(), Broken> {
    store.maintain().map_err(|error| format!("maintain: {error}"))
}

pub fn checkpointed(store: &Store) -> Result<(), Broken> {
    store.checkpoint().map(|_| ()).map_err(|error| format!("checkpoint: {error}"))
}

fn no_history(disk: &FakeDisk) -> Options {
    tiny(disk).without_history()
}

/// A half-made store is no store; one whose making has returned is one. Each half-made one is taken
/// up again, cut off again, and taken up once more.
fn init(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let mut made = vec![stage.disk.clone()];
    closed(stage.open()?)?;
    closed(stage.open()?)?;
    stage.end_life();
    for _ in 0..2 {
        let crashes = Crashes::new(60, 7);
        let images = made.iter().flat_map(|disk| crashes.over(disk)).collect::<Vec<_>>();
        made.clear();
        for crash in images.into_iter().filter(|crash| crash.acknowledged.is_none()) {
            stage.start_over(&crash.image, None, &Model::new());
            made.push(stage.disk.clone());
            // An unlucky one is whole already.
            match Store::create_on(&stage.disk) {
                Ok(()) | Err(OpenError::NotEmpty(_)) => stage.acknowledge(0),
                Err(error) => return Err(format!("create once more: {error}")),
            }
            closed(stage.open()?)?;
            stage.end_life();
        }
    }
    Ok(())
}

/// A store on a new disk, opened: what happens from here on counts.
fn opened_anew(stage: &mut Stage) -> Result<Store, Broken> {
    let store = created_anew(stage)?;
    stage.counts_from_here();
    Ok(store)
}

fn created_anew(stage: &mut Stage) -> Result<Store, Broken> {
    stage.on_new_disk();
    stage.create()?;
    stage.open()
}

/// Groups of one block and of several, behind one another.
fn first_group(stage: &mut Stage) -> Result<(), Broken> {
    const SIZES: [&[usize]; 9] = [
        &[10, 9000, 10],
        &[3900, 4100, 8000],
        &[14_000, 10],
        &[1, 1, 1, 1],
        &[6000, 6000],
        &[2000, 13_000, 500],
        &[10_000, 3000],
        &[11_000, 200],
        &[8100, 5000],
    ];
    stage.create()?;
    stage.end_life();
    for sizes in SIZES {
        let store = opened_anew(stage)?;
        for bytes in sizes {
            stage.save(&store, *bytes)?;
        }
        closed(store)?;
        stage.end_life();
    }
    Ok(())
}

fn rotation_prepared(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let store = stage.open()?;
    for _ in 0..14 {
        maintained(&store)?;
        stage.save(&store, 3000)?;
    }
    assert_eq!(store.progress().unprepared_rotations, 0, "each rotation finds a segment");
    closed(store)
}

fn rotation_unprepared(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let store = stage.open()?;
    for number in 0..14 {
        stage.save(&store, if number % 5 == 0 { 14_000 } else { 3000 })?;
    }
    assert!(store.progress().unprepared_rotations > 2, "no rotation finds a segment");
    closed(store)
}

/// What a power cut leaves of a save of several blocks: a torn tail.
fn torn_tail(stage: &Stage) -> Result<Image, Broken> {
    for crash in Crashes::new(0, 1).over(&stage.disk) {
        if crash.acknowledged != stage.acknowledged().map(|saves| saves - 1) {
            continue;
        }
        let disk = FakeDisk::from_image(&crash.image);
        let Ok(reader) = Reader::open_on(shared(&disk)) else { continue };
        if reader.report().torn_tail.is_some() {
            return Ok(crash.image);
        }
    }
    Err("no crash tears the tail".to_owned())
}

fn torn_tail_twice(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    stage.end_life();
    let sizes = [10_000, 5000, 13_000, 8000, 30_000, 16_500, 60_000];
    for (number, bytes) in sizes.into_iter().enumerate() {
        drop(created_anew(stage)?);
        for _ in 0..2 {
            let store = stage.open()?;
            stage.counts_from_here();
            stage.save(&store, 10 + number * 2000)?;
            stage.save(&store, bytes)?;
            drop(store);
            let torn = torn_tail(stage)?;
            let before = stage.acknowledged().map(|saves| saves - 1);
            stage.reboot(&torn, before);
        }
        let store = stage.open()?;
        stage.save(&store, 10)?;
        closed(store)?;
        stage.end_life();
    }
    Ok(())
}

/// Epochs that hold much, little and nothing.
fn seal(stage: &mut Stage) -> Result<(), Broken> {
    const EPOCHS: [(&[usize], usize); 6] = [
        (&[2, 0, 0, 1, 4], 2500),
        (&[0, 0, 0, 0], 10),
        (&[1, 3, 0, 2], 9000),
        (&[5, 1, 1, 1], 4000),
        (&[3, 2, 5, 0, 1], 6500),
        (&[1, 1, 1, 1, 1, 1], 13_000),
    ];
    stage.create()?;
    stage.end_life();
    for (epochs, bytes) in EPOCHS {
        drop(created_anew(stage)?);
        for saves in epochs {
            let store = stage.open()?;
            for _ in 0..*saves {
                stage.save(&store, bytes)?;
            }
            if saves % 2 == 0 {
                closed(store)?;
            } else {
                killed(stage, store)?;
            }
        }
        stage.end_life();
    }
    Ok(())
}

/// A store whose process is gone, without a chance to say goodbye.
fn killed(stage: &mut Stage, store: Store) -> Result<(), Broken> {
    // Its last act is to publish its watermark: a real one would not have.
    let before = stage.disk.image();
    drop(store);
    let acknowledged = stage.acknowledged();
    stage.reboot(&before, acknowledged);
    Ok(())
}

fn snapshot(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let store = stage.open()?;
    for number in 0..9 {
        stage.save(&store, 3000)?;
        if number % 3 == 1 {
            checkpointed(&store)?;
        }
        if number % 4 == 0 {
            maintained(&store)?;
        }
    }
    closed(store)?;
    let store = stage.open()?;
    checkpointed(&store)?;
    stage.save(&store, 3000)?;
    closed(store)
}

fn deletion(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    for _ in 0..2 {
        let options = no_history(&stage.disk);
        let store = stage.open_with(options)?;
        for number in 0..12 {
            stage.save(&store, 3000)?;
            if number % 5 == 4 {
                checkpointed(&store)?;
            }
        }
        closed(store)?;
    }
    let segments = stage.disk.image().names().iter().filter(|name| name.starts_with("log")).count();
    assert!(segments < 8, "superseded segments are deleted: {segments} are left");
    Ok(())
}

fn control_slots(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    for _ in 0..3 {
        let store = stage.open()?;
        for _ in 0..3 {
            stage.save(&store, 10)?;
            maintained(&store)?;
        }
        closed(store)?;
    }
    Ok(())
}

/// Saves, a pause in which the watermark is published, saves, and nothing more: no close.
fn idle_watermark(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    stage.end_life();
    for bytes in [2000, 5000, 9000] {
        drop(created_anew(stage)?);
        for _ in 0..3 {
            let store = stage.open()?;
            for _ in 0..3 {
                stage.save(&store, bytes)?;
            }
            maintained(&store)?;
            for _ in 0..2 {
                stage.save(&store, bytes)?;
            }
            killed(stage, store)?;
        }
        stage.end_life();
    }
    Ok(())
}

fn large_groups(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let store = stage.open()?;
    for bytes in [40_000, 10, 200_000, 70_000, 130_000, 25_000, 90_000] {
        stage.save(&store, bytes)?;
    }
    closed(store)
}

/// Threads that save at once: groups of several saves.
fn shared_groups(stage: &mut Stage) -> Result<(), Broken> {
    const THREADS: u64 = 6;
    stage.create()?;
    stage.in_flight = THREADS;
    let store = stage.open()?;
    for round in 0..4 {
        let first = stage.model.saves() + 1;
        let mut saved = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let changes = changes(round * THREADS + thread + 1, 1500);
                    let store = &store;
                    scope.spawn(move || (store.save(batch(&changes)), changes))
                })
                .collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            outcomes
                .map(|(lsn, changes)| Ok((lsn.map_err(|error| format!("save: {error}"))?, changes)))
                .collect::<Result<Vec<_>, Broken>>()
        })?;
        saved.sort_by_key(|(lsn, _)| *lsn);
        for (number, (lsn, changes)) in saved.iter().enumerate() {
            assert_eq!(lsn.0, first + number as u64, "LSNs are dense");
            stage.model.push(changes);
        }
        let all = stage.model.saves();
        stage.acknowledge(all);
    }
    closed(store)
}

fn full_disk(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let mut store = stage.open()?;
    for round in 0..3 {
        for _ in 0..3 {
            stage.save(&store, 3000)?;
        }
        stage.disk.set_room(Some(if round == 1 { 8192 } else { 0 }));
        let refused = (0..6).any(|_| {
            let changes = changes(stage.model.saves() + 1, 5000);
            match store.save(batch(&changes)) {
                Ok(_) => {
                    stage.model.push(&changes);
                    let all = stage.model.saves();
                    stage.acknowledge(all);
                    false
                }
                Err(SaveError::Refused(Refusal::NoRoom(_))) => true,
                Err(other) => panic!("a full disk is no other failure: {other}"),
            }
        });
        assert!(refused, "the disk fills up");
        assert!(store.checkpoint().is_err(), "there is no room for a snapshot either");
        stage.disk.set_room(None);
        stage.save(&store, 3000)?;
        if round == 1 {
            closed(store)?;
            store = stage.open()?;
        }
    }
    closed(store)
}

/// A store with two epochs, a snapshot and some log behind it; open, and not maintained lately.
pub fn lived_in(stage: &mut Stage) -> Result<Store, Broken> {
    let options = tiny(&stage.disk);
    lived_in_with(stage, &options)
}

pub fn lived_in_with(stage: &mut Stage, options: &Options) -> Result<Store, Broken> {
    stage.create()?;
    let store = stage.open_with(options.clone())?;
    for _ in 0..4 {
        stage.save(&store, 3000)?;
    }
    checkpointed(&store)?;
    stage.save(&store, 10)?;
    closed(store)?;
    let store = stage.open_with(options.clone())?;
    for _ in 0..4 {
        stage.save(&store, 3000)?;
    }
    Ok(store)
}

/// A process killed at each step of `act`, on a disk that goes on; then another one opens the
/// store, saves, makes a snapshot, deletes, closes. Power may be cut at any moment after the kill.
fn kill_at_each_step(
    stage: &mut Stage,
    start: &Image,
    model: &Model,
    act: fn(&mut Stage, &Store),
) -> Result<(), Broken> {
    for step in 1.. {
        stage.start_over(start, Some(model.saves()), model);
        let (process, store) = stage.open_frail(step);
        // Killed at the end at the latest: nothing is closed cleanly here.
        let mut survived = false;
        if let Ok(store) = store {
            act(stage, &store);
            survived = !process.is_dead();
            process.kill();
            drop(store);
        }
        stage.counts_from_here();
        let options = no_history(&stage.disk);
        let store = stage.open_with(options)?;
        if step % 2 == 0 {
            stage.save(&store, 10)?;
        }
        store.prune().map_err(|error| format!("prune: {error}"))?;
        if step % 3 == 0 {
            checkpointed(&store)?;
        }
        closed(store)?;
        stage.end_life();
        if survived {
            return Ok(());
        }
    }
    Ok(())
}

fn kill_in_open(stage: &mut Stage) -> Result<(), Broken> {
    let store = lived_in(stage)?;
    let start = stage.disk.image();
    drop(store);
    let model = stage.model.clone();
    kill_at_each_step(stage, &start, &model, |_, _| ())
}

fn kill_in_save(stage: &mut Stage) -> Result<(), Broken> {
    let store = lived_in(stage)?;
    let start = stage.disk.image();
    drop(store);
    let model = stage.model.clone();
    kill_at_each_step(stage, &start, &model, |stage, store| {
        for bytes in [10, 9000, 3000] {
            if stage.try_save(store, bytes).is_err() {
                break;
            }
            // Dead processes publish nothing.
            let _ = store.maintain();
        }
    })
}

fn kill_in_checkpoint(stage: &mut Stage) -> Result<(), Broken> {
    let store = lived_in(stage)?;
    let start = stage.disk.image();
    drop(store);
    let model = stage.model.clone();
    kill_at_each_step(stage, &start, &model, |stage, store| {
        if store.checkpoint().is_ok() && stage.try_save(store, 10).is_ok() {
            // The second one supersedes the first, whatever becomes of it.
            let _ = store.checkpoint();
        }
    })
}

/// Crash, open, crash during that open, open: twice over.
fn crash_in_recovery(stage: &mut Stage) -> Result<(), Broken> {
    let store = lived_in(stage)?;
    checkpointed(&store)?;
    stage.save(&store, 10_000)?;
    closed(store)?;
    let model = stage.model.clone();
    let mut images: Vec<_> = Crashes::new(4, 3).over(&stage.disk).collect();
    images.retain(|crash| crash.acknowledged.is_some());
    let every = (images.len() / 36).max(1);
    for (number, crash) in images.into_iter().enumerate().filter(|(n, _)| n % every == 0) {
        stage.start_over(&crash.image, crash.acknowledged, &model);
        let store = stage.open()?;
        if number % 2 == 0 {
            stage.save(&store, 10)?;
        }
        drop(store);
        stage.end_life();
        let (again, disk) = (stage.model.clone(), stage.disk.clone());
        let mut second: Vec<_> = Crashes::new(1, 5).over(&disk).collect();
        let every = (second.len() / 2).max(1);
        let floor = crash.acknowledged;
        second.retain(|crash| crash.image.exists());
        for crash in second.into_iter().skip(every / 2).step_by(every) {
            stage.start_over(&crash.image, crash.acknowledged.max(floor), &again);
            let store = stage.open()?;
            drop(store);
            stage.end_life();
        }
    }
    Ok(())
}
