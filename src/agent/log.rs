//! Lines for the operator: on stderr, which is the log file when the agent is in the background;
//! in the background without a log file, to syslog (the journal takes it). Supervisors do the same
//! as their agent. One write a line, so that lines of several processes do not mix; a line that
//! cannot be written is lost, and nothing else.

use std::ffi::CString;
use std::fmt::Arguments;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

macro_rules! error {
    ($($word:tt)*) => {
        $crate::agent::log::line($crate::agent::log::Level::Error, format_args!($($word)*))
    };
}
macro_rules! info {
    ($($word:tt)*) => {
        $crate::agent::log::line($crate::agent::log::Level::Info, format_args!($($word)*))
    };
}
macro_rules! debug {
    ($($word:tt)*) => {
        $crate::agent::log::line($crate::agent::log::Level::Debug, format_args!($($word)*))
    };
}
pub(crate) use {debug, error, info};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Somebody has to look.
    Error,
    /// What happened.
    Info,
    /// Every message.
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static NAME: OnceLock<String> = OnceLock::new();
static FILE: OnceLock<PathBuf> = OnceLock::new();
static SYSLOG: AtomicBool = AtomicBool::new(false);

/// Tells a supervisor that its agent logs to syslog.
pub const SYSLOG_MARK: &str = "STATEDIR_SYSLOG";

/// Says from now on what is at most `level`, as `name`.
pub fn begin(level: Level, name: &str) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    let _ = NAME.set(name.to_owned());
    if std::env::var_os(SYSLOG_MARK).is_some() {
        to_syslog();
    }
}

/// To syslog from now on.
pub fn to_syslog() {
    SYSLOG.store(true, Ordering::Relaxed);
    // SAFETY: the name is a constant, which syslog keeps a pointer to.
    unsafe { libc::openlog(c"slurmd".as_ptr(), libc::LOG_PID, libc::LOG_DAEMON) };
}

/// Whether it goes there.
pub fn is_syslog() -> bool {
    SYSLOG.load(Ordering::Relaxed)
}

/// Opens the log file anew, if there is one: somebody has moved it away.
pub fn reopen() {
    if let Some(path) = FILE.get()
        && let Err(why) = to_file(path)
    {
        error!("log file {}: {why}", path.display());
    }
}

/// Appends to a file from now on.
///
/// # Errors
/// It cannot be opened.
pub fn to_file(path: &Path) -> std::io::Result<()> {
    let file = std::fs::File::options().append(true).create(true).open(path)?;
    let _ = FILE.set(std::path::absolute(path)?);
    Ok(rustix::stdio::dup2_stderr(file.as_fd())?)
}

/// One line.
pub fn line(level: Level, text: Arguments<'_>) {
    if level as u8 > LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let name = NAME.get().map_or("slurmd", String::as_str);
    let word = if level == Level::Error { "error: " } else { "" };
    if is_syslog() {
        let urgency = match level {
            Level::Error => libc::LOG_ERR,
            Level::Info => libc::LOG_INFO,
            Level::Debug => libc::LOG_DEBUG,
        };
        let Ok(line) = CString::new(format!("{name}: {word}{text}")) else { return };
        // SAFETY: a format for one string, and a string.
        return unsafe { libc::syslog(urgency, c"%s".as_ptr(), line.as_ptr()) };
    }
    let line = format!("[{}] {name}: {word}{text}\n", now());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Local time, as `2026-01-31T12:30:00`.
pub fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs()) as libc::time_t;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to locals; zeros are a valid tm if nothing is written.
    let parts = unsafe {
        libc::localtime_r(&seconds, parts.as_mut_ptr());
        parts.assume_init()
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        parts.tm_year + 1900,
        parts.tm_mon + 1,
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec
    )
}
