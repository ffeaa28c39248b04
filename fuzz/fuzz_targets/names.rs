//! File names: a name that is ours is spelled in exactly one way.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::format::FileName;

fuzz_target!(|bytes: &[u8]| {
    let Ok(name) = std::str::from_utf8(bytes) else { return };
    if let Some(parsed) = FileName::parse(name) {
        assert_eq!(parsed.to_string(), name);
        assert!(!name.contains('/') && !name.starts_with('.'));
    }
});
