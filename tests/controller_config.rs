//! `scontrol show config`, of our controller and of Slurm's own, with the same slurm.conf: line by
//! line the same, but for where each of the two lives.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "other suites do more with a controller")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use cluster::{Controller, Munged, until};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Lines about where a controller lives, and when it began.
const OWN: [&str; 6] = [
    "Configuration data as of",
    "BOOT_TIME",
    "SLURM_CONF",
    "SlurmctldPidFile",
    "SlurmctldPort",
    "StateSaveLocation",
];

const NODES: &str = "NodeName=n[1-2] NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000\n\
    PartitionName=main Nodes=ALL Default=YES\n";

/// Everything that is packed as bits, and whatever else an administrator sets.
const RICH: &str = "\
SlurmdPort=1
AccountingStorageEnforce=associations,limits
AccountingStoreFlags=job_comment,job_env,job_script
CommunicationParameters=NoAddrCache
CompleteWait=7
CpuFreqDef=Performance
CpuFreqGovernors=Conservative,OnDemand,Performance
DebugFlags=Agent,Backfill,NodeFeatures,Steps
DefMemPerCPU=100
DisableRootJobs=yes
EnforcePartLimits=ANY
Epilog=/bin/true
GroupUpdateForce=0
HealthCheckInterval=60
HealthCheckNodeState=IDLE,MIXED,CYCLE
HealthCheckProgram=/bin/true
JobAcctGatherType=jobacct_gather/linux
LaunchParameters=enable_nss_slurm,test_exec
LogTimeFormat=rfc5424_ms
MaxMemPerNode=2000
MinJobAge=17
PreemptExemptTime=00:05:00
PreemptMode=REQUEUE,GANG
PreemptType=preempt/partition_prio
PriorityFlags=ACCRUE_ALWAYS,SMALL_RELATIVE_TO_TIME,MAX_TRES
PriorityType=priority/multifactor
PriorityUsageResetPeriod=WEEKLY
PriorityWeightAge=100
PriorityWeightTRES=CPU=1000,Mem=2000
PrivateData=jobs,usage,nodes
PrologFlags=Alloc,Contain
PropagateResourceLimitsExcept=MEMLOCK
ReconfigFlags=KeepPartInfo,KeepPartState
SchedulerParameters=bf_interval=30
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory,CR_ONE_TASK_PER_CORE
SlurmctldDebug=debug
SlurmctldSyslogDebug=error
SlurmdDebug=debug2
SrunPortRange=60001-60010
SuspendTime=300
SuspendExcNodes=n1
TaskPlugin=task/affinity
TaskPluginParam=Cores,Verbose
TrackWCKey=yes
UsePAM=yes
X11Parameters=home_xauthority
FirstJobId=1000
";

/// The same parameters, with other words: several that stand alone, or for nothing.
const OTHER: &str = "\
SlurmdPort=1
AccountingStorageEnforce=safe,qos,nojobs
CpuFreqDef=Conservative
CpuFreqGovernors=UserSpace,SchedUtil
DebugFlags=DB_Job,Power,Hetjob,TraceJobs,cgroup,Script,JAG
HealthCheckNodeState=CYCLE
LogTimeFormat=clock
MessageTimeout=33
PriorityFlags=DEPTH_OBLIVIOUS,NO_NORMAL_ALL,CALCULATE_RUNNING,INCR_ONLY
PriorityType=priority/multifactor
PriorityUsageResetPeriod=QUARTERLY
PrivateData=all
PrologFlags=Serial,DeferBatch,NoHold
PropagateResourceLimits=NONE
ReconfigFlags=KeepPartState
ReturnToService=2
SlurmctldDebug=3
SlurmctldSyslogDebug=quiet
SlurmdParameters=config_overrides
SlurmdSyslogDebug=verbose
SuspendTime=-1
TaskPlugin=task/affinity
TaskPluginParam=autobind=threads,SlurmdOffSpec
";

fn shown(controller: &Controller) -> Vec<String> {
    let said = controller.run("scontrol show config");
    assert_eq!(said.code, 0, "{said:?}");
    let lines = said.stdout.lines().filter(|line| !OWN.iter().any(|own| line.starts_with(own)));
    lines.map(str::to_owned).collect()
}

#[test]
fn show_config_is_line_by_line_what_slurms_own_controller_shows() {
    let test = "show_config_is_line_by_line_what_slurms_own_controller_shows";
    let Some(real) = programs::find("slurmctld", test) else { return };
    let Some(munged) = programs::find("munged", test) else { return };
    if programs::find("scontrol", test).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    // The checksum is over what is included, too, where it is included.
    let included = dir.path().join("more.conf");
    std::fs::write(&included, "# Größe\nWaitTime=4 \\\n # b\n").unwrap();
    let include = format!("Include {}\n", included.display());
    for (at, text) in ["SlurmdPort=1\n", RICH, OTHER].into_iter().enumerate() {
        let text = format!("{text}{include}{NODES}");
        let place = |who: &str| dir.path().join(format!("{who}{at}"));
        let mut theirs = Controller::configure(place("theirs"), &auth_info, &text);
        theirs.start(&real);
        let mut ours = Controller::configure(place("ours"), &auth_info, &text);
        ours.init();
        ours.start(Path::new(OURS));
        until("both answer", || {
            [&theirs, &ours].iter().all(|one| one.run("scontrol show config").code == 0)
        });
        let (ours_show, theirs_show) = (shown(&ours), shown(&theirs));
        for (ours, theirs) in ours_show.iter().zip(&theirs_show) {
            assert_eq!(ours, theirs, "configuration {at}: ours, and theirs");
        }
        assert_eq!(ours_show.len(), theirs_show.len());
        let first = if text.contains("FirstJobId") { 1000 } else { 1 };
        let next = format!("NEXT_JOB_ID             = {first}");
        assert!(ours_show.contains(&next), "{next}");
        assert!(ours_show.iter().any(|line| line.ends_with("= Match")), "HASH_VAL");
        assert_eq!(ours.stop(), Some(0));
    }
}
