//! Real slurmds, unmodified, under our controller: they register, run jobs to their end and report
//! them; the controller, or they, die meanwhile, and nothing is lost.
#![cfg(feature = "controller")]

#[path = "controller/agents.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod agents;
#[allow(dead_code, reason = "each test uses its part of the cluster")]
#[path = "controller/cluster.rs"]
mod cluster;
#[path = "programs/mod.rs"]
mod programs;

use agents::{Slurmd, node_lines, node_state, ports_in_a_row, until_node};
use cluster::{Controller, Munged};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// A munged, our controller and slurmds, if the real programs are there.
struct Lab {
    slurmds: Vec<Slurmd>,
    ours: Controller,
    _munged: Munged,
    _dir: tempfile::TempDir,
}

fn lab(test: &str, count: u16, node: &str, more: &str) -> Option<Lab> {
    let munged = programs::find("munged", test)?;
    let slurmd = programs::find("slurmd", test)?;
    programs::find("scontrol", test)?;
    let dir = tempfile::Builder::new().prefix("run").tempdir().unwrap();
    // Jobs of others write here, too.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let munged = Munged::start(&munged, dir.path());
    let place = dir.path().join("ours");
    let nodes = node_lines(&place, count, ports_in_a_row(count), node);
    let auth_info = format!("AuthInfo=socket={}", munged.socket.display());
    let mut ours = Controller::configure(place, &auth_info, &format!("{more}\n{nodes}"));
    ours.init();
    ours.start(Path::new(OURS));
    let start = |at| Slurmd::start(&slurmd, &ours, &format!("n{at}"));
    let slurmds = (1..=count).map(start).collect();
    Some(Lab { slurmds, ours, _munged: munged, _dir: dir })
}

#[test]
fn real_slurmds_register_and_are_idle_and_what_they_said_is_shown() {
    let test = "real_slurmds_register_and_are_idle_and_what_they_said_is_shown";
    let Some(lab) = lab(test, 2, "CPUs=2 RealMemory=100", "") else { return };
    for slurmd in &lab.slurmds {
        until_node(&lab.ours, &slurmd.name, "idle");
        let shown = lab.ours.run(&format!("scontrol show node {}", slurmd.name)).stdout;
        assert!(shown.contains("Version=22.05.8") && shown.contains("OS=Linux"), "{shown}");
        assert!(!shown.contains("BootTime=None"), "{shown}");
    }
    let drained = lab.ours.run("scontrol update nodename=n1 state=drain reason=fan");
    assert_eq!(drained.code, 0, "{drained:?}");
    assert_eq!(node_state(&lab.ours, "n1"), "drained");
    assert_eq!(lab.ours.run("scontrol update nodename=n1 state=resume").code, 0);
    until_node(&lab.ours, "n1", "idle");
}
