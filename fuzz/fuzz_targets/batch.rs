//! A save: decoding never panics, and a save whose ops are all good is written back byte for byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::Batch;
use statedir::format::{Op, Ops};

fuzz_target!(|bytes: &[u8]| {
    let Ok((ops, rest)) = Ops::split(bytes) else { return };
    let mut batch = Batch::new();
    for op in ops {
        let added = match op {
            Ok(Op::Put { table, key, value }) => batch.put(table, key, value),
            Ok(Op::Delete { table, key }) => batch.delete(table, key),
            Err(_) => return,
        };
        added.expect("what is read was within the limits");
    }
    assert_eq!(batch.encode(), bytes[..bytes.len() - rest.len()]);
});
