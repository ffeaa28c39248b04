//! Limits that travel with a job: `SLURM_RLIMIT_NAME=NUMBER` in its environment, as sbatch found
//! them; a `U` in front means that the user asked for it (`--propagate`). slurm.conf's
//! PropagateResourceLimits and PropagateResourceLimitsExcept say which of the others count.
//!
//! Only soft limits are set, at most to the hard limit of this machine, and the largest resident
//! set to what the job was given. The job does not see these variables.

use libc::{RLIM_INFINITY, rlimit};

/// Names, as in the variables, with the kernel's numbers.
const KNOWN: [(&str, libc::__rlimit_resource_t); 10] = [
    ("CPU", libc::RLIMIT_CPU),
    ("FSIZE", libc::RLIMIT_FSIZE),
    ("DATA", libc::RLIMIT_DATA),
    ("STACK", libc::RLIMIT_STACK),
    ("CORE", libc::RLIMIT_CORE),
    ("RSS", libc::RLIMIT_RSS),
    ("NPROC", libc::RLIMIT_NPROC),
    ("NOFILE", libc::RLIMIT_NOFILE),
    ("MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("AS", libc::RLIMIT_AS),
];

/// A soft limit to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    resource: libc::__rlimit_resource_t,
    soft: u64,
}

/// Takes the limits out of an environment.
pub fn take(environment: &mut Vec<Vec<u8>>, propagate: &str, except: &str) -> Vec<Limit> {
    let mut found = Vec::new();
    environment.retain(|entry| {
        let Some(rest) = entry.strip_prefix(b"SLURM_RLIMIT_") else { return true };
        let text = String::from_utf8_lossy(rest);
        let Some((name, value)) = text.split_once('=') else { return true };
        let Some((name, resource)) = KNOWN.into_iter().find(|(known, _)| *known == name) else {
            return true;
        };
        let (asked, number) = match value.strip_prefix('U') {
            Some(number) => (true, number),
            None => (false, value),
        };
        if let (Ok(soft), true) = (number.parse(), asked || counts(name, propagate, except)) {
            found.push(Limit { resource, soft });
        }
        false
    });
    found
}

fn counts(name: &str, propagate: &str, except: &str) -> bool {
    let names = |list: &str| {
        list.split(',').any(|word| {
            word.trim().eq_ignore_ascii_case(name) || word.trim().eq_ignore_ascii_case("ALL")
        })
    };
    if except.is_empty() { names(propagate) } else { !names(except) }
}

/// Sets them, for this process and what it becomes. What cannot be set stays as it is.
pub fn set(limits: &[Limit], memory_mb: u64) {
    for limit in limits {
        change(limit.resource, |now| now.rlim_cur = limit.soft.min(now.rlim_max));
    }
    if memory_mb > 0 {
        let bytes = memory_mb.saturating_mul(1 << 20);
        change(libc::RLIMIT_RSS, |now| {
            if now.rlim_max > bytes {
                *now = rlimit { rlim_cur: bytes, rlim_max: bytes };
            }
        });
    }
}

fn change(resource: libc::__rlimit_resource_t, how: impl FnOnce(&mut rlimit)) {
    let mut now = rlimit { rlim_cur: RLIM_INFINITY, rlim_max: RLIM_INFINITY };
    // SAFETY: the pointers are to a local of the right type.
    unsafe {
        if libc::getrlimit(resource, &mut now) == 0 {
            how(&mut now);
            libc::setrlimit(resource, &now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(entries: &[&str], propagate: &str, except: &str) -> (Vec<String>, Vec<Limit>) {
        let mut environment: Vec<Vec<u8>> =
            entries.iter().map(|entry| entry.as_bytes().to_vec()).collect();
        let limits = take(&mut environment, propagate, except);
        let left = environment.into_iter().map(|entry| String::from_utf8(entry).unwrap());
        (left.collect(), limits)
    }

    #[test]
    fn limits_are_taken_out_and_count_as_slurm_conf_or_the_user_says() {
        let entries =
            ["A=1", "SLURM_RLIMIT_CORE=0", "SLURM_RLIMIT_NOFILE=U20", "SLURM_RLIMIT_STACK=x"];
        let core = Limit { resource: libc::RLIMIT_CORE, soft: 0 };
        let files = Limit { resource: libc::RLIMIT_NOFILE, soft: 20 };
        let left = vec!["A=1".to_owned()];
        assert_eq!(taken(&entries, "ALL", ""), (left.clone(), vec![core, files]));
        assert_eq!(taken(&entries, "NONE", ""), (left.clone(), vec![files]));
        assert_eq!(taken(&entries, "ALL", "core"), (left.clone(), vec![files]));
        assert_eq!(taken(&entries, "core,STACK", ""), (left, vec![core, files]));
    }
}
