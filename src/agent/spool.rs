//! What the agent keeps on disk: a folder for each job, in SlurmdSpoolDir.
//!
//! | file in `jobNNNNN` | what it is |
//! |---|---|
//! | `launch` | a [`Brief`]: what is to be run |
//! | `slurm_script` | the script, mode 0700, the user's |
//! | `lock` | locked by the job's supervisor as long as it lives; its process id |
//! | `orders` | the socket at which the supervisor takes orders |
//! | `started` | a [`Started`]: the script is about to be run |
//! | `end` | an [`Ended`]: how it ended. Flushed, with its name, before anybody is told |
//!
//! Records are sealed: 4 bytes `SDA1`, u32 CRC-32 (little-endian) of what follows, and the record,
//! packed as in Slurm's protocol 22.05.
//!
//! Invariants: a record is there as a whole or not at all (it gets its name when it is written);
//! any bytes are a record or an error; a folder goes by one rename.

use crate::agent::log::error;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::Launch;
use crate::slurm::wire::{Field, Text, Time, Version, Writer, unpack_all};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"SDA1";
const HEAD: usize = 8;
const VERSION: Version = Version::V22_05;
/// What is on its way out: removed at the next start, too.
const GONE: &str = ".gone-";

record! {
    /// What a supervisor has to know. Its script is a file of its own.
    Brief {
        conf: Text;
        node: Text;
        host: Text;
        cluster: Text;
        working_cluster: Text;
        prolog: Text;
        script_timeout_s: u32;
        unkillable_s: u32;
        kill_wait_s: u32;
        append: u8;
        memory_mb: u64;
        propagate: Text;
        propagate_except: Text;
        cgroup: Text;
        permitted_at: Time;
        login_s: u32;
        launch: Launch;
    }

    /// The script is about to be run.
    Started {
        at: Time;
        supervisor: u32;
        cgroup: Text;
    }

    /// How it ended. `kind` 0: the script, as BatchDone says it; 1: it could not be started.
    Ended {
        kind: u32;
        job_id: u32;
        job_rc: u32;
        slurm_rc: u32;
        user_id: u32;
        at: Time;
    }
}

/// [`Ended`]: the script has ended.
pub const SCRIPT: u32 = 0;
/// [`Ended`]: the job could not be started.
pub const LAUNCH: u32 = 1;

/// A job's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// The right to be a job's supervisor, as long as it is held.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held")] File);

impl Folder {
    /// The folder of a job, there or not.
    pub fn of(spool: &Path, job_id: u32) -> Folder {
        Folder(spool.join(format!("job{job_id:05}")))
    }

    /// A folder that somebody named.
    pub fn at(path: PathBuf) -> Folder {
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes it, with what is to be run, under its name at once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make(&self, brief: &Brief, script: &[u8]) -> io::Result<()> {
        let spool = self.0.parent().expect("it is in the spool");
        let name = self.0.file_name().expect("it has a name").to_string_lossy();
        let making = spool.join(format!("{GONE}new-{name}"));
        let _ = fs::remove_dir_all(&making);
        fs::create_dir(&making)?;
        fs::set_permissions(&making, Permissions::from_mode(0o750))?;
        let folder = Folder(making.clone());
        folder.write("launch", brief)?;
        let path = folder.file("slurm_script");
        let mut file = File::options().write(true).create_new(true).mode(0o700).open(&path)?;
        file.write_all(script)?;
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&making, None, Some(brief.launch.gid))?;
            std::os::unix::fs::fchown(&file, Some(brief.launch.uid), None)?;
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        fs::rename(&making, &self.0)
    }

    /// Removes it: at once under its name, then for good.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self) -> io::Result<()> {
        let spool = self.0.parent().expect("it is in the spool");
        let name = self.0.file_name().expect("it has a name").to_string_lossy();
        let going = spool.join(format!("{GONE}{}-{name}", std::process::id()));
        fs::rename(&self.0, &going)?;
        if let Err(error) = fs::remove_dir_all(&going) {
            error!("{}: {error}", going.display());
        }
        Ok(())
    }

    /// Writes a record, visible as a whole. Survives the end of processes, not of the machine.
    fn write(&self, name: &str, record: &impl Field) -> io::Result<File> {
        let temporary = self.file(&format!(".{name}-{}", std::process::id()));
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&seal(record))?;
        fs::rename(temporary, self.file(name))?;
        Ok(file)
    }

    fn read<T: Field>(&self, name: &str) -> io::Result<Option<T>> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => open(&bytes).map(Some).map_err(|why| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is to be run.
    ///
    /// # Errors
    /// It is not there, or no record.
    pub fn brief(&self) -> io::Result<Brief> {
        self.read("launch")?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the script was about to be run, and where its processes are.
    ///
    /// # Errors
    /// It is no record.
    pub fn started(&self) -> io::Result<Option<Started>> {
        self.read("started")
    }

    /// Notes that the script is about to be run.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn start(&self, started: &Started) -> io::Result<()> {
        self.write("started", started).map(drop)
    }

    /// How it ended, if it has. A record that a power cut left in pieces was told to nobody: it has
    /// not.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn ended(&self) -> io::Result<Option<Ended>> {
        match self.read("end") {
            Err(why) if why.kind() == io::ErrorKind::InvalidData => {
                error!("{why}: it counts as not written");
                Ok(None)
            }
            read => read,
        }
    }

    /// Keeps how it ended: on the device when this returns.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn end(&self, ended: &Ended) -> io::Result<()> {
        let temporary = self.file(&format!(".end-{}", std::process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(&seal(ended))?;
        fs::rename(&temporary, self.file("end"))?;
        // Carry the record and its name: what is told is what a restart would find. In this order
        // the second has nothing left to do where a journal holds both; the seal tells pieces.
        file.sync_all()?;
        File::open(&self.0)?.sync_all()
    }

    /// Becomes the job's supervisor; `None`: somebody else is.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.file("lock"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes who the supervisor is. Others believe it only while the lock is held.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sign(&self) -> io::Result<()> {
        fs::write(self.file("lock"), format!("{}\n", std::process::id()))
    }

    /// The folder itself, for its socket: a path to that may be too long.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn descriptor(&self) -> io::Result<std::os::fd::OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, &self.0, flags, Mode::empty())?)
    }
}

