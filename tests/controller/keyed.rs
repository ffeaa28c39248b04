//! A controller whose credentials are made with a key file, who holds that key, and jobs for it: no
//! program of Slurm. For tests and benches.

use crate::cluster::Controller;
use statedir::slurm::auth::Auth;
use statedir::slurm::auth::key::{self, Key, system_clock};
use statedir::slurm::wire::tables::JobDesc;
use statedir::slurm::wire::{Field, Text};
use std::path::{Path, PathBuf};

/// Such a controller, not started, in a directory; how whoever has the key proves it; the key.
pub fn configure(dir: &Path, cluster: &str) -> (Controller, Auth, PathBuf) {
    let ours = Controller::configure(dir.join("ours"), "", cluster);
    let key_file = dir.join("key");
    key::create(&key_file).unwrap();
    let own = format!("AuthKeyFile={}\n", key_file.display());
    std::fs::write(ours.dir.join("statedir.conf"), own).unwrap();
    ours.init();
    let auth = Auth::Key(Key::load(&key_file, system_clock()).unwrap());
    (ours, auth, key_file)
}

/// A batch job as sbatch would describe it, held.
pub fn held_job(name: &str, script: &str, environment: Vec<Text>) -> JobDesc {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    JobDesc {
        name: name.into(),
        script: script.into(),
        environment,
        argv: vec!["/home/user/script.sh".into()],
        work_dir: "/tmp".into(),
        std_out: "/dev/null".into(),
        user_id: uid.as_raw(),
        group_id: gid.as_raw(),
        priority: 0,
        min_nodes: 1,
        min_cpus: 1,
        num_tasks: 1,
        ..JobDesc::unset()
    }
}
