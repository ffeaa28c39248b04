//! What a file system is good at, by its magic number (statfs(2), linux/magic.h).
//!
//! Invariant: what is not known to be safe is not done: an unknown file system is neither
//! prewritten nor mapped.

use crate::disk::whole::uninterrupted;
use std::io;
use std::os::fd::BorrowedFd;

const EXT: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const F2FS: u64 = 0xf2f5_2010;
const BTRFS: u64 = 0x9123_683e;
const BCACHEFS: u64 = 0xca45_1a4e;
const ZFS: u64 = 0x2fc1_2fc1;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const OVERLAY: u64 = 0x794c_7630;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Writes a block where it stood before.
    InPlace,
    /// Local, but copies on write, keeps a log, or keeps nothing at all.
    Local,
    /// On the network, in user space, or unknown.
    Foreign,
}

impl Kind {
    pub(super) fn of(dir: BorrowedFd<'_>) -> io::Result<Kind> {
        let stat = uninterrupted(|| Ok(rustix::fs::fstatfs(dir)?))?;
        // The field's type and sign differ between architectures; magic numbers have 32 bits.
        Ok(Kind::from_magic(stat.f_type as u64 & 0xffff_ffff))
    }

    fn from_magic(magic: u64) -> Kind {
        match magic {
            EXT | XFS => Kind::InPlace,
            F2FS | BTRFS | BCACHEFS | ZFS | TMPFS | RAMFS | OVERLAY => Kind::Local,
            _ => Kind::Foreign,
        }
    }

    pub(super) fn prewrite_helps(self) -> bool {
        self == Kind::InPlace
    }

    pub(super) fn mapping_helps(self) -> bool {
        self != Kind::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_unknown_file_systems_are_neither_prewritten_nor_mapped() {
        let (nfs, fuse, ceph, lustre, cifs) =
            (0x6969, 0x6573_5546, 0x00c3_6400, 0x0bd0_0bd0, 0xff53_4d42);
        for magic in [nfs, fuse, ceph, lustre, cifs, 0, 1] {
            let kind = Kind::from_magic(magic);
            assert!(!kind.prewrite_helps() && !kind.mapping_helps(), "{magic:#x}");
        }
    }

    #[test]
    fn copy_on_write_file_systems_are_mapped_but_not_prewritten() {
        for magic in [BTRFS, BCACHEFS, ZFS, TMPFS] {
            let kind = Kind::from_magic(magic);
            assert!(!kind.prewrite_helps() && kind.mapping_helps(), "{magic:#x}");
        }
        assert!(Kind::from_magic(EXT).prewrite_helps());
    }
}
