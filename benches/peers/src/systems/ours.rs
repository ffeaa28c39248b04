//! OURS: `statedir::Store` as one more system, built with `--features ours`.
//!
//! Durability: `Store::save` returns the lsn of a save that is durable.
//!
//! Twice: with the default retention (superseded files stay 15 minutes), and without history, as
//! the peers keep none.

use std::path::Path;
use std::sync::Arc;

use statedir::base::Local;
use statedir::{Batch, Options, Store};

use crate::system::{Expect, Fault, Put, System, Visit};

const TABLE: &str = "state";

struct Ours(Store);

pub fn with_history(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    open(dir, Options::default())
}

pub fn without_history(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    open(dir, Options::default().without_history())
}

fn open(dir: &Path, options: Options) -> Result<Box<dyn System>, Fault> {
    // One below: a store wants a directory that is closed to others.
    let state = dir.join("state");
    if !state.exists() {
        Store::create(&state, &options)?;
    }
    Ok(Box::new(Ours(Store::open(&state, options, Arc::new(Local))?)))
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
