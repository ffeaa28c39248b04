//! Reads the jobs out of the store at the start: entries are decoded on every core, while one puts
//! the state together in the order of the ids.
//!
//! Invariants: what comes out is what decoding one after the other gives, the first entry that is
//! none of ours included; jobs that asked for the very same share what they asked for, and nothing
//! that one of them does is seen by another ([`Job::spec`] is never changed in place).

use crate::controller::entry::{self, EntryError};
use crate::controller::heap;
use crate::controller::job::{JOBS, Job};
use crate::controller::state::{State, StateError, none_of_ours};
use crate::slurm::wire::tables::JobDesc;
use crate::store::View;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Entries that are decoded by one thread in one go.
const CHUNK: usize = 2048;
/// From so many chunks on the memory for them is worth a thought.
const MANY: usize = 16;
/// Threads that decode: more than this, and putting together takes longer.
const THREADS_MAX: usize = 8;
/// Different requests that are remembered; past this, all are forgotten.
const REQUESTS_MAX: usize = 16 * 1024;

/// An entry's key and value.
type Pair<'a> = (&'a [u8], &'a [u8]);
/// A chunk's place, and its jobs.
type Part = (usize, Result<Vec<Arc<Job>>, StateError>);

/// Puts all jobs of the store into `state`, which has none.
///
/// # Errors
/// [`StateError`].
pub fn jobs(view: &View, state: &mut State) -> Result<(), StateError> {
    let entries = view.scan(JOBS, b"").collect::<Result<Vec<Pair<'_>>, _>>()?;
    let chunks: Vec<&[Pair<'_>]> = entries.chunks(CHUNK).collect();
    if chunks.len() < 2 {
        let mut requests = Requests::default();
        for pair in &entries {
            state.take_new(decode(&mut requests, pair)?);
        }
        return Ok(());
    }
    let _large = (chunks.len() >= MANY).then(heap::Large::begin);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, threads) = (AtomicUsize::new(0), cores.min(chunks.len()).min(THREADS_MAX));
    std::thread::scope(|scope| {
        let (done, parts) = channel();
        for _ in 0..threads {
            let (done, chunks, next) = (done.clone(), &chunks, &next);
            scope.spawn(move || decode_all(chunks, next, &done));
        }
        drop(done);
        put_together(state, &parts, chunks.len())
    })
}

fn decode_all(chunks: &[&[Pair<'_>]], next: &AtomicUsize, done: &Sender<Part>) {
    let mut requests = Requests::default();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(chunk) = chunks.get(at) else { return };
        let jobs: Result<Vec<_>, _> =
            chunk.iter().map(|pair| decode(&mut requests, pair)).collect();
        if let (true, Some(last)) = (chunks.len() >= MANY, jobs.iter().flatten().next_back()) {
            heap::huge_pages_at(Arc::as_ptr(last).addr());
        }
        // Nobody listens any more where one before this could not be read.
        if done.send((at, jobs)).is_err() {
            return;
        }
    }
}

fn put_together(state: &mut State, parts: &Receiver<Part>, count: usize) -> Result<(), StateError> {
    let mut early = BTreeMap::new();
    for next in 0..count {
        let part = loop {
            match early.remove(&next) {
                Some(part) => break part,
                None => {
                    let (at, part) = parts.recv().expect("every chunk is sent once");
                    early.insert(at, part);
                }
            }
        };
        part?.into_iter().for_each(|job| state.take_new(job));
    }
    Ok(())
}

/// What was asked for, by its bytes.
#[derive(Default)]
struct Requests<'a>(HashMap<&'a [u8], Arc<JobDesc>>);

impl<'a> Requests<'a> {
    fn of(&mut self, bytes: &'a [u8]) -> Result<Arc<JobDesc>, EntryError> {
        if let Some(known) = self.0.get(bytes) {
            return Ok(Arc::clone(known));
        }
        let spec = Arc::new(entry::last(bytes)?);
        if self.0.len() >= REQUESTS_MAX {
            self.0.clear();
        }
        self.0.insert(bytes, Arc::clone(&spec));
        Ok(spec)
    }
}

fn decode<'a>(
    requests: &mut Requests<'a>,
    (key, value): &Pair<'a>,
) -> Result<Arc<Job>, StateError> {
    let job = entry::id_of(key).and_then(|id| match entry::first(value)? {
        Some((course, rest)) => Ok(Job { id, spec: requests.of(rest)?, course }),
        None => Job::decode(id, value),
    });
    job.map(Arc::new).map_err(none_of_ours(JOBS, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::base::Local;
    use crate::controller::job::unbegun;
    use crate::controller::state::{self, Change};
    use crate::slurm::wire::Field;
    use crate::store::{Options, Store};
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Store::create(dir.path(), &Options::default()).unwrap();
        let store = Store::open(dir.path(), Options::default(), Arc::new(Local)).unwrap();
        (dir, store)
    }

    fn job(id: u32) -> Change {
        let spec = JobDesc { name: format!("j{}", id % 7).as_str().into(), ..JobDesc::unset() };
        Change::Job(Arc::new(Job { id, spec: Arc::new(spec), course: unbegun() }))
    }

    #[test]
    fn many_jobs_come_back_in_order_and_equal_requests_are_kept_once() {
        let (_dir, store) = store();
        let count = u32::try_from(3 * CHUNK + 5).unwrap();
        let changes: Vec<Change> = (1..=count).map(job).collect();
        store.save(state::batch(&changes).unwrap()).unwrap();
        let mut wanted = State::default();
        changes.into_iter().for_each(|change| wanted.take(change));
        let loaded = State::load(&store.view()).unwrap();
        assert!(loaded == wanted);
        let of = |id| &loaded.job(id).unwrap().spec;
        assert!(Arc::ptr_eq(of(1), of(8)) && !Arc::ptr_eq(of(1), of(2)));
    }

    #[test]
    fn the_first_entry_that_cannot_be_read_is_named_however_many_threads_look() {
        let (_dir, store) = store();
        let count = u32::try_from(3 * CHUNK + 5).unwrap();
        let changes: Vec<Change> = (1..=count).map(job).collect();
        store.save(state::batch(&changes).unwrap()).unwrap();
        let mut batch = Batch::new();
        for id in [count, count - 1] {
            batch.put(JOBS, &entry::key(id), b"\x01garbage").unwrap();
        }
        store.save(batch).unwrap();
        let said = State::load(&store.view()).unwrap_err().to_string();
        assert!(said.starts_with(&format!("entry \"{}\" of table jobs", count - 1)), "{said}");
    }
}
