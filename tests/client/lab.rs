//! A munged, Slurm's own slurmctld and slurmd, and clients beside each other: Slurm's and ours, in
//! the same environment, called by the same name.

use crate::cluster::{Controller, Munged, Process, Said, limited, ports, until};
use crate::programs;
use leftovers::Marks;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "../controller/leftovers.rs"]
pub mod leftovers;

/// Ours, by name.
pub fn ours(name: &str) -> PathBuf {
    PathBuf::from(match name {
        "scontrol" => env!("CARGO_BIN_EXE_scontrol"),
        "sinfo" => env!("CARGO_BIN_EXE_sinfo"),
        "squeue" => env!("CARGO_BIN_EXE_squeue"),
        "sbatch" => env!("CARGO_BIN_EXE_sbatch"),
        "scancel" => env!("CARGO_BIN_EXE_scancel"),
        other => panic!("{other} is none of ours"),
    })
}

/// The words of a line; `'` and `"` keep blanks together.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, ' ') => words.extend(word.take()),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (Some(open), c) if c == open => quote = None,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Digits of clock times, and what changes by itself, become `#`.
pub fn masked(text: &str) -> String {
    let mask = |token: &str| -> String {
        let changes =
            token.contains(':') || ["CPULoad=", "FreeMem="].iter().any(|c| token.starts_with(c));
        let hide = |c: char| if changes && c.is_ascii_digit() { '#' } else { c };
        token.chars().map(hide).collect()
    };
    text.split_inclusive(' ')
        .map(|token| token.split_inclusive('\n').map(mask).collect::<String>())
        .collect()
}

/// Slurm's own `sinfo -N` asks of partitions in threads: a node's come as they come.
fn in_order(line: &str, text: String) -> String {
    if !line.contains(" -N") {
        return text;
    }
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// The stage.
pub struct Lab {
    dir: tempfile::TempDir,
    _munged: Munged,
    pub controller: Controller,
    agents: Vec<(String, Process)>,
}

impl Drop for Lab {
    /// With the agents goes all that they started.
    fn drop(&mut self) {
        for (node, agent) in std::mem::take(&mut self.agents) {
            drop(agent);
            let (dir, conf) = (self.path(&format!("{node}.dir")), self.controller.conf());
            Marks { dir: &dir, conf: &conf, node: &node }.end();
        }
    }
}

impl Lab {
    /// `None`: a program is missing, which has been reported.
    pub fn new(test: &str, more: impl FnOnce(u16) -> String) -> Option<Lab> {
        let munged = programs::find("munged", test)?;
        for name in ["scontrol", "sinfo", "squeue", "sbatch", "scancel"] {
            programs::find(name, test)?;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let munged = Munged::start(&munged, dir.path());
        let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
        let agents = ports::in_a_row(2);
        let more = more(agents);
        let controller = Controller::configure(dir.path().join("lab"), &auth_info, &more);
        Some(Lab { dir, _munged: munged, controller, agents: Vec::new() })
    }

    /// A path on the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file there.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Starts an agent, Slurm's own.
    pub fn agent(&mut self, slurmd: &Path, node: &str) {
        let log = std::fs::File::create(self.path(&format!("{node}.log"))).unwrap();
        let dir = self.path(&format!("{node}.dir"));
        std::fs::create_dir(&dir).unwrap();
        let child = Command::new(slurmd)
            .args(["-D", "-N", node])
            .env("SLURM_CONF", self.controller.conf())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.agents.push((node.to_owned(), Process(child)));
    }

    /// Runs a program as `line` says, with `stdin`.
    pub fn run(&self, program: &Path, line: &str, stdin: &str) -> Said {
        let words = words(line);
        let mut command = Command::new(program);
        command
            .arg0(&words[0])
            .args(&words[1..])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/")
            .env("SLURM_CONF", self.controller.conf())
            .env("TZ", "UTC")
            .current_dir(self.dir.path());
        let output = limited::output_of(&mut command, stdin.as_bytes());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        Said { stdout: text(output.stdout), stderr: text(output.stderr), code }
    }

    /// Runs Slurm's own client.
    pub fn real(&self, line: &str) -> Said {
        let name = line.split(' ').next().unwrap();
        self.run(&programs::find(name, "lab").unwrap(), line, "")
    }

    /// Runs ours.
    pub fn own(&self, line: &str) -> Said {
        let name = line.split(' ').next().unwrap();
        self.run(&ours(name), line, "")
    }

    /// Where the two print something else.
    pub fn differ(&self, line: &str) -> Option<String> {
        let (real, own) = (self.real(line), self.own(line));
        for (theirs, own) in [(&real.stdout, &own.stdout), (&real.stderr, &own.stderr)] {
            let (theirs, own) = (in_order(line, masked(theirs)), in_order(line, masked(own)));
            for (theirs, own) in theirs.lines().zip(own.lines()) {
                if theirs != own {
                    return Some(format!("{line}:\n  Slurm {theirs}|\n  ours  {own}|"));
                }
            }
            if theirs != own {
                return Some(format!("{line}:\n  Slurm {theirs}|\n  ours  {own}|"));
            }
        }
        (real.code != own.code).then(|| format!("{line}: exit {}, ours {}", real.code, own.code))
    }

    /// Waits for something that a client says.
    pub fn until(&self, line: &str, what: &str) {
        until(&format!("{line}: {what}"), || self.real(line).stdout.contains(what));
    }
}
