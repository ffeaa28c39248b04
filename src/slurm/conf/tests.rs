//! What slurm.conf says, and what is wrong with it.

use super::*;
use proptest::prelude::*;

const HEAD: &str = "ClusterName=c\nSlurmctldHost=localhost\n";

fn conf(text: &str) -> Result<Conf, String> {
    let text = format!("{HEAD}{text}");
    Conf::read(Path::new("/etc/slurm.conf"), &mut |_| Ok(text.clone()))
        .map_err(|error| error.to_string())
}

const CLUSTER: &str = "
SlurmctldHost=mgmt02(10.0.0.2)  # the backup
slurmCTLDtimeout = 30
SlurmctldTimeout=45
MaxJobCount=2k
WaitTime=7
NodeName=DEFAULT CPUs=2 Sockets=1 \\
    RealMemory=1000
NodeName=n[1-4] NodeAddr=10.0.1.[1-4] Feature=fast
NodeName=DEFAULT Weight=5
NodeName=big Sockets=2 CoresPerSocket=8 ThreadsPerCore=2 CPUs=32 Port=7001 Reason=\"too hot\"
DownNodes=n4 State=DRAIN Reason=fan
NodeSet=quick Feature=fast
PartitionName=DEFAULT MaxTime=1-0
PartitionName=main Nodes=quick,big Default=YES OverSubscribe=FORCE:3
PartitionName=all Nodes=ALL MaxTime=UNLIMITED State=DOWN DefMemPerCPU=100
";

#[test]
fn a_cluster_is_read() {
    let conf = conf(CLUSTER).unwrap();
    assert_eq!(conf.number("SlurmctldTimeout"), 45, "the last value wins");
    assert_eq!(conf.number("MaxJobCount"), 2048);
    assert_eq!(conf.number("slurmdport"), 6818);
    assert_eq!(conf.number("TreeWidth"), 50);
    assert_eq!(conf.ports(), (6817, 1));
    assert_eq!(conf.text("Epilog"), None);
    let hosts: Vec<&str> = conf.controllers.iter().map(|host| host.address.as_str()).collect();
    assert_eq!(hosts, ["localhost", "10.0.0.2"]);
    let names: Vec<&str> = conf.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["big", "n1", "n2", "n3", "n4"]);
    let (n2, n4, big) = (&conf.nodes[2], &conf.nodes[4], &conf.nodes[0]);
    assert_eq!(
        (n2.address.as_str(), n2.real_memory, n2.weight, n2.port),
        ("10.0.1.2", 1000, 1, 6818)
    );
    assert_eq!((n4.initial, n4.reason.as_deref()), (Initial::Drain, Some("fan")));
    assert_eq!((big.cpus, big.sockets, big.cores, big.threads), (32, 2, 8, 2));
    assert_eq!((big.weight, big.port, big.reason.as_deref()), (5, 7001, Some("too hot")));
    let (main, all) = (&conf.partitions[0], &conf.partitions[1]);
    assert_eq!((main.max_time, main.is_default, main.max_share), (1440, true, 0x8003));
    assert_eq!((all.max_time, all.state), (u32::MAX, PartitionState::Down));
    assert_eq!(all.def_mem, Memory::PerCpu(100));
    assert_eq!((conf.members(0), conf.members(1)), (&[0, 1, 2, 3, 4][..], &[0, 1, 2, 3, 4][..]));
    let idle: Vec<&str> = conf.without_effect().collect();
    assert_eq!(idle, ["WaitTime"]);
}

#[test]
fn sockets_and_cpus_agree() {
    let shape = |line: &str| {
        let conf = conf(&format!("NodeName=n {line}\nPartitionName=p Nodes=n")).unwrap();
        let node = &conf.nodes[0];
        (node.cpus, node.boards, node.sockets, node.cores, node.threads)
    };
    assert_eq!(shape(""), (1, 1, 1, 1, 1));
    assert_eq!(shape("CPUs=2"), (2, 1, 2, 1, 1));
    assert_eq!(shape("CPUs=8 CoresPerSocket=2 ThreadsPerCore=2"), (8, 1, 2, 2, 2));
    assert_eq!(shape("Sockets=2 CoresPerSocket=4"), (8, 1, 2, 4, 1));
    assert_eq!(shape("Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 CPUs=8"), (8, 1, 2, 4, 2));
    assert_eq!(shape("Sockets=2 CoresPerSocket=4 CPUs=7"), (8, 1, 2, 4, 1));
    assert_eq!(shape("Boards=2 SocketsPerBoard=2"), (4, 2, 4, 1, 1));
    assert_eq!(shape("CPUs=0 Sockets=0"), (1, 1, 1, 1, 1));
    assert_eq!(shape("CPUs=65535 Boards=65535 ThreadsPerCore=65535").0, 65535);
}

