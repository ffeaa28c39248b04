//! Our clients beside Slurm's own, against Slurm's own controller and ours, with Slurm's own
//! agents: what both print is the same, byte for byte, but for clock times.
#![cfg(all(feature = "client", feature = "controller"))]

#[allow(dead_code, reason = "each test uses its part of the stage")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "client/lab.rs"]
mod lab;
#[path = "programs/mod.rs"]
mod programs;

use lab::Lab;

fn two_nodes(port: u16) -> String {
    format!(
        "SlurmdSpoolDir={{spool}}/%n\nSlurmdPidFile={{spool}}/%n.pid\nTaskPlugin=task/none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\n\
         NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{port}-{}] CPUs=2 \
         RealMemory=100 Feature=a,b\n\
         NodeName=far NodeHostname=elsewhere NodeAddr=127.0.0.1 CPUs=64 Sockets=2 \
         CoresPerSocket=16 ThreadsPerCore=2 RealMemory=262144 TmpDisk=7 Weight=5 State=DOWN \
         Reason=\"no power\"\n\
         PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP\n\
         PartitionName=hold Nodes=ALL State=DOWN MaxTime=1-0 OverSubscribe=FORCE:3\n\
         PartitionName=odd_and_long Nodes=n1,far DefMemPerCPU=100 MaxMemPerNode=2048 MaxNodes=3 \
         PriorityTier=7 RootOnly=YES LLN=YES AllowGroups=root DefaultTime=10 GraceTime=9 \
         OverSubscribe=EXCLUSIVE State=DRAIN\n",
        port + 1
    )
}

/// Slurm's own controller or ours, and Slurm's own agents, with jobs in many states.
fn busy(test: &str, own: bool) -> Option<Lab> {
    let (slurmctld, slurmd) = (programs::find("slurmctld", test)?, programs::find("slurmd", test)?);
    let slurmctld = if own { env!("CARGO_BIN_EXE_slurmctld").into() } else { slurmctld };
    let spool = tempfile::tempdir().unwrap().keep();
    let mut lab =
        Lab::new(test, |port| two_nodes(port).replace("{spool}", &spool.display().to_string()))?;
    if own {
        lab.controller.init();
    }
    lab.controller.start(&slurmctld);
    lab.agent(&slurmd, "n1");
    lab.agent(&slurmd, "n2");
    lab.until("sinfo -h -p main -t idle -o %D", "2");
    lab.file("ok.sh", "#!/bin/sh\n#SBATCH -J okjob -t 5\nsleep 600\n");
    for line in [
        "sbatch ok.sh",
        "sbatch ok.sh one two",
        "sbatch --wrap 'sleep 600' -c2 -N1",
        "sbatch --hold --wrap 'sleep 1' -J 'a name with blanks'",
        "sbatch -p hold --wrap 'sleep 1' --comment 'hey there' --mail-type=END --mail-user=me",
        "sbatch -d afterok:1 --wrap 'sleep 1' --mem=20 -C a",
        "sbatch -a 0-3,7%1 --wrap 'sleep 2' -o out-%A-%a-%j-%x-%u",
        "sbatch -N 2 --exclusive -t 1:00:00 --wrap true --mem-per-cpu=10",
        "sbatch --begin=now+1hour --wrap true -e /tmp/err -i /dev/zero --nice=5",
        "sbatch -a 1-40:3 --hold --wrap true",
        "sbatch --hold --switches=1@5 --wrap true -x n2 -w n1",
    ] {
        assert_eq!(lab.real(line).code, 0, "{line}: {:?}", lab.real(line));
    }
    lab.until("squeue -h -t R -o %i", "3");
    Some(lab)
}

