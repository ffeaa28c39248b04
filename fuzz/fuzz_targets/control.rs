//! The control file: decoding never panics, and the slot that holds is written back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::Control;
use statedir::format::control::{SLOT_LEN, slots};

fuzz_target!(|bytes: &[u8]| {
    // Short inputs are filled up: most of a slot is room.
    let mut file = bytes.to_vec();
    if bytes.len().is_multiple_of(2) {
        file.resize(2 * SLOT_LEN, 0);
        let odd = bytes.len() / 2;
        file.copy_within(..odd.min(SLOT_LEN), SLOT_LEN);
    }
    let [newest, other] = slots(&file);
    if let (Ok(newest), Ok(other)) = (&newest, &other) {
        assert!(newest.sequence > other.sequence);
    }
    for slot in [newest, other].into_iter().flatten() {
        assert_eq!(Control::decode(&slot.encode()), Ok(slot));
    }
});
