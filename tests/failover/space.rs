//! A file system in a file, mounted where the test's programs see it: it can be frozen, and the
//! file is what a disk holds.

use crate::cluster::{Process, limited, until};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system in a file, mounted in a namespace that a process keeps.
pub struct Space {
    process: Process,
    dir: PathBuf,
    place: PathBuf,
    /// The directory, as the test sees it.
    pub state: PathBuf,
}

impl Space {
    /// `None`: that cannot be done here.
    pub fn mount(state: &Path) -> Option<Space> {
        let (dir, ready) = (state.parent().unwrap(), state.with_file_name("mounted"));
        let script = "cd $2 && truncate -s 256M disk && mkfs.ext4 -q disk && \
                      mount -o loop disk $1 && rmdir $1/lost+found && chmod 700 $1 && \
                      touch mounted && exec sleep 3600";
        let child = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .args([state, dir])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut process = Process(child);
        until("it is mounted, or cannot be", || {
            ready.exists() || process.0.try_wait().unwrap().is_some()
        });
        let root = PathBuf::from(format!("/proc/{}/root", process.0.id()));
        let (place, dir) = (state.to_owned(), dir.to_owned());
        let state = root.join(state.strip_prefix("/").unwrap());
        ready.exists().then_some(Space { process, dir, place, state })
    }

    /// What a disk holds while nobody writes it: copied until two copies are the same.
    #[allow(dead_code, reason = "each test uses its part")]
    pub fn image(&self, name: &str) {
        let dir = self.dir.clone();
        let copy = |to: &str| {
            let mut command = Command::new("cp");
            command.arg("--sparse=always").args([dir.join("disk"), dir.join(to)]);
            assert!(limited::output(&mut command).status.success());
        };
        copy(name);
        until("two copies are the same", || {
            let again = format!("{name}.again");
            std::fs::rename(dir.join(name), dir.join(&again)).unwrap();
            copy(name);
            let mut same = Command::new("cmp");
            same.arg("-s").args([dir.join(name), dir.join(&again)]);
            limited::output(&mut same).status.success()
        });
    }

    /// The directory is on a disk that holds what that image does. Nobody may have it open.
    #[allow(dead_code, reason = "each test uses its part")]
    pub fn put(&self, name: &str) {
        let script = "cd $2 && umount $1 && cp --sparse=always $3 disk && mount -o loop disk $1";
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.process.0.id().to_string(), "sh", "-c", script, "sh"]);
        command.args([&self.place, &self.dir]).arg(name);
        let put = limited::output(&mut command);
        assert!(put.status.success(), "{put:?}");
    }

    /// What is put before a program so that it sees it, too.
    pub fn before(&self) -> Vec<String> {
        let pid = self.process.0.id().to_string();
        ["nsenter", "-m", "-t", &pid].map(str::to_owned).to_vec()
    }
}

/// It is thawed whatever becomes of the test: a process that waits for it cannot even be killed.
pub struct Frozen(PathBuf);

impl Frozen {
    pub fn begin(at: &Path) -> Frozen {
        let froze = limited::output(Command::new("fsfreeze").arg("-f").arg(at));
        assert!(froze.status.success(), "{froze:?}");
        Frozen(at.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Ok(mut thaws) = Command::new("fsfreeze").arg("-u").arg(&self.0).spawn() {
            limited::status(&mut thaws);
        }
    }
}
