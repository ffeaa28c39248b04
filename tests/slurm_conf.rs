//! Hostlists and slurm.conf beside the real `scontrol`, which reads and writes both.
#![cfg(feature = "slurm")]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "programs/mod.rs"]
mod programs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use statedir::slurm::conf::Conf;
use statedir::slurm::conf::parameters::{Kind, PARAMETERS};
use statedir::slurm::hostlist::{compress, expand};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const CLUSTER: &str = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n[1-4]\n\
                       PartitionName=p Nodes=ALL\n";

/// The real program, on a slurm.conf of its own.
struct Scontrol {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Scontrol {
    fn find(test: &str) -> Option<Scontrol> {
        let program = programs::find("scontrol", test)?;
        let scontrol = Scontrol { program, dir: tempfile::tempdir().unwrap() };
        scontrol.configure("");
        Some(scontrol)
    }

    fn conf(&self) -> PathBuf {
        self.dir.path().join("slurm.conf")
    }

    fn configure(&self, more: &str) {
        std::fs::write(self.conf(), format!("{CLUSTER}{more}")).unwrap();
    }

    /// Its stdout and stderr.
    fn show(&self, what: &str, list: &str) -> (String, String) {
        let mut command = Command::new(&self.program);
        command.args(["show", what, list]).stdin(std::process::Stdio::null());
        let output = limited::output(command.env("SLURM_CONF", self.conf()));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }
}

/// Ours, with the same file.
fn ours(scontrol: &Scontrol) -> Result<Conf, String> {
    Conf::load(Path::new(&scontrol.conf())).map_err(|error| error.to_string())
}

#[test]
fn hostlists_stand_for_the_names_that_slurm_says() {
    let Some(scontrol) = Scontrol::find("hostlists_stand_for_the_names_that_slurm_says") else {
        return;
    };
    let mut lists: Vec<String> = [
        "n[1-4,07-10]",
        "n[9-011]",
        "n[1-2][3-4]",
        "n[1-2]m[3-4]p[5-6]",
        "n[1,2-3]m[3,4]p[7-8]q[0-1]",
        "a,,b c\td",
        "n[1,1],n1",
        "[1-2]",
        "n[0-65535]",
        "n[18446744073709551613-18446744073709551614]",
        // Refused by both.
        "n[1-2]-ib",
        "n[1-2],m[5,6]y",
        "n[3-1]",
        "n[]",
        "n[1-2,]",
        "n[a-b]",
        "n[-3]",
        "n[1-2-3]",
        "n[0-65536]",
        "n[00001-00003][a]",
    ]
    .map(str::to_owned)
    .to_vec();
    let grammar = "[a-c]{1,2}(\\[[0-9]{1,2}(-[1-9][0-9])?(,[0-9]{1,3})?\\][a-c-]{0,1}){0,2}\
                   (,[a-c][0-9]{1,2}){0,2}";
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::string::string_regex(grammar).unwrap();
    lists.extend((0..60).map(|_| {
        use proptest::strategy::ValueTree;
        strategy.new_tree(&mut runner).unwrap().current()
    }));
    let (mut taken, mut refused) = (0, 0);
    for list in lists {
        let (stdout, stderr) = scontrol.show("hostnames", &list);
        match expand(&list) {
            Ok(names) => {
                assert_eq!(stdout.lines().collect::<Vec<_>>(), names, "{list}: {stderr}");
                taken += 1;
            }
            Err(error) => {
                assert!(stderr.contains("Invalid hostlist"), "{list}: {error}, there: {stdout}");
                refused += 1;
            }
        }
    }
    assert!(taken > 30 && refused > 10, "{taken} lists taken, {refused} refused");
}

#[test]
fn names_are_compressed_as_slurm_does() {
    let Some(scontrol) = Scontrol::find("names_are_compressed_as_slurm_does") else { return };
    let mut runner = TestRunner::deterministic();
    let strategy =
        prop::collection::vec(("[ab]{0,1}[0-9]?[a-]?", 0_u64..12, 1_usize..4), 1..12_usize);
    for _ in 0..80 {
        use proptest::strategy::ValueTree;
        let parts = strategy.new_tree(&mut runner).unwrap().current();
        let names: Vec<String> = parts
            .iter()
            .map(|(prefix, number, width)| {
                format!("{prefix}{:0width$}", number + 92 * (number / 7))
            })
            .collect();
        // In front, so that no list looks like an option.
        let names = [vec!["x".to_owned()], names].concat();
        let (stdout, stderr) = scontrol.show("hostlist", &names.join(","));
        let list = compress(names.iter().map(String::as_str));
        assert_eq!(stdout.trim_end(), list, "{names:?}: {stderr}");
    }
}

/// A word that the parameter knows.
fn fitting(name: &str) -> &'static str {
    match name {
        "AccountingStorageEnforce" => "limits",
        "DebugFlags" => "Steps",
        "PreemptExemptTime" => "1",
        "PriorityUsageResetPeriod" => "NOW",
        "PrologFlags" => "Alloc",
        "TaskPluginParam" => "cores",
        "SlurmctldDebug" | "SlurmctldSyslogDebug" | "SlurmdDebug" | "SlurmdSyslogDebug" => "info",
        _ => "x",
    }
}

