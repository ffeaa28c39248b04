//! Makes a store that begins with a given state: what a restore does.
//!
//! Invariants: the store has an incarnation of its own; the control file comes last, so that what
//! was cut short is no store.

use crate::base::limits::SEGMENT_MIN;
use crate::base::{Chain, Epoch, Id, Nanos, SegmentId};
use crate::disk::{Disk, Site};
use crate::format::SegmentHeader;
use crate::format::segment::FIRST_GROUP;
use crate::log::prepare;
use crate::snapshot::{Builder, Plan, SnapshotError};
use crate::store::control::{ControlFile, random_id};
use crate::store::create::check_mode;
use crate::store::directory::Directory;
use crate::store::error::{OpenError, ReadError};
use crate::store::state::View;
use std::sync::Arc;

/// What a store begins as, besides its state.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The cluster that the state belongs to.
    pub cluster: Id,
    /// An epoch above every one that has written this state anywhere.
    pub epoch: Epoch,
    /// The chain at the state's LSN.
    pub chain: Chain,
    /// Now.
    pub made: Nanos,
}

/// Makes the directory a store that holds `view`. Whatever is there besides must not be a store's
/// file. Returns the new incarnation, when all of it survives a power cut.
///
/// # Errors
/// [`OpenError::NotEmpty`], and others. What was made is no store, and stays: remove it.
pub fn begin_on(
    disk: &Arc<dyn Disk>,
    view: &View,
    beginning: &Beginning,
    progress: &mut dyn FnMut(u64),
) -> Result<Id, ReadError> {
    check_mode(disk.as_ref())?;
    let directory = Directory::read(disk.as_ref())?;
    if directory.control.is_some() || directory.has_data() {
        return Err(OpenError::NotEmpty("a store".to_owned()).into());
    }
    disk.sync_parent(Site::DirectoryName)?;
    let incarnation = random_id()?;
    let id = SegmentId { epoch: beginning.epoch, ordinal: 1 };
    segment(disk.as_ref(), beginning, incarnation, id)?;
    let plan = Plan {
        cluster: beginning.cluster,
        incarnation,
        epoch: beginning.epoch,
        lsn: view.lsn(),
        chain: beginning.chain,
        time: view.time(),
        made: beginning.made,
        resume: id,
        resume_offset: FIRST_GROUP,
    };
    let mut builder = Builder::create(Arc::clone(disk), plan)?;
    view.for_each(|table, key, value| {
        builder.push(table, key, value)?;
        progress(builder.written());
        Ok::<(), SnapshotError>(())
    })?;
    // Read back and compared before the control file makes it a store.
    builder.finish()?.publish()?.flush()?;
    let (cluster, epoch) = (beginning.cluster, beginning.epoch);
    ControlFile::create_at(disk.as_ref(), cluster, incarnation, epoch, view.lsn())?;
    Ok(incarnation)
}

/// The segment in which the log goes on: empty.
fn segment(
    disk: &dyn Disk,
    beginning: &Beginning,
    incarnation: Id,
    id: SegmentId,
) -> Result<(), ReadError> {
    let random = random_id()?.0;
    let nonce = u64::from_le_bytes(random[..8].try_into().expect("eight of sixteen bytes"));
    let header = SegmentHeader {
        cluster: beginning.cluster,
        incarnation,
        id,
        nonce,
        created: beginning.made,
        prewritten: 0,
    };
    prepare(disk, &header, SEGMENT_MIN, false, &mut |_| {})?;
    Ok(())
}
