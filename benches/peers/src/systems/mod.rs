//! The table of systems; its order is that of the printed tables, the reference floor first.

mod fjall;
mod floors;
mod lmdb;
#[cfg(feature = "ours")]
mod ours;
mod raft_engine;
mod redb;
mod rocksdb;
mod sqlite;

pub use floors::floor;

use crate::system::{Entry, Open};

/// The system every ratio is taken against.
pub const REFERENCE: &str = "floor-buffered";

/// Every system this binary was built with.
pub fn all() -> Vec<Entry> {
    vec![
        Entry { name: REFERENCE, open: floors::buffered, reclaims: false },
        Entry { name: "floor-direct", open: floors::direct, reclaims: false },
        #[cfg(feature = "ours")]
        engine("statedir", ours::with_history),
        #[cfg(feature = "ours")]
        engine("no-history", ours::without_history),
        engine("raft-engine", raft_engine::open),
        engine("rocksdb", rocksdb::open),
        engine("fjall", fjall::open),
        engine("redb", redb::open),
        engine("lmdb", lmdb::open),
        engine("sqlite", sqlite::open),
    ]
}

fn engine(name: &'static str, open: Open) -> Entry {
    Entry { name, open, reclaims: true }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::all;
    use crate::data::Values;
    use crate::scratch::Scratch;
    use crate::system::{Expect, System, VALUE};

    const WRITERS: u64 = 8;
    const SAVES: u64 = 40;

    /// Each writer overwrites its own ten keys, so what must be there afterwards is known.
    fn write(system: &dyn System, values: &Values, writer: u64) {
        for i in 0..SAVES {
            let put = values.put(writer * 10 + i % 10, writer * 1000 + i);
            system.save(&[put]).expect("a save into an open system");
        }
    }

    #[test]
    fn every_system_finds_again_what_concurrent_writers_saved() {
        let values = Values::new();
        let expect = Expect { log_bytes: 64 << 20 };
        for entry in all() {
            let scratch = Scratch::new(&std::env::temp_dir(), entry.name).expect("a directory");
            let system = (entry.open)(scratch.path(), expect).expect("a fresh system");
            std::thread::scope(|scope| {
                for writer in 0..WRITERS {
                    let (system, values) = (system.as_ref(), &values);
                    scope.spawn(move || write(system, values, writer));
                }
            });
            drop(system);

            let system = (entry.open)(scratch.path(), expect).expect("the system once more");
            let mut found = HashMap::new();
            let mut visit = |key: &[u8], value: &[u8]| {
                assert_eq!(value.len(), VALUE);
                found.insert(key.to_vec(), value.to_vec());
            };
            system.load(&mut visit).expect("loading what was saved");
            assert_eq!(found.len() as u64, WRITERS * 10, "{}", entry.name);
            for n in 0..WRITERS * 10 {
                let put = values.put(n, n / 10 * 1000 + SAVES - 10 + n % 10);
                let value = found.get(put.key.as_slice());
                assert_eq!(value.map(Vec::as_slice), Some(put.value), "{} key {n}", entry.name);
            }
        }
    }
}
