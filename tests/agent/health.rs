//! The health check: our rule is that whatever does not exit with 0 drains the node.

use crate::cluster::until;
use crate::lab::{Lab, OURS};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn lab(test: &str) -> Option<Lab> {
    let lab = Lab::new(test, "")?;
    let program = lab.path("check").display().to_string();
    lab.write_conf(&format!("HealthCheckProgram={program}\nHealthCheckInterval=3600\n"));
    Some(lab)
}

fn program(lab: &Lab, text: &str) {
    let path = lab.path("check");
    std::fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// State and reason.
fn node(lab: &Lab) -> (bool, String) {
    let said = lab.run("scontrol show node n1");
    let reason = said.split("Reason=").nth(1).unwrap_or("").split(" [").next().unwrap();
    (said.contains("DRAIN"), reason.to_owned())
}

#[test]
fn a_check_that_fails_drains_the_node_and_a_later_success_changes_nothing() {
    let test = "a_check_that_fails_drains_the_node_and_a_later_success_changes_nothing";
    let Some(lab) = lab(test) else { return };
    program(&lab, "exit 0");
    let agent = lab.agent(Path::new(OURS), "n1");
    assert_eq!(node(&lab), (false, String::new()));
    drop(agent);
    program(&lab, "echo disk full on $SLURMD_NODENAME; echo more; exit 1");
    let agent = lab.agent_alone(Path::new(OURS), "n1");
    until("the node is drained", || node(&lab) == (true, "disk full on n1".to_owned()));
    drop(agent);
    for (text, resume, reason) in [
        ("exit 0", false, "disk full on n1"),
        ("exit 3", false, "disk full on n1"),
        ("exit 3", true, "HealthCheck: exit 3"),
        ("kill -9 $$", true, "HealthCheck: signal 9"),
    ] {
        program(&lab, &format!("echo >>{}; {text}", lab.path("out/ran").display()));
        let before = std::fs::read_to_string(lab.path("out/ran")).unwrap_or_default().len();
        if resume {
            assert_eq!(lab.run("scontrol update nodename=n1 state=resume"), "");
            until("it is resumed", || !node(&lab).0);
        }
        let registered = || lab.log("n1").matches("is registered").count();
        let count = registered();
        let _agent = lab.agent_alone(Path::new(OURS), "n1");
        until("it has registered", || registered() > count);
        assert!(lab.out("ran").len() > before, "the check has run");
        assert_eq!(node(&lab), (true, reason.to_owned()), "{text}: {}", lab.log("n1"));
    }
}
