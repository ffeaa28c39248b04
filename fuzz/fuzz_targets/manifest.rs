//! A manifest: decoding never panics, what it accepts says the same again, and its names are a
//! repository's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::export::{FileKind, Manifest};

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::decode("x", bytes) else { return };
    let again = manifest.encode();
    assert_eq!(Manifest::decode("x", &again).expect("its own text"), manifest);
    let mut sum: u64 = 0;
    for (name, len, _) in manifest.files() {
        assert!(!name.contains('/') && FileKind::parse(name).is_some(), "{name}");
        sum = sum.checked_add(len).expect("the sum was checked");
    }
    assert_eq!(sum, manifest.bytes());
});
