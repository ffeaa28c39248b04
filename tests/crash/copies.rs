//! Workloads on copies of a directory: of a store at rest, and of one that the writer overtook.

use crate::common::tiny;
use crate::stage::{Broken, Stage};
use crate::workloads::{checkpointed, closed, lived_in, lived_in_with, maintained};
use statedir::Options;
use statedir::disk::fake::Image;

/// The first open of a copy for writing makes it a store of its own. Copies of every moment of a
/// life, of such a copy, and one that the copier has not flushed.
pub fn copy(stage: &mut Stage) -> Result<(), Broken> {
    let store = lived_in(stage)?;
    let mut copies = vec![(stage.disk.image().copy(), stage.model.clone())];
    for bytes in [10, 9000, 3000] {
        stage.save(&store, bytes)?;
        copies.push((stage.disk.image().copy(), stage.model.clone()));
        maintained(&store)?;
        copies.push((stage.disk.image().copy(), stage.model.clone()));
        checkpointed(&store)?;
        copies.push((stage.disk.image().copy(), stage.model.clone()));
    }
    closed(store)?;
    copies.push((stage.disk.image().copy(), stage.model.clone()));
    for (number, (copied, model)) in copies.into_iter().enumerate() {
        stage.start_over(&copied, Some(model.saves()), &model);
        let store = stage.open()?;
        stage.save(&store, 10 + number * 700)?;
        if number % 2 == 0 {
            checkpointed(&store)?;
        }
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
        closed(store)?;
        stage.end_life();
    }
    Ok(())
}

/// Saves of this size while a copier is at the active segment, and which of them it has missed.
const OVERTAKEN: [usize; 7] = [10, 700, 3000, 5000, 7000, 9000, 13_000];
const SAVES: usize = 6;

/// A copier that the writer overtook: the control file is old, some group in the middle was not yet
/// written when its place was read, or only a block of it was, and later ones were.
pub fn overtaken_copy(stage: &mut Stage) -> Result<(), Broken> {
    for bytes in OVERTAKEN {
        for missed in 0..SAVES - 1 {
            for last_block in [false, true] {
                overtaken(stage, bytes, missed, last_block)?;
                if bytes < 4000 {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn overtaken(
    stage: &mut Stage,
    bytes: usize,
    missed: usize,
    last_block: bool,
) -> Result<(), Broken> {
    stage.on_new_disk();
    let roomy = Options { segment_min: 128 << 10, segment_max: 128 << 10, ..tiny(&stage.disk) };
    let store = lived_in_with(stage, &roomy)?;
    maintained(&store)?;
    let durable = stage.acknowledged().expect("the store was made");
    let mut images = vec![stage.disk.image()];
    for _ in 0..SAVES {
        stage.save(&store, bytes)?;
        images.push(stage.disk.image());
    }
    let model = stage.model.clone();
    drop(store);
    let after = stage.disk.image();
    let (active, blocks) = changed(&after, &images[missed], &images[missed + 1]);
    let block = if last_block { blocks.end - 1 } else { blocks.start };
    let mut copied = after.copy();
    copied.take(&images[0], "CONTROL");
    copied.zero(&active, block * 4096..(block + 1) * 4096);
    stage.in_flight = model.saves() - durable;
    stage.start_over(&copied, Some(durable), &model);
    let store = stage.open()?;
    assert!(store.report().set_aside.is_some(), "{:?}", store.report());
    let shown = durable + missed as u64;
    assert_eq!(store.view().lsn().0, shown, "what stands behind the gap does not count");
    stage.save(&store, 10)?;
    closed(store)?;
    stage.end_life();
    Ok(())
}

/// The segment that a save has changed, and the blocks of it that hold anything new.
fn changed(files: &Image, old: &Image, new: &Image) -> (String, std::ops::Range<u64>) {
    let written = |image: &Image, name: &str| image.contains(name).then(|| image.read(name));
    let segments = files.names().into_iter().filter(|name| name.starts_with("log"));
    let mut found = segments.filter_map(|name| {
        let (old, new) = (written(old, &name)?, written(new, &name)?);
        let blocks = new.chunks_exact(4096).zip(old.chunks_exact(4096));
        let differ: Vec<u64> =
            (0..).zip(blocks).filter(|(_, (new, old))| new != old).map(|(at, _)| at).collect();
        Some((name, *differ.first()?..*differ.last()? + 1))
    });
    found.next().expect("a save changes its segment")
}
