//! Checks backups: every byte against its digest, and that what is in them makes a history.
//!
//! Invariant: nothing is passed in silence; each trouble says what can still be restored.

use crate::base::Lsn;
use crate::export::ExportError;
use crate::export::id::BackupId;
use crate::export::manifest::Manifest;
use crate::export::opened::{Opened, whole};
use crate::export::repository::{FileKind, Repository};
use std::collections::BTreeMap;

/// Something that is wrong.
#[derive(Debug)]
pub struct Trouble {
    /// With which backup.
    pub backup: BackupId,
    /// What it is.
    pub error: ExportError,
    /// Up to where the backup can be restored all the same, if at all.
    pub survives: Option<Lsn>,
}

/// What was checked, and found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Backups looked at.
    pub backups: u64,
    /// Those that are sound.
    pub sound: u64,
    /// Files looked at, each once.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub troubles: Vec<Trouble>,
    /// Files that no backup names.
    pub leftovers: Vec<String>,
}

/// Checks every backup.
///
/// # Errors
/// Those of the file system; what is damaged is no error here.
pub fn verify_repository(
    repository: &Repository,
    progress: &mut dyn FnMut(u64),
) -> Result<Checked, ExportError> {
    let mut checked = Checked { leftovers: repository.leftovers()?, ..Checked::default() };
    let mut known = Known::new();
    for listed in repository.list()? {
        match listed.manifest {
            Ok(manifest) => check(repository, &manifest, &mut known, &mut checked, progress)?,
            Err(error) => {
                checked.backups += 1;
                checked.troubles.push(Trouble { backup: listed.id, error, survives: None });
            }
        }
    }
    Ok(checked)
}

/// Checks one backup.
///
/// # Errors
/// As [`verify_repository`].
pub fn verify_backup(
    repository: &Repository,
    manifest: &Manifest,
    progress: &mut dyn FnMut(u64),
) -> Result<Checked, ExportError> {
    let mut checked = Checked::default();
    check(repository, manifest, &mut Known::new(), &mut checked, progress)?;
    Ok(checked)
}

/// Files that were looked at: what their manifest said, and whether they are so.
type Known = BTreeMap<(String, u64, [u8; 32]), Result<(), String>>;

fn check(
    repository: &Repository,
    manifest: &Manifest,
    known: &mut Known,
    checked: &mut Checked,
    progress: &mut dyn FnMut(u64),
) -> Result<(), ExportError> {
    checked.backups += 1;
    let troubles = checked.troubles.len();
    let mut survives = Some(manifest.from.0);
    for (name, bytes, digest) in manifest.files() {
        let key = (name.to_owned(), bytes, *digest.as_bytes());
        if !known.contains_key(&key) {
            checked.files += 1;
            checked.bytes += bytes;
            let outcome = match whole(repository.disk().as_ref(), name, bytes, digest) {
                Ok(_) => Ok(()),
                Err(ExportError::Damaged { what, .. }) => Err(what),
                Err(error) => return Err(error),
            };
            progress(bytes);
            known.insert(key.clone(), outcome);
        }
        let base = FileKind::parse(name).is_some_and(|(kind, _)| kind == FileKind::Base);
        match &known[&key] {
            Err(what) => {
                let error = ExportError::damaged(name, what);
                if base {
                    survives = None;
                }
                let backup = manifest.id.clone();
                checked.troubles.push(Trouble { backup, error, survives });
            }
            // Behind damage nothing is of use.
            Ok(()) if checked.troubles.len() > troubles => {}
            Ok(()) => {
                let part = manifest.parts.iter().find(|part| part.file == name);
                survives = part.map_or(survives, |part| Some(part.lsn));
            }
        }
    }
    if checked.troubles.len() == troubles {
        let opened = Opened::open(repository.disk().as_ref(), manifest.clone(), &mut |_| {});
        if let Err(error) = opened.and_then(|opened| opened.reach(None)) {
            if !error.is_damage() {
                return Err(error);
            }
            let backup = manifest.id.clone();
            checked.troubles.push(Trouble { backup, error, survives: None });
        } else {
            checked.sound += 1;
        }
    }
    Ok(())
}
