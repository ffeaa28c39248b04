//! One host's door to the register in a shared directory.
//!
//! A claim, in this order:
//! 1. the record of the next epoch is written under a name of the host's own, and flushed: so the
//!    claimer proves that it can write before anybody loses anything;
//! 2. a link gives it its name, unless somebody else has that epoch already; the name is flushed;
//! 3. every older epoch is marked as ended, the oldest first, for primaries that look at their own
//!    record instead of the next one's name.
//!
//! Then the log is read afresh, a seal is written and confirmed: `Store::open` does that.
//!
//! Invariants: a name of a record is given once, and never taken back; a claim that returns an
//! error has perhaps ended the reign before it, but gives nobody leave to write.

use crate::base::{Epoch, Id, Nanos};
use crate::disk::{Access, AlignedBuf, Disk, File, Site};
use crate::format::register::{ADDRESS_MAX, BLOCK_LEN, END_AT};
use crate::format::{Beat, End, FileName, FormatError, Host, Member, Reason, Reign, names};
use crate::role::authority::{Check, Reigning};
use crate::role::rules::{self, Denied};
use std::io;
use std::sync::Arc;

/// Claims of others that are looked past before one's own is given up: each is a whole reign.
const TRIES: usize = 16;

/// Why the register cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There is none: the directory is not shared.
    #[error("the directory has no register: it is not shared")]
    NotShared,
    /// A host's name or address does not fit.
    #[error("{0:?} cannot be the name or address of a controller")]
    Name(String),
    /// A record is damaged.
    #[error("{file}: {source}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        source: FormatError,
    },
    /// The file system refused.
    #[error("{what}: {source}")]
    Io {
        /// File or act.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl RegisterError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> RegisterError {
        let what = what.into();
        move |source| RegisterError::Io { what, source }
    }
}

/// Why an epoch could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another host was quicker, or reigns already.
    #[error("epoch {epoch} is {host}'s")]
    Lost {
        /// The epoch that was claimed.
        epoch: Epoch,
        /// Whose it is.
        host: String,
    },
    /// This host may not claim.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The register cannot be read or written.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// What a host sees of the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The newest reign.
    pub reign: Reign,
    /// Its primary's newest heartbeat.
    pub beat: Option<Beat>,
    /// What this host has said of itself.
    pub me: Option<Host>,
}

impl Sight {
    /// Everybody who may claim the next epoch.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        rules::members(&self.reign, self.beat.as_ref())
    }
}

/// One host's door to the register.
#[derive(Clone, Debug)]
pub struct Register {
    disk: Arc<dyn Disk>,
    host: String,
    address: String,
    check: Check,
}

impl Register {
    /// The register in `disk`, for the controller `host` that listens at `address`.
    ///
    /// # Errors
    /// [`RegisterError::Name`]. Whether there is a register is not looked at.
    pub fn new(disk: Arc<dyn Disk>, host: &str, address: &str) -> Result<Register, RegisterError> {
        for (text, fine) in [(host, names::is_host(host)), (address, address.len() <= ADDRESS_MAX)]
        {
            if !fine {
                return Err(RegisterError::Name(text.to_owned()));
            }
        }
        let (host, address) = (host.to_owned(), address.to_owned());
        let check = Check::for_disk(disk.as_ref());
        Ok(Register { disk, host, address, check })
    }

    /// Uses another way of looking whether a reign has ended than the mount's kind suggests.
    #[must_use]
    pub fn checking(mut self, check: Check) -> Register {
        self.check = check;
        self
    }

    /// This host's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The directory.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// What the register says now: who reigns, whether its heart beats, who may claim.
    ///
    /// # Errors
    /// [`RegisterError::NotShared`], and others.
    pub fn look(&self) -> Result<Sight, RegisterError> {
        let reign = self.newest()?.ok_or(RegisterError::NotShared)?;
        let beat = self.beat_of(reign.epoch)?;
        Ok(Sight { reign, beat, me: self.said()? })
    }

    /// The newest record.
    fn newest(&self) -> Result<Option<Reign>, RegisterError> {
        let entries = self.disk.list().map_err(RegisterError::io("directory"))?;
        let epochs = entries.iter().filter_map(|entry| match FileName::parse(&entry.name) {
            Some(FileName::Reign(epoch)) => Some(epoch),
            _ => None,
        });
        epochs.max().map(|epoch| self.record(epoch)).transpose()
    }

