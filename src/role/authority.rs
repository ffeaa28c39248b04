//! The [`Authority`] of a shared directory's primary: the register, asked once for each group
//! between its flush and its acknowledgement.
//!
//! Invariants: a question that is answered yes saw no claim of a later epoch, so every such claim,
//! and the reading that follows it, comes after what was flushed before the question. An answer no,
//! and one that cannot be had, is no for ever.

use crate::base::{Authority, Epoch, Fenced, Point};
use crate::disk::{AlignedBuf, Disk, File};
use crate::format::register::{BLOCK_LEN, END_AT};
use crate::format::{End, FileName, FormatError, Reign};
use crate::role::rules::{self, Standing};
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

/// How a primary looks whether its reign has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Whether the next epoch's record has its name: one look at the directory. Holds where every
    /// host sees a new name at once: one kernel, or a cluster file system.
    Name,
    /// Whether its own record says so, read past every cache. Holds where the server orders that
    /// with the claimer's write: NFS, and others that cache names.
    Mark,
}

impl Check {
    /// The cheapest one that holds on this kind of mount, as far as its kind tells; a network mount
    /// is to be probed.
    #[must_use]
    pub fn for_disk(disk: &dyn Disk) -> Check {
        // A mount that may not be mapped is one that others change behind the cache's back.
        if disk.mapping_helps() { Check::Name } else { Check::Mark }
    }
}

/// The leave to write that a claim gives.
pub struct Reigning {
    disk: Arc<dyn Disk>,
    reign: Reign,
    own: Arc<dyn File>,
    check: Check,
    own_name: String,
    next_name: String,
    ended: OnceLock<Fenced>,
}

impl Reigning {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        reign: Reign,
        own: Arc<dyn File>,
        check: Check,
    ) -> Reigning {
        let own_name = FileName::Reign(reign.epoch).to_string();
        let next_name = FileName::Reign(reign.epoch.next()).to_string();
        Reigning { disk, reign, own, check, own_name, next_name, ended: OnceLock::new() }
    }

    /// The record of this reign.
    #[must_use]
    pub fn reign(&self) -> &Reign {
        &self.reign
    }

    /// The directory.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Whether the reign goes on, looked at now. To be asked before every effect that others see:
    /// a message to an agent, a program that is run.
    ///
    /// # Errors
    /// [`Fenced`], from then on for ever.
    pub fn still(&self) -> Result<(), Fenced> {
        if let Some(fenced) = self.ended.get() {
            return Err(fenced.clone());
        }
        let verdict = match self.standing() {
            Ok(standing) => rules::verdict(self.reign.epoch, &standing),
            Err(error) => Err(rules::doubt(self.reign.epoch, &error.to_string())),
        };
        verdict.map_err(|fenced| self.ended.get_or_init(|| fenced).clone())
    }

    /// Why the reign has ended, if that was noticed.
    #[must_use]
    pub fn ended(&self) -> Option<&Fenced> {
        self.ended.get()
    }

    fn standing(&self) -> io::Result<Standing> {
        let mut standing = Standing::default();
        match self.check {
            Check::Name => {
                standing.successor = self.successor()?;
                standing.gone = !self.disk.exists(&self.own_name)?;
            }
            Check::Mark => {
                let mut block = AlignedBuf::zeroed(BLOCK_LEN);
                if !self.own.read_around(&mut block, END_AT)? {
                    return Err(io::Error::other("the cache of this mount cannot be gone around"));
                }
                match End::decode(&block) {
                    Ok(end) => standing.end = Some(end),
                    Err(FormatError::Blank) => {}
                    // Half a mark is one, too.
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        }
        Ok(standing)
    }

    fn successor(&self) -> io::Result<Option<Option<String>>> {
        if !self.disk.exists(&self.next_name)? {
            return Ok(None);
        }
        let mut block = vec![0; BLOCK_LEN];
        let read = self.disk.open(&self.next_name, crate::disk::Access::Read);
        let read = read.and_then(|file| file.read_at(&mut block, 0));
        let primary = read.ok().and_then(|_| Reign::decode(&block).ok()?.primary);
        Ok(Some(primary))
    }
}

impl Authority for Reigning {
    fn epoch(&self) -> Option<Epoch> {
        Some(self.reign.epoch)
    }

    fn shared(&self) -> bool {
        true
    }

    fn may_wait(&self) -> bool {
        self.check == Check::Mark
    }

    fn confirm(&self, epoch: Epoch, _point: Point) -> Result<(), Fenced> {
        assert_eq!(epoch, self.reign.epoch, "one reign, one writer");
        self.still()
    }
}

impl fmt::Debug for Reigning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reigning").field("epoch", &self.reign.epoch).finish_non_exhaustive()
    }
}
