//! A file system and networks of the drill's own, in namespaces that go with its processes.
//!
//! ```text
//!   clients, agents ---- bridge 10.77.0.254 ---- veth ---- 10.77.0.1  controller 1
//!                              \---------------- veth ---- 10.77.0.2  controller 2
//! ```
//!
//! Invariants:
//! - Nothing outside is changed: mounts are private to the namespace, and the networks reach
//!   nobody else.
//! - A thread enters the namespaces, and only threads and processes that it starts are there.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Room of the file system: for the state of a few thousand jobs.
const DISK: &str = "size=64m,mode=0700";

/// Where clients and agents are.
pub const HUB: &str = "10.77.0.254";
/// Where controllers are.
pub const CONTROLLERS: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

fn done(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes this user one who may mount in a namespace of his own; before there is any thread.
///
/// # Errors
/// It cannot be done here.
pub fn may_mount() -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() {
        return Ok(());
    }
    let (user, group) = (user.as_raw(), group.as_raw());
    // SAFETY: numbers alone.
    done(unsafe { libc::unshare(libc::CLONE_NEWUSER) })
        .map_err(|error| format!("no root, and no user namespaces here ({error})"))?;
    let map = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(|error| format!("{name}: {error}"))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{user} {user} 1"))?;
    map("gid_map", format!("{group} {group} 1"))
}

/// A small file system, as long as the value lives.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts it there, for this thread and what it starts.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn mount(at: &Path) -> Result<Disk, String> {
        let text = |text: &[u8]| CString::new(text).expect("no zeros in it");
        let (target, kind) = (text(at.as_os_str().as_bytes()), text(b"tmpfs"));
        let options = text(DISK.as_bytes());
        let (root, none) = (text(b"/"), std::ptr::null());
        let cannot = |error: io::Error| format!("no file system of its own here ({error})");
        // SAFETY: all pointers are to strings that outlive the calls, or null where that may be.
        unsafe {
            done(libc::unshare(libc::CLONE_NEWNS)).map_err(cannot)?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            done(libc::mount(none, root.as_ptr(), none, private, none.cast())).map_err(cannot)?;
            let (kind, options) = (kind.as_ptr(), options.as_ptr().cast());
            done(libc::mount(kind, target.as_ptr(), kind, 0, options)).map_err(cannot)?;
        }
        Ok(Disk { at: at.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Leaves no room.
    ///
    /// # Errors
    /// What else went wrong.
    pub fn fill(&self) -> io::Result<()> {
        let (mut file, piece) = (File::create(self.ballast())?, vec![7; 4096]);
        loop {
            match io::Write::write_all(&mut file, &piece) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
    }

    /// There is room again.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn empty(&self) -> io::Result<()> {
        fs::remove_file(self.ballast())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = CString::new(self.at.as_os_str().as_bytes()).expect("it was mounted");
        // SAFETY: the string outlives the call.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Networks of two controllers, and the one between them.
#[derive(Debug)]
pub struct Net {
    of: [OwnedFd; 2],
}

impl Net {
    /// Makes them, for this thread and what it starts.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make() -> Result<Net, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("networks of one's own need root".to_owned());
        }
        enter()?;
        let net = Net { of: [apart()?, apart()?] };
        ip("link set lo up", None)?;
        ip("link add hub type bridge", None)?;
        ip(&format!("addr add {HUB}/24 dev hub"), None)?;
        ip("link set hub up", None)?;
        for (at, address) in CONTROLLERS.into_iter().enumerate() {
            let (own, of) = (std::process::id(), net.of[at].as_raw_fd());
            let way = way(at);
            ip(
                &format!("link add {way} type veth peer name net0 netns /proc/{own}/fd/{of}"),
                None,
            )?;
            ip(&format!("link set {way} master hub up"), None)?;
            ip("link set lo up", Some(of))?;
            ip(&format!("addr add {address}/24 dev net0"), Some(of))?;
            ip("link set net0 up", Some(of))?;
        }
        Ok(net)
    }

    /// Lets a command run in the network of a controller.
    pub fn put(&self, at: usize, command: &mut Command) {
        within(command, self.of[at].as_raw_fd());
    }

    /// Nothing comes or goes there any more.
    ///
    /// # Errors
    /// It cannot be cut.
    pub fn cut(&self, at: usize) -> Result<(), String> {
        ip(&format!("link set {} down", way(at)), None)
    }

    /// The two controllers do not reach each other any more, or do again.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn apart(&self, yes: bool) -> Result<(), String> {
        let yes = if yes { "on" } else { "off" };
        let cut = |at| ip(&format!("link set {} type bridge_slave isolated {yes}", way(at)), None);
        cut(0).and_then(|()| cut(1))
    }

    /// It does again.
    ///
    /// # Errors
    /// It cannot be mended.
    pub fn join(&self, at: usize) -> Result<(), String> {
        ip(&format!("link set {} up", way(at)), None)
    }
}

fn way(at: usize) -> String {
    format!("way{at}")
}

fn enter() -> Result<(), String> {
    // SAFETY: numbers alone.
    let entered = done(unsafe { libc::unshare(libc::CLONE_NEWNET) });
    entered.map_err(|error| format!("no network of its own here ({error})"))
}

/// A network that nobody is in; it lives as long as the descriptor.
fn apart() -> Result<OwnedFd, String> {
    let made = std::thread::spawn(|| {
        enter()?;
        let opened = File::open("/proc/thread-self/ns/net");
        opened.map(OwnedFd::from).map_err(|error| format!("/proc/thread-self/ns/net: {error}"))
    });
    made.join().expect("it does not panic")
}

fn within(command: &mut Command, net: i32) {
    let enter = move || done(unsafe { libc::setns(net, libc::CLONE_NEWNET) });
    // SAFETY: one call that takes numbers, and may be made between fork and exec.
    unsafe { command.pre_exec(enter) };
}

fn ip(line: &str, net: Option<i32>) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(line.split(' ')).stdin(Stdio::null()).process_group(0);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    if let Some(net) = net {
        within(&mut command, net);
    }
    let ran = command.output().map_err(|error| format!("ip (of iproute2): {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(format!("ip {line}: {}", String::from_utf8_lossy(&ran.stderr).trim()))
}
