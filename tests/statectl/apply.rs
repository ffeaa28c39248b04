//! `apply`: acknowledgements, bad input, interruption.

use crate::tool::{Ran, Tool, put};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

type Place = (String, Vec<u8>);
type Model = BTreeMap<Place, Vec<u8>>;

#[test]
fn apply_acknowledges_in_order_and_names_a_bad_line_by_number() {
    for jobs in ["1", "3", "64"] {
        let tool = Tool::with_store();
        let input = [&put("a", "k", "1"), "junk", "[]", &put("UPPER", "k", "v"), "", "[{}]"];
        let input = format!("{}\n{}", input.join("\n"), put("a", "k", "2"));
        let ran = tool.feed(&["apply", "--jobs", jobs], input.as_bytes());
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.err.contains("4 of 7 lines refused, the first in line 2: "), "{}", ran.err);
        let lines = ran.objects();
        let lsns: Vec<&Value> = lines.iter().filter_map(|line| line.get("lsn")).collect();
        assert_eq!(lsns, [1, 2, 3]);
        let bad = lines.iter().filter(|line| line["error"].is_string()).map(|line| &line["line"]);
        assert_eq!(bad.collect::<Vec<_>>(), [2, 4, 5, 6]);
        assert_eq!(tool.ok(&["get", "a", "k"]), "2");
        assert_eq!(tool.ok(&["ls"]), "a\n");
    }
}

#[test]
fn acknowledgement_does_not_wait_for_more_input() {
    for jobs in ["1", "8"] {
        let tool = Tool::with_store();
        let mut child = tool.spawn(&["apply", "--jobs", jobs]);
        let mut stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for lsn in 1..=20 {
            stdin.write_all(format!("{}\n", put("t", "k", "v")).as_bytes()).unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), format!("{{\"lsn\":{lsn}}}"));
        }
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn dump_equals_what_was_applied() {
    let tool = Tool::with_store();
    let mut model = Model::new();
    let saves: Vec<String> = (0..3000).map(|n| save(n, &mut model)).collect();
    let ran = tool.feed(&["apply", "--jobs", "100"], saves.join("\n").as_bytes());
    assert_eq!((ran.code, ran.objects().len()), (0, saves.len()), "{}", ran.err);
    assert_eq!(dump(&tool.run(&["dump", "--json"])), model.into_iter().collect::<Vec<_>>());
}

