//! `rsync`: what an rsync on another host runs here instead of rsync, so that it copies a state
//! directory as it was at one moment.
//!
//! ```text
//! rsync -a --rsync-path='statectl rsync' HOST:DIR/ DEST
//!   └─> statectl rsync --server --sender -logDtpre.… . DIR/
//!         └─ pins DIR ─> rsync --server --sender -logDtpre.… . PIN/NAME/
//! ```
//!
//! Invariants: only the sending side is served; a state directory is never handed to rsync itself;
//! the pin is removed however rsync ends, and rsync's exit code is ours.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::export::pin::{Pin, PinError};
use crate::format::names;
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// Serves an rsync on another host with the state of one moment.
///
/// No file vanishes while it copies, however long that takes. Up to eight may copy a directory at a
/// time (7: busy).
///
/// Over there: rsync -a --rsync-path='statectl rsync' HOST:DIR/ DEST
#[derive(Debug, Args)]
pub struct Rsync {
    /// What rsync asks for.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0.., value_name = "ARGS")]
    args: Vec<OsString>,
}

impl Rsync {
    /// Runs the command.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let has = |wanted: &str| self.args.iter().any(|arg| arg == wanted);
        let how = "rsync -a --rsync-path='statectl rsync' HOST:DIR/ DEST";
        if !has("--server") {
            let message = "this is for rsync to run, on the host that it copies from";
            return Err(Failure::new(Exit::Usage, message, how));
        }
        if !has("--sender") {
            let message = "a state directory is copied from here, never written to";
            return Err(Failure::new(Exit::Unsafe, message, how));
        }
        // After the dot come the paths.
        let dot = self.args.iter().position(|arg| arg == ".");
        let Some(dot) = dot else {
            return Err(Failure::new(
                Exit::Usage,
                "rsync names no directory, or hides it (-s)",
                how,
            ));
        };
        let (mut args, paths) = (self.args[..=dot].to_vec(), &self.args[dot + 1..]);
        // Before anything is pinned: whoever stops us must not leave it behind.
        outlive_signals();
        let mut pins = Vec::new();
        for path in paths {
            args.push(match pinned(session, path)? {
                None => path.clone(),
                Some((pin, shown)) => {
                    pins.push(pin);
                    shown
                }
            });
        }
        let ran = Command::new("rsync").args(&args).status();
        drop(pins);
        match ran {
            // As a shell would say it.
            Ok(status) => {
                let signal = status.signal().map_or(1, |signal| 128 + signal);
                std::process::exit(status.code().unwrap_or(signal))
            }
            Err(error) => {
                let message = format!("rsync does not start: {error}");
                Err(Failure::new(Exit::Failed, message, "command -v rsync"))
            }
        }
    }
}

/// A pin of the directory that `path` names, and the path to show instead; `None` for anything that
/// is no state directory.
fn pinned(session: &Session, path: &OsStr) -> Result<Option<(Pin, OsString)>, Failure> {
    let dir = Path::new(path);
    if !dir.join(names::CONTROL).is_file() {
        return Ok(None);
    }
    let pin = Pin::new(dir).map_err(|error| pinning(session, dir, &error))?;
    let mut shown = pin.path().as_os_str().as_bytes().to_vec();
    // With a slash behind it rsync copies what is in it, without one the folder itself.
    let bytes = path.as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") || bytes == b"." {
        shown.push(b'/');
    }
    Ok(Some((pin, OsString::from_vec(shown))))
}

/// Why a directory cannot be held still.
pub fn pinning(session: &Session, dir: &Path, error: &PinError) -> Failure {
    let shown = text::shell(dir.as_os_str());
    match error {
        PinError::Open(error) => session.on(dir.to_owned()).opening(error),
        PinError::Crowded { by, .. } => {
            let by: Vec<String> = by.iter().map(u32::to_string).collect();
            // One that hangs is ended by its number; the others will be done.
            let next = format!("ps -o pid,etime,args -p {}", by.join(","));
            Failure::new(Exit::Busy, error, next)
        }
        PinError::Restless(_) => {
            Failure::new(Exit::Failed, error, format!("statectl -C {shown} status"))
        }
        PinError::Io { source, .. } => {
            let next = match source.kind() {
                io::ErrorKind::StorageFull => format!("df -h {shown}"),
                _ => format!("ls -ld {shown} {shown}/.."),
            };
            Failure::new(Exit::Failed, error, next)
        }
    }
}

/// Signals that end rsync must not end us before we have cleaned up. rsync itself gets them as
/// always: a handler, other than being ignored, is not inherited.
fn outlive_signals() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: an all-zero sigaction is a valid value, the pointer outlives the call, and the
        // handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}
