//! The script: found, read, checked, and searched for options.

use super::{WRONG, error_exit};
use crate::client::{Call, env, text};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where a script is: as it is named if that begins with `/` or `.`; else in the working directory,
/// else where programs are.
pub fn found(name: &str, dir: &str) -> String {
    if name.starts_with(['/', '.']) {
        return name.to_owned();
    }
    let path = env("PATH").unwrap_or_default();
    let mut places = std::iter::once(dir).chain(path.split(':')).map(|place| {
        if place.starts_with('.') {
            format!("{dir}/{place}/{name}")
        } else {
            format!("{place}/{name}")
        }
    });
    places.find(|place| Path::new(&text::to_os(place)).exists()).unwrap_or_else(|| name.to_owned())
}

/// The script that `--wrap` stands for.
pub fn wrapped(command: &str) -> Vec<u8> {
    text::to_bytes(&format!(
        "#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{command}\n"
    ))
}

/// Reads a script; from the input if none is named.
pub fn read(call: &Call, path: Option<&String>) -> Result<Vec<u8>, u8> {
    let mut body = Vec::new();
    let got = match path {
        None => std::io::stdin().lock().read_to_end(&mut body),
        Some(path) => {
            File::open(text::to_os(path)).and_then(|mut file| file.read_to_end(&mut body))
        }
    };
    let wrong = match (got, path) {
        (Err(_), Some(path)) => vec![format!("Unable to open file {path}")],
        (Err(error), None) => vec![format!("Unable to read the script: {error}")],
        (Ok(_), _) => complaints(&body),
    };
    wrong.iter().for_each(|line| call.error(line));
    if wrong.is_empty() { Ok(body) } else { Err(error_exit()) }
}

/// Why a script is none.
fn complaints(body: &[u8]) -> Vec<String> {
    let lines: &[&str] = if body.is_empty() {
        &["Batch script is empty!"]
    } else if body.iter().all(u8::is_ascii_whitespace) {
        &["Batch script contains only whitespace!"]
    } else if !body.starts_with(b"#!") {
        &[
            "This does not look like a batch script.  The first",
            "line must start with #! followed by the path to an interpreter.",
            "For instance: #!/bin/sh",
        ]
    } else if body.contains(&0) {
        &["The Slurm controller does not allow scripts that", "contain a NULL character '\\0'."]
    } else if body.windows(2).any(|pair| pair == b"\r\n") {
        &[
            "Batch script contains DOS line breaks (\\r\\n)",
            "instead of expected UNIX line breaks (\\n).",
        ]
    } else {
        &[]
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// The words of the `#SBATCH` lines in front of the first command.
pub fn directives(call: &Call, file: &str, body: &[u8]) -> Result<Vec<String>, u8> {
    let (mut found, mut warned) = (Vec::new(), false);
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = text::from_bytes(line);
        let rest = if let Some(rest) = line.strip_prefix("#SBATCH") {
            rest
        } else if let Some(rest) = line.strip_prefix("#SLURM") {
            if !warned {
                warned = true;
                call.error(
                    "Change from #SLURM to #SBATCH in your script and verify the options are \
                     valid in sbatch",
                );
            }
            rest
        } else {
            match line.trim_start_matches(|c: char| c.is_ascii_whitespace()).chars().next() {
                None | Some('#') => continue,
                Some(_) => break,
            }
        };
        let first = rest.split_whitespace().next().unwrap_or_default();
        if ["hetjob", "packjob"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            call.left_to_slurm("heterogeneous jobs");
            return Err(WRONG);
        }
        match arguments(rest) {
            Ok(words) => found.extend(words),
            Err(why) => {
                let name = &call.name;
                let at = at + 1;
                text::complain(&format!("{name}: fatal: {file}: line {at}: {why}\n"));
                return Err(1);
            }
        }
    }
    Ok(found)
}

/// The words of a line, up to the first that is empty. `Err`: why it is none.
fn arguments(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut rest) = (Vec::new(), line);
    loop {
        let (word, left) = argument(rest)?;
        if word.is_empty() {
            return Ok(words);
        }
        words.push(word);
        rest = left;
    }
}

/// The next word and what follows it: quotes keep blanks together, a backslash takes its meaning
/// from what follows save from a blank outside quotes, a `#` begins a comment.
fn argument(line: &str) -> Result<(String, &str), String> {
    let blank = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    let start = line.trim_start_matches(blank);
    if start.starts_with(':') {
        return Err(format!("Unexpected `:` in [{line}]"));
    }
    let (mut word, mut quote, mut escaped) = (String::new(), None, false);
    for (at, c) in start.char_indices() {
        if quote.is_none() && blank(c) {
            return Ok((word, &start[at..]));
        }
        match (quote, c) {
            _ if std::mem::take(&mut escaped) => word.push(c),
            (_, '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => return Ok((word, &start[at..])),
            (_, c) => word.push(c),
        }
    }
    match quote {
        Some(open) => Err(format!("Unmatched `{open}` in [{line}]")),
        None => Ok((word, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_in_scripts_are_words_with_quotes_and_comments() {
        let read = |line: &str| arguments(line).unwrap().join("|");
        assert_eq!(read(" -J 'a b' -t5 # no"), "-J|a b|-t5");
        assert_eq!(read(r#"--comment="it \"is\"" -n\ 3"#), r#"--comment=it "is"|-n|3"#);
        assert_eq!(read("-J '' -n 3"), "-J");
        assert_eq!(arguments("-J 'a").unwrap_err(), "Unmatched `'` in [ 'a]");
    }

    #[test]
    fn what_is_no_script_is_refused() {
        assert!(complaints(b"#!/bin/sh\ntrue\n").is_empty());
        for bad in [&b""[..], b" \n", b"true\n", b"#!/bin/sh\n\0", b"#!/bin/sh\r\n"] {
            assert!(!complaints(bad).is_empty(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".*") {
            let _ = arguments(&line);
        }
    }
}