#[test]
fn killed_apply_leaves_the_first_saves_and_every_acknowledged_one() {
    const JOBS: usize = 16;
    for round in 0..6 {
        let tool = Tool::with_store();
        let mut child = tool.spawn(&["apply", "--jobs", &JOBS.to_string()]);
        let mut stdin = child.stdin.take().unwrap();
        let feeder = thread::spawn(move || {
            let mut model = Model::new();
            // Ends when the child is gone.
            (0..).find(|n| writeln!(stdin, "{}", save(*n, &mut model)).is_err());
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut acknowledged = String::new();
        for _ in 0..200 + 517 * round {
            stdout.read_line(&mut acknowledged).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        stdout.read_to_string(&mut acknowledged).unwrap();
        feeder.join().unwrap();
        // A pipe takes whole lines: they are shorter than PIPE_BUF.
        let acknowledged = acknowledged.lines().count();
        let status = tool.run(&["status", "--json"]).objects().remove(0);
        let kept = usize::try_from(status["lsn"].as_u64().unwrap()).unwrap();
        assert!(acknowledged <= kept, "{acknowledged} acknowledged, {kept} kept");
        assert!(kept <= acknowledged + JOBS, "{acknowledged} acknowledged, {kept} kept");
        let mut model = Model::new();
        (0..kept).for_each(|n| drop(save(n, &mut model)));
        let left = tool.run(&["dump", "--json"]);
        assert_eq!(dump(&left), model.into_iter().collect::<Vec<_>>());
        assert_eq!(tool.run(&["verify", "--full"]).code, 0);
        assert_eq!(tool.run(&["put", "t", "k", "v"]).text(), format!("lsn:{}\n", kept + 1));
    }
}

#[test]
fn no_input_makes_apply_panic_or_change_more_than_it_says() {
    let tool = Tool::with_saves(&[&put("t", "k", "v")]);
    let before = tool.run(&["dump", "--json"]).out;
    let mut input: Vec<u8> = Vec::new();
    for line in [
        &b"\xff\xfe"[..],
        b"\0\0\0",
        b"[[[[[[[[",
        b"[{\"put\":{\"table\":\"t\",\"key\":\"\xff\",\"value\":\"v\"}}]",
        br#"[{"delete":{"table":"t","key":"k"}},{"delete":{"table":"t","key":""}}]"#,
        br#"[{"put":{"table":"t","key":"a","value":"v","extra":1}}]"#,
        br#"[{"put":{"table":"t","key":"a","key":"b","value":"v"}}]"#,
        br#"[{"put":{"table":"t","key":"a","value_b64":"="}}]"#,
        br#"[{"put":{"table":"\u0000","key":"a","value":""}}]"#,
        br#"[{"put":null}]"#,
        b"null",
        b"\r",
    ] {
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    input.extend(b"[".repeat(1 << 20));
    let ran = tool.feed(&["apply", "--jobs", "4"], &input);
    assert_eq!(ran.code, 3);
    assert!(ran.objects().iter().all(|line| line["error"].is_string()), "{}", ran.text());
    assert_eq!(ran.objects().len(), 13);
    assert_eq!(tool.run(&["dump", "--json"]).out, before);
}

#[test]
fn a_hundred_thousand_saves_go_through() {
    let tool = Tool::with_store();
    let input: String =
        (0..100_000).map(|n| put("t", &(n % 100).to_string(), "v") + "\n").collect();
    let ran = tool.feed(&["apply", "--jobs", "1000"], input.as_bytes());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let text = ran.text();
    assert!(text.lines().zip(1..).all(|(line, n)| line == format!("{{\"lsn\":{n}}}")));
    assert_eq!(text.lines().count(), 100_000);
}

#[test]
fn apply_ends_in_silence_when_nobody_takes_its_acknowledgements() {
    let tool = Tool::with_store();
    let mut child = tool.spawn(&["apply"]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let line = put("t", "k", "v") + "\n";
    while stdin.write_all(line.as_bytes()).is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
}

#[test]
fn interrupted_apply_exits_130_and_keeps_what_it_acknowledged() {
    let tool = Tool::with_store();
    let mut child = tool.spawn(&["apply"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{}\n", put("t", "k", "v")).as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(tool.run(&["get", "t", "k"]).text(), "v");
}

#[test]
fn second_writer_is_told_that_the_lock_is_busy() {
    let tool = Tool::with_store();
    let mut child = tool.spawn(&["apply"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"[]\n").unwrap();
    lines.next().unwrap().unwrap();
    for args in [
        &["put", "t", "k", "v"][..],
        &["delete", "t", "k"],
        &["apply"],
        &["snapshot", "create"],
        &["compact"],
        &["put", "--timeout", "100ms", "t", "k", "v"],
    ] {
        let ran = tool.run(args);
        assert_eq!(ran.code, 7, "{args:?} {ran:?}");
        assert!(ran.err.contains("LOCK"), "{}", ran.err);
    }
    let waiting = tool.spawn(&["put", "--timeout", "60s", "t", "k", "v"]);
    thread::sleep(Duration::from_millis(100));
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!((waited.status.code(), &waited.stdout[..]), (Some(0), &b"lsn:2\n"[..]));
}

/// The save numbered `n`, put into `model` as well: several ops, bytes, deletes.
fn save(n: usize, model: &mut Model) -> String {
    let table = ["jobs", "nodes", "a.b-c_1"][n % 3].to_owned();
    let text_key = format!("k{}", n % 40);
    let byte_key = vec![0xff, (n % 7) as u8];
    let gone = format!("k{}", (n * 7) % 40);
    let bytes = vec![(n % 256) as u8; n % 50];
    let text = format!("v{n} \"\n\u{1}ö");
    model.insert((table.clone(), text_key.clone().into()), text.clone().into());
    model.insert((table.clone(), byte_key.clone()), bytes.clone());
    model.remove(&(table.clone(), gone.clone().into()));
    let (byte_key, bytes) = (STANDARD.encode(byte_key), STANDARD.encode(bytes));
    json!([
        {"put": {"table": table, "key": text_key, "value": text}},
        {"put": {"table": table, "key_b64": byte_key, "value_b64": bytes}},
        {"delete": {"table": table, "key": gone}},
    ])
    .to_string()
}

/// What `dump --json` printed, in its order.
fn dump(ran: &Ran) -> Vec<(Place, Vec<u8>)> {
    assert_eq!(ran.code, 0, "{}", ran.err);
    let field = |object: &Value, name: &str| match object.get(name) {
        Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
        None => STANDARD.decode(object[format!("{name}_b64")].as_str().unwrap()).unwrap(),
    };
    let entry = |object: &Value| {
        let table = object["table"].as_str().unwrap().to_owned();
        ((table, field(object, "key")), field(object, "value"))
    };
    ran.objects().iter().map(entry).collect()
}
