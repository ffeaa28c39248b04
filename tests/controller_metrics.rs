//! `/metrics` while jobs are submitted: every scrape is whole and well formed, counters never go
//! back, and at the end they say what clients were told. Nobody who holds that port open keeps the
//! controller from its work.
#![cfg(feature = "controller")]

#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "controller/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "durable/judge.rs"]
mod judge;
#[path = "controller/keyed.rs"]
mod keyed;
#[allow(dead_code, reason = "every test binary uses a part of it")]
#[path = "durable/own.rs"]
mod own;

use cluster::{Controller, free_port, limited, until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const OURS: &str = env!("CARGO_BIN_EXE_slurmctld");

/// Nodes that nobody is: jobs wait.
const CLUSTER: &str = "SlurmdPort=1\nMaxJobCount=1000000\n\
    NodeName=n[1-4] CPUs=2 RealMemory=1000 NodeAddr=127.0.0.1 State=DOWN\n\
    PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";

fn http(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(180))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

/// Samples, by name and labels as they are written.
type Samples = BTreeMap<String, f64>;

/// Reads OpenMetrics text, and is strict about it.
fn read(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF, and nothing behind it");
    let (mut kinds, mut seen, mut samples) = (BTreeMap::new(), BTreeSet::new(), Samples::new());
    let mut family = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(family.clone()), "{family} comes twice");
            assert!(rest.len() > family.len() + 1, "{family} says what it means");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["info", "gauge", "counter", "histogram"].contains(&kind), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let bare = name.split('{').next().unwrap();
            let end = bare.strip_prefix(family.as_str()).expect("samples stand in their family");
            let ends: &[&str] = match kinds[&family].as_str() {
                "info" => &["_info"],
                "counter" => &["_total"],
                "histogram" => &["_sum", "_count", "_bucket"],
                _ => &[""],
            };
            assert!(ends.contains(&end), "{line}");
            let labels = name.strip_prefix(bare).unwrap();
            assert!(labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}"));
            let value = value.parse().expect("a number");
            assert!(samples.insert(name.to_owned(), value).is_none(), "{name} comes twice");
        }
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        let parts = body.lines().filter(|line| line.starts_with(&format!("{name}_bucket{{")));
        let counts: Vec<f64> =
            parts.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(counts.is_sorted() && counts.len() > 2, "{name}");
        assert_eq!(samples[&format!("{name}_bucket{{le=\"+Inf\"}}")], *counts.last().unwrap());
        assert_eq!(samples[&format!("{name}_count")], *counts.last().unwrap());
    }
    samples
}

fn scrape(port: u16) -> Samples {
    let said = http(port, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    read(body)
}

fn start(dir: &Path) -> (Controller, own::Client, u16) {
    let (mut ours, client) = own::configure(dir, CLUSTER);
    let port = free_port();
    let path = ours.dir.join("statedir.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}MetricsAddress={port}\n")).unwrap();
    ours.start(Path::new(OURS));
    until("metrics are served", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (ours, client, port)
}

#[test]
fn metrics_under_load_are_well_formed_never_go_back_and_say_what_clients_were_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, client, port) = start(dir.path());
    const EACH: usize = 100;
    let over = AtomicBool::new(false);
    let scrapes = std::thread::scope(|scope| {
        let ends = limited::sets(&over);
        let submitters = [(); 4]
            .map(|()| scope.spawn(|| (0..EACH).filter(|_| client.submit(&ours).is_some()).count()));
        let scraper = scope.spawn(|| {
            let (mut last, mut scrapes) = (Samples::new(), 0);
            while !over.load(Ordering::Acquire) || scrapes < 3 {
                let now = scrape(port);
                let grows = |name: &&String| {
                    ["_total", "_count", "_sum"].iter().any(|end| name.contains(end))
                };
                for name in last.keys().filter(grows) {
                    assert!(now[name] >= last[name], "{name} goes back");
                }
                (last, scrapes) = (now, scrapes + 1);
            }
            scrapes
        });
        let told: usize = submitters.into_iter().map(|one| one.join().unwrap()).sum();
        drop(ends);
        let scrapes = scraper.join().unwrap();
        assert_eq!(told, 4 * EACH);
        scrapes
    });
    assert!(scrapes >= 3);
    assert_eq!(client.script(&ours, 4_000_000), None, "it is refused");
    until("sizes are measured", || scrape(port).contains_key("statedir_log_bytes"));
    let now = scrape(port);
    let jobs = f64::from(u32::try_from(4 * EACH).unwrap());
    assert_eq!(now["statedir_submissions_acknowledged_total"], jobs);
    assert_eq!(now["statedir_jobs{state=\"pending\"}"], jobs);
    assert_eq!(now["statedir_nodes{state=\"down\"}"], 4.0);
    assert_eq!(now["statedir_refusals_total{code=\"2017\"}"], 1.0);
    assert_eq!(now["statedir_changes_put_off"], 0.0);
    assert!(now["statedir_save_seconds_count"] >= jobs);
    assert_eq!(now["statedir_flush_seconds_count"], now["statedir_groups_total"]);
    assert!(now["statedir_saves_total"] >= jobs && now["statedir_commit_lsn"] >= jobs);
    assert!(now["statedir_flush_lsn"] >= now["statedir_commit_lsn"]);
    assert!(now["statedir_log_bytes"] > 0.0 && now["statedir_free_bytes"] > 0.0);
    assert!(now["statedir_epoch"] >= 1.0);
    assert_eq!(ours.stop(), Some(0));
}

