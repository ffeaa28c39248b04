//! The state of a job in words.

use crate::slurm::wire::constants::job;
use crate::slurm::wire::tables::Job;

/// Flags, the first that is set hides the base; short and in full.
const FLAGS: [(u32, &str, &str); 12] = [
    (job::COMPLETING, "CG", "COMPLETING"),
    (0x80_0000, "SO", "STAGE_OUT"),
    (job::CONFIGURING, "CF", "CONFIGURING"),
    (0x2000, "RS", "RESIZING"),
    (job::REQUEUE, "RQ", "REQUEUED"),
    (0x10_0000, "RF", "REQUEUE_FED"),
    (job::REQUEUE_HOLD, "RH", "REQUEUE_HOLD"),
    (0x1000, "SE", "SPECIAL_EXIT"),
    (0x1_0000, "ST", "STOPPED"),
    (0x8_0000, "RV", "REVOKED"),
    (0x20_0000, "RD", "RESV_DEL_HOLD"),
    (0x40_0000, "SI", "SIGNALING"),
];

const BASES: [(&str, &str); 12] = [
    ("PD", "PENDING"),
    ("R", "RUNNING"),
    ("S", "SUSPENDED"),
    ("CD", "COMPLETED"),
    ("CA", "CANCELLED"),
    ("F", "FAILED"),
    ("TO", "TIMEOUT"),
    ("NF", "NODE_FAIL"),
    ("PR", "PREEMPTED"),
    ("BF", "BOOT_FAIL"),
    ("DL", "DEADLINE"),
    ("OOM", "OUT_OF_MEMORY"),
];

fn names(state: u32) -> (&'static str, &'static str) {
    if let Some((_, short, full)) = FLAGS.iter().find(|(flag, ..)| state & flag != 0) {
        return (short, full);
    }
    BASES.get((state & job::BASE) as usize).copied().unwrap_or(("?", "?"))
}

/// In short: `PD`.
pub fn compact(state: u32) -> &'static str {
    names(state).0
}

/// In full: `PENDING`.
pub fn full(state: u32) -> &'static str {
    names(state).1
}

/// A state by either name. `None`: there is none such.
pub fn wanted(name: &str) -> Option<u32> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let base = BASES.iter().position(|(short, full)| is(short) || is(full));
    let base = base.and_then(|base| u32::try_from(base).ok());
    base.or_else(|| {
        FLAGS.iter().find(|(_, short, full)| is(short) || is(full)).map(|(flag, ..)| *flag)
    })
}

/// Names that may be asked for, as a complaint lists them.
pub fn listed() -> String {
    // The order is that of Slurm's complaint.
    let flags =
        ["COMPLETING", "CONFIGURING", "RESIZING", "RESV_DEL_HOLD", "REQUEUED", "REQUEUE_FED"];
    let more = ["REQUEUE_HOLD", "REVOKED", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED"];
    let all: Vec<&str> = BASES.iter().map(|base| base.1).chain(flags).chain(more).collect();
    all.join(",")
}

/// The base.
pub fn base(of: &Job) -> u32 {
    of.job_state & job::BASE
}

/// Whether a job is over.
pub fn finished(of: &Job) -> bool {
    base(of) > job::SUSPENDED
}

/// How long a job has run, at `now`.
pub fn run_time(of: &Job, now: i64) -> i64 {
    match base(of) {
        job::PENDING => 0,
        job::SUSPENDED => of.pre_sus_time.0,
        base => {
            let running = base == job::RUNNING || of.end_time.0 == 0;
            let end = if running { now } else { of.end_time.0 };
            if of.suspend_time.0 != 0 {
                end - of.suspend_time.0 + of.pre_sus_time.0
            } else {
                end - of.start_time.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_slurms_names_and_are_found_by_them() {
        let done = job::COMPLETE | job::COMPLETING;
        assert_eq!([compact(done), full(done)], ["CG", "COMPLETING"]);
        assert_eq!([compact(job::PENDING), full(job::OUT_OF_MEMORY)], ["PD", "OUT_OF_MEMORY"]);
        assert_eq!([wanted("pd"), wanted("Running"), wanted("cg")], [0, 1, 0x8000].map(Some));
        assert_eq!(wanted("nonsense"), None);
    }
}