/// Every row of the table, one by one where its value has a kind.
#[test]
fn every_parameter_is_one_of_the_real_slurm() {
    let Some(scontrol) = Scontrol::find("every_parameter_is_one_of_the_real_slurm") else {
        return;
    };
    let texts = PARAMETERS.iter().filter(|row| row.kind == Kind::Text);
    let all: String = texts
        .map(|row| match row.name {
            "SlurmctldPort" => "SlurmctldPort=6817-6818\n".to_owned(),
            name => format!("{name}={}\n", fitting(name)),
        })
        .collect();
    scontrol.configure(&all);
    let (_, stderr) = scontrol.show("hostnames", "n1");
    assert!(!stderr.contains("unrecognized") && !stderr.contains("Parse error"), "{stderr}");
    ours(&scontrol).unwrap();
    for row in PARAMETERS.iter().filter(|row| row.kind != Kind::Text) {
        let (value, there) = match row.kind {
            Kind::Flag => ("maybe", "is not a valid option"),
            Kind::U16 => ("65536", "is greater than 65535"),
            Kind::U32 => ("4294967296", "is greater than 4294967295"),
            Kind::U64 => ("abc", "is not a valid number"),
            _ => ("x", row.name),
        };
        scontrol.configure(&format!("{}={value}\n", row.name));
        let (_, stderr) = scontrol.show("hostnames", "n1");
        assert!(stderr.contains(there), "{}: {stderr}", row.name);
        let said = ours(&scontrol).unwrap_err();
        assert!(said.contains(row.name) && said.contains("slurm.conf:5: "), "{said}");
    }
}

#[test]
fn what_the_real_parser_takes_is_taken_and_what_it_refuses_is_refused() {
    let test = "what_the_real_parser_takes_is_taken_and_what_it_refuses_is_refused";
    let Some(scontrol) = Scontrol::find(test) else { return };
    for (text, taken) in [
        ("slurmCTLDtimeout = 30 # x", true),
        ("MailProg=\"/a b\" #c", true),
        ("Epilog=/x\\#y", true),
        ("NodeName=n5 \\\n CPUs=2", true),
        ("KillWait=INFINITE\nKillWait=0x10\nMaxJobCount=1k", true),
        ("UsePAM=yes\nUsePAM=up\nUsePAM=0", true),
        ("PartitionName=a,b Nodes=n1 MaxTime=1:2:3 OverSubscribe=FORCE:3", true),
        ("NodeSet=a Feature=x\nDownNodes=n1 Reason=x State=DOWN", true),
        ("nodename=q cpus+=1", true),
        ("ControlMachine=foo\nFastSchedule=1\nCryptoType=crypto/munge", true),
        ("Foo=1", false),
        ("SlurmctldTimeout", false),
        ("garbage here", false),
        ("KillWait=3 MinJobAge=5", false),
        ("KillWait=-1", false),
        ("KillWait=", false),
        ("=3", false),
        ("Nodes=ALL", false),
        ("NodeName=n5 Foo=1", false),
        ("NodeName=n5 CPUs=x", false),
        ("PartitionName=a MaxTime=xx", false),
        ("PartitionName=a State=foo", false),
        ("Includefoo", false),
        ("MailProg=a\\ b", false),
        ("FrontendName=x", false),
    ] {
        scontrol.configure(&format!("{text}\n"));
        let (_, stderr) = scontrol.show("hostnames", "n1");
        assert_eq!(!stderr.contains("fatal"), taken, "{text}: {stderr}");
        let ours = ours(&scontrol);
        assert_eq!(ours.is_ok(), taken, "{text}: {ours:?}");
    }
}

