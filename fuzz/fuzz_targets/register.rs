//! The blocks of the register: a record, the mark of an end, a heartbeat with its two slots, a
//! host's word. Decoding never panics; what was decoded is written back, and newest is newest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::register::BLOCK_LEN;
use statedir::format::{Beat, End, Host, Reign};

fuzz_target!(|bytes: &[u8]| {
    // Short inputs are filled up: most of a block is room.
    let block = |from: &[u8]| {
        let mut block = from.to_vec();
        block.resize(BLOCK_LEN, 0);
        block
    };
    let _ = (Reign::decode(bytes), End::decode(bytes), Beat::decode(bytes), Host::decode(bytes));
    let whole = block(bytes);
    if let Ok(reign) = Reign::decode(&whole) {
        assert_eq!(Reign::decode(&reign.encode()), Ok(reign));
    }
    if let Ok(end) = End::decode(&whole) {
        assert_eq!(End::decode(&end.encode()), Ok(end));
    }
    if let Ok(host) = Host::decode(&whole) {
        assert_eq!(Host::decode(&host.encode()), Ok(host));
    }
    // A heartbeat's file: each half of the input fills one slot.
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let slots = [block(one), block(other)];
    let beats = slots.each_ref().map(|slot| Beat::decode(slot).ok());
    let newest = Beat::newest(&slots.concat());
    let greatest = beats.iter().flatten().map(|beat| beat.ordinal).max();
    assert_eq!(newest.as_ref().map(|beat| beat.ordinal), greatest);
    for beat in beats.into_iter().flatten() {
        assert_eq!(Beat::decode(&beat.encode()), Ok(beat));
    }
    let _ = Beat::newest(bytes);
});
