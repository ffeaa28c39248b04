//! The epoch of the controller that commands, in launches and terminates of ours: an entry of
//! `spank_job_env`, which every agent takes, and only ours looks at.
//!
//! Invariant: an entry of that name is the controller's own. What a submission brought under it is
//! left out, or a user could make agents believe in an epoch that no controller has.

use crate::slurm::wire::Text;

const NAME: &[u8] = b"STATEDIR_EPOCH=";

fn is_epoch(entry: &Text) -> bool {
    entry.bytes().starts_with(NAME)
}

/// The variables that a submission brought, with the controller's epoch before them.
#[must_use]
pub fn with(epoch: u64, brought: Vec<Text>) -> Vec<Text> {
    let own = Text::from_bytes(&[NAME, epoch.to_string().as_bytes()].concat());
    let others = brought.into_iter().filter(|entry| !is_epoch(entry));
    std::iter::once(own).chain(others).collect()
}

/// The epoch that is named; `None`: none is, or not as a number.
#[must_use]
pub fn named(variables: &[Text]) -> Option<u64> {
    let entry = variables.iter().find(|entry| is_epoch(entry))?;
    std::str::from_utf8(&entry.bytes()[NAME.len()..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_epoch_counts_and_not_what_a_user_brought() {
        let brought = vec![Text::from("A=1"), "STATEDIR_EPOCH=999".into(), Text::NONE];
        assert_eq!(named(&brought), Some(999), "under another make of controller");
        let sent = with(7, brought);
        assert_eq!(sent, [Text::from("STATEDIR_EPOCH=7"), "A=1".into(), Text::NONE]);
        assert_eq!(named(&sent), Some(7));
        for none in [vec![], vec!["A=1".into()], vec!["STATEDIR_EPOCH=x".into()]] {
            assert_eq!(named(&none), None, "{none:?}");
        }
    }
}
