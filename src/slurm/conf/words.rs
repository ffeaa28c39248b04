//! Parameters whose words stand for bits, as the protocol packs them.
//!
//! Invariant: what is an error to Slurm's programs is one here; words that they pass over in
//! silence are passed over.

use crate::slurm::conf::level;
use crate::slurm::conf::values::{Wanted, seconds};

/// A parameter's bits; `Err` for a word that Slurm's programs refuse. Other parameters have none.
///
/// # Errors
/// What is wanted instead.
pub fn bits(name: &str, text: &str) -> Result<u64, Wanted> {
    match name {
        "AccountingStorageEnforce" => {
            let wanted = "associations, limits, safe, wckeys, qos, all, nojobs or nosteps";
            tokens(text, ENFORCE, wanted)
        }
        "AccountingStoreFlags" => Ok(contained(text, STORE)),
        "CpuFreqDef" => Ok(governor(text).filter(|gov| *gov != USER_SPACE).unwrap_or(UNSET_32)),
        "CpuFreqGovernors" => {
            let all = text.split(',').map(governor);
            let all = all.collect::<Option<Vec<u64>>>().unwrap_or_default();
            Ok(all.into_iter().reduce(|a, b| a | b).unwrap_or(DEFAULT_GOVERNORS))
        }
        "DebugFlags" => tokens(text, DEBUG, "a list of Slurm's debug flags"),
        "HealthCheckNodeState" => Ok(health(text)),
        "LogTimeFormat" => Ok(time_format(text)),
        "PreemptExemptTime" if text.is_empty() => Ok(0),
        "PreemptExemptTime" => seconds(text).map(u64::from),
        "PriorityFlags" => Ok(priority(text)),
        "PriorityUsageResetPeriod" => {
            let at = RESETS.iter().position(|word| word.eq_ignore_ascii_case(text));
            let at = at.ok_or("none, now, daily, weekly, monthly, quarterly or yearly")?;
            Ok(u64::try_from(at).expect("seven words"))
        }
        "PrivateData" => Ok(contained(text, PRIVATE)),
        "PrologFlags" => prolog(text),
        "ReconfigFlags" => Ok(contained(text, RECONFIG)),
        "TaskPluginParam" => task(text),
        "SlurmctldSyslogDebug" | "SlurmdSyslogDebug" if text.is_empty() => Ok(NO_LEVEL),
        "SlurmctldDebug" | "SlurmctldSyslogDebug" | "SlurmdDebug" | "SlurmdSyslogDebug" => {
            let found = level::of(Some(text)).map(u64::from);
            found.ok_or("quiet, fatal, error, info, verbose, debug, debug2 to debug5 or 0 to 9")
        }
        _ => Ok(0),
    }
}

/// A level that is not set.
const NO_LEVEL: u64 = 10;

/// Words, and the bits of each.
type Table = &'static [(&'static str, u64)];

/// All words of a list, each of which must be known.
fn tokens(text: &str, table: Table, wanted: Wanted) -> Result<u64, Wanted> {
    let mut sum = 0;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let known = table.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        sum |= known.ok_or(wanted)?.1;
    }
    Ok(sum)
}

/// Words that are somewhere in the text, whatever else is.
fn contained(text: &str, table: Table) -> u64 {
    let text = text.to_ascii_lowercase();
    table.iter().filter(|(word, _)| text.contains(word)).fold(0, |sum, (_, bits)| sum | bits)
}

const ASSOCIATIONS: u64 = 1;
const ENFORCE: Table = &[
    ("1", ASSOCIATIONS),
    ("associations", ASSOCIATIONS),
    ("2", ASSOCIATIONS | 1 << 1),
    ("limits", ASSOCIATIONS | 1 << 1),
    ("safe", ASSOCIATIONS | 1 << 1 | 1 << 4),
    ("wckeys", ASSOCIATIONS | 1 << 2),
    ("qos", ASSOCIATIONS | 1 << 3),
    ("all", 0xffff & !(1 << 5) & !(1 << 6)),
    ("nojobs", 1 << 5 | 1 << 6),
    ("nosteps", 1 << 6),
];

/// As flags of the whole configuration.
const STORE: Table = &[("job_comment", 1 << 1), ("job_env", 1 << 10), ("job_script", 1 << 9)];

const PRIVATE: Table = &[
    ("job", 1),
    ("node", 1 << 1),
    ("partition", 1 << 2),
    ("usage", 1 << 3),
    ("user", 1 << 4),
    ("account", 1 << 5),
    ("reservation", 1 << 6),
    ("cloud", 1 << 7),
    ("event", 1 << 8),
    ("all", 0xffff),
];

