//! Where the members of a group sleep until it is durable, and are woken all at once.
//!
//! Invariant: `open(n)` wakes the sleepers of group `n` and of no other. A gate is one futex
//! word that holds the number of the last group opened there; a ring of them keeps neighbouring
//! groups apart, so a member of a later group is never woken for an earlier one.
//!
//! One `FUTEX_WAKE` for a whole group beats unparking its members one by one (by a third at 64
//! writers and more, measured on two cores): a system call per group instead of one per save.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex::{self, Flags};

/// Gates in the ring. Only two groups are ever unfinished; the rest is for sleepers that have
/// been woken and have not run yet.
const RING: usize = 64;

/// A futex word with a cache line to itself.
#[repr(align(64))]
struct Gate(AtomicU32);

/// The ring of gates, one group to a gate in turn. Group numbers start at one.
pub(super) struct Gates([Gate; RING]);

impl Gates {
    pub(super) fn new() -> Gates {
        Gates(std::array::from_fn(|_| Gate(AtomicU32::new(0))))
    }

    /// Sleeps until group `number` has been opened.
    pub(super) fn wait(&self, number: u32) {
        let word = self.word(number);
        loop {
            let last = word.load(Ordering::Acquire);
            if number_reached(last, number) {
                return;
            }
            // An error is EINTR, or EAGAIN for a word that has just changed: look again.
            let _ = futex::wait(word, Flags::PRIVATE, last, None);
        }
    }

    /// Opens the gate of group `number`; without `members` nobody can be asleep there.
    pub(super) fn open(&self, number: u32, members: bool) {
        let word = self.word(number);
        word.store(number, Ordering::Release);
        if members {
            // Waking a private futex at a mapped, aligned address cannot fail.
            let _ = futex::wake(word, Flags::PRIVATE, i32::MAX.unsigned_abs());
        }
    }

    fn word(&self, number: u32) -> &AtomicU32 {
        &self.0[number as usize % RING].0
    }
}

/// Whether a gate last opened for `last` has let `number` through, also across the wrap.
fn number_reached(last: u32, number: u32) -> bool {
    last.wrapping_sub(number).cast_signed() >= 0
}
