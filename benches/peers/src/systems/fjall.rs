//! fjall 3, an LSM tree in Rust.
//!
//! Durability: `PersistMode::SyncData` on the batch, an `fdatasync` of the journal per save; it
//! has no group commit, the journal is locked across the sync.
//!
//! Tuning: compression of journal and tables off (the values do not compress).

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::system::{Expect, Fault, Put, System, Visit};

struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

pub fn open(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    let database = Database::builder(dir).journal_compression(CompressionType::None).open()?;
    let keyspace = database.keyspace("state", || {
        let plain = CompressionPolicy::all(CompressionType::None);
        KeyspaceCreateOptions::default().data_block_compression_policy(plain)
    })?;
    Ok(Box::new(Fjall { database, keyspace }))
}

impl System for Fjall {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for put in puts {
            batch.insert(&self.keyspace, put.key, put.value);
        }
        Ok(batch.commit()?)
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        for guard in self.keyspace.iter() {
            let (key, value) = guard.into_inner()?;
            visit(&key, &value);
        }
        Ok(())
    }
}
