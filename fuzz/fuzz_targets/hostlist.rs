//! Hostlists: a list is names or an error; names that are compressed stand for the same names, in
//! the same order; and against a model, where the bytes choose prefixes and ranges.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::slurm::hostlist::{compress, expand};
use statedir_fuzz::Choices;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(names) = expand(&String::from_utf8_lossy(bytes)) {
        there_and_back(&names);
    }
    let mut choices = Choices::new(bytes);
    let (mut list, mut names) = (Vec::new(), Vec::new());
    while !choices.is_empty() && names.len() < 2000 {
        let prefix = ["n", "node-", "a1x", "r2n"][usize::from(choices.u8() % 4)];
        let (first, more) = (u32::from(choices.u16()), u32::from(choices.u8() % 40));
        let width = usize::from(choices.u8() % 6);
        let last = first + more;
        // A range is written with as many digits at both ends, or with none in front.
        let width = if format!("{first:0width$}").len() == format!("{last:0width$}").len() {
            width
        } else {
            0
        };
        list.push(format!("{prefix}[{first:0width$}-{last:0width$}]"));
        names.extend((first..=last).map(|number| format!("{prefix}{number:0width$}")));
    }
    if !names.is_empty() {
        assert_eq!(expand(&list.join(",")).as_ref(), Ok(&names), "{list:?}");
        there_and_back(&names);
    }
});

fn there_and_back(names: &[String]) {
    let list = compress(names.iter().map(String::as_str));
    let again = expand(&list).expect("what was compressed");
    assert_eq!(again, names, "{list}");
}
