//! A group: decoding never panics, and what it accepts can be walked to its last op.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::{Group, Kind, Seal};

fuzz_target!(|bytes: &[u8]| {
    let Ok(group) = Group::decode(7, bytes) else { return };
    let header = group.header;
    assert!(header.disk_len().is_multiple_of(4096));
    assert!(header.watermark < header.first_lsn && header.watermark <= header.last_lsn());
    let mut next = header.first_lsn;
    for (lsn, ops) in group.saves() {
        assert_eq!(lsn, next);
        assert_eq!(ops.filter(Result::is_err).count(), 0, "accepted with a bad op");
        next = next.next();
    }
    assert_eq!(next.0 - header.first_lsn.0, u64::from(header.saves));
    if let Some(seal) = group.seal() {
        assert_eq!(header.kind, Kind::EpochStart);
        assert_eq!(Seal::decode(&seal.encode()), Ok(seal));
    }
    let _ = group.link();
});
