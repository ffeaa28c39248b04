//! raft-engine: a log with all keys and values in memory, the nearest relative of ours.
//!
//! Durability: `write(batch, sync = true)`, one `fdatasync` per group of concurrent writers.
//!
//! Tuning: compression off (the values do not compress); log files recycled, its default; keys
//! spread over several raft groups, as one group is one lock. It reclaims space only when asked
//! to, so a thread asks every second, where TiKV asks every ten. Its purge threshold of 10 GB
//! would never be reached here; 512 MB lets the space workload see its steady state.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use raft_engine::{Config, Engine, LogBatch, ReadableSize};

use crate::system::{Expect, Fault, KEY, Put, System, Visit};

/// Raft groups the keys are spread over.
const GROUPS: u64 = 16;

struct RaftEngine {
    engine: Arc<Engine>,
    /// Taken on drop, which ends the purging thread.
    purger: Option<(Sender<()>, JoinHandle<()>)>,
}

pub fn open(dir: &Path, _: Expect) -> Result<Box<dyn System>, Fault> {
    let config = Config {
        dir: dir.to_str().ok_or("raft-engine wants a directory in UTF-8")?.to_owned(),
        batch_compression_threshold: ReadableSize(0),
        purge_threshold: ReadableSize::mb(512),
        ..Config::default()
    };
    let engine = Arc::new(Engine::open(config)?);
    let (stop, stopped) = mpsc::channel();
    let purged = Arc::clone(&engine);
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            purged.purge_expired_files().expect("raft-engine purges its files");
        }
    });
    Ok(Box::new(RaftEngine { engine, purger: Some((stop, thread)) }))
}

/// The raft group of a key.
fn group(key: &[u8; KEY]) -> u64 {
    u64::from(key[KEY - 1]) % GROUPS + 1
}

impl System for RaftEngine {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let mut batch = LogBatch::with_capacity(puts.len());
        for put in puts {
            batch.put(group(&put.key), put.key.to_vec(), put.value.to_vec())?;
        }
        self.engine.write(&mut batch, true)?;
        Ok(())
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        for group in 1..=GROUPS {
            self.engine.scan_raw_messages(group, None, None, false, |key, value| {
                visit(key, value);
                true
            })?;
        }
        Ok(())
    }
}

impl Drop for RaftEngine {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.purger.take() {
            drop(stop);
            // A panicked purge has already printed itself; dropping must not panic again.
            let _ = thread.join();
        }
    }
}
