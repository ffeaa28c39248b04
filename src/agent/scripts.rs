//! Prolog and Epilog: patterns of slurm.conf, which may stand for several programs. All are run;
//! the last that fails counts, as in Slurm.

use crate::agent::log::{debug, error};
use crate::agent::program::{self, Done};
use crate::slurm::wire::tables::Cred;
use std::time::Duration;

/// What a prolog or an epilog is told.
#[derive(Debug, Default)]
pub struct About {
    /// Variables.
    pub environment: Vec<(String, Vec<u8>)>,
}

impl About {
    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.environment.push((name.to_owned(), value.as_ref().to_vec()));
    }

    /// What the permission says of the job.
    pub fn permitted(&mut self, cred: &Cred) {
        for (name, value) in [
            ("SLURM_JOB_ACCOUNT", &cred.job_account),
            ("SLURM_JOB_COMMENT", &cred.job_comment),
            ("SLURM_JOB_CONSTRAINTS", &cred.job_constraints),
            ("SLURM_JOB_PARTITION", &cred.job_partition),
            ("SLURM_JOB_RESERVATION", &cred.job_reservation),
            ("SLURM_JOB_STDERR", &cred.job_std_err),
            ("SLURM_JOB_STDIN", &cred.job_std_in),
            ("SLURM_JOB_STDOUT", &cred.job_std_out),
        ] {
            if !value.is_none() {
                self.set(name, value.bytes());
            }
        }
        self.set("SLURM_JOB_NTASKS", cred.job_ntasks.to_string());
        self.set("SLURM_JOB_NUM_NODES", cred.job_nhosts.to_string());
        if cred.job_restart_cnt != u16::MAX {
            self.set("SLURM_JOB_RESTART_COUNT", cred.job_restart_cnt.to_string());
        }
    }
}

/// Runs the programs of a pattern. `Err`: what wait(2) said of the one that failed.
///
/// # Errors
/// The status, which is not 0.
pub fn run(what: &str, pattern: &str, about: &About, limit_s: Option<u64>) -> Result<(), i32> {
    let paths = expand(pattern);
    let mut outcome = Ok(());
    if paths.is_empty() {
        error!("{what}: nothing is there by the name {pattern}");
        return Err(1 << 8);
    }
    for path in paths {
        match program::run(&path, &about.environment, limit_s.map(Duration::from_secs)) {
            Ok(done) if done.well() => debug!("{path}: {}", done.output.trim_end()),
            Ok(Done { status, output }) => {
                let status = status.unwrap_or(libc::SIGKILL);
                error!("{what} {path} failed, status {status:#x}: {}", output.trim_end());
                outcome = Err(status);
            }
            Err(why) => {
                error!("{what} {path}: {why}");
                outcome = Err(127 << 8);
            }
        }
    }
    outcome
}

/// The programs of a pattern: `*` and `?` in its last part stand for anything.
fn expand(pattern: &str) -> Vec<String> {
    let Some((folder, last)) = pattern.rsplit_once('/') else { return vec![pattern.to_owned()] };
    if !last.contains(['*', '?']) {
        return if std::path::Path::new(pattern).exists() {
            vec![pattern.to_owned()]
        } else {
            vec![]
        };
    }
    let entries = std::fs::read_dir(format!("{folder}/")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let fits = |name: &String| !name.starts_with('.') && fits(last.as_bytes(), name.as_bytes());
    let mut found: Vec<String> =
        names.filter(fits).map(|name| format!("{folder}/{name}")).collect();
    // The last of the alphabet first, as in Slurm.
    found.sort_by(|a, b| b.cmp(a));
    found
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            fits(rest, name) || name.split_first().is_some_and(|(_, tail)| fits(pattern, tail))
        }
        (Some((b'?', rest)), Some((_, tail))) => fits(rest, tail),
        (Some((one, rest)), Some((other, tail))) => one == other && fits(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_its_programs_the_last_of_the_alphabet_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10-a", "20-b", "x", ".20-c"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let at = |name: &str| format!("{}/{name}", dir.path().display());
        assert_eq!(expand(&at("?0-*")), [at("20-b"), at("10-a")]);
        assert_eq!(expand(&at("x")), [at("x")]);
        assert_eq!(expand(&at("y")), Vec::<String>::new());
        assert_eq!(expand(&at("y*")), Vec::<String>::new());
    }
}