const RECONFIG: Table = &[("keeppartinfo", 1), ("keeppartstate", 2)];

const RESETS: [&str; 7] = ["none", "now", "daily", "weekly", "monthly", "quarterly", "yearly"];

const UNSET_32: u64 = 0xffff_fffe;
const USER_SPACE: u64 = 0x8080_0000;
/// OnDemand, Performance and UserSpace.
const DEFAULT_GOVERNORS: u64 = 0x8680_0000;

fn governor(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let known = [
        ("co", 0x8800_0000),
        ("perf", 0x8200_0000),
        ("pow", 0x8100_0000),
        ("user", USER_SPACE),
        ("onde", 0x8400_0000),
        ("sche", 0x8040_0000),
    ];
    known.into_iter().find(|(begin, _)| text.starts_with(begin)).map(|(_, bits)| bits)
}

fn health(text: &str) -> u64 {
    const CYCLE: u64 = 1 << 15;
    let mut sum = 0;
    for word in text.split(',') {
        sum |= match word.to_ascii_lowercase().as_str() {
            "idle" => 1,
            "alloc" => 1 << 1,
            "mixed" => 1 << 2,
            "any" => 0xf,
            "cycle" => CYCLE,
            _ => 0,
        };
    }
    if sum & !CYCLE == 0 { sum | 0xf } else { sum }
}

fn time_format(text: &str) -> u64 {
    let text = text.to_ascii_lowercase();
    let known = ["iso8601_ms", "iso8601", "rfc5424_ms", "rfc5424", "clock", "short", "thread_id"];
    let at = known.iter().position(|word| text.contains(word)).unwrap_or(0);
    u64::try_from(at).expect("seven words")
}

fn priority(text: &str) -> u64 {
    const FAIR_TREE: u64 = 1 << 5;
    const FLAGS: Table = &[
        ("accrue_always", 1),
        ("max_tres", 1 << 1),
        ("small_relative_to_time", 1 << 2),
        ("depth_oblivious", 1 << 3),
        ("calculate_running", 1 << 4),
        ("incr_only", 1 << 6),
        ("no_normal_assoc", 1 << 7),
        ("no_normal_part", 1 << 8),
        ("no_normal_qos", 1 << 9),
        ("no_normal_tres", 1 << 10),
        ("no_normal_all", 0xf << 7),
    ];
    let found = contained(text, FLAGS);
    let lower = text.to_ascii_lowercase();
    let without = lower.contains("depth_oblivious") || lower.contains("no_fair_tree");
    if without { found } else { found | FAIR_TREE }
}

fn prolog(text: &str) -> Result<u64, Wanted> {
    const ALLOC: u64 = 1;
    const NO_HOLD: u64 = 1 << 1;
    const CONTAIN: u64 = 1 << 2;
    const FLAGS: Table = &[
        ("Alloc", ALLOC),
        ("Contain", ALLOC | CONTAIN),
        ("DeferBatch", 1 << 5),
        ("NoHold", ALLOC | NO_HOLD),
        ("Serial", 1 << 3),
        ("X11", ALLOC | CONTAIN | 1 << 4),
    ];
    let wanted = "Alloc, Contain, DeferBatch, NoHold, Serial or X11";
    let found = tokens(text, FLAGS, wanted)?;
    if found & NO_HOLD != 0 && found & CONTAIN != 0 {
        return Err("NoHold, or Contain and X11, not both,");
    }
    Ok(found)
}

fn task(text: &str) -> Result<u64, Wanted> {
    const WANTED: Wanted =
        "one of none, sockets, cores, threads; verbose; autobind=…; SlurmdOffSpec";
    let (mut sum, mut unit, mut auto) = (0, false, false);
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (bits, seen) = match word.to_ascii_lowercase().as_str() {
            "verbose" => (1, None),
            "threads" => (1 << 1, Some(&mut unit)),
            "cores" => (1 << 2, Some(&mut unit)),
            "sockets" => (1 << 3, Some(&mut unit)),
            "none" => (1 << 5, Some(&mut unit)),
            "autobind=none" => (0, Some(&mut auto)),
            "autobind=threads" => (1 << 14, Some(&mut auto)),
            "autobind=cores" => (1 << 16, Some(&mut auto)),
            "autobind=sockets" => (1 << 17, Some(&mut auto)),
            "slurmdoffspec" => (1 << 18, None),
            _ => return Err(WANTED),
        };
        if seen.is_some_and(|seen| std::mem::replace(seen, true)) {
            return Err(WANTED);
        }
        sum |= bits;
    }
    Ok(sum)
}

