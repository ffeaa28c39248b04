//! The process that becomes a batch script: as its user, with his groups, limits, umask and files.
//! Only a supervisor comes here, which has one thread, so that the new process may do anything.
//!
//! In order: process group and cgroup while still the agent's user; then groups, gid, uid, for
//! good; then, as the user, files, folder, limits; then exec.
//!
//! Invariant: no file is opened, no folder entered for the user before the process is the user's.

use crate::agent::environment::{self, Environment};
use crate::agent::limits::{self, Limit};
use crate::agent::log::error;
use crate::agent::patterns::{self, Meaning};
use crate::agent::signals;
use crate::agent::spool::{Brief, Folder};
use nix::unistd::User;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};
use std::ffi::{CStr, CString, OsStr, c_char};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Return code of a script whose files cannot be opened, as Slurm has it.
pub const FILES: u32 = 4021;
const TRUNCATE: u8 = 2;
const APPEND: u8 = 1;
const MODE_DEFAULT: u32 = 0o022;

/// A script that runs.
#[derive(Debug)]
pub struct Task {
    /// Its process.
    pub pid: Pid,
    /// The same, for sure.
    pub descriptor: OwnedFd,
    /// Where it writes its errors, if that can be had.
    pub stderr: Option<OwnedFd>,
}

/// Why none runs.
#[derive(Debug)]
pub enum Failure {
    /// It could not be put into its cgroup.
    Group,
    /// A file could not be opened, which has been logged.
    Files,
    /// Anything else.
    Other(String),
}

const AT_START: u8 = 0;
const AT_GROUP: u8 = 1;
const AT_USER: u8 = 2;
const AT_FILES: u8 = 3;

/// Everything that the new process needs.
struct Plan {
    script: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    group: Option<PathBuf>,
    node: String,
    uid: u32,
    gid: u32,
    groups: Vec<libc::gid_t>,
    umask: u32,
    files: [PathBuf; 3],
    append: bool,
    folder: PathBuf,
    limits: Vec<Limit>,
    memory_mb: u64,
}

/// The name of the job's user.
pub fn user(brief: &Brief) -> String {
    let uid = brief.launch.uid;
    let known = || User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let said = brief.launch.user_name.as_str().filter(|name| !name.is_empty());
    said.map(str::to_owned).or_else(known).unwrap_or_else(|| uid.to_string())
}

/// The path of the job's stdin, stdout and stderr.
pub fn files(brief: &Brief, user: &str, environment: &Environment) -> [PathBuf; 3] {
    let launch = &brief.launch;
    // A script that comes through a pipe has none; Slurm's own agent writes it so, too.
    let name = environment.get("SLURM_JOB_NAME").unwrap_or(b"(null)");
    let host = brief.host.lossy();
    let meaning = Meaning { launch, user, host: &host, name };
    let path =
        |pattern: &[u8]| PathBuf::from(OsStr::from_bytes(&patterns::path(pattern, &meaning)));
    let output = match &launch.std_out {
        none if none.is_none() => patterns::default_output(launch),
        said => said.bytes(),
    };
    let errors = if launch.std_err.is_none() { output } else { launch.std_err.bytes() };
    let input = if launch.std_in.is_none() { b"/dev/null" } else { launch.std_in.bytes() };
    [path(input), path(output), path(errors)]
}

fn plan(folder: &Folder, brief: &Brief, group: Option<&Path>) -> Result<Plan, String> {
    let launch = &brief.launch;
    let user = user(brief);
    let mut environment = environment::of_batch(brief, &user);
    let files = files(brief, &user, &environment);
    let umask = environment.remove("SLURM_UMASK");
    let umask =
        umask.and_then(|text| u32::from_str_radix(std::str::from_utf8(&text).ok()?, 8).ok());
    let (propagate, except) = (brief.propagate.lossy(), brief.propagate_except.lossy());
    let limits = limits::take(&mut environment.0, &propagate, &except);
    let c = |bytes: &[u8]| CString::new(bytes).map_err(|_| "a NUL in its environment".to_owned());
    let script = c(folder.file("slurm_script").as_os_str().as_bytes())?;
    let mut arguments = vec![script.clone()];
    for argument in launch.argv.iter().skip(1) {
        arguments.push(c(argument.bytes())?);
    }
    let environment = environment.0.iter().map(|entry| c(entry)).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan {
        script,
        arguments,
        environment,
        group: group.map(Path::to_owned),
        node: brief.node.lossy().into_owned(),
        uid: launch.uid,
        gid: launch.gid,
        groups: launch.gids.clone(),
        umask: umask.unwrap_or(MODE_DEFAULT),
        files,
        append: match launch.open_mode {
            APPEND => true,
            TRUNCATE => false,
            _ => brief.append != 0,
        },
        folder: PathBuf::from(OsStr::from_bytes(launch.work_dir.bytes())),
        limits,
        memory_mb: brief.memory_mb,
    })
}

