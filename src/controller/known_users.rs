//! Who asks, as the system knows him: asked once for some seconds, because the system may have to
//! ask a directory service. It may wait: not for threads that serve others.
//!
//! Invariants: an answer is older than [`FRESH`] never; an error is not kept.

use crate::controller::users;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(10);
/// Users that are kept; past this, all are forgotten.
const USERS_MAX: usize = 4096;

/// Name and groups of a user.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The user's name; empty: there is none.
    pub name: String,
    /// Names of the user's groups.
    pub groups: Vec<String>,
}

/// When somebody was looked up, and what was found.
type Seen = (Instant, Arc<Known>);

/// Users that were asked for.
#[derive(Debug, Default)]
pub struct KnownUsers {
    by_id: Mutex<HashMap<(u32, u32), Seen>>,
}

impl KnownUsers {
    /// A user who was asked for within the last seconds.
    pub fn remembered(&self, uid: u32, gid: u32) -> Option<Arc<Known>> {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, known) = by_id.get(&(uid, gid))?;
        (since.elapsed() < FRESH).then(|| Arc::clone(known))
    }

    /// Asks the system.
    pub fn ask(&self, uid: u32, gid: u32) -> Arc<Known> {
        match look_up(uid, gid) {
            Ok(known) => {
                let known = Arc::new(known);
                let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
                if by_id.len() >= USERS_MAX {
                    by_id.clear();
                }
                by_id.insert((uid, gid), (Instant::now(), Arc::clone(&known)));
                known
            }
            Err(error) => {
                tracing::error!("who uid {uid} is cannot be found out: {error}");
                Arc::default()
            }
        }
    }
}

fn look_up(uid: u32, gid: u32) -> io::Result<Known> {
    let Some(account) = users::account(uid)? else { return Ok(Known::default()) };
    let groups = users::groups(&account.name, gid)?;
    let groups = groups.into_iter().map(|(_, name)| name).collect();
    Ok(Known { name: account.name, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_remembered_under_both_ids() {
        let users = KnownUsers::default();
        assert_eq!(users.remembered(0, 0), None);
        assert_eq!(users.ask(0, 0).name, "root");
        assert_eq!(users.remembered(0, 0).unwrap().groups[0], "root");
        assert_eq!(users.remembered(0, 1), None);
        assert_eq!(*users.ask(3_999_999_999, 0), Known::default(), "nobody has no name");
        users.by_id.lock().unwrap().get_mut(&(0, 0)).unwrap().0 -= FRESH;
        assert_eq!(users.remembered(0, 0), None, "for some seconds");
    }
}