const LOOKS: &[&str] = &[
    "scontrol ping",
    "scontrol show config",
    "scontrol show node",
    "scontrol show node n2",
    "scontrol show node n[1-2],nope",
    "scontrol -o show node",
    "scontrol show node nope",
    "scontrol show partition",
    "scontrol show part odd_and_long",
    "scontrol -o show partition",
    "scontrol show part nope",
    "scontrol show job",
    "scontrol show job 1",
    "scontrol show job 7",
    "scontrol show job 7_2",
    "scontrol show job 7_99",
    "scontrol -d show job",
    "scontrol -o show job 1",
    "scontrol show job 99999",
    "scontrol show job abc",
    "scontrol show step",
    "scontrol show hostnames n[1-3,7]",
    "scontrol show hostlist n1,n2,n3,m7",
    "scontrol show hostlistsorted n3,n1,n2",
    "scontrol show topology",
    "scontrol show reservation",
    "scontrol show licenses",
    "scontrol show daemons",
    "scontrol write batch_script 1 -",
    "scontrol frobnicate",
    "scontrol show nothing",
    "scontrol show",
    "scontrol --version",
    "scontrol version",
    "scontrol errnumstr 2017",
    "scontrol --nonsense",
    "sinfo",
    "sinfo -a",
    "sinfo -N",
    "sinfo -N -l",
    "sinfo -l",
    "sinfo -R",
    "sinfo -R -l",
    "sinfo -s",
    "sinfo -e -l",
    "sinfo -h",
    "sinfo -p main -t mix",
    "sinfo -p hold,odd_and_long",
    "sinfo -t down,drain",
    "sinfo -t idle",
    "sinfo -n n1",
    "sinfo -n n[1-2] -N",
    "sinfo -d",
    "sinfo -r -N",
    "sinfo -t bogus",
    "sinfo --version",
    "sinfo --nonsense=3",
    "squeue",
    "squeue -l",
    "squeue -r -j 1,2,3,4,7",
    "squeue -h",
    "squeue -s",
    "squeue --start",
    "squeue -t all",
    "squeue -t PD,R",
    "squeue -t bogus",
    "squeue -j 4",
    "squeue -j 4,5",
    "squeue -j 7_2",
    "squeue -j 7_2,7_3",
    "squeue -j 99999",
    "squeue -j abc",
    "squeue -u root",
    "squeue -u nobodyx",
    "squeue -u daemon",
    "squeue -p hold",
    "squeue -p main -t R",
    "squeue -n okjob",
    "squeue -n nope,wrap",
    "squeue -w n1",
    "squeue -w nope",
    "squeue --me -l",
    "squeue --version",
    "scancel",
    "scancel abc",
    "scancel 99999",
    "scancel -v 99999",
    "scancel --version",
    "scancel -t bogus 1",
    "scancel -s nope 1",
];

/// What our controller has none of and refuses: Slurm's own clients show that, ours that there are
/// none.
const NOT_ANSWERED: [&str; 3] =
    ["scontrol show topology", "scontrol show reservation", "scontrol show licenses"];

#[test]
fn what_ours_show_is_what_slurms_own_show() {
    let Some(lab) = busy("what_ours_show_is_what_slurms_own_show", false) else { return };
    let wrong: Vec<String> = LOOKS.iter().filter_map(|line| lab.differ(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_ours_show_of_our_controller_is_what_slurms_own_show() {
    let test = "what_ours_show_of_our_controller_is_what_slurms_own_show";
    let Some(lab) = busy(test, true) else { return };
    let answered = |line: &&&str| !NOT_ANSWERED.contains(*line);
    let looks = LOOKS.iter().filter(answered);
    let wrong: Vec<String> = looks.filter_map(|line| lab.differ(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is installed, and the example that is installed with it.
#[test]
fn what_is_installed_is_whole_and_its_example_is_a_configuration() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = top.join("tools/etc/slurm.conf");
    let conf = statedir::slurm::conf::Conf::load(&example).unwrap();
    assert_eq!((conf.nodes.len(), conf.members(0).len()), (1, 1));
    statedir::slurm::conf::own::Own::load_beside(&example).unwrap();
    if let Some(scontrol) = programs::find("scontrol", "the example slurm.conf") {
        let mut command = std::process::Command::new(scontrol);
        command.args(["show", "hostnames", "n[1-2]"]).env("SLURM_CONF", &example);
        let output = cluster::limited::output(&mut command);
        assert_eq!(output.stdout, b"n1\nn2\n", "{output:?}");
    }
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_sinfo")).parent().unwrap();
    if !built.join("slurmctld").exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut install = std::process::Command::new(top.join("tools/install"));
    let install = install.args(["--clients", "--prefix", "/usr", "--from"]).arg(built);
    let output = cluster::limited::output(install.arg("--destdir").arg(dir.path()));
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().count() > 10, "{said}");
    for line in said.lines() {
        assert!(dir.path().join(line.trim_start_matches('/')).exists(), "{line}");
    }
    let read = |path: &str| std::fs::read_to_string(dir.path().join(path)).unwrap();
    let unit = read("usr/lib/systemd/system/slurmctld.service");
    assert!(unit.contains("ExecStart=/usr/sbin/slurmctld -D") && !unit.contains('@'), "{unit}");
    for page in ["man8/slurmctld.8", "man8/slurmd.8", "man1/statectl.1", "man1/sbatch.1"] {
        assert!(read(&format!("usr/share/man/{page}")).contains(".SH"), "{page}");
    }
    let page = read("usr/share/man/man1/squeue.1");
    assert!(page.starts_with(".TH SQUEUE 1\n") && page.contains("\\-\\-start"), "{page}");
}