/// Starts the script.
///
/// # Errors
/// Why it does not run.
pub fn start(folder: &Folder, brief: &Brief, group: Option<&Path>) -> Result<Task, Failure> {
    let plan = plan(folder, brief, group).map_err(Failure::Other)?;
    let (mut reader, writer) = io::pipe().map_err(other)?;
    let mut command = Command::new("/");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let told = writer.as_raw_fd();
    // SAFETY: this process has one thread, so that the new one may do whatever it likes.
    unsafe { command.pre_exec(move || become_script(&plan, told)) };
    let spawned = command.spawn();
    drop((command, writer));
    let child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let mut last = Vec::new();
            let _ = reader.read_to_end(&mut last);
            return Err(match last.last() {
                Some(&AT_GROUP) => Failure::Group,
                Some(&AT_FILES) => Failure::Files,
                _ => Failure::Other(format!("a process for uid {}: {error}", brief.launch.uid)),
            });
        }
    };
    let pid = Pid::from_child(&child);
    let descriptor = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(other)?;
    let flags = PidfdGetfdFlags::empty();
    let stderr = rustix::process::pidfd_getfd(&descriptor, libc::STDERR_FILENO, flags).ok();
    Ok(Task { pid, descriptor, stderr })
}

fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

/// In the new process. Returns only what went wrong before the script's files were open.
fn become_script(plan: &Plan, told: RawFd) -> io::Result<()> {
    let at = |step: u8| {
        // SAFETY: one byte to a pipe that is open.
        unsafe { libc::write(told, (&raw const step).cast(), 1) };
    };
    at(AT_START);
    signals::reset();
    rustix::process::setpgid(None, None)?;
    if let Some(group) = &plan.group {
        at(AT_GROUP);
        std::fs::write(group.join("cgroup.procs"), "0")?;
    }
    at(AT_USER);
    become_user(plan)?;
    // A supervisor that is killed takes the script with it: nobody else would see how it ends.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    at(AT_FILES);
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(plan.umask));
    open_files(plan)?;
    enter(plan);
    limits::set(&plan.limits, plan.memory_mb);
    run(plan)
}

fn become_user(plan: &Plan) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if own != 0 {
        let same = own == plan.uid;
        return if same { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) };
    }
    let done = |outcome: libc::c_int| {
        if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: a pointer to as many groups as are said, and numbers.
    unsafe {
        done(libc::setgroups(plan.groups.len(), plan.groups.as_ptr()))?;
        done(libc::setresgid(plan.gid, plan.gid, plan.gid))?;
        done(libc::setresuid(plan.uid, plan.uid, plan.uid))
    }
}

fn open_files(plan: &Plan) -> io::Result<()> {
    let said = |path: &Path, error: io::Error| {
        error!("{}: {error}", path.display());
        error
    };
    let [input, output, errors] = &plan.files;
    let stdin = File::open(input).map_err(|error| said(input, error))?;
    let open = |path: &Path| {
        let mut options = File::options();
        options.append(true).create(true).mode(0o666);
        if !plan.append {
            options.custom_flags(libc::O_TRUNC);
        }
        options.open(path).map_err(|error| said(path, error))
    };
    let stdout = open(output)?;
    let stderr = if errors == output { stdout.try_clone()? } else { open(errors)? };
    rustix::stdio::dup2_stdin(&stdin)?;
    rustix::stdio::dup2_stdout(&stdout)?;
    rustix::stdio::dup2_stderr(&stderr)?;
    Ok(())
}

