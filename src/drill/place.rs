//! The directories of a drill: the root, which goes with its value unless it is kept, and in it the
//! place of a cluster: key, configuration, state, spools, scripts and outputs.

use crate::drill::space::{self, Disk, Net};
use crate::drill::{End, cluster};
use crate::slurm::auth::key;
use crate::store::{Options, Store};
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a drill of the usual size needs, several times over.
const ROOM_BYTES: u64 = 256 << 20;

/// The controllers' names.
pub const HOSTS: [&str; 2] = ["mgmt01", "mgmt02"];
/// The nodes' names.
pub const NODES: [&str; 2] = ["n1", "n2"];
/// CPUs that each of them says it has.
pub const CPUS: u32 = 4;
/// Seconds until a silent controller is taken over from.
pub const TIMEOUT_S: u32 = 2;

/// Where a drill may make its directory.
///
/// # Errors
/// Nowhere there.
pub fn root() -> Result<PathBuf, End> {
    let base = std::env::temp_dir();
    fit(&base)?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = format!("statedir-drill.{}-{:x}", std::process::id(), since.as_nanos());
    Ok(base.join(name))
}

/// The drill's directory.
#[derive(Debug)]
pub struct Root {
    /// Where it is.
    pub dir: PathBuf,
    keep: bool,
}

impl Root {
    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(dir: PathBuf, keep: bool) -> Result<Root, End> {
        DirBuilder::new().mode(0o700).create(&dir).map_err(|error| elsewhere(&dir, &error))?;
        Ok(Root { dir, keep })
    }

    /// It stays.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn elsewhere(dir: &Path, what: &dyn std::fmt::Display) -> End {
    End::unable(format!("{}: {what}", dir.display()), "set TMPDIR to another place")
}

/// Mounts a file system there.
pub type Mount = fn(&Path) -> Result<Disk, String>;

/// What a cluster stands on.
#[derive(Debug)]
pub enum Ground {
    /// Loopback, and the disk that is there.
    Plain,
    /// A file system and networks of its own, where they could be had.
    Own {
        /// Mounts its file system.
        disk: Option<Mount>,
        /// The networks.
        net: Option<Net>,
    },
}

/// The place of a cluster, and what was put into it.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub dir: PathBuf,
    /// Where the programs are.
    pub programs: PathBuf,
    /// The controllers' addresses.
    pub addresses: [&'static str; 2],
    /// Where agents are.
    pub hub: &'static str,
    /// The controllers' port.
    pub port: u16,
    /// The file system of the state, where it is a small one.
    pub disk: Option<Disk>,
    /// The controllers' networks, where they have their own.
    pub net: Option<Net>,
}

impl Place {
    /// Makes it, with an empty store, a key and a configuration.
    ///
    /// # Errors
    /// What cannot be done, and what to do.
    pub fn make(dir: PathBuf, programs: PathBuf, ground: Ground) -> Result<Place, End> {
        let at = |what: &dyn std::fmt::Display| elsewhere(&dir, what);
        for folder in ["", "out", "scripts", "disk"].iter().chain(&NODES) {
            let made = DirBuilder::new().mode(0o700).create(dir.join(folder));
            made.map_err(|error| at(&error))?;
        }
        let (disk, net) = match ground {
            Ground::Plain => (None, None),
            Ground::Own { disk, net } => {
                let mounted = disk.map(|mount| mount(&dir.join("disk"))).transpose();
                (mounted.map_err(|why| at(&why))?, net)
            }
        };
        let (addresses, hub) = match net {
            Some(_) => (space::CONTROLLERS, space::HUB),
            None => (["127.0.0.1", "127.0.0.2"], "127.0.0.1"),
        };
        let [port, first, second] = free_ports()?;
        let place = Place { dir: dir.clone(), programs, addresses, hub, port, disk, net };
        key::create(&place.key()).map_err(|error| at(&error))?;
        let own = format!("AuthKeyFile={}\n", place.key().display());
        fs::write(place.dir.join("statedir.conf"), own).map_err(|error| at(&error))?;
        fs::write(place.conf(), place.slurm_conf([first, second])).map_err(|error| at(&error))?;
        Store::create(&place.state(), &Options::default()).map_err(|error| at(&error))?;
        Ok(place)
    }

