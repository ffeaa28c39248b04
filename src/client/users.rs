//! Users and groups by id and by name, as the system knows them. Each is asked for once.

use crate::client::text;
use nix::unistd::{Gid, Group, Uid, User};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static NAMES: RefCell<HashMap<u32, Option<String>>> = RefCell::default();
}

/// The name of a user.
pub fn known(uid: u32) -> Option<String> {
    NAMES.with_borrow_mut(|names| {
        let find = || User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let latin = |name: String| text::from_bytes(name.as_bytes());
        names.entry(uid).or_insert_with(|| find().map(|user| latin(user.name))).clone()
    })
}

/// The name of a user; his number, if nobody has it.
pub fn name(uid: u32) -> String {
    known(uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group; its number, if nobody has it.
pub fn group(gid: u32) -> String {
    let found = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    found.map_or_else(|| gid.to_string(), |group| text::from_bytes(group.name.as_bytes()))
}

/// The user of that name, or number.
pub fn uid(name: &str) -> Option<u32> {
    if let Ok(Some(user)) = User::from_name(&String::from_utf8_lossy(&text::to_bytes(name))) {
        return Some(user.uid.as_raw());
    }
    let uid = name.parse().ok()?;
    known(uid).map(|_| uid)
}

/// The group of that name, or number.
pub fn gid(name: &str) -> Option<u32> {
    if let Ok(Some(group)) = Group::from_name(&String::from_utf8_lossy(&text::to_bytes(name))) {
        return Some(group.gid.as_raw());
    }
    name.parse().ok()
}
