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
fn exit_0_is_healthy_non_zero_drains_the_node_and_a_later_success_changes_nothing() {
    let test = "exit_0_is_healthy_non_zero_drains_the_node_and_a_later_success_changes_nothing";
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

/// As Slurm's own does.
#[test]
fn without_health_drain_a_check_that_fails_is_only_logged() {
    let test = "without_health_drain_a_check_that_fails_is_only_logged";
    let Some(lab) = lab(test) else { return };
    std::fs::write(lab.path("statedir.conf"), "HealthDrain=no\n").unwrap();
    program(&lab, "exit 3");
    let _agent = lab.agent(Path::new(OURS), "n1");
    assert!(lab.log("n1").contains("this node is not healthy: HealthCheck: exit 3"));
    assert_eq!(node(&lab), (false, String::new()));
}

/// As the handbook has it that this project was begun from.
const HANDBOOK: &str = r#"#!/bin/bash
# /etc/slurm/health_check.sh
# Exit 0 = healthy, non-zero = drain the node

# Check GPU health
if command -v nvidia-smi &>/dev/null; then
    nvidia-smi > /dev/null 2>&1 || exit 1
fi

# Check filesystem
mountpoint -q /data || exit 1

# Check memory
free_mb=$(free -m | awk '/Mem:/ {print $4}')
[ "$free_mb" -lt 1024 ] && exit 1

exit 0
"#;

/// A folder that was not there before, and is not afterwards.
struct Made(Option<&'static str>);

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// In a mount namespace, where /data is mounted or not, and memory is free whatever else runs.
#[test]
fn the_example_health_check_script_of_the_handbook_runs_as_it_stands() {
    let test = "the_example_health_check_script_of_the_handbook_runs_as_it_stands";
    if !crate::programs::root(test) || crate::programs::find("free", test).is_none() {
        return;
    }
    let Some(lab) = lab(test) else { return };
    let write = |name: &str, text: &str| {
        let path = lab.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    write("check", HANDBOOK);
    let memory = "MemTotal: 16000000 kB\nMemFree: 8000000 kB\nMemAvailable: 8000000 kB\n\
                  Buffers: 0 kB\nCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
    let memory = write("meminfo", memory);
    let _made = Made(std::fs::create_dir("/data").is_ok().then_some("/data"));
    let within = |name: &str, mounts: &str| {
        let memory = memory.display();
        write(
            name,
            &format!(
                "#!/bin/bash\nexec unshare -m bash -c 'mount --bind {memory} /proc/meminfo \
                 && {mounts} && exec {OURS} \"$@\"' slurmd \"$@\"\n"
            ),
        )
    };
    let agent = lab.agent(&within("mounted", "mount -t tmpfs none /data"), "n1");
    assert_eq!(node(&lab), (false, String::new()), "{}", lab.log("n1"));
    drop(agent);
    let _agent = lab.agent_alone(&within("unmounted", "true"), "n1");
    until("the node is drained", || node(&lab) == (true, "HealthCheck: exit 1".to_owned()));
}

/// What our agent does by itself, for one that is not ours.
#[test]
fn the_wrapper_drains_the_node_of_an_unmodified_slurmd() {
    let test = "the_wrapper_drains_the_node_of_an_unmodified_slurmd";
    let Some(slurmd) = crate::programs::find("slurmd", test) else { return };
    let Some(lab) = lab(test) else { return };
    let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/healthcheck-drain");
    let conf = lab.path("slurm.conf").display().to_string();
    let check = lab.path("real-check").display().to_string();
    let ran = lab.path("out/ran");
    program(
        &lab,
        &format!(
            "SLURM_CONF={conf} HEALTH_CHECK_SECONDS=2 {wrapper} {check}; code=$?\n\
             echo >>{}; exit $code",
            ran.display()
        ),
    );
    let check = |text: &str| {
        std::fs::write(&check, format!("#!/bin/bash\n{text}\n")).unwrap();
        std::fs::set_permissions(&check, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    // Starts a slurmd, which checks first, and waits for the end of that.
    let checked = || {
        let count = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
        let before = count();
        let _agent = lab.agent_alone(&slurmd, "n1");
        until("the check has run", || count() > before);
        node(&lab)
    };
    let drained = |reason: &str| (true, reason.to_owned());
    check("exit 0");
    // A node that has never registered cannot be resumed.
    drop(lab.agent(&slurmd, "n1"));
    assert_eq!(checked(), (false, String::new()));
    check("echo '  no disk '; exit 1");
    assert_eq!(checked(), drained("no disk"));
    check("exit 5");
    assert_eq!(checked(), drained("no disk"));
    for (text, reason) in
        [("exit 5", "HealthCheck: exit 5"), ("sleep 30", "HealthCheck: timed out")]
    {
        check(text);
        assert_eq!(lab.run("scontrol update nodename=n1 state=resume"), "");
        until("it is resumed", || !node(&lab).0);
        assert_eq!(checked(), drained(reason));
    }
}