    /// Every reign that the register remembers, the oldest first: from the one after `after` on.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn reigns(&self, after: Epoch) -> Result<Vec<Reign>, RegisterError> {
        let entries = self.disk.list().map_err(RegisterError::io("directory"))?;
        let epochs = entries.iter().filter_map(|entry| match FileName::parse(&entry.name) {
            Some(FileName::Reign(epoch)) if epoch > after => Some(epoch),
            _ => None,
        });
        let mut epochs: Vec<Epoch> = epochs.collect();
        epochs.sort();
        epochs.into_iter().map(|epoch| self.record(epoch)).collect()
    }

    /// What every host says that has ever seen this directory.
    ///
    /// # Errors
    /// Those of the file system; what is damaged, or being replaced, is left out.
    pub fn hosts(&self) -> Result<Vec<Host>, RegisterError> {
        let entries = self.disk.list().map_err(RegisterError::io("directory"))?;
        let files = entries.iter().filter(|entry| names::host_of(&entry.name).is_some());
        let said = |name: &str| {
            let bytes = read_blocks(self.disk.as_ref(), name, 1).ok()?;
            Host::decode(&bytes).ok()
        };
        Ok(files.filter_map(|entry| said(&entry.name)).collect())
    }

    /// The record of an epoch.
    fn record(&self, epoch: Epoch) -> Result<Reign, RegisterError> {
        let file = FileName::Reign(epoch).to_string();
        let bytes = read_blocks(self.disk.as_ref(), &file, 1).map_err(RegisterError::io(&file))?;
        let fits = |reign: Reign| match reign.epoch == epoch {
            true => Ok(reign),
            false => Err(FormatError::Field("epoch")),
        };
        let reign = Reign::decode(&bytes).and_then(fits);
        reign.map_err(|source| RegisterError::Damaged { file, source })
    }

    fn beat_of(&self, epoch: Epoch) -> Result<Option<Beat>, RegisterError> {
        let file = FileName::Beat(epoch).to_string();
        match read_blocks(self.disk.as_ref(), &file, 2) {
            Ok(bytes) => Ok(Beat::newest(&bytes).filter(|beat| beat.epoch == epoch)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RegisterError::io(file)(error)),
        }
    }

    fn said(&self) -> Result<Option<Host>, RegisterError> {
        let file = names::host_file(&self.host);
        match read_blocks(self.disk.as_ref(), &file, 1) {
            Ok(bytes) => match Host::decode(&bytes) {
                Ok(host) => Ok(Some(host)),
                // It is replaced as a whole: a damaged one is made anew.
                Err(_) => Ok(None),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RegisterError::io(file)(error)),
        }
    }

    /// Says in the directory that this host sees it, echoing the nonce of the newest reign; what
    /// the primary of that reign then reads and admits. To be called whenever another reigns.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn join(&self) -> Result<Host, RegisterError> {
        let reign = self.newest()?.ok_or(RegisterError::NotShared)?;
        if let Some(said) = self.said()?
            && rules::admits(&reign, &said)
            && said.member.address == self.address
            && self.sees(&said)
        {
            return Ok(said);
        }
        self.say(reign.cluster, reign.epoch, reign.nonce)
    }

    /// Whether the file of this host is the very one that it made, not a copy.
    fn sees(&self, said: &Host) -> bool {
        let handle = self.disk.handle(&names::host_file(&self.host));
        handle.is_ok_and(|handle| handle.is_none_or(|handle| handle == said.member.handle))
    }

    fn say(&self, cluster: Id, epoch: Epoch, echo: Id) -> Result<Host, RegisterError> {
        let file = names::host_file(&self.host);
        let before = self.said()?.filter(|said| self.sees(said));
        // Whoever was admitted stays so under its nonce.
        let nonce = before.map_or_else(random, |said| Ok(said.member.nonce))?;
        let draft = format!(".host-{}-{nonce}", self.host);
        let io = |what: &str| RegisterError::io(what.to_owned());
        remove_if_there(self.disk.as_ref(), &draft).map_err(io(&draft))?;
        let opened = self.disk.open(&draft, Access::Create).map_err(io(&draft))?;
        // A renamed file keeps its handle.
        let handle = self.disk.handle(&draft).map_err(io(&draft))?.unwrap_or_default();
        let (host, address) = (self.host.clone(), self.address.clone());
        let member = Member { host, address, nonce, handle };
        let said = Host { cluster, epoch, echo, written: Nanos::now(), member };
        let written = opened.write_at(&said.encode(), 0).and_then(|()| opened.sync(Site::HostBody));
        written.map_err(io(&draft))?;
        self.disk.rename(&draft, &file).map_err(io(&file))?;
        self.disk.sync_names(Site::HostName).map_err(io("directory"))?;
        Ok(said)
    }

    /// Makes the register of a store that nobody has open, with this host as its only member and
    /// nobody as primary; `epoch` is above every one that has written there. The store's control
    /// file then says that it is shared: [`share_on`](crate::store::share_on).
    ///
    /// # Errors
    /// [`RegisterError`]. A making that was cut short is taken up again.
    pub fn make(&self, cluster: Id, epoch: Epoch) -> Result<Reign, RegisterError> {
        if let Some(newest) = self.newest()? {
            return Ok(newest);
        }
        let nonce = random()?;
        let me = self.say(cluster, epoch, nonce)?;
        let made = Reign {
            cluster,
            epoch,
            nonce,
            claimed: Nanos::now(),
            reason: Reason::Made,
            primary: None,
            members: vec![me.member],
        };
        self.publish(&made)?;
        self.record(epoch)
    }

    /// Makes this host the primary of the next epoch.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn claim(&self, reason: Reason) -> Result<Reigning, ClaimError> {
        self.clear_drafts();
        for _ in 0..TRIES {
            let sight = self.look()?;
            match self.claim_after(&sight, reason) {
                // The listing was older than a claim: look again.
                Err(ClaimError::Lost { epoch, .. }) if epoch <= sight.reign.epoch => {}
                outcome => return outcome,
            }
        }
        let reign = self.look()?.reign;
        let host = reign.primary.unwrap_or_default();
        Err(ClaimError::Lost { epoch: reign.epoch, host })
    }

    /// As [`Register::claim`], only if `sight` is still what the register says: another claim
    /// since then wins.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn claim_after(&self, sight: &Sight, reason: Reason) -> Result<Reigning, ClaimError> {
        let me = match &sight.me {
            Some(me) if self.sees(me) => me.clone(),
            _ => self.join()?,
        };
        let nonce = random()?;
        let beat = sight.beat.as_ref();
        let next = rules::next_reign(&sight.reign, beat, &me, nonce, Nanos::now(), reason)?;
        self.publish(&next)?;
        let there = self.record(next.epoch)?;
        if there.nonce != next.nonce {
            let host = there.primary.unwrap_or_default();
            return Err(ClaimError::Lost { epoch: next.epoch, host });
        }
        // Nobody goes by a claim that a power cut takes back.
        self.disk.sync_names(Site::ReignName).map_err(RegisterError::io("directory"))?;
        self.end_older(next.epoch)?;
        let file = FileName::Reign(next.epoch).to_string();
        let own = self.disk.open(&file, Access::Read).map_err(RegisterError::io(file))?;
        Ok(Reigning::new(Arc::clone(&self.disk), next, own, self.check))
    }

    /// Gives the record its name, unless that is taken. Whether it was ours, the record tells: a
    /// server's answer may be lost although it did what it was asked.
    fn publish(&self, reign: &Reign) -> Result<(), RegisterError> {
        let draft = format!(".claim-{}-{}", self.host, reign.nonce);
        let name = FileName::Reign(reign.epoch).to_string();
        let io = |what: &str| RegisterError::io(what.to_owned());
        let file = self.disk.open(&draft, Access::Create).map_err(io(&draft))?;
        let mut bytes = reign.encode();
        // Room for the mark of the end: who writes that must not fail for want of it.
        bytes.resize(2 * BLOCK_LEN, 0);
        let written = file.write_at(&bytes, 0).and_then(|()| file.sync(Site::ReignBody));
        let linked = written.and_then(|()| self.disk.link(&draft, &name));
        // It has another name, or is of no use.
        drop(self.disk.remove(&draft));
        match linked {
            // Whoever has that epoch, its record is there: the caller looks whose it is.
            Err(error) if self.record(reign.epoch).is_err() => Err(RegisterError::io(name)(error)),
            _ => self.disk.sync_names(Site::ReignName).map_err(io("directory")),
        }
    }

    /// Marks every epoch before `epoch` as ended, the oldest first: so where one is marked, all
    /// before it are.
    fn end_older(&self, epoch: Epoch) -> Result<(), RegisterError> {
        let mut open = Vec::new();
        let mut older = epoch.0;
        while let Some(before) = older.checked_sub(1).map(Epoch) {
            older = before.0;
            let name = FileName::Reign(before).to_string();
            let file = match self.disk.open(&name, Access::Write) {
                // Before the register was made.
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                opened => opened.map_err(RegisterError::io(&name))?,
            };
            let marked = end_mark(file.as_ref()).map_err(RegisterError::io(&name))?;
            if marked.is_ok() {
                break;
            }
            open.push((name, file));
        }
        let mut block = AlignedBuf::with_capacity(BLOCK_LEN);
        block.extend_from_slice(&End { epoch, host: self.host.clone() }.encode());
        for (name, file) in open.into_iter().rev() {
            let marked = file.write_durable(&block, END_AT, Site::ReignEnd);
            marked.map_err(RegisterError::io(name))?;
        }
        Ok(())
    }

    /// Removes what claims of this host left that were cut short.
    fn clear_drafts(&self) {
        let own = format!(".claim-{}-", self.host);
        for entry in self.disk.list().unwrap_or_default() {
            if entry.name.starts_with(&own) {
                drop(self.disk.remove(&entry.name));
            }
        }
    }
}

/// What stands where the end of an epoch is marked.
pub(crate) fn end_mark(file: &dyn File) -> io::Result<Result<End, FormatError>> {
    let mut block = AlignedBuf::zeroed(BLOCK_LEN);
    if !file.read_around(&mut block, END_AT)? {
        block.fill(0);
        file.read_at(&mut block, END_AT)?;
    }
    Ok(End::decode(&block))
}

fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_blocks(disk: &dyn Disk, name: &str, count: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(name, Access::Read)?;
    let mut bytes = vec![0; count * BLOCK_LEN];
    let got = file.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn random() -> Result<Id, RegisterError> {
    let mut id = [0; 16];
    let mut filled = 0;
    while filled < id.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        let got = rustix::rand::getrandom(&mut id[filled..], flags);
        filled += got.map_err(|errno| RegisterError::io("random numbers")(errno.into()))?;
    }
    Ok(Id(id))
}
