//! Hostlists: `n[1-4,07-10],login` stands for many names.
//!
//! | form | stands for |
//! |---|---|
//! | `a,b` or `a b` | two names |
//! | `n[1-3,7]` | n1 n2 n3 n7 |
//! | `n[08-11]` | n08 n09 n10 n11: the first bound's width counts |
//! | `r[1-2]n[3-4]` | r1n3 r1n4 r2n3 r2n4 |
//!
//! Invariants: any input gives names or an error, and what it may claim is bounded before anything
//! is made of it. Order and form are those of Slurm 22.05 (`scontrol show hostnames`, `show
//! hostlist`; tests compare), malformed brackets that Slurm makes something of are refused here.

mod compress;
mod expand;
mod order;

pub use compress::compress;
pub use expand::{HostlistError, expand};
pub use order::{by_prefix, natural};

/// Most names of one bracket: as in Slurm, which refuses larger ones.
pub const RANGE_MAX: u64 = 65_536;

/// Most bytes that the names of one list take together: 65,536 names of the longest kind that DNS
/// knows, four times over.
pub const BYTES_MAX: u64 = 64 << 20;

/// Most names of one list: Slurm's node table holds 65,536, and a list may repeat them.
pub const NAMES_MAX: u64 = 262_144;

/// Most digits of one number: as long as a name may be in DNS.
pub const WIDTH_MAX: usize = 255;
