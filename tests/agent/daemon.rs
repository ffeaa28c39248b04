//! The agent as a daemon: to the background, signals, pid file, log file, sd_notify, and what it
//! prints as Slurm's own does.

use crate::cluster::{limited, until};
use crate::lab::{Head, Lab, OURS, lives, signal};
use crate::programs;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

/// An agent in the background ends with the test.
struct Background(i32);

impl Drop for Background {
    fn drop(&mut self) {
        signal(self.0, libc::SIGKILL);
    }
}

fn start(lab: &Lab, args: &[&str]) -> Output {
    fs::create_dir_all(lab.path("spool/n1")).unwrap();
    // A name relative to where it was started holds in the background, too.
    let mut command = Command::new(OURS);
    command.args(["-N", "n1", "-f", "slurm.conf"]).args(args).current_dir(lab.path(""));
    // What it started goes on: its output is not the end of a pipe that is waited for.
    let said = fs::File::create(lab.path("said")).unwrap();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let status = limited::ended(&mut child, &command);
    Output { status, stdout: Vec::new(), stderr: fs::read(lab.path("said")).unwrap() }
}

fn pid(lab: &Lab) -> Option<i32> {
    fs::read_to_string(lab.path("slurmd-n1.pid")).ok()?.trim().parse().ok()
}

#[test]
fn without_d_it_goes_to_the_background_once_it_serves_and_signals_reach_it_there() {
    let test = "without_d_it_goes_to_the_background_once_it_serves_and_signals_reach_it_there";
    let Some(lab) = Lab::under(Head::Own, test, "") else { return };
    let file = lab.path("slurmd.log");
    let conf = |more: &str| lab.write_conf(&format!("SlurmdLogFile={}\n{more}", file.display()));
    let log = || fs::read_to_string(&file).unwrap_or_default();
    conf("");
    let started = start(&lab, &[]);
    assert!(started.status.success(), "{started:?} {}", log());
    let found = pid(&lab).expect("its pid file is there when whoever started it is told");
    let agent = Background(found);
    assert!(std::net::TcpStream::connect(("127.0.0.1", lab.agent_ports[0])).is_ok());
    let stat = fs::read_to_string(format!("/proc/{found}/stat")).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().to_owned();
    assert_ne!(session, found.to_string(), "no terminal can become its own");
    until("it is registered", || log().contains("node n1 is registered"));
    let job = lab.submit("-w n1 -o d-%j", "echo $PWD; while [ ! -e go ]; do sleep 0.05; done");
    lab.wait_file(&format!("d-{job}"));

    // A second one, of the same spool, says so and leaves the first alone.
    let second = start(&lab, &[]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(log().contains("another slurmd serves") && said.contains("another"), "{said}");
    assert_eq!(pid(&lab), Some(found));

    // logrotate moves the file away.
    fs::rename(&file, lab.path("slurmd.log.1")).unwrap();
    signal(found, libc::SIGUSR2);
    until("the file is there again", || {
        signal(found, libc::SIGHUP);
        log().contains("slurm.conf is read again")
    });
    conf("NoSuchParameter=1\n");
    signal(found, libc::SIGHUP);
    until("a mistake changes nothing", || log().contains("the configuration stays as it is"));
    conf("");

    signal(found, libc::SIGTERM);
    until("it ends", || !lives(found));
    assert!(!lab.path("slurmd-n1.pid").exists());
    drop(agent);
    // Its job has gone on.
    assert!(start(&lab, &[]).status.success());
    let _agent = Background(pid(&lab).unwrap());
    fs::write(lab.path("out/go"), "").unwrap();
    assert_eq!(lab.ended(job), ("COMPLETED".to_owned(), "0:0".to_owned()));
}

#[test]
fn what_is_wrong_is_said_where_it_was_started() {
    let test = "what_is_wrong_is_said_where_it_was_started";
    let Some(lab) = Lab::under(Head::Own, test, "") else { return };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let _taken = std::net::TcpListener::bind(("::", lab.agent_ports[0])).unwrap();
    let output = start(&lab, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("next: ss -ltnp"), "{}", said(&output));
    lab.write_conf("NoSuchParameter=1\n");
    let output = start(&lab, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("NoSuchParameter"), "{}", said(&output));
    assert!(pid(&lab).is_none());
}

#[test]
fn systemd_is_told_when_it_serves_and_when_it_ends() {
    let test = "systemd_is_told_when_it_serves_and_when_it_ends";
    let Some(lab) = Lab::under(Head::Own, test, "") else { return };
    fs::create_dir_all(lab.path("spool/n1")).unwrap();
    let socket = UnixDatagram::bind(lab.path("notify")).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(120))).unwrap();
    let child = Command::new(OURS)
        .args(["-D", "-N", "n1", "-f"])
        .arg(lab.path("slurm.conf"))
        .env("NOTIFY_SOCKET", lab.path("notify"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut agent = crate::cluster::Process(child);
    let told = || {
        let mut bytes = [0; 512];
        let got = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..got]).into_owned()
    };
    let ready = told();
    let port = lab.agent_ports[0];
    assert!(ready.contains("READY=1\n"), "{ready}");
    assert!(ready.contains(&format!("STATUS=node n1, port {port}")), "{ready}");
    assert!(ready.contains(&format!("MAINPID={}\n", agent.0.id())), "{ready}");
    signal(i32::try_from(agent.0.id()).unwrap(), libc::SIGTERM);
    assert!(told().contains("STOPPING=1\n"));
    assert_eq!(agent.ended(), Some(0));
}

#[test]
fn what_it_prints_of_the_machine_and_itself_is_what_slurms_own_prints() {
    let test = "what_it_prints_of_the_machine_and_itself_is_what_slurms_own_prints";
    let Some(real) = programs::find("slurmd", test) else { return };
    let prints = |program: &std::path::Path, flag: &str| {
        let output = limited::output(Command::new(program).arg(flag).env_clear());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        // A clock runs in it.
        text.split_once("UpTime=").map_or(text.clone(), |(before, _)| format!("{before}UpTime="))
    };
    for flag in ["-C", "-V"] {
        assert_eq!(prints(OURS.as_ref(), flag), prints(&real, flag), "{flag}");
    }
}
