//! A snapshot's header and footer: decoding never panics, allocates no more than is there, and what
//! it accepts it writes back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::snapshot::HEADER_LEN;
use statedir::format::{SnapshotFooter, SnapshotHeader};

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = SnapshotHeader::decode(bytes) else { return };
    assert_eq!(SnapshotHeader::decode(&header.encode()), Ok(header));
    assert!(header.file_len() >= header.footer_at());
    let rest = &bytes[HEADER_LEN..];
    // The length that the header claims, or the one that is there.
    let fitting = SnapshotHeader { footer_len: rest.len() as u64, ..header };
    for header in [header, fitting] {
        if let Ok(footer) = SnapshotFooter::decode(&header, rest) {
            assert_eq!(footer.encode(), rest[..header.footer_len as usize]);
        }
    }
});
