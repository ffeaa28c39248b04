//! An incremental backup after 1 % has changed, in saves of 1,000 ops: against `rsync -a` of a
//! directory that holds the same entries in files which are written anew as a whole, as slurmctld
//! writes its state.

use crate::data::{Values, key, shuffled};
use crate::flags::Flags;
use crate::report::{Goal, Row, goals, table};
use crate::scratch::Scratch;
use crate::work::{back_up, change, filled, run, settle, text, timed, warm};
use statedir::export::Kind;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Files that the plain directory holds: slurmctld's has about as many large ones.
const FILES: u64 = 10;

pub fn incremental(flags: &Flags) {
    fs::create_dir_all(&flags.dir).expect("the bench directory can be made");
    let scratch = Scratch::new(&flags.dir);
    let values = Values::new();
    let (store, source) = filled(flags, &scratch, &values);
    let repository = scratch.path().join("repository");
    back_up(&source, &repository, true);
    let (plain, copy) = (scratch.path().join("plain"), scratch.path().join("copy"));
    fs::create_dir(&plain).expect("a directory");
    write_whole(flags, &values, &plain, 0);
    run("rsync", &["-a", &format!("{}/", text(&plain)), text(&copy)]);
    let mut rows = [Row::new("rsync -a of whole files"), Row::new("statectl backup --incremental")];
    let mut shares = Row::new("bytes written / changed");
    for pass in 1..=flags.rounds as u64 {
        // Times are compared in whole seconds: what is written anew must be seen to be.
        write_whole(flags, &values, &plain, pass);
        warm(&plain);
        settle(flags);
        let from = format!("{}/", text(&plain));
        rows[0].rounds.push(timed(|| run("rsync", &["-a", "-I", &from, text(&copy)])).1);

        let changed = change(&store, flags, &values, pass);
        settle(flags);
        let before = crate::work::size(&repository);
        let (done, took) = timed(|| back_up(&source, &repository, true));
        assert_eq!(done.kind, Kind::Incremental, "nothing else is measured here");
        rows[1].rounds.push(took);
        let written = crate::work::size(&repository) - before;
        shares.rounds.push(written as f64 / changed as f64);
    }
    store.close().expect("closes");
    table("incremental backup after 1 % has changed", "s", &rows);
    table("what it writes, manifest included", "x changed", std::slice::from_ref(&shares));
    goals(&[
        ("of rsync of whole files", rows[1].ratio_to(&rows[0]), Goal::AtMost(0.3)),
        ("bytes written / changed", shares.median(), Goal::AtMost(1.5)),
    ]);
}

/// Writes every file anew, as slurmctld does: beside the old one, then renamed over it.
fn write_whole(flags: &Flags, values: &Values, dir: &Path, pass: u64) {
    let changed = flags.keys / 100;
    let fresh: std::collections::HashSet<u64> =
        (0..changed).map(|i| shuffled(i, flags.keys, pass)).collect();
    let per_file = flags.keys.div_ceil(FILES);
    for file in 0..FILES {
        let path = dir.join(format!("state-{file}"));
        let draft = dir.join("new");
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(&draft).expect("a file"));
        for number in file * per_file..((file + 1) * per_file).min(flags.keys) {
            let salt = if fresh.contains(&number) { number * 7 + pass } else { number * 31 };
            out.write_all(&key(number)).expect("writes");
            out.write_all(values.value(salt)).expect("writes");
        }
        out.into_inner().expect("writes");
        fs::rename(&draft, &path).expect("renames");
    }
}
