//! An open file of a fake disk.

use crate::base::Nanos;
use crate::disk::AlignedBuf;
use crate::disk::File;
use crate::disk::Mapping;
use crate::disk::Site;
use crate::disk::fake::FakeDisk;
use crate::disk::fake::content::at;
use crate::disk::fake::fault::{Call, Fault};
use crate::disk::fake::state::Flush;
use crate::disk::fake::tree::Inode;
use crate::disk::whole;
use crate::disk::whole::uninterrupted;
use std::io;

#[derive(Debug)]
pub(super) struct FakeFile {
    disk: FakeDisk,
    inode: Inode,
    handle: u64,
    writable: bool,
}

impl FakeFile {
    pub(super) fn new(disk: FakeDisk, inode: Inode, handle: u64, writable: bool) -> FakeFile {
        FakeFile { disk, inode, handle, writable }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
    }

    /// One read call.
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        let fault = state.faults.meet(Call::Read);
        if let Some(error) = fault.and_then(Fault::error) {
            return Err(error);
        }
        let node = state.node(self.inode);
        let mut count = at(node.len.saturating_sub(offset).min(buf.len() as u64));
        if fault == Some(Fault::Short) && count > 1 {
            count /= 2;
        }
        node.content.read(&mut buf[..count], offset);
        Ok(count)
    }
}

impl Drop for FakeFile {
    fn drop(&mut self) {
        // A panic elsewhere must not become two.
        if let Ok(mut state) = self.disk.state.lock() {
            state.unlock(self.handle);
        }
    }
}

impl File for FakeFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        whole::read(buf, offset, |rest, position| self.read(rest, position))
    }

    fn read_around(&self, buf: &mut AlignedBuf, offset: u64) -> io::Result<bool> {
        let got = whole::read(buf, offset, |rest, position| self.read(rest, position))?;
        buf[got..].fill(0);
        self.disk.lock().read_around(self.inode, &mut buf[..got], offset);
        Ok(true)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        whole::write(bytes, offset, |rest, position| {
            let mut state = self.disk.lock();
            state.write(self.inode, Call::Write, rest, position, Flush::Later)
        })
    }

    fn write_around(&self, bytes: &AlignedBuf, offset: u64) -> io::Result<()> {
        self.check_writable()?;
        whole::write_blocks(bytes, offset, |rest, position| {
            let mut state = self.disk.lock();
            state.write(self.inode, Call::WriteAround, rest, position, Flush::Later)
        })
    }

    fn write_durable(&self, bytes: &AlignedBuf, offset: u64, site: Site) -> io::Result<()> {
        self.check_writable()?;
        whole::write_blocks(bytes, offset, |rest, position| {
            let mut state = self.disk.lock();
            state.write(self.inode, Call::WriteDurable, rest, position, Flush::Now(site))
        })
    }

    fn sync(&self, site: Site) -> io::Result<()> {
        uninterrupted(|| self.disk.lock().sync(self.inode, site))
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(Call::Look, |state| Ok(state.node(self.inode).len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.call(Call::SetLen, |state| {
            state.set_len(self.inode, len);
            Ok(())
        })
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.call(Call::Allocate, |state| state.allocate(self.inode, offset, len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.call(Call::Punch, |state| {
            state.punch(self.inode, offset..offset.saturating_add(len));
            Ok(())
        })
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.disk.call(Call::Look, |state| {
            let node = state.node(self.inode);
            Ok(node.content.next_data(offset).filter(|position| *position < node.len))
        })
    }

    fn modified(&self) -> io::Result<Nanos> {
        self.disk.call(Call::Look, |state| Ok(state.node(self.inode).modified))
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if self.len()? < len as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = AlignedBuf::zeroed(len);
        crate::disk::read_exact_at(self, &mut bytes, 0)?;
        Ok(Mapping::heap(bytes))
    }

    fn try_lock(&self, exclusive: bool) -> io::Result<()> {
        if exclusive {
            self.check_writable()?;
        }
        self.disk.call(Call::Lock, |state| state.lock(self.inode, self.handle, exclusive))
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.disk.call(Call::Look, |state| Ok(state.is_locked(self.inode, self.handle)))
    }

    fn unlock(&self) -> io::Result<()> {
        self.disk.call(Call::Look, |state| {
            state.unlock(self.handle);
            Ok(())
        })
    }
}