/// Clients look at words when they are about to ask a controller, of which there is none.
#[test]
fn words_that_real_clients_refuse_are_refused_and_no_others() {
    let test = "words_that_real_clients_refuse_are_refused_and_no_others";
    let Some(scontrol) = Scontrol::find(test) else { return };
    for text in [
        "PrologFlags=never",
        "PrologFlags=NoHold,X11",
        "PrologFlags=Alloc,,Contain",
        "DebugFlags=Nonsense",
        "DebugFlags=steps,Agent",
        "TaskPluginParam=foo",
        "TaskPluginParam=cores,sockets",
        "TaskPluginParam=verbose,autobind=cores",
        "ReconfigFlags=x",
        "PreemptExemptTime=soon",
        "PreemptExemptTime=1-0",
        "PriorityUsageResetPeriod=x",
        "AccountingStorageEnforce=x",
        "SlurmctldDebug=loud",
        "SlurmctldDebug=11",
        "SlurmdDebug=12",
        "SlurmctldSyslogDebug=x",
        "CpuFreqDef=x",
        "CpuFreqGovernors=x",
        "HealthCheckNodeState=x",
        "LogTimeFormat=x",
        "PrivateData=x",
    ] {
        scontrol.configure(&format!("SlurmctldPort=1\n{text}\n"));
        let mut ping = Command::new(&scontrol.program);
        let output = limited::output(ping.arg("ping").env("SLURM_CONF", scontrol.conf()));
        let stderr = String::from_utf8(output.stderr).unwrap();
        let taken = !stderr.contains("fatal");
        let ours = ours(&scontrol);
        assert_eq!(ours.is_ok(), taken, "{text}: {ours:?} {stderr}");
    }
}

/// Every word that Debian's slurm.conf(5) prints bold is a parameter here if, and only if, the
/// real parser knows it.
#[test]
fn every_parameter_of_the_manual_is_known() {
    let test = "every_parameter_of_the_manual_is_known";
    let Some(scontrol) = Scontrol::find(test) else { return };
    let Some(gzip) = programs::find("gzip", test) else { return };
    let Some(manual) = programs::file("/usr/share/man/man5/slurm.conf.5.gz", test) else { return };
    let output = limited::output(Command::new(gzip).args(["-dc"]).arg(manual));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let bold = text.lines().filter_map(|line| line.strip_prefix("\\fB")?.split_once("\\fR"));
    let word = |name: &&str| name.len() > 2 && name.chars().all(|c| c.is_ascii_alphanumeric());
    let words: BTreeSet<&str> = bold.map(|(name, _)| name).filter(word).collect();
    let mut seen = 0;
    for word in words {
        scontrol.configure(&format!("{word}=1\n"));
        let (_, stderr) = scontrol.show("hostnames", "n1");
        // FrontendName is for another build of Slurm.
        let known = !stderr.contains("unrecognized key") && !stderr.contains("front-end");
        let told = ours(&scontrol).err().unwrap_or_default();
        assert_eq!(!told.contains("is no parameter"), known, "{word}: {told} {stderr}");
        seen += usize::from(known);
    }
    assert!(seen > 150, "{seen} were found");
}
