//! What all tests of snapshots share: a state as a map, and the file that it becomes.

mod crash;
mod damage;
mod hostile;
mod lost;
mod publish;
mod read;

use crate::base::{Chain, Epoch, Id, Lsn, Nanos, SegmentId};
use crate::disk::fake::FakeDisk;
use crate::disk::{Access, Disk, read_exact_at};
use crate::snapshot::{Builder, Plan, Snapshot, SnapshotError, Unpublished};
use std::collections::BTreeMap;
use std::sync::Arc;

type State = BTreeMap<(String, Vec<u8>), Vec<u8>>;

const NAME: &str = "snap-0000000003-00000000000000000009";

fn plan() -> Plan {
    Plan {
        cluster: Id([1; 16]),
        incarnation: Id([2; 16]),
        epoch: Epoch(3),
        lsn: Lsn(9),
        chain: Chain([4; 16]),
        time: Nanos(5),
        made: Nanos(6),
        resume: SegmentId { epoch: Epoch(3), ordinal: 7 },
        resume_offset: 8192,
    }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(FakeDisk::new(4096))
}

fn state<const N: usize>(entries: [(&str, &[u8], Vec<u8>); N]) -> State {
    let entries = entries.into_iter();
    entries.map(|(table, key, value)| ((table.to_owned(), key.to_vec()), value)).collect()
}

/// Bytes that no run of zeros, and no shift, can stand in for.
fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let step = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(step).collect()
}

fn build(disk: &Arc<dyn Disk>, state: &State) -> Unpublished {
    let mut builder = Builder::create(Arc::clone(disk), plan()).unwrap();
    for ((table, key), value) in state {
        builder.push(table, key, value).unwrap();
    }
    builder.finish().unwrap()
}

fn publish(disk: &Arc<dyn Disk>, state: &State) -> Snapshot {
    build(disk, state).publish().unwrap()
}

/// What a snapshot says its state is, found by scanning.
fn read_all(snapshot: &Snapshot) -> Result<State, SnapshotError> {
    let mut state = State::new();
    for table in snapshot.tables() {
        for entry in snapshot.scan(&table.name, b"") {
            let (key, value) = entry?;
            state.insert((table.name.clone(), key.to_vec()), value.to_vec());
        }
    }
    Ok(state)
}

fn bytes_of(disk: &dyn Disk) -> Vec<u8> {
    let file = disk.open(NAME, Access::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    bytes
}

/// A disk that holds nothing but these bytes under the snapshot's name.
fn disk_with(bytes: &[u8]) -> Arc<dyn Disk> {
    let disk = disk();
    disk.open(NAME, Access::Create).unwrap().write_at(bytes, 0).unwrap();
    disk
}

fn open(disk: &Arc<dyn Disk>) -> Result<Snapshot, SnapshotError> {
    Snapshot::open(&**disk, NAME)
}

fn open_and_verify(disk: &Arc<dyn Disk>) -> Result<Snapshot, SnapshotError> {
    let snapshot = open(disk)?;
    snapshot.verify(2)?;
    Ok(snapshot)
}

/// Small, but with everything: tables, keys that are prefixes, empty values.
fn small() -> State {
    state([
        ("jobs", b"1", b"sleep 60".to_vec()),
        ("jobs", b"10", Vec::new()),
        ("jobs", b"100", noise(300, 1)),
        ("nodes", b"\0", b"zero".to_vec()),
        ("nodes", b"\xff\xff", b"last".to_vec()),
    ])
}