/// What was submitted between two looks is in what `top` says of them; that nobody answers it says.
#[cfg(feature = "cli")]
#[test]
fn top_tells_how_long_the_saves_of_an_interval_took() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, client, port) = start(dir.path());
    let state = ours.dir.join("state");
    let top = |port: u16, times: &str| {
        let mut top = std::process::Command::new(env!("CARGO_BIN_EXE_statectl"));
        top.arg("-C").arg(&state).args(["top", "--json", "-i", "0.2", "-n", times]);
        top.args(["--metrics", &port.to_string()]);
        top
    };
    let mut looks = limited::spawn(top(port, "1000").stdout(std::process::Stdio::piped()));
    let lines = std::io::BufRead::lines(std::io::BufReader::new(looks.stdout.take().unwrap()));
    let mut told = None;
    for line in lines.take(200) {
        let object: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let of = |name: &str| object[name].as_f64();
        if let (Some(p50), Some(p99)) = (of("save_p50_seconds"), of("save_p99_seconds")) {
            told = Some((p50, p99, of("flush_p50_seconds"), of("flush_p99_seconds")));
            break;
        }
        assert!(client.submit(&ours).is_some());
    }
    looks.kill().unwrap();
    looks.wait().unwrap();
    let (p50, p99, flush50, flush99) = told.expect("saves were counted");
    assert!(p50 > 0.0 && p50 <= p99, "{p50} {p99}");
    assert!(flush50.unwrap() > 0.0 && flush50 <= flush99);
    assert_eq!(ours.stop(), Some(0));
    let nobody = limited::output(&mut top(free_port(), "1"));
    assert_eq!(nobody.status.code(), Some(8), "{nobody:?}");
}

#[test]
fn who_holds_the_port_open_or_says_nonsense_keeps_nobody_from_work() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, client, port) = start(dir.path());
    let silent: Vec<_> =
        (0..40).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    assert!(client.submit(&ours).is_some());
    drop(silent);
    let status = |request: &str| http(port, request).split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404");
    assert_eq!(status("DELETE /metrics HTTP/1.1\r\n\r\n"), "405");
    assert_eq!(status("\r\n\r\n"), "400");
    assert!(scrape(port)["statedir_submissions_acknowledged_total"] >= 1.0);
    assert_eq!(ours.stop(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_said_and_the_controller_works_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, client) = own::configure(dir.path(), CLUSTER);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let path = ours.dir.join("statedir.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}MetricsAddress={port}\n")).unwrap();
    ours.start(Path::new(OURS));
    assert!(client.submit(&ours).is_some());
    until("it is said", || ours.log().contains(&format!("MetricsAddress=127.0.0.1:{port}: ")));
    assert!(ours.log().contains("there are no metrics; next: "));
    assert_eq!(ours.stop(), Some(0));
}
