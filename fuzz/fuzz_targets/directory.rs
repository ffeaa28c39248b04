//! A whole directory through recovery: a sound store, changed in any way, is opened, verified or
//! refused, and never makes the engine panic. If it opens for writing, it takes a save and has it
//! afterwards.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::Reader;
use statedir::base::Nanos;
use statedir::disk::Disk;
use statedir::disk::fake::{FakeDisk, Image};
use statedir::format::{FileName, Group, SegmentHeader, group};
use statedir::store::{Level, repair, verify_on};
use statedir_fuzz::{Choices, open, put, seed_store};
use std::sync::{Arc, LazyLock};

static SEED: LazyLock<Image> = LazyLock::new(|| seed_store().image());

const CHANGES_MAX: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let flags = choices.u8();
    let mut image = if flags & 1 == 0 { SEED.clone() } else { SEED.copy() };
    for _ in 0..CHANGES_MAX {
        if choices.is_empty() {
            break;
        }
        change(&mut image, &mut choices);
    }
    if flags & 2 != 0 {
        mend_links(&mut image);
    }
    try_everything(&image);
});

/// One change to one file.
fn change(image: &mut Image, choices: &mut Choices<'_>) {
    let names = image.names();
    let Some(name) = names.get(usize::from(choices.u8()) % names.len().max(1)) else { return };
    let kind = choices.u8();
    // Blocks are what matters most: an offset is a block and a place in it.
    let block = u64::from(choices.u8());
    let at = block * 4096 + u64::from(choices.u16()) % 4096;
    match kind % 8 {
        0..=3 => {
            let len = usize::from(choices.u8()) % 72 + 1;
            let bytes = choices.bytes(len);
            if at + bytes.len() as u64 <= image.len(name) {
                image.write(name, at, bytes);
            }
        }
        4 => image.truncate(name, at),
        5 => image.remove(name),
        6 => {
            let other = names[usize::from(choices.u8()) % names.len()].clone();
            let bytes = image.read(&other);
            image.put(name, &bytes, Nanos(u64::from(choices.u8())));
        }
        _ => {
            let to = new_name(choices);
            if to != *name {
                image.rename(name, &to);
            }
        }
    }
}

/// A name of ours with odd numbers, or one that is not ours.
fn new_name(choices: &mut Choices<'_>) -> String {
    let mut number = || match choices.u8() {
        small @ 0..=250 => u64::from(small),
        251 => u64::MAX,
        252 => u64::MAX - 1,
        253 => 1 << 63,
        254 => u64::from(u32::MAX),
        255 => 10_000_000_000,
    };
    let (one, other) = (number(), number());
    match choices.u8() % 4 {
        0 | 1 => format!("log-{one:010}-{other:010}"),
        2 => format!("snap-{one:010}-{other:020}"),
        _ => format!(".log-{one}.xyz"),
    }
}

/// Makes every group that can be read link to the one before it, as a writer of these bytes would
/// have done: else the first change ends the history, and what is behind it is never looked at.
fn mend_links(image: &mut Image) {
    let mut link = [0; 16];
    for name in image.names() {
        let Some(FileName::Segment(_)) = FileName::parse(&name) else { continue };
        let mut bytes = image.read(&name);
        let Ok(header) = SegmentHeader::decode(&bytes) else { continue };
        let mut at = 4096;
        while at + group::HEADER_LEN <= bytes.len() {
            let Ok(found) = Group::decode(header.seed(at as u64), &bytes[at..]) else { break };
            let (len, seal) = (found.header.disk_len() as usize, found.seal());
            bytes[at + 48..at + 64].copy_from_slice(&link);
            if seal.is_some_and(|seal| seal.segment.epoch.0 > 0) {
                let payload = at + group::HEADER_LEN;
                bytes[payload + 32..payload + 48].copy_from_slice(&link);
            }
            let mended = Group::decode(header.seed(at as u64), &bytes[at..]);
            link = mended.expect("only links changed").link().0;
            at += len;
        }
        image.write(&name, 0, &bytes);
    }
}

fn try_everything(image: &Image) {
    let disk = || -> Arc<dyn Disk> { Arc::new(FakeDisk::from_image(image)) };
    if let Ok(reader) = Reader::open_on(disk()) {
        let mut entries = 0;
        let walked = reader.view().for_each(|_, _, _| {
            entries += 1;
            Ok::<(), statedir::snapshot::SnapshotError>(())
        });
        drop((walked, entries, reader.history(), reader.report().degraded()));
    }
    drop(verify_on(disk(), Level::Full));
    let for_repair = disk();
    if let Ok(plan) = repair::plan_on(for_repair.as_ref()) {
        drop((plan.describe(), repair::apply_on(&for_repair, &plan)));
    }
    let written = FakeDisk::from_image(image);
    let Ok(store) = open(&written) else { return };
    let Ok(lsn) = store.save(put("fuzz", b"key", b"value")) else { return };
    if store.close().is_err() {
        return;
    }
    let reader = Reader::open_on(Arc::new(written)).expect("what was just written opens");
    assert!(reader.view().lsn() >= lsn, "acknowledged {lsn}, shown {}", reader.view().lsn());
    let value = reader.view().get("fuzz", b"key").expect("the disk is sound");
    assert_eq!(value, Some(&b"value"[..]));
}
