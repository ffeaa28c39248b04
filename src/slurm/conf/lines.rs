//! Logical lines of a configuration file, and the `Key=Value` in them.
//!
//! As in Slurm: a `#` begins a comment wherever it stands, `\#` is a `#`; a line that ends with a
//! backslash goes on in the next; a value is a quoted text or goes to the next blank.

use crate::slurm::conf::mistake::Problem;

/// A line with text in it, comments removed and continuations joined.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins, from 1.
    pub number: usize,
    /// Its text, not blank.
    pub text: String,
    /// Where the next line begins, in bytes of the file.
    pub end: usize,
}

/// The lines of `text` that say something.
pub fn lines(text: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut open: Option<Line> = None;
    let mut end = 0;
    for (index, physical) in text.split('\n').enumerate() {
        end = text.len().min(end + physical.len() + 1);
        let part = without_comment(physical.strip_suffix('\r').unwrap_or(physical));
        let (part, goes_on) = match part.trim_end().strip_suffix('\\') {
            Some(part) => (part.to_owned(), true),
            None => (part, false),
        };
        let line = open.get_or_insert_with(|| Line { number: index + 1, text: String::new(), end });
        line.text.push_str(&part);
        line.end = end;
        if !goes_on {
            found.extend(open.take());
        }
    }
    found.extend(open);
    found.retain(|line| !line.text.trim().is_empty());
    found
}

fn without_comment(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('#') {
        match rest[..at].strip_suffix('\\') {
            Some(before) => text.extend([before, "#"]),
            None => {
                text.push_str(&rest[..at]);
                return text;
            }
        }
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text
}

/// A `Key=Value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// As written.
    pub key: String,
    /// Without its quotes.
    pub value: String,
}

/// Takes the first pair off `text`; `None` where nothing is left.
pub fn take_pair(text: &mut &str) -> Result<Option<Pair>, Problem> {
    let start = text.trim_start();
    if start.is_empty() {
        return Ok(None);
    }
    let syntax = || Problem::Syntax(start.trim_end().to_owned());
    let key_len = start.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c)));
    let (key, behind) = start.split_at(key_len.unwrap_or(start.len()));
    let behind = behind.trim_start();
    // Slurm's grammar knows += and its like, and treats them as =.
    let behind = behind.strip_prefix(['+', '-', '*', '/']).unwrap_or(behind);
    let value = behind.strip_prefix('=').ok_or_else(syntax)?.trim_start();
    if key.is_empty() || value.is_empty() {
        return Err(syntax());
    }
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => {
            quoted.split_once('"').ok_or_else(|| Problem::Quote(value.trim_end().to_owned()))?
        }
        None => value.split_at(value.find([' ', '\t']).unwrap_or(value.len())),
    };
    *text = rest;
    Ok(Some(Pair { key: key.to_owned(), value: value.to_owned() }))
}

/// The pattern of an `Include` line, if it is one.
pub fn include(text: &str) -> Option<&str> {
    let text = text.trim();
    let word = text.get(..7).filter(|word| word.eq_ignore_ascii_case("include"))?;
    let rest = &text[word.len()..];
    rest.starts_with([' ', '\t']).then(|| rest.trim()).filter(|name| !name.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(usize, String)> {
        lines(text).into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn comments_go_continuations_join_and_lines_keep_their_number() {
        let text = "# a\n\nA=1 # b\nB=\\\n  2\\\r\n\nC=x\\#y#z\nD=3\\";
        let found = all(text);
        let wanted = [(3, "A=1 "), (4, "B=  2"), (7, "C=x#y"), (8, "D=3")];
        assert_eq!(found, wanted.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn pairs_are_taken_one_by_one() {
        let mut text = " NodeName = n[1-2]  Reason=\"a b\" CPUs+=2";
        let mut found = Vec::new();
        while let Some(pair) = take_pair(&mut text).unwrap() {
            found.push((pair.key, pair.value));
        }
        let wanted = [("NodeName", "n[1-2]"), ("Reason", "a b"), ("CPUs", "2")];
        assert_eq!(found, wanted.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for bad in ["garbage here", "=3", "A=", "A", "A==", "é=1"] {
            let taken = take_pair(&mut { bad });
            assert!(taken.is_err() || bad == "A==", "{bad}: {taken:?}");
        }
        assert!(matches!(take_pair(&mut "A=\"b"), Err(Problem::Quote(_))));
    }

    #[test]
    fn an_include_is_told_from_a_key() {
        assert_eq!(include("  iNclude\tnodes.conf "), Some("nodes.conf"));
        for none in ["Includefoo", "Include=3", "Include = 3", "Includé x", "Inc"] {
            assert_eq!(include(none), None, "{none}");
        }
    }
}
