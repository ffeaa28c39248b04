//! `--constraint`: `a&b`, `a|b`, `(a|b)&c`, `a*2&b*3`, `[a|b]`, read from left to right as Slurm
//! does.
//!
//! Invariants: any text is a constraint or an error; its size is bounded by that of the text.

/// How a feature is joined to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// Both.
    And,
    /// One of them.
    Or,
    /// All nodes have the same one of them: in brackets.
    Same,
    /// Some nodes have this one, others that: in brackets, with counts.
    Each,
    /// It is the last.
    End,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// How many nodes must have it; 0: all.
    pub count: u32,
    /// Whether it is in parentheses.
    pub inner: bool,
    /// How it is joined to the next.
    pub joint: Joint,
}

/// Features that nodes must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraint {
    /// They, in order.
    pub features: Vec<Feature>,
}

/// Text that is no constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Constraint {
    /// Reads a constraint. A comma is an `&`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str) -> Result<Constraint, Malformed> {
        let (mut features, mut sets) = (Vec::new(), 0);
        let (mut bracket, mut inner) = (false, false);
        let mut rest = text;
        loop {
            let opens = |rest: &str, sign| rest.starts_with(sign);
            if opens(rest, '[') && !bracket && sets == 0 {
                (bracket, sets, rest) = (true, 1, &rest[1..]);
            }
            if opens(rest, '(') && !inner {
                (inner, rest) = (true, &rest[1..]);
            }
            let end = rest.find(['&', '|', ',', '*', '[', ']', '(', ')']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return Err(Malformed);
            }
            let (count, after) = count(after, inner)?;
            rest = after;
            let in_parentheses = inner;
            let mut closed = false;
            if opens(rest, ')') && inner {
                (inner, rest) = (false, &rest[1..]);
            }
            if opens(rest, ']') && bracket {
                (bracket, closed, rest) = (false, true, &rest[1..]);
            }
            let set = bracket && !in_parentheses && !closed;
            let joint = match rest.as_bytes().first() {
                None => Joint::End,
                Some(b'&' | b',') if set => Joint::Each,
                Some(b'&' | b',') => Joint::And,
                Some(b'|') if set => Joint::Same,
                Some(b'|') => Joint::Or,
                Some(_) => return Err(Malformed),
            };
            let feature = Feature { name: name.to_owned(), count, inner: in_parentheses, joint };
            features.push(feature);
            if joint == Joint::End {
                break;
            }
            rest = &rest[1..];
        }
        let uncounted = |feature: &Feature| match feature.joint {
            Joint::Each => feature.count == 0,
            Joint::Same => feature.count != 0,
            _ => false,
        };
        if bracket || inner || features.iter().any(uncounted) {
            return Err(Malformed);
        }
        Ok(Constraint { features })
    }

    /// Whether a node may be used that has these features, separated by commas. Where counts are
    /// given each node may, and it is the numbers that matter.
    #[must_use]
    pub fn may_use(&self, features: Option<&str>) -> bool {
        let has = |name: &str| features.is_some_and(|all| all.split(',').any(|of| of == name));
        if self.features.iter().any(|feature| feature.count > 0) {
            return true;
        }
        let (mut all, mut part) = (true, true);
        let (mut joint, mut outer) = (Joint::And, Joint::And);
        let mut was_inner = false;
        let join = |joint, left: bool, right: bool| match joint {
            Joint::And => left && right,
            _ => left || right,
        };
        let alternatives = self.features.iter().any(|feature| feature.joint == Joint::Same);
        for feature in &self.features {
            let own = has(&feature.name);
            // Which of the alternatives it is to be is chosen with the nodes.
            let open = alternatives && (feature.joint == Joint::Same || joint == Joint::Same);
            match (was_inner, feature.inner) {
                (false, true) => (outer, part) = (joint, own),
                (true, true) => part = join(joint, part, own),
                (_, false) if open => {}
                (_, false) => all = join(joint, all, own),
            }
            let closes = feature.inner && joint_closes(&self.features, feature);
            if closes {
                all = join(outer, all, part);
            }
            (joint, was_inner) = (feature.joint, feature.inner && !closes);
        }
        all
    }
}

/// Whether it is the last one in its parentheses.
fn joint_closes(all: &[Feature], feature: &Feature) -> bool {
    let at = all.iter().position(|other| std::ptr::eq(other, feature)).expect("it is one of them");
    all.get(at + 1).is_none_or(|next| !next.inner)
}

/// `*3` behind a name; 0 where there is none.
fn count(text: &str, inner: bool) -> Result<(u32, &str), Malformed> {
    let Some(text) = text.strip_prefix('*') else { return Ok((0, text)) };
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    match text[..len].parse() {
        Ok(count @ 1..) if !inner => Ok((count, &text[len..])),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn may(text: &str, features: &str) -> bool {
        Constraint::parse(text).unwrap().may_use(Some(features))
    }

    #[test]
    fn constraints_are_read_from_left_to_right() {
        for (text, features, wanted) in [
            ("a", "a,b", true),
            ("a", "b", false),
            ("a&b", "a", false),
            ("a,b", "a,b", true),
            ("a|b", "b", true),
            ("a|b&c", "a", false),
            ("(a|b)&c", "b,c", true),
            ("(a|b)&c", "b", false),
            ("c&(a|b)", "c,a", true),
            ("c&(a|b)", "c", false),
            ("[a|b]", "b", true),
            ("[a|b]&c", "c", true),
            ("a*2&b*1", "z", true),
        ] {
            assert_eq!(may(text, features), wanted, "{text} on {features}");
        }
        assert!(!Constraint::parse("a").unwrap().may_use(None));
        for bad in [
            "",
            "&a",
            "a&",
            "a||b",
            "(a",
            "a)",
            "[a",
            "a]",
            "a*0",
            "a*",
            "a*x",
            "(a*2)",
            "[a&b]",
            "[a*1|b*2]",
            "[a|b]&[c|d]",
            "((a))",
            "a(b)",
        ] {
            assert_eq!(Constraint::parse(bad), Err(Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_constraint_or_an_error(text in "[ab&|,*2()\\[\\]]{0,14}|\\PC{0,9}") {
            if let Ok(found) = Constraint::parse(&text) {
                let _ = found.may_use(Some("a,b"));
                prop_assert!(found.features.iter().all(|feature| text.contains(&feature.name)));
            }
        }
    }
}
