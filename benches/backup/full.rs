//! A full, durable backup of a store whose pages are in memory: against `cp -r --reflink=never`
//! followed by `sync -f`, and `rsync -a --fsync`, of the same directory.

use crate::data::Values;
use crate::flags::Flags;
use crate::report::{Goal, Row, goals, table};
use crate::scratch::Scratch;
use crate::work::{back_up, filled, remove, run, settle, text, timed, warm};

pub fn full(flags: &Flags) {
    std::fs::create_dir_all(&flags.dir).expect("the bench directory can be made");
    let scratch = Scratch::new(&flags.dir);
    let values = Values::new();
    let (store, source) = filled(flags, &scratch, &values);
    // Its writer is idle; closed, its prepared segments hold no room.
    store.close().expect("closes");
    let dest = scratch.path().join("copy");
    let mut rows = [
        Row::new("cp -r --reflink=never; sync -f"),
        Row::new("rsync -a --fsync"),
        Row::new("statectl backup"),
    ];
    let mut written = 0;
    for _ in 0..flags.rounds {
        let copies: [&dyn Fn(); 3] = [
            &|| {
                run("cp", &["-r", "--reflink=never", text(&source), text(&dest)]);
                run("sync", &["-f", text(&dest)]);
            },
            &|| run("rsync", &["-a", "--fsync", &format!("{}/", text(&source)), text(&dest)]),
            &|| drop(back_up(&source, &dest, false)),
        ];
        for (row, copy) in rows.iter_mut().zip(copies) {
            warm(&source);
            settle(flags);
            row.rounds.push(timed(copy).1);
            written = crate::work::size(&dest);
            remove(&dest);
        }
    }
    table(&format!("full backup, {} MiB", written >> 20), "s", &rows);
    goals(&[
        ("of cp and sync", rows[2].ratio_to(&rows[0]), Goal::AtMost(1.1)),
        ("of rsync --fsync", rows[2].ratio_to(&rows[1]), Goal::AtMost(0.7)),
    ]);
}
