//! Options as GNU getopt_long reads them, which is what users of Slurm type: options may stand
//! anywhere (unless the short ones begin with `+`), long ones may be abbreviated, `--` ends them.
//! What it says of a mistake is glibc's, too.

use std::collections::VecDeque;

/// Whether an option has an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// It has none.
    Nothing,
    /// It has one.
    Value,
    /// It may have one: in the same word.
    Maybe,
}

/// A long option, and what it is reported as: its short one, or any other character.
pub type Long = (&'static str, Takes, char);

/// Reads words.
pub struct Getopt<'a> {
    zero: &'a str,
    shorts: &'a str,
    longs: &'a [Long],
    words: VecDeque<String>,
    /// What is left of a word of short options.
    cluster: String,
    rest: Vec<String>,
}

/// An option and its argument.
pub type Found = (char, Option<String>);

impl<'a> Getopt<'a> {
    /// Reads `words`; `zero` is what the program is called in complaints.
    pub fn new(
        zero: &'a str,
        shorts: &'a str,
        longs: &'a [Long],
        words: impl IntoIterator<Item = String>,
    ) -> Getopt<'a> {
        let words = words.into_iter().collect();
        Getopt { zero, shorts, longs, words, cluster: String::new(), rest: Vec::new() }
    }

    /// The words that are no options. To be asked at the end.
    pub fn rest(self) -> Vec<String> {
        self.rest
    }

    fn short(&mut self) -> Result<Found, String> {
        let letter = self.cluster.remove(0);
        let takes =
            self.shorts.trim_start_matches('+').split_once(letter).map(|(_, after)| {
                match (after.starts_with("::"), after.starts_with(':')) {
                    (true, _) => Takes::Maybe,
                    (_, true) => Takes::Value,
                    _ => Takes::Nothing,
                }
            });
        match takes.filter(|_| letter != ':') {
            None => Err(format!("{}: invalid option -- '{letter}'", self.zero)),
            Some(Takes::Nothing) => Ok((letter, None)),
            Some(_) if !self.cluster.is_empty() => {
                Ok((letter, Some(std::mem::take(&mut self.cluster))))
            }
            Some(Takes::Maybe) => Ok((letter, None)),
            Some(Takes::Value) => match self.words.pop_front() {
                Some(value) => Ok((letter, Some(value))),
                None => Err(format!("{}: option requires an argument -- '{letter}'", self.zero)),
            },
        }
    }

    fn long(&mut self, word: &str) -> Result<Found, String> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let zero = self.zero;
        let option = self.known(name, word)?;
        match (option.1, value) {
            (Takes::Nothing, Some(_)) => {
                Err(format!("{zero}: option '--{}' doesn't allow an argument", option.0))
            }
            (Takes::Value, None) => match self.words.pop_front() {
                Some(value) => Ok((option.2, Some(value))),
                None => Err(format!("{zero}: option '--{}' requires an argument", option.0)),
            },
            (_, value) => Ok((option.2, value)),
        }
    }

    fn known(&self, name: &str, word: &str) -> Result<Long, String> {
        if let Some(exact) = self.longs.iter().find(|(long, ..)| *long == name) {
            return Ok(*exact);
        }
        let near: Vec<&Long> =
            self.longs.iter().filter(|(long, ..)| long.starts_with(name)).collect();
        match near.as_slice() {
            [] => Err(format!("{}: unrecognized option '--{word}'", self.zero)),
            [first, others @ ..] if others.iter().all(|o| (o.1, o.2) == (first.1, first.2)) => {
                Ok(**first)
            }
            several => {
                let names: String =
                    several.iter().map(|(long, ..)| format!(" '--{long}'")).collect();
                let zero = self.zero;
                Err(format!("{zero}: option '--{word}' is ambiguous; possibilities:{names}"))
            }
        }
    }
}

impl Iterator for Getopt<'_> {
    type Item = Result<Found, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.cluster.is_empty() {
            return Some(self.short());
        }
        while let Some(word) = self.words.pop_front() {
            if word == "--" {
                self.rest.extend(self.words.drain(..));
            } else if let Some(long) = word.strip_prefix("--") {
                return Some(self.long(long));
            } else if word.starts_with('-') && word.len() > 1 {
                self.cluster = word[1..].to_owned();
                return Some(self.short());
            } else {
                self.rest.push(word);
                if self.shorts.starts_with('+') {
                    self.rest.extend(self.words.drain(..));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGS: &[Long] = &[
        ("all", Takes::Nothing, 'a'),
        ("node", Takes::Value, 'w'),
        ("nodes", Takes::Value, 'w'),
        ("noheader", Takes::Nothing, 'h'),
        ("maybe", Takes::Maybe, 'm'),
    ];

    fn read(shorts: &str, line: &str) -> (Vec<String>, Vec<String>) {
        let words = line.split_whitespace().map(str::to_owned);
        let mut reader = Getopt::new("x", shorts, LONGS, words);
        let found = reader
            .by_ref()
            .map(|found| match found {
                Ok((option, None)) => option.to_string(),
                Ok((option, Some(value))) => format!("{option}={value}"),
                Err(why) => why,
            })
            .collect();
        (found, reader.rest())
    }

    #[test]
    fn options_are_read_as_glibc_reads_them() {
        let (found, rest) = read("ahw:m::", "one -ahw n1 --nod=n2 --al two -mx -m -- -a");
        assert_eq!(found, ["a", "h", "w=n1", "w=n2", "a", "m=x", "m"]);
        assert_eq!(rest, ["one", "two", "-a"]);
        let (found, rest) = read("+a", "-a one -a");
        assert_eq!((found, rest), (vec!["a".to_owned()], vec!["one".to_owned(), "-a".to_owned()]));
    }

    #[test]
    fn mistakes_are_told_in_glibcs_words() {
        let said = |line: &str| read("aw:", line).0.remove(0);
        assert_eq!(said("--nonsense=3"), "x: unrecognized option '--nonsense=3'");
        assert_eq!(
            said("--no"),
            "x: option '--no' is ambiguous; possibilities: '--node' '--nodes' '--noheader'"
        );
        assert_eq!(said("--all=1"), "x: option '--all' doesn't allow an argument");
        assert_eq!(said("--node"), "x: option '--node' requires an argument");
        assert_eq!(said("-z"), "x: invalid option -- 'z'");
        assert_eq!(said("-w"), "x: option requires an argument -- 'w'");
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(line in "(-|--|a|w|m|no|node|=|:| |é)*") {
            read("ahw:m::", &line);
        }
    }
}
