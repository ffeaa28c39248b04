//! `--constraint`: names of features with `&`, `|` and parentheses, read from left to right without
//! precedence, as Slurm does. Counts (`a*2`), sets in brackets and `!` are not read: `None`.

/// What a node must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// This one.
    Name(String),
    /// Both.
    And(Box<Features>, Box<Features>),
    /// One of them.
    Or(Box<Features>, Box<Features>),
}

/// How deep parentheses may be.
const DEPTH_MAX: u32 = 16;
/// How many features one expression may name.
const NAMES_MAX: u32 = 64;

impl Features {
    /// Reads an expression. `None`: it is none, or none that is supported.
    #[must_use]
    pub fn parse(text: &str) -> Option<Features> {
        let (mut rest, mut names) = (text, 0);
        let found = many(&mut rest, &mut names, 0)?;
        rest.is_empty().then_some(found)
    }

    /// Whether a node with these features will do.
    #[must_use]
    pub fn are_met_by(&self, features: &[String]) -> bool {
        match self {
            Features::Name(name) => features.contains(name),
            Features::And(a, b) => a.are_met_by(features) && b.are_met_by(features),
            Features::Or(a, b) => a.are_met_by(features) || b.are_met_by(features),
        }
    }
}

fn many(rest: &mut &str, names: &mut u32, depth: u32) -> Option<Features> {
    let mut left = one(rest, names, depth)?;
    loop {
        *rest = rest.trim_start();
        let op = match rest.chars().next() {
            Some(op @ ('&' | ',' | '|')) => op,
            _ => return Some(left),
        };
        *rest = &rest[1..];
        let right = Box::new(one(rest, names, depth)?);
        left = match op {
            '|' => Features::Or(Box::new(left), right),
            _ => Features::And(Box::new(left), right),
        };
    }
}

fn one(rest: &mut &str, names: &mut u32, depth: u32) -> Option<Features> {
    *rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('(') {
        if depth == DEPTH_MAX {
            return None;
        }
        *rest = inner;
        let found = many(rest, names, depth + 1)?;
        *rest = rest.strip_prefix(')')?;
        return Some(found);
    }
    let end = rest.find(['&', '|', ',', '(', ')', '[', ']', '*', '!', ' ']).unwrap_or(rest.len());
    let (name, left) = rest.split_at(end);
    *rest = left;
    *names += 1;
    (!name.is_empty() && *names <= NAMES_MAX).then(|| Features::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn met(text: &str, features: &str) -> Option<bool> {
        let features: Vec<String> = features.split(',').map(str::to_owned).collect();
        Features::parse(text).map(|wanted| wanted.are_met_by(&features))
    }

    #[test]
    fn expressions_are_read_from_left_to_right() {
        for (text, features, wanted) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a&b", "a,b", true),
            ("a&b", "a", false),
            ("a|b", "b", true),
            ("a|b&c", "a", false),
            ("a|(b&c)", "a", true),
            ("(a|b)&(c|d)", "b,d", true),
            ("a & b", "b,a", true),
        ] {
            assert_eq!(met(text, features), Some(wanted), "{text} of {features}");
        }
        for text in ["", "a&", "&a", "a*2", "[a|b]", "!a", "(a", "a)", "a b", "()"] {
            assert_eq!(Features::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_none(text in "[ab&|()*!\\[\\] é]{0,40}") {
            let _ = Features::parse(&text);
        }
    }
}
