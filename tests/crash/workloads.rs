//! One workload for each row of what a store does with its disk.

use crate::common::model::{Model, batch, changes};
use crate::common::{shared, tiny};
use crate::explore::Workload;
use crate::stage::{Broken, Stage};
use statedir::disk::fake::{Crashes, FakeDisk, Image};
use statedir::store::{Refusal, SaveError};
use statedir::{Options, Reader, Store};

pub const ALL: [Workload; 19] = [
    Workload { name: "init", run: init, random: 400 },
    Workload { name: "first-group", run: first_group, random: 400 },
    Workload { name: "rotation-prepared", run: rotation_prepared, random: 12 },
    Workload { name: "rotation-unprepared", run: rotation_unprepared, random: 25 },
    Workload { name: "torn-tail-twice", run: torn_tail_twice, random: 150 },
    Workload { name: "seal", run: seal, random: 40 },
    Workload { name: "snapshot", run: snapshot, random: 8 },
    Workload { name: "deletion", run: deletion, random: 6 },
    Workload { name: "control-slots", run: control_slots, random: 40 },
    Workload { name: "idle-watermark", run: idle_watermark, random: 60 },
    Workload { name: "large-groups", run: large_groups, random: 400 },
    Workload { name: "shared-groups", run: shared_groups, random: 60 },
    Workload { name: "full-disk", run: full_disk, random: 10 },
    Workload { name: "copy", run: copy, random: 200 },
    Workload { name: "overtaken-copy", run: overtaken_copy, random: 100 },
    Workload { name: "kill-in-open", run: kill_in_open, random: 6 },
    Workload { name: "kill-in-save", run: kill_in_save, random: 4 },
    Workload { name: "kill-in-checkpoint", run: kill_in_checkpoint, random: 4 },
    Workload { name: "crash-in-recovery", run: crash_in_recovery, random: 1 },
];

fn closed(store: Store) -> Result<(), Broken> {
    store.close().map_err(|error| format!("close: {error}"))
}

fn maintained(store: &Store) -> Result<(), Broken> {
    store.maintain().map_err(|error| format!("maintain: {error}"))
}

fn checkpointed(store: &Store) -> Result<(), Broken> {
    store.checkpoint().map(|_| ()).map_err(|error| format!("checkpoint: {error}"))
}

fn no_history(disk: &FakeDisk) -> Options {
    tiny(disk).without_history()
}

/// A half-made store is no store; one whose making has returned is one.
fn init(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    closed(stage.open()?)?;
    closed(stage.open()?)
}

fn first_group(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let store = stage.open()?;
    for bytes in [10, 9000, 10] {
        stage.save(&store, bytes)?;
    }
    closed(store)
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
    for _ in 0..2 {
        let store = stage.open()?;
        stage.save(&store, 10)?;
        stage.save(&store, 10_000)?;
        drop(store);
        let torn = torn_tail(stage)?;
        let before = stage.acknowledged().map(|saves| saves - 1);
        stage.reboot(&torn, before);
    }
    let store = stage.open()?;
    stage.save(&store, 10)?;
    closed(store)
}

/// Epochs that hold much, little and nothing.
fn seal(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    for saves in [2, 0, 0, 1, 4] {
        let store = stage.open()?;
        for _ in 0..saves {
            stage.save(&store, 2500)?;
        }
        if saves % 2 == 0 {
            closed(store)?;
        } else {
            killed(stage, store)?;
        }
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
    for _ in 0..3 {
        let store = stage.open()?;
        for _ in 0..3 {
            stage.save(&store, 2000)?;
        }
        maintained(&store)?;
        for _ in 0..2 {
            stage.save(&store, 2000)?;
        }
        killed(stage, store)?;
    }
    Ok(())
}

fn large_groups(stage: &mut Stage) -> Result<(), Broken> {
    stage.create()?;
    let store = stage.open()?;
    for bytes in [40_000, 10, 200_000, 70_000] {
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
fn lived_in(stage: &mut Stage) -> Result<Store, Broken> {
    let options = tiny(&stage.disk);
    lived_in_with(stage, &options)
}

fn lived_in_with(stage: &mut Stage, options: &Options) -> Result<Store, Broken> {
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

/// The first open of a copy for writing makes it a store of its own.
fn copy(stage: &mut Stage) -> Result<(), Broken> {
    let store = lived_in(stage)?;
    let copied = stage.disk.image().copy();
    closed(store)?;
    let (acknowledged, model) = (stage.acknowledged(), stage.model.clone());
    stage.start_over(&copied, acknowledged, &model);
    let store = stage.open()?;
    stage.save(&store, 10)?;
    checkpointed(&store)?;
    stage.save(&store, 10)?;
    closed(store)?;
    // And a copy of the copy.
    let copied = stage.disk.image().copy();
    let acknowledged = stage.acknowledged();
    stage.reboot(&copied, acknowledged);
    let store = stage.open()?;
    stage.save(&store, 10)?;
    closed(store)?;
    stage.end_life();
    // And one that the copier has not flushed: from when it is open, it holds all the same.
    stage.copied_unflushed(&copied, acknowledged);
    let store = stage.open()?;
    stage.counts_from_here();
    stage.save(&store, 10)?;
    closed(store)
}

/// A copier that the writer overtook: the control file is old, some group in the middle was not yet
/// written when its place was read, and later ones were.
fn overtaken_copy(stage: &mut Stage) -> Result<(), Broken> {
    let roomy = Options { segment_min: 64 << 10, segment_max: 64 << 10, ..tiny(&stage.disk) };
    let store = lived_in_with(stage, &roomy)?;
    maintained(&store)?;
    let control = stage.disk.image();
    let durable = stage.acknowledged().expect("the store was made");
    let mut images = Vec::new();
    for _ in 0..6 {
        stage.save(&store, 10)?;
        images.push(stage.disk.image());
    }
    let model = stage.model.clone();
    drop(store);
    let after = stage.disk.image();
    // Where the third of these saves stands, the copier has read what stood there before it.
    let written = |image: &Image, name: &str| image.contains(name).then(|| image.read(name));
    let (active, block) = after
        .names()
        .into_iter()
        .filter(|name| name.starts_with("log"))
        .find_map(|name| {
            let (old, new) = (written(&images[1], &name)?, written(&images[2], &name)?);
            let mut blocks = new.chunks_exact(4096).zip(old.chunks_exact(4096));
            let block = blocks.position(|(new, old)| new != old)?;
            Some((name, block))
        })
        .expect("a save changes its segment");
    let mut copied = after.copy();
    copied.take(&control, "CONTROL");
    copied.zero(&active, block as u64 * 4096..(block as u64 + 1) * 4096);
    stage.in_flight = model.saves() - durable;
    stage.start_over(&copied, Some(durable), &model);
    let store = stage.open()?;
    assert!(store.report().set_aside.is_some(), "{:?}", store.report());
    assert_eq!(store.view().lsn().0, durable + 2, "what stands behind the gap does not count");
    stage.save(&store, 10)?;
    closed(store)
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
    let every = (images.len() / 24).max(1);
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
