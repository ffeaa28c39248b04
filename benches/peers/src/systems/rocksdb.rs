//! RocksDB, through the C library of the system.
//!
//! Durability: `WriteOptions::set_sync(true)`, one `fdatasync` of the WAL per write group.
//!
//! Tuning: compression off (the values do not compress), WAL files recycled so that a sync need
//! not journal a new size, background jobs for both cores.

use std::path::Path;

use rocksdb::{DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::system::{Expect, Fault, Put, System, Visit};

struct RocksDb(DB);

pub fn open(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.increase_parallelism(2);
    options.set_compression_type(DBCompressionType::None);
    options.set_recycle_log_file_num(4);
    Ok(Box::new(RocksDb(DB::open(&options, dir)?)))
}

impl System for RocksDb {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let mut batch = WriteBatch::default();
        for put in puts {
            batch.put(put.key, put.value);
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.0.write_opt(batch, &options)?)
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        for pair in self.0.iterator(IteratorMode::Start) {
            let (key, value) = pair?;
            visit(&key, &value);
        }
        Ok(())
    }
}
