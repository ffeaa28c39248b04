//! A munged, our controller and real slurmds, and jobs for them.

use crate::agents::{Slurmd, node_lines, ports_in_a_row, until_node, until_said};
use crate::cluster::{Controller, Munged};
use crate::programs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// A munged, our controller and slurmds, if the real programs are there.
pub struct Lab {
    pub slurmds: Vec<Slurmd>,
    pub ours: Controller,
    _munged: Munged,
    _dir: tempfile::TempDir,
}

/// That many slurmds, with lines about their nodes and more lines, in which `{dir}` is where the
/// controller's files are; `None`: a program is missing.
pub fn lab(test: &str, count: u16, node: &str, more: &str) -> Option<Lab> {
    let munged = programs::find("munged", test)?;
    let slurmd = programs::find("slurmd", test)?;
    programs::find("scontrol", test)?;
    let dir = tempfile::Builder::new().prefix("run").tempdir().unwrap();
    // Jobs of others write here, too.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let place = dir.path().join("ours");
    let nodes = node_lines(&place, count, ports_in_a_row(count), node);
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let more = more.replace("{dir}", &place.display().to_string());
    let mut ours = Controller::configure(place, &auth_info, &format!("{more}\n{nodes}"));
    ours.init();
    ours.start(Path::new(OURS));
    let start = |at| Slurmd::start(&slurmd, &ours, &format!("n{at}"));
    let slurmds = (1..=count).map(start).collect();
    Some(Lab { slurmds, ours, _munged: munged, _dir: dir })
}

/// What `scontrol show job` says in a field; empty: the job is not there, or has none.
pub fn field(ours: &Controller, id: u32, name: &str) -> String {
    let shown = ours.run(&format!("scontrol -o show job {id}")).stdout;
    let begin = format!("{name}=");
    let word = shown.split_whitespace().find_map(|word| word.strip_prefix(&begin));
    word.unwrap_or("").to_owned()
}

pub fn until_job(ours: &Controller, id: u32, state: &str) {
    until_said(ours, &format!("job {id} is {state}"), || field(ours, id, "JobState") == state);
}

impl Lab {
    /// A folder where jobs of everybody write.
    pub fn out(&self) -> PathBuf {
        let out = self.ours.dir.join("out");
        if !out.exists() {
            std::fs::create_dir(&out).unwrap();
            std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        out
    }

    /// The text of a file there, as soon as it has some.
    pub fn written(&self, name: &str) -> String {
        let path = self.out().join(name);
        let mut text = String::new();
        until_said(&self.ours, &format!("{name} has text"), || {
            text = std::fs::read_to_string(&path).unwrap_or_default();
            text.ends_with('\n')
        });
        text
    }

    /// Submits a script, with options, for a user.
    pub fn submit(&self, script: &str, options: &str, nobody: bool) -> u32 {
        let out = self.out();
        let path = out.join("script.sh");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let out = out.display();
        let line = format!("sbatch --parsable -D {out} -o {out}/%j.out {options} {out}/script.sh");
        let said = if nobody { self.ours.run_as_nobody(&line) } else { self.ours.run(&line) };
        said.stdout.trim().parse().unwrap_or_else(|_| panic!("{said:?}\n{}", self.ours.log()))
    }

    pub fn idle(&self) {
        for slurmd in &self.slurmds {
            until_node(&self.ours, &slurmd.name, "idle");
        }
    }

    /// A program in the controller's folder that agents run.
    pub fn program(&self, name: &str, text: &str) {
        let (path, new) = (self.ours.dir.join(name), self.ours.dir.join(format!("{name}.new")));
        std::fs::write(&new, format!("#!/bin/bash\n{text}\n")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// A node's reason, without who gave it and when.
    pub fn reason(&self, node: &str) -> String {
        let shown = self.ours.run(&format!("scontrol show node {node}")).stdout;
        let reason = shown.split("Reason=").nth(1).unwrap_or("");
        reason.split(" [").next().unwrap().trim().to_owned()
    }
}
