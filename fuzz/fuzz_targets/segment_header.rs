//! The first block of a segment: decoding never panics, and what it accepts it writes back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::SegmentHeader;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        let _ = header.seed(4096);
    }
});