    /// The key.
    pub fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// slurm.conf.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("slurm.conf")
    }

    fn state(&self) -> PathBuf {
        self.dir.join("disk/state")
    }

    /// Where the output files of a round are.
    pub fn outputs(&self, round: u32) -> PathBuf {
        self.dir.join(format!("out/{round}"))
    }

    /// A program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Where it says what it does.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// A launch that nobody has confirmed is taken back after BatchStartTimeout and MessageTimeout:
    /// short ones let a drill end soon.
    fn slurm_conf(&self, ports: [u16; 2]) -> String {
        let (dir, port, state, hub) = (self.dir.display(), self.port, self.state(), self.hub);
        let state = state.display();
        let user = rustix::process::geteuid().as_raw();
        let host = |(name, address)| format!("SlurmctldHost={name}({address})\n");
        let hosts: String = HOSTS.into_iter().zip(self.addresses).map(host).collect();
        let node = |(name, port): (&str, u16)| {
            format!(
                "NodeName={name} NodeHostname=localhost NodeAddr={hub} Port={port} \
                 CPUs={CPUS} RealMemory=100\n"
            )
        };
        let nodes: String = NODES.into_iter().zip(ports).map(node).collect();
        format!(
            "ClusterName=drill\n{hosts}SlurmctldPort={port}\nSlurmctldTimeout={TIMEOUT_S}\n\
             CommunicationParameters=NoCtldInAddrAny\n\
             SlurmUser={user}\nSlurmdUser={user}\nStateSaveLocation={state}\n\
             SlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/%n/pid\n\
             SlurmdSpoolDir={dir}/%n/spool\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nSelectType=select/cons_tres\nReturnToService=2\n\
             SlurmdParameters=config_overrides\nBatchStartTimeout=1\n\
             MessageTimeout=5\nSlurmdTimeout=60\nMinJobAge=86400\nMaxJobCount=10000000\n{nodes}\
             PartitionName=drill Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        )
    }
}

impl Drop for Place {
    /// The control groups of its jobs; the directory goes with the root.
    fn drop(&mut self) {
        cluster::remove_groups(&self.dir);
    }
}

/// Whether a drill can live there.
fn fit(base: &Path) -> Result<(), End> {
    let no = |what: &dyn std::fmt::Display| elsewhere(base, what);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:~".contains(c);
    if !base.is_absolute() || !base.to_str().is_some_and(|text| text.chars().all(plain)) {
        return Err(no(&"slurm.conf cannot hold such a path"));
    }
    let found = statvfs(base).map_err(|error| no(&error))?;
    if found.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(no(&"is mounted noexec, and jobs run there"));
    }
    let room = found.f_bavail.saturating_mul(found.f_frsize);
    if room < ROOM_BYTES {
        let (room, need) = (room >> 20, ROOM_BYTES >> 20);
        return Err(no(&format!("{room} MiB are free, {need} are needed")));
    }
    Ok(())
}

/// Three ports on which nobody listens, whatever the address.
fn free_ports() -> Result<[u16; 3], End> {
    let no = |error: std::io::Error| {
        End::unable(format!("no port on 127.0.0.1: {error}"), "ip link set lo up, or free some")
    };
    let mut held = Vec::new();
    let mut ports = [0; 3];
    for port in &mut ports {
        let listener = TcpListener::bind("0.0.0.0:0").map_err(no)?;
        *port = listener.local_addr().map_err(no)?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(base: &Path) -> String {
        match fit(base) {
            Err(End::Unable(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_place_that_cannot_serve_is_refused_with_the_reason_and_what_to_do() {
        assert!(why(Path::new("/tmp/a b")).contains("slurm.conf cannot hold"));
        assert!(why(Path::new("here")).contains("TMPDIR"));
        assert!(why(Path::new("/nowhere/at/all")).contains("No such file"));
        // The kernel's own file systems have no room.
        assert!(
            why(Path::new("/proc")).contains("MiB are free")
                || why(Path::new("/proc")).contains("noexec")
        );
    }

    #[test]
    fn the_root_goes_with_its_value_and_all_places_in_it_unless_it_is_kept() {
        let make = |keep| {
            let root = Root::make(root().unwrap(), keep).unwrap();
            let programs = PathBuf::from("/nowhere");
            let place = Place::make(root.dir.join("one"), programs, Ground::Plain).unwrap();
            let conf = crate::slurm::conf::Conf::load(&place.conf()).unwrap();
            assert_eq!((conf.nodes.len(), conf.controllers.len()), (NODES.len(), HOSTS.len()));
            root
        };
        let gone = make(false);
        let dir = gone.dir.clone();
        drop(gone);
        assert!(!dir.exists());
        let mut kept = make(false);
        kept.keep();
        let dir = kept.dir.clone();
        drop(kept);
        assert!(dir.join("one/disk/state").is_dir());
        fs::remove_dir_all(dir).unwrap();
    }
}