/// The jobs of a spool, in no particular order.
///
/// # Errors
/// Those of the file system.
pub fn jobs(spool: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool)? {
        let name = entry?.file_name();
        let id: Option<u32> = name.to_str().and_then(|name| name.strip_prefix("job")?.parse().ok());
        found.extend(id);
    }
    Ok(found)
}

/// Removes what was on its way in or out when an agent ended. Only at a start: nobody else is
/// making folders.
///
/// # Errors
/// Those of the file system.
pub fn sweep(spool: &Path) -> io::Result<()> {
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(GONE) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn seal(record: &impl Field) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    record.pack(&mut out);
    let packed = out.into_bytes();
    let sum = crc32fast::hash(&packed).to_le_bytes();
    [MAGIC.as_slice(), &sum, &packed].concat()
}

fn open<T: Field>(bytes: &[u8]) -> Result<T, String> {
    let (head, packed) = bytes.split_at_checked(HEAD).ok_or("too short")?;
    if &head[..4] != MAGIC {
        return Err("no record of this version".to_owned());
    }
    if head[4..] != crc32fast::hash(packed).to_le_bytes() {
        return Err("damaged".to_owned());
    }
    unpack_all(packed, VERSION).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<T: Field>(seed: u64) -> T {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        T::sample(&mut move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        })
    }

    fn comes_back<T: Field + PartialEq + std::fmt::Debug>(seed: u64) {
        let record: T = sample(seed);
        let bytes = seal(&record);
        assert_eq!(open::<T>(&bytes).unwrap(), record);
        for at in 0..bytes.len() {
            assert!(open::<T>(&bytes[..at]).is_err(), "{seed} {at}");
            let mut other = bytes.clone();
            other[at] ^= 0x40;
            assert!(open::<T>(&other).is_err(), "{seed} {at}");
        }
    }

    #[test]
    fn a_record_comes_back_and_a_damaged_one_is_an_error() {
        for seed in 1..20 {
            comes_back::<Brief>(seed);
            comes_back::<Started>(seed);
            comes_back::<Ended>(seed);
        }
    }

    #[test]
    fn a_folder_appears_and_goes_as_a_whole_and_has_one_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path(), 7);
        let mut brief: Brief = sample(3);
        brief.launch.uid = rustix::process::geteuid().as_raw();
        brief.launch.gid = rustix::process::getegid().as_raw();
        folder.make(&brief, b"#!/bin/sh\n").unwrap();
        assert_eq!(jobs(dir.path()).unwrap(), [7]);
        assert_eq!(folder.brief().unwrap(), brief);
        assert_eq!((folder.started().unwrap(), folder.ended().unwrap()), (None, None));
        let lock = folder.lock().unwrap().unwrap();
        folder.sign().unwrap();
        assert!(folder.lock().unwrap().is_none());
        let said = fs::read_to_string(folder.file("lock")).unwrap();
        assert_eq!(said, format!("{}\n", std::process::id()));
        drop(lock);
        assert!(folder.lock().unwrap().is_some());
        let ended: Ended = sample(4);
        folder.end(&ended).unwrap();
        assert_eq!(folder.ended().unwrap(), Some(ended.clone()));
        let whole = fs::read(folder.file("end")).unwrap();
        for left in [0, 7, whole.len() - 1] {
            fs::write(folder.file("end"), &whole[..left]).unwrap();
            assert_eq!(folder.ended().unwrap(), None, "a power cut left {left} bytes");
        }
        folder.end(&ended).unwrap();
        assert_eq!(folder.ended().unwrap(), Some(ended));
        folder.remove().unwrap();
        assert_eq!(jobs(dir.path()).unwrap(), Vec::<u32>::new());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
