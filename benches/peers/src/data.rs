//! The puts of every system: keys and values that the engine's own bench uses, too.

#[path = "../../common/data.rs"]
mod common;

pub use common::{KEY, PAIR, Random, VALUE, Values, key, shuffled};

use crate::system::Put;

impl Values {
    /// A put of key `n` with the value that `salt` picks.
    pub fn put(&self, n: u64, salt: u64) -> Put<'_> {
        Put { key: key(n), value: self.value(salt) }
    }
}
