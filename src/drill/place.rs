//! The directory of a drill: key, configuration, state, spools, scripts and outputs. It goes with
//! the value, unless it is kept.

use crate::drill::End;
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

/// The nodes' names.
pub const NODES: [&str; 2] = ["n1", "n2"];
/// CPUs that each of them says it has.
pub const CPUS: u32 = 4;

/// The directory, and what was put into it.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub dir: PathBuf,
    /// Where the programs are.
    pub programs: PathBuf,
    /// The controller's port.
    pub port: u16,
    keep: bool,
}

impl Place {
    /// Makes it, with an empty store, a key and a configuration.
    ///
    /// # Errors
    /// What cannot be done, and what to do.
    pub fn make(programs: PathBuf, keep: bool) -> Result<Place, End> {
        let base = std::env::temp_dir();
        fit(&base)?;
        let [port, first, second] = free_ports()?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("statedir-drill.{}-{:x}", std::process::id(), since.as_nanos());
        let place = Place { dir: base.join(name), programs, port, keep };
        let at = |what: &dyn std::fmt::Display| {
            End::unable(format!("{}: {what}", place.dir.display()), "set TMPDIR to another place")
        };
        DirBuilder::new().mode(0o700).create(&place.dir).map_err(|error| at(&error))?;
        key::create(&place.key()).map_err(|error| at(&error))?;
        let own = format!("AuthKeyFile={}\n", place.key().display());
        fs::write(place.dir.join("statedir.conf"), own).map_err(|error| at(&error))?;
        fs::write(place.conf(), place.slurm_conf([first, second])).map_err(|error| at(&error))?;
        for folder in ["out", "scripts"].iter().chain(&NODES) {
            fs::create_dir(place.dir.join(folder)).map_err(|error| at(&error))?;
        }
        Store::create(&place.dir.join("state"), &Options::default()).map_err(|error| at(&error))?;
        Ok(place)
    }

    fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// slurm.conf.
    pub fn conf(&self) -> PathBuf {
        self.dir.join("slurm.conf")
    }

    /// Where the output files of a round are.
    pub fn outputs(&self, round: u32) -> PathBuf {
        self.dir.join(format!("out/{round}"))
    }

    /// A program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// It stays.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// A launch that nobody has confirmed is taken back after BatchStartTimeout and MessageTimeout:
    /// short ones let a drill end soon.
    fn slurm_conf(&self, ports: [u16; 2]) -> String {
        let (dir, port) = (self.dir.display(), self.port);
        let user = rustix::process::geteuid().as_raw();
        let node = |(name, port): (&str, u16)| {
            format!(
                "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} \
                 CPUs={CPUS} RealMemory=100\n"
            )
        };
        let nodes: String = NODES.into_iter().zip(ports).map(node).collect();
        format!(
            "ClusterName=drill\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={port}\n\
             SlurmUser={user}\nSlurmdUser={user}\nStateSaveLocation={dir}/state\n\
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
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Whether a drill can live there.
fn fit(base: &Path) -> Result<(), End> {
    let no = |what: &dyn std::fmt::Display| {
        End::unable(format!("{}: {what}", base.display()), "set TMPDIR to another place")
    };
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

/// Three ports that nobody listens on.
fn free_ports() -> Result<[u16; 3], End> {
    let no = |error: std::io::Error| {
        End::unable(format!("no port on 127.0.0.1: {error}"), "ip link set lo up, or free some")
    };
    let mut held = Vec::new();
    let mut ports = [0; 3];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(no)?;
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
    fn the_place_goes_with_its_value_unless_it_is_kept() {
        let programs = PathBuf::from("/nowhere");
        let place = Place::make(programs.clone(), false).unwrap();
        let dir = place.dir.clone();
        let conf = crate::slurm::conf::Conf::load(&place.conf()).unwrap();
        assert_eq!(conf.nodes.len(), NODES.len());
        drop(place);
        assert!(!dir.exists());
        let mut kept = Place::make(programs, false).unwrap();
        kept.keep();
        let dir = kept.dir.clone();
        drop(kept);
        assert!(dir.join("state").is_dir());
        fs::remove_dir_all(dir).unwrap();
    }
}
