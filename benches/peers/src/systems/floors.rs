//! Both floors as systems: the puts of a save are encoded straight into the open group.
//!
//! Durability: `fdatasync` after the write (buffered), or `O_DSYNC` on it (direct).
//!
//! Invariant: a directory with floor files is only ever read, as a floor cannot append to an old
//! log; an empty one is only ever written.

#[path = "../../../floor/mod.rs"]
pub mod floor;

use std::path::{Path, PathBuf};

use floor::{Log, Mode};

use crate::system::{Expect, Fault, KEY, Put, System, Visit};

struct Floor {
    dir: PathBuf,
    log: Option<Log>,
}

pub fn buffered(dir: &Path, expect: Expect) -> Result<Box<dyn System>, Fault> {
    open(dir, expect, Mode::Buffered)
}

pub fn direct(dir: &Path, expect: Expect) -> Result<Box<dyn System>, Fault> {
    open(dir, expect, Mode::Direct)
}

fn open(dir: &Path, expect: Expect, mode: Mode) -> Result<Box<dyn System>, Fault> {
    let empty = dir.read_dir()?.next().is_none();
    let log = if empty { Some(Log::create(dir, mode, expect.log_bytes)?) } else { None };
    Ok(Box::new(Floor { dir: dir.to_owned(), log }))
}

impl System for Floor {
    fn save(&self, puts: &[Put<'_>]) -> Result<(), Fault> {
        let log = self.log.as_ref().ok_or("a floor does not append to a log it finds")?;
        let len = puts.iter().map(|put| KEY + 4 + put.value.len()).sum();
        log.save_with(len, |mut room| {
            for put in puts {
                let (key, rest) = room.split_at_mut(KEY);
                let (len, rest) = rest.split_at_mut(4);
                let (value, rest) = rest.split_at_mut(put.value.len());
                key.copy_from_slice(&put.key);
                // Values are of `VALUE` bytes, far below 4 GiB.
                len.copy_from_slice(&(put.value.len() as u32).to_le_bytes());
                value.copy_from_slice(put.value);
                room = rest;
            }
        })?;
        Ok(())
    }

    fn load(&self, visit: Visit<'_>) -> Result<(), Fault> {
        floor::scan(&self.dir, |mut save| {
            while let Some((key, rest)) = save.split_at_checked(KEY) {
                let (len, rest) = rest.split_first_chunk().expect("save wrote a length");
                let (value, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
                visit(key, value);
                save = rest;
            }
        })?;
        Ok(())
    }
}
