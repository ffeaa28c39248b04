//! LMDB through heed, a memory-mapped copy-on-write B-tree with one writer at a time.
//!
//! Durability: no flag given, so that each commit syncs the data and then the meta page.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions};

use crate::system::{Expect, Fault, Put, System, Visit};

/// Bytes of address space at least; only what is used takes space on disk.
const MAP: u64 = 16 << 30;

struct Lmdb {
    env: Env,
    table: Database<Bytes, Bytes>,
}

pub fn open(dir: &Path, expect: Expect) -> Result<Box<dyn System>, Fault> {
    let map = usize::try_from(MAP.max(expect.log_bytes * 4))?;
    // SAFETY: the directory is this benchmark's own: no other process has the file open and
    // nobody changes it from outside while it is mapped.
    let env = unsafe { EnvOpenOptions::new().map_size(map).open(dir)? };
    let mut write = env.write_txn()?;
    let table = env.create_database(&mut write, None)?;
    write.commit()?;
    Ok(Box::new(Lmdb { env, table }))
}

impl System for Lmdb {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let mut write = self.env.write_txn()?;
        for put in puts {
            self.table.put(&mut write, &put.key, put.value)?;
        }
        Ok(write.commit()?)
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        let read = self.env.read_txn()?;
        for pair in self.table.iter(&read)? {
            let (key, value) = pair?;
            visit(key, value);
        }
        Ok(())
    }
}
