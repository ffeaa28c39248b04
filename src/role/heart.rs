//! The primary's heartbeat in a shared directory: it shows that the primary lives and how many
//! agents it reaches, and with it the primary admits hosts that see the directory.
//!
//! Invariants: only the primary of an epoch writes that epoch's heartbeat; a host is admitted for
//! an echo of this reign's nonce, and the beat that admits one is flushed. Nothing that is safe or
//! not depends on a beat.

use crate::base::Nanos;
use crate::disk::{Access, Disk, File, Site};
use crate::format::register::{BLOCK_LEN, MEMBERS_MAX};
use crate::format::{Beat, FileName, Host, Member, Reign, names};
use crate::role::authority::Reigning;
use crate::role::rules;
use std::io;
use std::sync::Arc;

/// A primary's heart.
#[derive(Debug)]
pub struct Heart {
    disk: Arc<dyn Disk>,
    reign: Reign,
    file: Arc<dyn File>,
    next: Beat,
}

impl Heart {
    /// The first beat of a reign. Heartbeats of older epochs go: their members are in the record.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn start(reigning: &Reigning) -> io::Result<Heart> {
        let (disk, reign) = (Arc::clone(reigning.disk()), reigning.reign().clone());
        let name = FileName::Beat(reign.epoch).to_string();
        let file = match disk.open(&name, Access::Create) {
            // A start before this one was cut short: nobody else writes under this name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&name, Access::Write)?
            }
            made => made?,
        };
        let next = Beat {
            cluster: reign.cluster,
            epoch: reign.epoch,
            ordinal: 0,
            written: Nanos::now(),
            agents: 0,
            stopping: false,
            members: reign.members.clone(),
        };
        file.write_at(&next.encode(), next.offset())?;
        file.write_at(&[0; BLOCK_LEN], BLOCK_LEN as u64)?;
        file.sync(Site::Beat)?;
        let mut heart = Heart { disk, reign, file, next };
        heart.next.ordinal = 1;
        heart.forget_older()?;
        Ok(heart)
    }

    fn forget_older(&self) -> io::Result<()> {
        for entry in self.disk.list()? {
            if let Some(FileName::Beat(epoch)) = FileName::parse(&entry.name)
                && epoch < self.reign.epoch
            {
                match self.disk.remove(&entry.name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Beats: says how many agents the primary reaches, and whether it is stopping. Returns the
    /// hosts that are admitted by this beat, which may claim from now on.
    ///
    /// # Errors
    /// Those of the file system; the reign goes on all the same.
    pub fn beat(&mut self, agents: u32, stopping: bool) -> io::Result<Vec<Member>> {
        let fresh = self.newcomers()?;
        for member in &fresh {
            self.next.members.retain(|known| known.host != member.host);
            self.next.members.push(member.clone());
        }
        (self.next.agents, self.next.stopping) = (agents, stopping);
        self.next.written = Nanos::now();
        self.file.write_at(&self.next.encode(), self.next.offset())?;
        if !fresh.is_empty() || stopping {
            self.file.sync(Site::Beat)?;
        }
        self.next.ordinal += 1;
        Ok(fresh)
    }

    /// Everybody who may claim the next epoch.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.next.members
    }

    /// Hosts that see this directory and are not known yet, or as others.
    fn newcomers(&self) -> io::Result<Vec<Member>> {
        let mut fresh = Vec::new();
        for entry in self.disk.list()? {
            if names::host_of(&entry.name).is_none() {
                continue;
            }
            let Some(host) = said(self.disk.as_ref(), &entry.name) else { continue };
            let known = self.next.members.contains(&host.member);
            let room = self.next.members.len() + fresh.len() < MEMBERS_MAX;
            let named = names::host_file(&host.member.host) == entry.name;
            if named && !known && room && rules::admits(&self.reign, &host) {
                fresh.push(host.member);
            }
        }
        Ok(fresh)
    }
}

/// What a host says; `None` while it is being replaced, or damaged.
fn said(disk: &dyn Disk, file: &str) -> Option<Host> {
    let mut block = vec![0; BLOCK_LEN];
    let got = disk.open(file, Access::Read).ok()?.read_at(&mut block, 0).ok()?;
    Host::decode(&block[..got]).ok()
}
