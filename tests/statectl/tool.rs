//! Runs the binary on a directory of its own.

use crate::limited;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A state directory, and the tool to use on it.
pub struct Tool {
    home: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Tool {
    /// No store yet.
    pub fn new() -> Tool {
        Tool { home: TempDir::new().unwrap() }
    }

    /// An empty store.
    pub fn with_store() -> Tool {
        let tool = Tool::new();
        tool.ok(&["init"]);
        tool
    }

    /// A store with these saves.
    pub fn with_saves(saves: &[&str]) -> Tool {
        let tool = Tool::with_store();
        let ran = tool.feed(&["apply"], saves.join("\n").as_bytes());
        assert_eq!(ran.code, 0, "{ran:?}");
        tool
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// A place beside the store.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = bare();
        command.arg("-C").arg(self.dir()).args(args);
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Ran {
        self.feed(args, b"")
    }

    /// Runs with `input` on stdin.
    pub fn feed<A: AsRef<OsStr>>(&self, args: &[A], input: &[u8]) -> Ran {
        feed(&mut self.command(args), input)
    }

    /// Runs what must succeed in silence; its output.
    pub fn ok<A: AsRef<OsStr>>(&self, args: &[A]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        ran.text()
    }

    pub fn spawn<A: AsRef<OsStr>>(&self, args: &[A]) -> Child {
        limited::spawn(&mut self.command(args))
    }

    /// Every file of the store with its bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dir()).unwrap().map(Result::unwrap);
        let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
    }

    /// The newest file whose name begins with `kind` and that holds something behind its header.
    pub fn newest(&self, kind: &str) -> PathBuf {
        let holds = |bytes: &[u8]| bytes.len() > 4096 && bytes[4096..].iter().any(|b| *b != 0);
        let mut files = self.files().into_iter().rev();
        let found = files.find(|(name, bytes)| name.starts_with(kind) && holds(bytes));
        self.dir().join(found.unwrap().0)
    }
}

impl Ran {
    pub fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// One JSON value a line.
    pub fn objects(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The binary without a directory, its pipes in our hands.
pub fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_statectl"));
    command.env_remove("STATECTL_DIR").env_remove("SLURM_CONF");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `command` with `input` on stdin.
pub fn feed(command: &mut Command, input: &[u8]) -> Ran {
    let Output { status, stdout, stderr } = limited::output_of(command, input);
    let err = String::from_utf8(stderr).unwrap();
    assert!(!err.contains("panicked"), "{err}");
    Ran { code: status.code().expect("not killed by a signal"), out: stdout, err }
}

/// Waits until something is so: a process has come up, time has passed.
pub fn wait_for(so: impl FnMut() -> bool) {
    limited::until("what the test waits for", so);
}

/// Flips one bit.
pub fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A save of one put.
pub fn put(table: &str, key: &str, value: &str) -> String {
    serde_json::json!([{"put": {"table": table, "key": key, "value": value}}]).to_string()
}
