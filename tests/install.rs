//! What `tools/install` installs works as it stands: its example of a configuration runs a cluster
//! of one host, its units are units, its completions complete.
//!
//! The cluster is in a mount and a network namespace of its own: the example's paths and ports are
//! the usual ones.
#![cfg(all(feature = "agent", feature = "cli", feature = "client", feature = "controller"))]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "programs/mod.rs"]
mod programs;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything, installed in a directory that others may look into.
fn installed(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Path::new(env!("CARGO_BIN_EXE_slurmctld")).parent().unwrap();
    let mut command = Command::new(top.join("tools/install"));
    command.args(["--clients", "--prefix"]).arg(dir.join("usr"));
    command.arg("--sysconfdir").arg(dir.join("etc")).arg("--from").arg(built);
    let output = limited::output(&mut command);
    assert!(output.status.success(), "{output:?}");
    dir.join("usr")
}

/// A network of its own, with a loopback interface that is up, and mounts of its own.
fn alone(command: &mut Command) {
    // SAFETY: system calls alone, on values that live as long as they do, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            let mut request: libc::ifreq = std::mem::zeroed();
            request.ifr_name[0] = b'l' as libc::c_char;
            request.ifr_name[1] = b'o' as libc::c_char;
            request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
            if libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// As docs/operations.md has it, but for systemd.
const STEPS: &str = r#"
set -eu
mount --make-rprivate /
for place in /run /var/lib /var/spool; do mount -t tmpfs none $place; done
mkdir -p /run/munge && chmod 755 /run/munge
head -c 64 /dev/zero >$TOP/munge.key && chmod 400 $TOP/munge.key
$MUNGED --force --key-file=$TOP/munge.key --socket=/run/munge/munge.socket.2 \
    --pid-file=$TOP/munged.pid --log-file=$TOP/munged.log --seed-file=$TOP/munged.seed
cp $TOP/etc/slurm.conf.example $TOP/etc/slurm.conf
cp $TOP/etc/statedir.conf.example $TOP/etc/statedir.conf
export SLURM_CONF=$TOP/etc/slurm.conf PATH=$TOP/usr/bin:$TOP/usr/sbin:$PATH
install -d -o slurm -m 700 /var/lib/slurm/slurmctld
chown slurm /var/lib/slurm/slurmctld
setpriv --reuid slurm --regid slurm --clear-groups \
    $TOP/usr/bin/statectl -C /var/lib/slurm/slurmctld init
slurmctld -L $TOP/slurmctld.log
slurmd -D 2>$TOP/slurmd.log &
agent=$!
finish() {
    kill $agent; wait $agent || true
    kill $(cat /run/slurmctld.pid) $(cat $TOP/munged.pid)
}
trap finish EXIT
tries=0
until sinfo -h | grep -q idle; do
    tries=$((tries + 1)); [ $tries -lt 1200 ] || { sinfo; cat $TOP/*.log; exit 1; }
    sleep 0.1
done
scontrol ping
cd $TOP
id=$(sbatch --parsable -o $TOP/out --wrap 'echo it works')
until scontrol show job $id | grep -q JobState=COMPLETED; do
    tries=$((tries + 1)); [ $tries -lt 2400 ] || { scontrol show job $id; cat $TOP/*.log; exit 1; }
    sleep 0.1
done
cat $TOP/out
"#;

#[test]
fn the_example_runs_a_cluster_as_it_stands() {
    let test = "the_example_runs_a_cluster_as_it_stands";
    let Some(munged) = programs::find("munged", test).filter(|_| programs::root(test)) else {
        return;
    };
    if nix::unistd::User::from_name("slurm").unwrap().is_none() {
        // Slurm's packages make him, and they are what `programs` asks for.
        assert!(programs::find("slurmctld", test).is_none(), "there is no user slurm");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    installed(dir.path());
    let mut command = Command::new("sh");
    command.args(["-c", STEPS]).env("TOP", dir.path()).env("MUNGED", munged);
    alone(&mut command);
    let ran = limited::output(command.stdin(Stdio::null()));
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("Slurmctld(primary) at ") && said.contains(" is UP"), "{said}");
    assert!(said.ends_with("it works\n"), "{said}");
}

#[test]
fn units_are_units() {
    let dir = tempfile::tempdir().unwrap();
    let units = installed(dir.path()).join("lib/systemd/system");
    let unit = std::fs::read_to_string(units.join("slurmctld.service")).unwrap();
    for line in ["Type=notify", "Restart=on-failure", "RequiresMountsFor=", "LimitNOFILE="] {
        assert!(unit.contains(&format!("\n{line}")), "{line}: {unit}");
    }
    let path = std::env::var_os("PATH").unwrap();
    let verify = std::env::split_paths(&path).map(|dir| dir.join("systemd-analyze"));
    // Not one of the programs that may be required: containers have none.
    let Some(verify) = verify.into_iter().find(|path| path.is_file()) else { return };
    for name in ["slurmctld.service", "slurmd.service"] {
        let mut command = Command::new(&verify);
        let ran = limited::output(command.args(["verify", "--man=no"]).arg(units.join(name)));
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        // It may have something to say of units of the host.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(ours.is_empty(), "{said}");
    }
}

/// What bash offers behind these words.
fn offered(usr: &Path, words: &[&str]) -> Vec<String> {
    let path =
        format!("{}:{}:/usr/bin:/bin", usr.join("bin").display(), usr.join("sbin").display());
    let script = usr.join("share/bash-completion/completions").join(words[0]);
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let line = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; _statedir; echo \"${{COMPREPLY[@]}}\"",
        script.display(),
        quoted.join(" "),
        words.len() - 1
    );
    let ran = limited::output(Command::new("bash").args(["-c", &line]).env("PATH", path));
    assert!(ran.stderr.is_empty(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn completions_offer_options_and_words() {
    let test = "completions_offer_options_and_words";
    if programs::find("bash", test).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let usr = installed(dir.path());
    assert_eq!(offered(&usr, &["scontrol", "rel"]), ["release"]);
    assert_eq!(offered(&usr, &["scontrol", "show", "jo"]), ["job"]);
    assert_eq!(offered(&usr, &["scontrol", "update", "Job"]), ["JobId="]);
    assert!(offered(&usr, &["sbatch", "--open"]).contains(&"--open-mode".to_owned()));
    assert!(offered(&usr, &["squeue", "--st"]).contains(&"--start".to_owned()));
    assert!(offered(&usr, &["slurmctld", "-"]).contains(&"-D".to_owned()));
    assert!(offered(&usr, &["slurmd", "-"]).contains(&"-C".to_owned()));
    let statectl = usr.join("share/bash-completion/completions/statectl");
    assert!(std::fs::read_to_string(statectl).unwrap().contains("complete"));
}
