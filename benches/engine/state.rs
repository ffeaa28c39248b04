//! Stores that hold something before they are measured, and the puts that change it.

use crate::data::{Random, Values, key};
use crate::floor::Mode;
use crate::scratch::open;
use statedir::store::Ticket;
use statedir::{Batch, Options, Store};
use std::collections::VecDeque;
use std::path::Path;

/// The table of all workloads.
pub const TABLE: &str = "jobs";

/// Puts in each of the saves that fill a store.
pub const PUTS: u64 = 1000;

/// One put of key `n`.
pub fn one(n: u64, value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(TABLE, &key(n), value).expect("within limits");
    batch
}

/// The value that key `n` is filled with.
pub fn first_value(values: &Values, n: u64) -> &[u8] {
    values.value(n * 31)
}

/// Makes a store in `path` whose snapshot holds `keys` pairs, with nothing logged behind it.
pub fn fill(path: &Path, values: &Values, keys: u64) {
    let options = without_snapshots(Options::default().without_history());
    Store::create(path, &options).expect("a store can be made");
    let store = open(path, options);
    for first in (0..keys).step_by(PUTS as usize) {
        let mut batch = Batch::new();
        for n in first..keys.min(first + PUTS) {
            batch.put(TABLE, &key(n), first_value(values, n)).expect("within limits");
        }
        store.save(batch).expect("saves");
    }
    store.checkpoint().expect("a snapshot").expect("of what was filled in");
    store.prune().expect("prunes");
    store.close().expect("closes");
}

/// Options with which no snapshot is made unless it is asked for.
pub fn without_snapshots(options: Options) -> Options {
    Options { snapshot_min_bytes: u64::MAX, ..options }
}

/// Saves of one put each, of random keys, `in_flight` of them at once, until `bytes` are logged.
/// Returns their numbers and salts in order.
pub fn log_behind(store: &Store, values: &Values, keys: u64, bytes: u64) -> Vec<(u64, u64)> {
    let mut random = Random::new(0x10c);
    let mut window = Window::new(256);
    let mut puts = Vec::new();
    while store.progress().log_bytes < bytes {
        let (n, salt) = (random.below(keys), random.next());
        window.push(store, one(n, values.value(salt)));
        puts.push((n, salt));
    }
    window.finish();
    puts
}

/// Saves in flight, at most so many.
pub struct Window {
    tickets: VecDeque<Ticket>,
    size: usize,
}

impl Window {
    pub fn new(size: usize) -> Window {
        Window { tickets: VecDeque::with_capacity(size), size }
    }

    /// Submits `batch`; waits for the oldest first where the window is full. Whether it did.
    pub fn push(&mut self, store: &Store, batch: Batch) -> bool {
        let full = self.tickets.len() == self.size;
        if full {
            let oldest = self.tickets.pop_front().expect("a window has room for one");
            oldest.wait().expect("saves");
        }
        self.tickets.push_back(store.submit(batch).expect("submits"));
        full
    }

    /// Waits for all; returns how many there were.
    pub fn finish(self) -> u64 {
        let count = self.tickets.len() as u64;
        self.tickets.into_iter().for_each(|ticket| {
            ticket.wait().expect("saves");
        });
        count
    }
}

/// The name of a floor in tables.
pub fn floor_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Buffered => "floor buffered",
        Mode::Direct => "floor direct",
    }
}
