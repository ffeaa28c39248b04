//! Makes a store that one host writes one that several hosts may, and back.
//!
//! Invariants: the register is made first, and the control file says last that the directory is
//! shared, in both slots: before that it is not, and the register counts for nothing. While either
//! is done nobody has the store open.

use crate::base::{Epoch, Id};
use crate::disk::Disk;
use crate::store::control::ControlFile;
use crate::store::create::check_mode;
use crate::store::decision::Whose;
use crate::store::error::OpenError;
use crate::store::open::{lock_directory, sync_found};
use crate::store::reader::is_shared;
use crate::store::recovery::{Target, Writer, recover};
use std::io;

/// Makes the store in `disk` a shared one. `make` makes the register, for this cluster, with a
/// first epoch that has written here or is written by nobody; claims go on from it. Nothing happens
/// where it is shared already.
///
/// # Errors
/// [`OpenError::Locked`] while somebody has it open; [`OpenError::SharedCopy`] for a copy that
/// has not been opened yet, so that it has no history of its own; what `make` returns; others.
pub fn share_on(
    disk: &dyn Disk,
    make: &mut dyn FnMut(Id, Epoch) -> io::Result<()>,
) -> Result<(), OpenError> {
    check_mode(disk)?;
    if is_shared(disk) {
        return Ok(());
    }
    let _lock = lock_directory(disk)?;
    let recovered = recover(disk, Target::End, Writer::Opens)?;
    if recovered.whose != Whose::Original {
        return Err(OpenError::SharedCopy);
    }
    sync_found(disk, &recovered)?;
    let epoch = recovered.directory.greatest_epoch();
    make(recovered.control.cluster, epoch).map_err(OpenError::io("register"))?;
    let control = ControlFile::open(disk, recovered.control);
    let mut control = control.map_err(OpenError::io("control file"))?;
    for _ in 0..2 {
        // In both slots: one that is damaged later must not make it a local one again.
        let shared = control.update(|control| control.shared = true);
        shared.map_err(OpenError::io("control file"))?;
    }
    Ok(())
}
