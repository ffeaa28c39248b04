//! What it costs that others might reign: saves per second of a store under the register of a
//! shared directory beside those of a local one; medians of interleaved rounds.
//!
//! `cargo bench --no-default-features --bench shared -- [--dir DIR] [--rounds N] [--seconds S]`

use statedir::base::Local;
use statedir::disk::Real;
use statedir::format::Reason;
use statedir::role::{Check, Heart, Register};
use statedir::store::share_on;
use statedir::{Authority, Batch, Options, Store};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const VALUE: [u8; 1024] = [7; 1024];
const KEYS: u64 = 100_000;
const GOAL: f64 = 0.9;

/// Who vouches for the writer.
#[derive(Clone, Copy)]
enum Mode {
    Local,
    Shared(Check),
}

const MODES: [(&str, Mode); 3] = [
    ("local only", Mode::Local),
    ("shared, by name", Mode::Shared(Check::Name)),
    ("shared, by mark", Mode::Shared(Check::Mark)),
];

fn main() {
    let (mut dir, mut rounds, mut seconds) = (PathBuf::from("target/bench"), 5, 1.0);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().expect("a value");
        match flag.as_str() {
            "--dir" => dir = value().into(),
            "--rounds" => rounds = value().parse().expect("a number"),
            "--seconds" => seconds = value().parse().expect("seconds"),
            "--bench" => {}
            other => panic!("{other}: --dir DIR, --rounds N, --seconds S"),
        }
    }
    for savers in [1, 64] {
        let mut rates = MODES.map(|_| Vec::new());
        for _ in 0..rounds {
            for ((_, mode), rates) in MODES.iter().zip(&mut rates) {
                rates.push(rate(&dir, *mode, savers, Duration::from_secs_f64(seconds)));
            }
        }
        let medians = rates.map(|mut rates: Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        });
        for ((name, _), rate) in MODES.iter().zip(medians) {
            let ratio = rate / medians[0];
            let word = if ratio >= GOAL { "met" } else { "NOT MET" };
            println!("{savers} savers, {name}: {rate:.0}/s, {ratio:.2} × (goal {GOAL}: {word})");
        }
    }
}

fn rate(base: &Path, mode: Mode, savers: u64, time: Duration) -> f64 {
    let scratch = base.join(format!("shared-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("the bench directory can be made");
    let state = scratch.join("state");
    Store::create(&state, &Options::default()).expect("a store can be made");
    let (authority, beats): (Arc<dyn Authority>, _) = match mode {
        Mode::Local => (Arc::new(Local), None),
        Mode::Shared(check) => {
            let disk = Arc::new(Real::open(&state).expect("it was made"));
            let register = Register::new(disk.clone(), "a", "a:6817").expect("a register");
            let register = register.checking(check);
            let mut make =
                |cluster, epoch| register.make(cluster, epoch).map(drop).map_err(io::Error::other);
            share_on(disk.as_ref(), &mut make).expect("it can be shared");
            let reigning = register.claim(Reason::Start).expect("nobody else is there");
            let heart = Heart::start(&reigning).expect("it can be written");
            (Arc::new(reigning), Some(heart))
        }
    };
    let store = Store::open(&state, Options::default(), authority).expect("the store opens");
    let found = saves(&store, beats, savers, time);
    drop(store);
    std::fs::remove_dir_all(&scratch).expect("it goes");
    found
}

fn saves(store: &Store, heart: Option<Heart>, savers: u64, time: Duration) -> f64 {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(savers as usize + 1));
    std::thread::scope(|scope| {
        let (stop, start) = (&stop, &start);
        let saver = |saver: u64| {
            start.wait();
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut batch = Batch::new();
                let key = (saver * 7_919 + count * 104_729) % KEYS;
                batch.put("jobs", &key.to_be_bytes(), &VALUE).expect("within limits");
                store.save(batch).expect("it is saved");
                count += 1;
            }
            count
        };
        let workers: Vec<_> = (0..savers).map(|of| scope.spawn(move || saver(of))).collect();
        // As often as with SlurmctldTimeout=8 or more.
        let beats = heart.map(|mut heart| {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    heart.beat(0, false).expect("it beats");
                    std::thread::sleep(Duration::from_secs(1));
                }
            })
        });
        start.wait();
        let from = Instant::now();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let saved: u64 = workers.into_iter().map(|of| of.join().expect("no panic")).sum();
        let took = from.elapsed();
        if let Some(beats) = beats {
            beats.join().expect("no panic");
        }
        saved as f64 / took.as_secs_f64()
    })
}