const DEBUG: Table = &[
    ("SelectType", 1),
    ("Steps", 1 << 1),
    ("Trigger", 1 << 2),
    ("Triggers", 1 << 2),
    ("CPU_Bind", 1 << 3),
    // Known to Slurm, and without a bit.
    ("Task", 0),
    ("NetworkRaw", 1 << 4),
    ("NetRaw", 1 << 4),
    ("NO_CONF_HASH", 1 << 5),
    ("Gres", 1 << 6),
    ("MPI", 1 << 7),
    ("Data", 1 << 8),
    ("WorkQueue", 1 << 9),
    ("WorkQ", 1 << 9),
    ("Network", 1 << 10),
    ("Net", 1 << 10),
    ("Priority", 1 << 11),
    ("Backfill", 1 << 12),
    ("Gang", 1 << 13),
    ("Reservation", 1 << 14),
    ("FrontEnd", 1 << 15),
    ("Switch", 1 << 17),
    ("Energy", 1 << 18),
    ("ExtSensors", 1 << 19),
    ("License", 1 << 20),
    ("Profile", 1 << 21),
    ("Interconnect", 1 << 22),
    ("JobContainer", 1 << 24),
    ("Protocol", 1 << 26),
    ("BackfillMap", 1 << 27),
    ("TraceJobs", 1 << 28),
    ("Route", 1 << 29),
    ("DB_Assoc", 1 << 30),
    ("DB_Event", 1 << 31),
    ("DB_Job", 1 << 32),
    ("DB_QOS", 1 << 33),
    ("DB_Query", 1 << 34),
    ("DB_Reservation", 1 << 35),
    ("DB_Resource", 1 << 36),
    ("DB_Step", 1 << 37),
    ("DB_Usage", 1 << 38),
    ("DB_WCKey", 1 << 39),
    ("BurstBuffer", 1 << 40),
    ("CpuFrequency", 1 << 41),
    ("Power", 1 << 42),
    ("PowerSave", 1 << 42),
    ("TimeCray", 1 << 43),
    ("DB_Archive", 1 << 44),
    ("DB_TRES", 1 << 45),
    ("Elasticsearch", 1 << 46),
    ("NodeFeatures", 1 << 47),
    ("Federation", 1 << 48),
    ("Hetjob", 1 << 49),
    ("Accrue", 1 << 50),
    ("Agent", 1 << 52),
    ("Dependency", 1 << 53),
    ("JobAccountGather", 1 << 54),
    ("JAG", 1 << 54),
    ("cgroup", 1 << 55),
    ("Script", 1 << 56),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_bits_and_wrong_ones_are_refused_where_slurm_refuses_them() {
        for (name, text, wanted) in [
            ("PrologFlags", "contain,serial", Some(0b1101)),
            ("PrologFlags", "NoHold,X11", None),
            ("PrologFlags", "never", None),
            ("TaskPluginParam", "Cores,Verbose", Some(5)),
            ("TaskPluginParam", "cores,sockets", None),
            ("HealthCheckNodeState", "CYCLE", Some(0x800f)),
            ("HealthCheckNodeState", "idle,nonsense", Some(1)),
            ("PriorityFlags", "", Some(1 << 5)),
            ("PriorityFlags", "NO_FAIR_TREE", Some(0)),
            ("PrivateData", "all", Some(0xffff)),
            ("CpuFreqDef", "userspace", Some(0xffff_fffe)),
            ("CpuFreqGovernors", "nonsense", Some(0x8680_0000)),
            ("DebugFlags", "steps,Nonsense", None),
            ("PreemptExemptTime", "00:05:00", Some(300)),
            ("PreemptExemptTime", "soon", None),
            ("AccountingStorageEnforce", "all,nosteps", Some(0xffdf)),
            ("LogTimeFormat", "thread_id", Some(6)),
            ("SlurmdDebug", "loud", None),
        ] {
            assert_eq!(bits(name, text).ok(), wanted, "{name}={text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-zA-Z0-9_,=é]{0,30}", at in 0_usize..18) {
            const NAMES: [&str; 18] = [
                "AccountingStorageEnforce", "AccountingStoreFlags", "CpuFreqDef", "DebugFlags",
                "CpuFreqGovernors", "HealthCheckNodeState", "LogTimeFormat", "PreemptExemptTime",
                "PriorityFlags", "PriorityUsageResetPeriod", "PrivateData", "PrologFlags",
                "ReconfigFlags", "TaskPluginParam", "SlurmctldDebug", "SlurmctldSyslogDebug",
                "SlurmdDebug", "Prolog",
            ];
            let _ = bits(NAMES[at], &text);
        }
    }
}
