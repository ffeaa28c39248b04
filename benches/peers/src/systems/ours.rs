//! OURS: `statedir::Store` as one more system, built with `--features ours`.
//!
//! Durability: `Store::save` returns the lsn of a save that is durable.

use std::path::Path;
use std::sync::Arc;

use statedir::base::Local;
use statedir::{Batch, Options, Store};

use crate::system::{Expect, Fault, Put, System, Visit};

const TABLE: &str = "state";

struct Ours(Store);

pub fn open(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    if dir.read_dir()?.next().is_none() {
        Store::create(dir, &Options::default())?;
    }
    Ok(Box::new(Ours(Store::open(dir, Options::default(), Arc::new(Local))?)))
}

impl System for Ours {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let mut batch = Batch::new();
        for put in puts {
            batch.put(TABLE, &put.key, put.value)?;
        }
        self.0.save(batch)?;
        Ok(())
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        self.0.load(|_, key, value| {
            visit(key, value);
            Ok(())
        })
    }
}
