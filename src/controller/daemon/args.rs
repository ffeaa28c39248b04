//! The command line: the letters of Slurm's slurmctld, with Slurm's meanings.

use crate::controller::home::Recover;
use crate::controller::log::Wish;
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};
use rustix::process::Pid;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where slurm.conf is, if nobody says.
const DEFAULT_CONF: &str = "/etc/slurm/slurm.conf";

/// The controller of a cluster: Slurm's protocol in front, a statedir store behind.
///
/// Without -D it goes to the background, and its parent ends with 0 once it answers.
#[derive(Debug, Parser)]
#[command(name = "slurmctld", disable_version_flag = true, disable_help_flag = true)]
#[command(args_override_self = true)]
#[allow(clippy::struct_excessive_bools, reason = "letters of a command line")]
pub struct Args {
    /// This program has started itself again, without a guard.
    #[arg(long, hide = true)]
    again: bool,
    /// Start without the jobs and what is known of nodes and partitions; a copy is kept.
    #[arg(short = 'c', overrides_with_all = ["partial", "full"])]
    clear: bool,
    /// Go to the background, as without -D.
    #[arg(short = 'd', overrides_with = "foreground")]
    background: bool,
    /// Stay in the foreground, with the log on stderr.
    #[arg(short = 'D', overrides_with = "background")]
    foreground: bool,
    /// The configuration; else $SLURM_CONF, else /etc/slurm/slurm.conf.
    #[arg(short = 'f', value_name = "FILE")]
    conf: Option<PathBuf>,
    /// The guard that has started this process, and whether it has done so before.
    #[arg(long, value_name = "PID", hide = true)]
    guarded: Option<String>,
    /// Be this SlurmctldHost, whatever this host is called.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Print this.
    #[arg(short = 'h', long = "help", action = ArgAction::Help)]
    help: Option<bool>,
    /// Start without entries of the state that cannot be read; a copy is kept.
    #[arg(short = 'i')]
    ignore: bool,
    /// Log to this file.
    #[arg(short = 'L', value_name = "FILE")]
    log: Option<PathBuf>,
    /// Run at this nice value.
    #[arg(short = 'n', value_name = "VALUE", allow_hyphen_values = true)]
    nice: Option<i32>,
    /// Forget what was changed of partitions since slurm.conf; a copy is kept.
    #[arg(short = 'r', overrides_with_all = ["clear", "full"])]
    partial: bool,
    /// Recover all of the state. It does so without -R, too.
    #[arg(short = 'R', overrides_with_all = ["clear", "partial"])]
    full: bool,
    /// Go to the directory of the log file, else to StateSaveLocation, as without -D.
    #[arg(short = 's')]
    go: bool,
    /// Log more; more often: still more.
    #[arg(short = 'v', action = ArgAction::Count)]
    verbose: u8,
    /// Print the version.
    #[arg(short = 'V', long = "version")]
    pub version: bool,
}

impl Args {
    /// The command line, or what is to be printed instead, and whether that is an error.
    ///
    /// # Errors
    /// A letter that Slurm's does not know either, or -h.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Args, (String, bool)> {
        Args::try_parse_from(args).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp => (error.to_string(), false),
            _ => (format!("{error}\n{}", Args::command().render_help()), true),
        })
    }

    /// The configuration's file.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        let named = self.conf.clone().or_else(|| std::env::var_os("SLURM_CONF").map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from(DEFAULT_CONF))
    }

    /// Whether it stays where it was started.
    #[must_use]
    pub fn foreground(&self) -> bool {
        self.foreground
    }

    /// Whether it changes its working directory.
    #[must_use]
    pub fn goes(&self) -> bool {
        self.go || !self.foreground
    }

    /// Its nice value, if it is not to stay as it is.
    #[must_use]
    pub fn nice(&self) -> Option<i32> {
        self.nice.filter(|value| *value != 0)
    }

    /// What is said about the log.
    #[must_use]
    pub fn log(&self) -> Wish {
        Wish { foreground: self.foreground, verbose: self.verbose, file: self.log.clone() }
    }

    /// The SlurmctldHost that it is to be.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The guard that has started this process.
    #[must_use]
    pub fn guard(&self) -> Option<Pid> {
        let pid = self.guarded.as_ref()?.split(':').next()?;
        Pid::from_raw(pid.parse().ok()?)
    }

    /// The command line of the same program, for its guard to complete: with paths that hold
    /// wherever it runs.
    #[must_use]
    pub fn line(&self, started: &[OsString], conf: &Path) -> Vec<OsString> {
        let mut line = started.to_vec();
        line.extend(["-f".into(), conf.into()]);
        if let Some(log) = self.log.as_ref().and_then(|log| std::path::absolute(log).ok()) {
            line.extend(["-L".into(), log.into()]);
        }
        line
    }

    /// Whether this is a start after the first: a predecessor has ended.
    #[must_use]
    pub fn begins_anew(&self) -> bool {
        self.again || self.guarded.as_ref().is_some_and(|guard| guard.ends_with(":again"))
    }

    /// What of the state is to be left out. A start after the first leaves nothing out.
    #[must_use]
    pub fn recover(&self) -> Recover {
        if self.begins_anew() {
            return Recover::default();
        }
        Recover { clear: self.clear, ignore: self.ignore, forget_partitions: self.partial }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, (String, bool)> {
        Args::read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn letters_are_read_as_getopt_reads_them() {
        let args = read("slurmctld -Dvvf /a.conf -n -5 -L/l -i").unwrap();
        assert!(args.foreground() && !args.goes());
        assert_eq!(args.conf(), PathBuf::from("/a.conf"));
        assert_eq!(args.nice(), Some(-5));
        assert_eq!((args.log().verbose, args.log().file), (2, Some(PathBuf::from("/l"))));
        assert!(args.recover().ignore && !args.recover().clear);
        let last = read("slurmctld -D -d -c -R -f /a -f /b").unwrap();
        assert!(!last.foreground() && last.goes() && !last.recover().clear);
        assert_eq!(last.conf(), PathBuf::from("/b"));
        assert!(read("slurmctld -R -r").unwrap().recover().forget_partitions);
        assert!(read("slurmctld -Ds").unwrap().goes());
        let first = read("slurmctld -c --guarded=17").unwrap();
        assert_eq!((first.guard(), first.recover().clear), (Pid::from_raw(17), true));
        let again = read("slurmctld -c --guarded=17:again").unwrap();
        assert_eq!((again.guard(), again.recover().clear), (Pid::from_raw(17), false));
        let again = read("slurmctld -c -i -r --again --again").unwrap();
        assert_eq!(again.recover(), Recover::default());
        let line = read("slurmctld -D -f a.conf -L l").unwrap();
        let line = line.line(&["slurmctld".into(), "-D".into()], Path::new("/x/a.conf"));
        assert_eq!(line[..4], ["slurmctld", "-D", "-f", "/x/a.conf"]);
        assert!(line[4] == "-L" && Path::new(&line[5]).is_absolute());
    }

    #[test]
    fn help_is_no_error_and_unknown_letters_are_one_with_the_help() {
        let (help, wrong) = read("slurmctld -h").unwrap_err();
        assert!(!wrong);
        for letter in ["-c", "-D", "-f", "-h", "-i", "-L", "-n", "-R", "-s", "-v", "-V"] {
            assert!(help.contains(letter), "{letter}: {help}");
        }
        let (said, wrong) = read("slurmctld -x").unwrap_err();
        assert!(wrong && said.contains("-R"), "{said}");
    }
}
