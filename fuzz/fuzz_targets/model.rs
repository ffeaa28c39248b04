//! The store against a BTreeMap: saves, deletions, snapshots, pruning, reopening, and being cut off
//! at any call without closing. What was acknowledged is there, whole, and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::base::Lsn;
use statedir::disk::fake::FakeDisk;
use statedir::snapshot::SnapshotError;
use statedir::store::{At, ReadError};
use statedir::{Batch, Reader, Store, View};
use statedir_fuzz::{Choices, open};
use std::collections::BTreeMap;
use std::sync::Arc;

type Model = BTreeMap<(String, Vec<u8>), Vec<u8>>;

const STEPS_MAX: usize = 48;

const TABLES: [&str; 3] = ["jobs", "nodes", "x"];

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let mut disk = FakeDisk::new(if choices.u8() & 1 == 0 { 512 } else { 4096 });
    Store::create_on(&disk).expect("an empty disk");
    let mut store = Some(open(&disk).expect("just created"));
    // The state after each save.
    let mut states = vec![Model::new()];
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        let current = store.as_ref().expect("opened again after each close");
        match choices.u8() % 12 {
            0..=5 => save(current, &mut states, &mut choices),
            6 => drop(current.checkpoint().expect("room")),
            7 => drop(current.prune().expect("a sound disk")),
            8 => current.maintain().expect("a sound disk"),
            9 => look_back(current, &states, &mut choices),
            10 => {
                store.take().expect("it is open").close().expect("a sound disk");
                store = Some(open(&disk).expect("closed cleanly"));
            }
            _ => {
                // As kill -9 leaves it: no close, no watermark. What was written is there.
                let image = disk.image();
                drop(store.take());
                disk = FakeDisk::from_image(&image);
                store = Some(open(&disk).expect("everything in it is durable"));
            }
        }
        let view = store.as_ref().expect("it is open").view();
        assert_eq!(view.lsn().0 as usize, states.len() - 1);
        assert!(dump(&view) == states[states.len() - 1], "wrong state at {}", view.lsn());
    }
    store.take().expect("it is open").close().expect("a sound disk");
    let reader = Reader::open_on(Arc::new(disk)).expect("closed cleanly");
    assert!(dump(reader.view()) == states[states.len() - 1]);
});

fn save(store: &Store, states: &mut Vec<Model>, choices: &mut Choices<'_>) {
    let mut next = states[states.len() - 1].clone();
    let mut batch = Batch::new();
    for _ in 0..choices.u8() % 4 {
        let kind = choices.u8();
        let table = TABLES[usize::from(kind >> 4) % TABLES.len()];
        let key = vec![b'k'; usize::from(choices.u8()) % 5 + 1];
        if kind & 3 == 0 {
            batch.delete(table, &key).expect("within the limits");
            next.remove(&(table.to_owned(), key));
        } else {
            // Up to 40 KiB: some groups are larger than a segment.
            let value = vec![kind; usize::from(choices.u8()) * 160];
            batch.put(table, &key, &value).expect("within the limits");
            next.insert((table.to_owned(), key), value);
        }
    }
    assert_eq!(store.save(batch).expect("room"), Lsn(states.len() as u64));
    states.push(next);
}

fn look_back(store: &Store, states: &[Model], choices: &mut Choices<'_>) {
    let lsn = usize::from(choices.u8()) % states.len();
    match store.at(At::Lsn(Lsn(lsn as u64))) {
        Ok(view) => assert!(dump(&view) == states[lsn], "wrong state at {lsn}"),
        Err(ReadError::OutOfRange { oldest, .. }) => assert!(lsn < oldest.0 as usize, "{lsn}"),
        Err(error) => panic!("lsn {lsn}: {error}"),
    }
}

fn dump(view: &View) -> Model {
    let mut all = Model::new();
    view.for_each(|table, key, value| {
        all.insert((table.to_owned(), key.to_vec()), value.to_vec());
        Ok::<(), SnapshotError>(())
    })
    .expect("a sound disk");
    all
}
