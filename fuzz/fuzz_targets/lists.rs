//! What users write about jobs: dependencies and arrays. Any text is a list or an error; what is
//! printed is read as the same; an array's tasks ascend, none is there twice, and the fewest runs
//! stand for the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::controller::core::array_list::{mask, parse, runs};
use statedir::controller::core::dependency::Dependencies;
use statedir::controller::job::task_ids;

const SIZE: u32 = 1001;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(found) = Dependencies::parse(&text) {
        let printed = found.to_string();
        assert_eq!(Dependencies::parse(&printed).as_ref(), Ok(&found), "{printed}");
    }
    if let Some(found) = parse(&text, SIZE) {
        let ids: Vec<u32> = task_ids(&found.tasks).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert!(!ids.is_empty() && ids.iter().all(|id| *id < SIZE), "{ids:?}");
        assert!(task_ids(&runs(&ids)).eq(ids.iter().copied()), "{ids:?}");
        let _ = mask(&found.tasks);
    }
});