/// Appends to the job's stderr, as its user. What cannot be written is lost.
pub fn note(folder: &Folder, brief: &Brief, text: &str) {
    let Ok(plan) = plan(folder, brief, None) else { return };
    let text = text.to_owned();
    let mut command = Command::new("/");
    let write = move || {
        become_user(&plan)?;
        let options = &mut File::options();
        let mut file = options.append(true).create(true).mode(0o644).open(&plan.files[2])?;
        file.write_all(text.as_bytes())?;
        // SAFETY: ends this process, which has nothing to finish.
        unsafe { libc::_exit(0) }
    };
    // SAFETY: this process has one thread, so that the new one may do whatever it likes.
    unsafe { command.pre_exec(write) };
    if let Ok(mut child) = command.spawn() {
        let _ = child.wait();
    }
}

/// A line in the job's stderr, as Slurm writes it.
pub fn line(node: &str, text: &str) -> String {
    format!("slurmstepd-{node}: error: {text}\n")
}

fn say(plan: &Plan, text: &str) {
    let _ = io::stderr().write_all(line(&plan.node, text).as_bytes());
}

/// What the system says, without Rust's number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn enter(plan: &Plan) {
    if let Err(error) = std::env::set_current_dir(&plan.folder) {
        let (folder, why) = (plan.folder.display(), reason(&error));
        say(plan, &format!("couldn't chdir to `{folder}': {why}: going to /tmp instead"));
        if let Err(error) = std::env::set_current_dir("/tmp") {
            say(plan, &format!("couldn't chdir to /tmp either. dying: {}", reason(&error)));
            // SAFETY: ends this process, which has nothing to finish.
            unsafe { libc::_exit(1) };
        }
    }
}

fn run(plan: &Plan) -> ! {
    let mut environment = plan.environment.clone();
    let pid = format!("SLURM_TASK_PID={}", std::process::id());
    environment.push(CString::new(pid).expect("it has no NUL"));
    temporary(plan, &mut environment);
    let pointers = |words: &[CString]| {
        let end = std::iter::once(std::ptr::null());
        words.iter().map(|word| word.as_ptr()).chain(end).collect::<Vec<*const c_char>>()
    };
    // What whoever started the agent left open is not the job's.
    // SAFETY: three numbers; nothing here uses a descriptor above stderr any more.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    let (arguments, words) = (pointers(&plan.arguments), pointers(&environment));
    // SAFETY: arrays of strings that live until the call, each closed with null.
    unsafe { libc::execve(plan.script.as_ptr(), arguments.as_ptr(), words.as_ptr()) };
    let error = io::Error::last_os_error();
    let why = reason(&error);
    let text = match interpreter(&plan.script) {
        Some(name) if error.kind() == io::ErrorKind::NotFound => {
            format!("execve(): bad interpreter({name}): {why}")
        }
        _ => format!("execve(): {}: {why}", plan.script.to_string_lossy()),
    };
    say(plan, &text);
    // SAFETY: ends this process, which has nothing to finish.
    unsafe { libc::_exit(error.raw_os_error().unwrap_or(1)) }
}

/// TMPDIR exists, or is /tmp.
fn temporary(plan: &Plan, environment: &mut [CString]) {
    let is = |entry: &&mut CString| entry.as_bytes().starts_with(b"TMPDIR=");
    let Some(entry) = environment.iter_mut().find(is) else { return };
    let path = PathBuf::from(OsStr::from_bytes(&entry.as_bytes()[b"TMPDIR=".len()..]));
    let made = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&path);
    if made.is_ok() || path.is_dir() {
        return;
    }
    say(plan, &format!("Unable to create TMPDIR [{}], setting it to /tmp", path.display()));
    *entry = CString::new("TMPDIR=/tmp").expect("it has no NUL");
}

/// What stands behind `#!`.
fn interpreter(script: &CStr) -> Option<String> {
    let mut head = [0; 256];
    let got = File::open(OsStr::from_bytes(script.to_bytes())).ok()?.read(&mut head).ok()?;
    let line = head[..got].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().next().map(str::to_owned)
}