#[test]
fn mistakes_name_file_line_and_what_to_do() {
    let rest = "\nNodeName=n1\nPartitionName=p Nodes=n1";
    let said = |text: &str| conf(&format!("{text}{rest}")).unwrap_err();
    assert_eq!(
        said("TreeWidht=3\nTreeWidt=3"),
        "/etc/slurm.conf:3: TreeWidht is no parameter of slurm.conf; correct its name"
    );
    for (text, wanted) in [
        ("TreeWidt=3", ":3: TreeWidt is no parameter of slurm.conf; correct its name (TreeWidth?)"),
        ("\nKillWait=x", ":4: KillWait=x: a number from 0 to 65535, or INFINITE, is wanted"),
        ("KillWait=65536", ":3: KillWait=65536: a number from 0 to 65535, or INFINITE, is wanted"),
        ("KillWait", ":3: \"KillWait\" is no Key=Value; correct it, or put # in front"),
        ("UsePAM=maybe", ":3: UsePAM=maybe: YES or NO is wanted"),
        ("KillWait=3 MinJobAge=5", "\"MinJobAge=5 behind another one\" is no Key=Value"),
        ("SlurmctldPort=7-6", "SlurmctldPort=7-6: a port, or first-last, is wanted"),
        ("SlurmctldHost=a(b", "a host's name, or name(address), is wanted"),
        ("SallocDefaultCommand=x", "SallocDefaultCommand was removed from Slurm"),
        ("FrontendName=x", "FrontendName is no parameter of slurm.conf"),
        (
            "NodeName=n2 Socket=2",
            ":3: Socket is no parameter of a NodeName line; correct its name (Soc",
        ),
        ("NodeName=DEFAULT CPUs=x\nNodeName=n2", ":3: CPUs=x: a number"),
        ("NodeName=n[2", "brackets do not pair"),
        ("NodeName=n1", ":4: node n1 is there already, at /etc/slurm.conf:3; delete one"),
        ("NodeName=a[1-3] NodeAddr=b[1-2]", "NodeAddr stands for 2 names, NodeName for 3"),
        ("NodeName=a State=foo", "State=foo: CLOUD, DOWN"),
        ("NodeName=a Port=0", "a port from 1 to 65535"),
        ("DownNodes=x", ":3: DownNodes names x, which no NodeName line defines"),
        ("PartitionName=q Nodes=zz", ":3: Nodes names zz, which no NodeName line defines"),
        ("PartitionName=p Nodes=n1", "partition p is there already"),
        ("PartitionName=q MaxTime=abc", ":3: MaxTime=abc: minutes"),
        ("PartitionName=q State=foo", "State=foo: UP, DOWN, DRAIN or INACTIVE is wanted"),
        ("Prolog=\"/a #b\"", "write \\# for a # in it"),
    ] {
        let said = said(text);
        assert!(said.contains(wanted), "{text}: {said}");
    }
    let missing = |text: &str| {
        let read = Conf::read(Path::new("/etc/slurm.conf"), &mut |_| Ok(text.to_owned()));
        read.unwrap_err().to_string()
    };
    assert!(missing("SlurmctldHost=a").contains("ClusterName is missing; add it"));
    assert!(missing("ClusterName=a").contains("SlurmctldHost is missing; add it"));
    assert!(missing(HEAD).contains("a PartitionName line is missing"));
}

#[test]
fn older_names_of_the_controllers_count_where_the_new_one_is_missing() {
    let text = "ClusterName=c\nControlMachine=a\nControlAddr=10.0.0.1\nBackupController=b\n\
                NodeName=n\nPartitionName=p";
    let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
    let hosts: Vec<(&str, &str)> =
        conf.controllers.iter().map(|host| (host.name.as_str(), host.address.as_str())).collect();
    assert_eq!(hosts, [("a", "10.0.0.1"), ("b", "b")]);
}

#[test]
fn the_table_is_in_order_and_its_defaults_are_of_their_kinds() {
    for pair in PARAMETERS.windows(2) {
        let (a, b) = (pair[0].name.to_ascii_lowercase(), pair[1].name.to_ascii_lowercase());
        assert!(a < b, "{a} before {b}");
    }
    for row in PARAMETERS.iter().filter(|row| row.kind != Kind::Removed) {
        let fine = row.kind == Kind::Text && row.default.is_empty();
        let checked = check(row.name, row.kind, row.default);
        assert!(fine || checked.is_ok(), "{}: {checked:?}", row.name);
    }
    for name in ACTED_ON {
        assert!(parameter(name).is_some(), "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        parts in prop::collection::vec(
            prop::sample::select(&[
                "NodeName", "PartitionName", "DownNodes", "NodeSet", "SlurmctldHost", "KillWait",
                "CPUs", "Boards", "SocketsPerBoard", "Port", "Nodes", "MaxTime", "OverSubscribe",
                "DEFAULT", "=", "=", "=", " ", " ", "\n", "\n", "[", "]", "1-3", ",", "65535", "\"",
                "#", "\\", "FORCE", ":", "Include", "é", "UNLIMITED", "-",
            ][..]),
            0..60,
        ),
    ) {
        let _ = conf(&parts.concat());
    }

    #[test]
    fn a_changed_byte_makes_no_panic(at in 0..CLUSTER.len(), byte in 0_u8..128) {
        let mut bytes = CLUSTER.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = conf(&String::from_utf8(bytes).unwrap());
    }
}

/// Found by the fuzz target conf, in the first input that was a whole slurm.conf.
#[test]
fn every_parameter_that_is_not_set_has_a_value() {
    let conf = Conf::read(Path::new("/etc/slurm.conf"), &mut |_| {
        Ok("ClusterName=c\nSlurmctldHost=h\nNodeName=n\nPartitionName=p Nodes=n\n".to_owned())
    })
    .unwrap();
    for row in PARAMETERS {
        match row.kind {
            Kind::Text => drop((conf.text(row.name), conf.bits(row.name))),
            Kind::Flag => drop(conf.flag(row.name)),
            Kind::Removed => {}
            Kind::U16 | Kind::U32 | Kind::U64 => drop(conf.number(row.name)),
        }
    }
}
