//! The other side of a probe: a process, on this host or another, that does in the directory what
//! it is told, one line for each act, and answers with one line.
//!
//! Invariant: what was answered was done, and is durable, before the answer was written: what this
//! side looks at afterwards comes after it, whatever the file system does.

use crate::base::Nanos;
use crate::disk::{Access, AlignedBuf, Disk, File, Real, Site};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// Bytes of a block.
pub const BLOCK: usize = 4096;

/// A process that is told what to do.
pub struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn start(mut command: Command) -> io::Result<Peer> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let to = child.stdin.take().expect("it was asked for");
        let from = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Peer { child, to, from })
    }

    /// Tells it something.
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes())
    }

    /// What it answers.
    ///
    /// # Errors
    /// It is gone, or what it was told failed.
    pub fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the other process has ended"));
        }
        let line = line.trim_end();
        match line.strip_prefix("error ") {
            Some(why) => Err(io::Error::other(format!("the other side: {why}"))),
            None => Ok(line.to_owned()),
        }
    }

    /// Tells it something, and waits until it is done.
    ///
    /// # Errors
    /// As [`Peer::hear`].
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.tell(line)?;
        self.hear()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends with its input; one that hangs in the directory does not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory in which acts are done.
pub struct Place {
    /// The directory.
    pub disk: Real,
    open: BTreeMap<String, Arc<dyn File>>,
}

impl Place {
    /// A directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(dir: &Path) -> io::Result<Place> {
        Ok(Place { disk: Real::open(dir)?, open: BTreeMap::new() })
    }

    /// The file of that name: what was opened first stays open.
    fn file(&mut self, name: &str) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.open.get(name) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(name, Access::Write)?;
        self.open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    /// Does one act; what came of it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn act(&mut self, line: &str) -> io::Result<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let done = |()| "ok".to_owned();
        match words.as_slice() {
            ["make", name, value] => self.make(name, number(value)?).map(done),
            ["link", from, to] => match self.disk.link(from, to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok("taken".into()),
                linked => linked.and_then(|()| self.disk.sync_names(Site::ReignName)).map(done),
            },
            ["rename", from, to] => {
                self.disk.rename(from, to)?;
                self.disk.sync_names(Site::HostName).map(done)
            }
            ["remove", name] => {
                self.open.remove(*name);
                self.disk.remove(name).map(done)
            }
            ["look", name] => {
                self.disk.exists(name).map(|is| if is { "yes" } else { "no" }.to_owned())
            }
            ["mark", name, value] => {
                let block = block(number(value)?);
                self.file(name)?.write_durable(&block, 0, Site::ReignEnd).map(done)
            }
            ["around", name] => self.around(name),
            ["fresh", name] => {
                let mut bytes = [0; 8];
                self.disk.open(name, Access::Read)?.read_at(&mut bytes, 0)?;
                Ok(u64::from_le_bytes(bytes).to_string())
            }
            ["kept", name] => {
                let mut bytes = [0; 8];
                self.file(name)?.read_at(&mut bytes, 0)?;
                Ok(u64::from_le_bytes(bytes).to_string())
            }
            ["lock", name] => self.file(name)?.try_lock(true).map(done),
            ["unlock", name] => self.file(name)?.unlock().map(done),
            ["clock"] => Ok(Nanos::now().0.to_string()),
            _ => Err(io::Error::other(format!("no act: {line}"))),
        }
    }

    fn make(&mut self, name: &str, value: u64) -> io::Result<()> {
        let file = self.disk.open(name, Access::Create)?;
        file.write_at(&block(value), 0)?;
        file.sync(Site::ReignBody)
    }

    /// What a read past every cache gives.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn around(&mut self, name: &str) -> io::Result<String> {
        let mut bytes = AlignedBuf::zeroed(BLOCK);
        match self.file(name)?.read_around(&mut bytes, 0)? {
            true => {
                let value = bytes[..8].try_into().expect("a block is longer");
                Ok(u64::from_le_bytes(value).to_string())
            }
            false => Ok("cached".to_owned()),
        }
    }

    /// Whether somebody else holds its lock.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn is_locked(&mut self, name: &str) -> io::Result<bool> {
        self.file(name)?.is_locked()
    }
}

fn number(word: &str) -> io::Result<u64> {
    word.parse().map_err(|_| io::Error::other(format!("no number: {word}")))
}

fn block(value: u64) -> AlignedBuf {
    let mut block = AlignedBuf::with_capacity(BLOCK);
    block.extend_from_slice(&value.to_le_bytes());
    block.extend_from_slice(&[0x5a; BLOCK - 8]);
    block
}

/// Does what it is told on stdin, until that ends.
///
/// # Errors
/// Those of the directory, and of stdout.
pub fn answer(dir: &Path) -> io::Result<()> {
    let mut place = Place::open(dir)?;
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let said = match place.act(&line?) {
            Ok(said) => said,
            Err(error) => format!("error {error}"),
        };
        writeln!(stdout, "{said}")?;
        stdout.flush()?;
    }
    Ok(())
}
