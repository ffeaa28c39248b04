//! A planted bug, which the fuzzer must find: else it would not find real ones either. It is behind
//! everything that a group is checked for, in the key of an op.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::{Group, Op};

/// One comparison, as the fuzzer sees them.
const BUG: u32 = u32::from_le_bytes(*b"bug!");

fuzz_target!(|bytes: &[u8]| {
    let Ok(group) = Group::decode(7, bytes) else { return };
    for (_, ops) in group.saves() {
        for op in ops.flatten() {
            if let Op::Delete { key, .. } = op
                && key.first_chunk::<4>().is_some_and(|key| u32::from_le_bytes(*key) == BUG)
            {
                panic!("the planted bug was found");
            }
        }
    }
});
