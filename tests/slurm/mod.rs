//! A stage for Slurm's own programs: a munged with a key of its own, a slurm.conf, and in the
//! place of the controller a server that answers from the codec and keeps what it was asked.

pub mod answers;
pub mod server;

use crate::limited;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Everything that a client needs. Its processes end with it.
pub struct Stage {
    dir: tempfile::TempDir,
    munged: Child,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.munged.kill().expect("munged was started here");
        self.munged.wait().expect("munged was started here");
    }
}

/// Name of the user who runs the tests.
pub fn user() -> String {
    let output = limited::output(Command::new("id").arg("-un"));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Stage {
    /// Starts munged, and writes slurm.conf for a controller at `port` and agents at `agents` and
    /// the port after it.
    pub fn new(munged: &Path, port: u16, agents: u16) -> Stage {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::Builder::new().prefix("slurm").tempdir().unwrap();
        // munged wants a place that everybody can enter, and a key that nobody else can read.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let key = dir.path().join("munge.key");
        std::fs::write(&key, [7; 128]).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        let at =
            |option: &str, name: &str| format!("--{option}={}", dir.path().join(name).display());
        let munged = Command::new(munged)
            .args(["--foreground", "--force", "--num-threads=4"])
            .args([at("key-file", "munge.key"), at("socket", "munge.sock")])
            .args([at("pid-file", "munged.pid"), at("log-file", "munged.log")])
            .args([at("seed-file", "munged.seed")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stage = Stage { dir, munged };
        stage.wait_for("munge.sock");
        std::fs::write(stage.conf(), stage.text(port, agents)).unwrap();
        stage
    }

    /// Waits until a daemon or a job has made a file.
    pub fn wait_for(&self, name: &str) {
        for _ in 0..18_000 {
            if self.path(name).exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(self.path("munged.log")).unwrap_or_default();
        panic!("{name} does not appear: {log}");
    }

    fn text(&self, port: u16, agents: u16) -> String {
        let last = agents + 1;
        let (dir, user) = (self.dir.path().display(), user());
        format!(
            "ClusterName=stage\n\
             SlurmctldHost=localhost(127.0.0.1)\n\
             SlurmctldPort={port}\n\
             SlurmUser={user}\n\
             SlurmdUser={user}\n\
             AuthType=auth/munge\n\
             AuthInfo=socket={dir}/munge.sock\n\
             CredType=cred/munge\n\
             SelectType=select/cons_tres\n\
             StateSaveLocation={dir}\n\
             SlurmdSpoolDir={dir}/spool\n\
             SlurmdPidFile={dir}/slurmd.pid\n\
             ProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\n\
             MessageTimeout=30\n\
             ReturnToService=2\n\
             NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{agents}-{last}] \
             CPUs=1 RealMemory=100\n\
             PartitionName=main Nodes=n[1-2] Default=YES State=UP\n"
        )
    }

    /// A path on the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The slurm.conf.
    pub fn conf(&self) -> PathBuf {
        self.path("slurm.conf")
    }

    /// What slurm.conf says of munge.
    pub fn auth_info(&self) -> String {
        format!("socket={}", self.path("munge.sock").display())
    }

    /// Runs a program of Slurm's, in an environment of its own.
    pub fn run(&self, program: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SLURM_CONF", self.conf())
            .env("TZ", "UTC")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        limited::output(&mut command)
    }
}
