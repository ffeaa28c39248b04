//! Which backup is meant: by its id, its tag, or because it holds a point in time.
//!
//! Invariant: nothing newer is passed over in silence: where the newest backup is damaged, that is
//! the answer.

use crate::export::ExportError;
use crate::export::manifest::Manifest;
use crate::export::opened::{covers, range_of};
use crate::export::repository::Listed;
use crate::store::At;

/// The backup called `which` (an id, a tag, or `latest`), or, where nothing is said, the newest one
/// that holds `at`.
///
/// # Errors
/// [`ExportError::NotFound`], [`ExportError::OutOfRange`]; what is wrong with the one meant.
pub fn choose(
    backups: Vec<Listed>,
    which: Option<&str>,
    at: Option<At>,
) -> Result<Manifest, ExportError> {
    let name = which.unwrap_or("latest").to_owned();
    let missing = ExportError::NotFound(name.clone());
    match (which, at) {
        (None, Some(at)) => holding(backups, at),
        (None | Some("latest"), _) => backups.into_iter().next_back().ok_or(missing)?.manifest,
        (Some(name), _) => {
            let called = |listed: &Listed| {
                let tag = listed.manifest.as_ref().ok().and_then(|m| m.tag.as_deref());
                listed.id.as_str() == name || tag == Some(name)
            };
            backups.into_iter().rfind(called).ok_or(missing)?.manifest
        }
    }
}

fn holding(backups: Vec<Listed>, at: At) -> Result<Manifest, ExportError> {
    let mut sound: Vec<Manifest> =
        backups.into_iter().filter_map(|listed| listed.manifest.ok()).collect();
    if let Some(place) = sound.iter().rposition(|manifest| covers(manifest, at)) {
        return Ok(sound.swap_remove(place));
    }
    let oldest = sound.iter().map(|manifest| range_of(manifest).0).min();
    let newest = sound.iter().map(|manifest| range_of(manifest).1).max();
    let (oldest, newest) =
        oldest.zip(newest).ok_or_else(|| ExportError::NotFound("latest".to_owned()))?;
    Err(ExportError::OutOfRange { oldest, newest })
}
