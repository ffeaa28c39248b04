//! Makes snapshots while saves go on: the previous snapshot and the changes since, merged.
//!
//! Invariants:
//! - the changes that go into the snapshot are frozen in one step and stay readable until the
//!   snapshot is published and read back; only then are they dropped, and older files deleted;
//! - a snapshot that fails leaves the store as it was.

use crate::base::{Fenced, Lsn, Nanos, Point};
use crate::snapshot::{Builder, Plan, Snapshot, SnapshotError};
use crate::store::inner::{Inner, lock};
use crate::store::state::View;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Background snapshots are written at this rate at least, in bytes per second, however little is
/// logged meanwhile.
const RATE_MIN: f64 = 64e6;

/// Bytes written or read back between two looks at the pace: what a save may have to wait for.
const STRIDE: u64 = 256 << 10;

/// What is written is read back, at the same pace.
const PASSES: f64 = 2.0;

/// For each byte logged meanwhile, 1 / this many are written: the snapshot is done when this part
/// of its own size has been logged, at the latest.
const DONE_WITHIN: f64 = 0.5;

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Writing or reading back failed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Another writer reigns.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// Superseded files could not be looked at. The snapshot itself stands.
    #[error("snapshot made, but superseded files could not be deleted: {0}")]
    Prune(#[from] io::Error),
}

impl Inner {
    /// Makes a snapshot of the state as it is now. With `paced` it leaves the disk to the savers.
    pub fn checkpoint(&self, paced: bool) -> Result<Option<Lsn>, CheckpointError> {
        let _one_at_a_time = lock(&self.checkpointing);
        let Some((view, plan)) = self.freeze() else { return Ok(None) };
        let outcome = self.write_snapshot(&view, plan, paced);
        // The last that we have of the old snapshot, when the state lets go of it below.
        drop(view);
        // The old snapshot and the frozen changes go outside of the lock: that can take long.
        let dropped = {
            let mut state = lock(&self.state);
            match &outcome {
                Ok(snapshot) => {
                    let live = snapshot.header().logical_bytes;
                    self.live_bytes.store(live, Ordering::Relaxed);
                    let log_before = mem::take(&mut state.log_before);
                    state.log_bytes -= log_before;
                    self.throttle.snapshotted(log_before);
                    let frozen = mem::take(&mut state.view.frozen);
                    let base = state.view.base.replace(Arc::clone(snapshot));
                    Some((frozen, base))
                }
                Err(error) => {
                    self.throttle.failed(error.to_string());
                    state.log_before = 0;
                    let later = mem::take(&mut state.view.active);
                    let mut frozen = mem::take(&mut state.view.frozen);
                    frozen.absorb(&later);
                    state.view.active = frozen;
                    None
                }
            }
        };
        drop(dropped);
        let snapshot = outcome?;
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.prune()?;
        Ok(Some(snapshot.header().lsn))
    }

    fn freeze(&self) -> Option<(View, Plan)> {
        let mut state = self.current_state();
        let unchanged = state.view.base.as_ref().map_or(Lsn::ZERO, |base| base.header().lsn);
        if unchanged == state.view.lsn {
            return None;
        }
        state.view.frozen = mem::take(&mut state.view.active);
        state.log_before = state.log_bytes;
        let position = state.position;
        let plan = Plan {
            cluster: self.cluster,
            incarnation: self.incarnation,
            epoch: self.epoch,
            lsn: position.lsn,
            chain: position.chain,
            time: position.time,
            made: Nanos::default(),
            resume: position.segment,
            resume_offset: position.offset,
        };
        Some((state.view.clone(), plan))
    }

    fn write_snapshot(
        &self,
        view: &View,
        plan: Plan,
        paced: bool,
    ) -> Result<Arc<Snapshot>, CheckpointError> {
        let plan = Plan { made: (self.options.clock)(), ..plan };
        let mut builder = Builder::create(Arc::clone(&self.disk), plan)?;
        let mut pace = Pace::new(self, paced);
        view.for_each(|table, key, value| {
            builder.push(table, key, value)?;
            pace.written(builder.written());
            Ok::<(), SnapshotError>(())
        })?;
        let written = builder.written();
        let unpublished = builder.finish()?;
        if let Err(fenced) = self.authority.confirm(self.epoch, Point::Publish(plan.lsn)) {
            self.fence(fenced.clone());
            return Err(fenced.into());
        }
        Ok(Arc::new(unpublished.publish_paced(|read| pace.written(written + read))?))
    }
}

/// Leaves the disk to the savers, but is done before too much has been logged.
struct Pace<'a> {
    inner: &'a Inner,
    paced: bool,
    logged_before: u64,
    started: Instant,
    next: u64,
}

impl<'a> Pace<'a> {
    fn new(inner: &'a Inner, paced: bool) -> Pace<'a> {
        Pace {
            inner,
            paced,
            logged_before: inner.counters.log_bytes.load(Ordering::Relaxed),
            started: Instant::now(),
            next: STRIDE,
        }
    }

    /// Called again and again with what has been written and read back so far.
    fn written(&mut self, bytes: u64) {
        if !self.paced || bytes < self.next {
            return;
        }
        self.next = bytes + STRIDE;
        #[expect(clippy::cast_precision_loss)]
        loop {
            let logged = self.inner.counters.log_bytes.load(Ordering::Relaxed) - self.logged_before;
            // As the log grows, so must the snapshot: at DONE_WITHIN of the live data it is whole.
            let allowed =
                logged as f64 / DONE_WITHIN + self.started.elapsed().as_secs_f64() * RATE_MIN;
            let hurry = self.inner.throttle.backlog() >= self.inner.steps().hurry;
            let closing = self.inner.closing.load(Ordering::Acquire);
            if bytes as f64 <= allowed * PASSES || hurry || closing {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
