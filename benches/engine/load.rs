//! Opening and loading everything, as a controller does that starts: into a map of its own.
//!
//! The store holds a snapshot of all keys and a log of single puts behind it. The floor holds the
//! same pairs and the same later puts (see `bare`). Both put borrowed slices, or copies on the heap,
//! into a map of the same type with room for all keys, from keys in bytewise order; both check all
//! bytes on as many threads, and scan on one.
//!
//! Every load is a process of its own, which times itself and reads its own peak (VmHWM): no memory
//! of earlier rounds helps or counts. The clock runs from before the open until the map is whole.
//!
//! Invariants:
//! - all systems end with maps of the same contents, or the bench fails;
//! - warm: every page of the files is in the page cache; cold: none was, and the share that mincore
//!   still found is printed.

use crate::bare::{FILES, Image, write};
use crate::cache::{drop_pages, read_all, resident};
use crate::data::{PAIR, Values, key};
use crate::flags::Flags;
use crate::report::{Goal, Row, goals, median, table};
use crate::scratch::{Scratch, open};
use crate::state::{TABLE, fill, first_value, log_behind, without_snapshots};
use statedir::Options;
use statedir::snapshot::SnapshotError;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What a child process loads, and how: the value of the hidden flag.
#[derive(Clone, Debug)]
pub struct Child {
    system: String,
    hold: String,
    map: String,
    keys: usize,
    path: PathBuf,
}

/// What a child process says of its load.
struct Loaded {
    seconds: f64,
    /// Of these, until everything was open and verified.
    opened: f64,
    digest: u64,
    /// Bytes: the peak, and at the end what is anonymous and what is mapped files.
    peak: f64,
    anonymous: f64,
    mapped: f64,
}

const SYSTEMS: [&str; 2] = ["floor", "statedir"];
/// Into a map of slices; into a map of copies; handed out to nobody (for the memory).
const HOLDS: [&str; 3] = ["borrowed", "owned", "visited"];

/// The workload.
pub fn load(flags: &Flags) {
    let (scratch, floor) = (Scratch::new(&flags.dir), Scratch::new(&flags.dir));
    let state = scratch.path().join("state");
    let logged = prepare(flags, &state, floor.path());
    println!(
        "\nload: {} keys of 1 KiB, {:.1} MiB of log behind the snapshot, map: {}, {} rounds",
        flags.load_keys,
        logged as f64 / f64::from(1 << 20),
        flags.map,
        flags.rounds
    );
    for temperature in ["warm", "cold"] {
        let runs = rounds(flags, temperature, &state, floor.path());
        print(flags, temperature, &runs);
    }
}

/// Fills the store and the floor with the same; returns the bytes of log behind the snapshot.
fn prepare(flags: &Flags, state: &Path, floor: &Path) -> u64 {
    let (values, keys) = (Values::new(), flags.load_keys);
    fill(state, &values, keys);
    let store = open(state, without_snapshots(Options::default()));
    let later = log_behind(&store, &values, keys, flags.log_mib << 20);
    let logged = store.progress().log_bytes;
    store.close().expect("closes");

    let mut order: Vec<u64> = (0..keys).collect();
    order.sort_unstable_by_key(|n| key(*n));
    let pairs = order.into_iter().map(|n| (key(n), first_value(&values, n)));
    write(floor, FILES[0], pairs).expect("the floor's pairs");
    let puts = later.into_iter().map(|(n, salt)| (key(n), values.value(salt)));
    write(floor, FILES[1], puts).expect("the floor's later puts");
    logged
}

/// All rounds of one temperature: a list of loads for each system and way of holding.
fn rounds(flags: &Flags, temperature: &str, state: &Path, floor: &Path) -> Vec<Vec<Loaded>> {
    let turns = HOLDS.iter().flat_map(|hold| SYSTEMS.map(|system| (system, *hold)));
    let turns: Vec<_> = turns.collect();
    let mut runs: Vec<Vec<Loaded>> = turns.iter().map(|_| Vec::new()).collect();
    let mut cached = Vec::new();
    for round in 0..flags.rounds {
        for place in 0..turns.len() {
            // Each round begins elsewhere, so that no system always follows the same one.
            let turn = (place + round) % turns.len();
            let (system, hold) = turns[turn];
            let path = if system == "floor" { floor } else { state };
            if temperature == "cold" { drop_pages(path) } else { read_all(path) }
                .expect("pages come and go");
            cached.push(resident(path).expect("mincore"));
            let child = Child {
                system: system.to_owned(),
                hold: hold.to_owned(),
                map: flags.map.clone(),
                keys: usize::try_from(flags.load_keys).expect("a number of keys"),
                path: path.to_owned(),
            };
            runs[turn].push(child.spawn());
        }
    }
    let digests = |of: &[usize]| {
        let of = of.iter().flat_map(|turn| runs[*turn].iter().map(|run| run.digest));
        of.collect::<std::collections::BTreeSet<u64>>().len()
    };
    assert_eq!(digests(&[0, 1, 2, 3]), 1, "floor and store end with the same contents");
    println!("\n{temperature}: {:.4} of the pages were cached before a load", median(&cached));
    runs
}

fn print(flags: &Flags, temperature: &str, runs: &[Vec<Loaded>]) {
    let mega = (1 << 20) as f64;
    let data = (flags.load_keys * PAIR) as f64;
    let medians =
        |run: &[Loaded], of: fn(&Loaded) -> f64| median(&run.iter().map(of).collect::<Vec<f64>>());
    for (hold, pair) in HOLDS.iter().zip(runs.chunks(2)) {
        let row = |turn: usize| Row {
            name: SYSTEMS[turn].to_owned(),
            rounds: pair[turn].iter().map(|run| run.seconds).collect(),
        };
        let rows = [row(0), row(1)];
        table(&format!("open and load, {temperature}, {hold}"), "seconds, less is better", &rows);
        for (name, run) in SYSTEMS.iter().zip(pair) {
            println!(
                "  {name:<28} opened and verified after {:.3} s; peak {:.0} MiB = {:.3} x data; at the \
                 end {:.0} MiB mapped, {:.0} MiB on the heap",
                medians(run, |run| run.opened),
                medians(run, |run| run.peak) / mega,
                medians(run, |run| run.peak) / data,
                medians(run, |run| run.mapped) / mega,
                medians(run, |run| run.anonymous) / mega,
            );
        }
        let ratio = rows[1].ratio_to(&rows[0]);
        let peak = medians(&pair[1], |run| run.peak) / data;
        match (*hold, temperature) {
            ("borrowed", _) => goals(&[("time / floor", ratio, Goal::AtMost(1.5))]),
            ("owned", "warm") => goals(&[("seconds", rows[1].median(), Goal::AtMost(1.6))]),
            // The engine's own memory, without the map of whoever loads.
            ("visited", _) => goals(&[("peak / data", peak, Goal::AtMost(1.1))]),
            _ => {}
        }
    }
}

impl Child {
    /// Reads the value of the hidden flag.
    pub fn parse(text: &str) -> Option<Child> {
        let mut parts = text.splitn(5, ',').map(str::to_owned);
        Some(Child {
            system: parts.next()?,
            hold: parts.next()?,
            map: parts.next()?,
            keys: parts.next()?.parse().ok()?,
            path: parts.next()?.into(),
        })
    }

    /// Runs this load in a process of its own.
    fn spawn(&self) -> Loaded {
        let Child { system, hold, map, keys, path } = self;
        let itself = std::env::current_exe().expect("the bench knows its own file");
        let path = std::path::absolute(path).expect("a path");
        let value = format!("{system},{hold},{map},{keys},{}", path.display());
        let output = Command::new(itself).args(["--child", &value]).output().expect("a process");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "loading {value}: {error}");
        let text = String::from_utf8(output.stdout).expect("numbers");
        let numbers: Vec<&str> = text.split_whitespace().collect();
        let number = |i: usize| numbers[i].parse::<f64>().expect("a number");
        Loaded {
            seconds: number(0),
            opened: number(1),
            digest: numbers[2].parse().expect("a digest"),
            peak: number(3),
            anonymous: number(4),
            mapped: number(5),
        }
    }

    /// Loads, and prints what [`Loaded`] wants to know.
    pub fn run(&self) {
        let map = match self.map.as_str() {
            "hash" => Map::Hash,
            "btree" => Map::Tree,
            other => panic!("no map {other}: hash or btree"),
        };
        let from = Instant::now();
        match self.system.as_str() {
            "floor" => self.floor(map, from),
            _ => self.ours(map, from),
        }
    }

    fn floor(&self, map: Map, from: Instant) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        let images = FILES.map(|name| Image::open(&self.path, name).expect("the floor's file"));
        for image in &images {
            image.verify(threads).expect("undamaged");
        }
        self.hold(map, from, || images.iter().flat_map(Image::pairs));
    }

    fn ours(&self, map: Map, from: Instant) {
        let store = open(&self.path, without_snapshots(Options::default()));
        let view = store.view();
        let pair = |entry: Result<_, SnapshotError>| entry.expect("an undamaged store");
        self.hold(map, from, || view.scan(TABLE, b"").map(pair));
        // Closed behind the clock: the controller goes on now.
        drop(view);
        store.close().expect("closes");
    }

    /// Puts all pairs where they are held, stops the clock, and tells.
    fn hold<'a, P>(&self, map: Map, from: Instant, pairs: impl FnOnce() -> P)
    where
        P: Iterator<Item = (&'a [u8], &'a [u8])>,
    {
        let clock = Clock { from, opened: from.elapsed().as_secs_f64() };
        let pairs = pairs();
        match self.hold.as_str() {
            "borrowed" => map.hold(self.keys, pairs, clock),
            "owned" => {
                // What a controller has of its own: bytes that outlive the store.
                let own = pairs.map(|(key, value)| (Box::from(key), Box::from(value)));
                map.hold::<Box<[u8]>>(self.keys, own, clock);
            }
            _ => {
                let mut count = 0_u64;
                for (key, value) in pairs {
                    count += u64::from(std::hint::black_box(key.len() + value.len()) > 0);
                }
                clock.tell(clock.from.elapsed().as_secs_f64(), count);
            }
        }
    }
}

/// A controller's map.
#[derive(Clone, Copy)]
enum Map {
    Hash,
    Tree,
}

impl Map {
    /// Fills a map with `pairs`, and tells how long that took by `clock`.
    fn hold<B>(self, keys: usize, pairs: impl Iterator<Item = (B, B)>, clock: Clock)
    where
        B: AsRef<[u8]> + Hash + Ord,
    {
        match self {
            Map::Hash => {
                let mut map = HashMap::with_capacity(keys);
                map.extend(pairs);
                done(clock, keys, map.iter());
            }
            Map::Tree => {
                let mut map = BTreeMap::new();
                for (key, value) in pairs {
                    map.insert(key, value);
                }
                done(clock, keys, map.iter());
            }
        }
    }
}

/// Stops the clock; then makes sure that the map holds what it must.
fn done<'a, B: AsRef<[u8]> + 'a>(
    clock: Clock,
    keys: usize,
    pairs: impl ExactSizeIterator<Item = (&'a B, &'a B)>,
) {
    let seconds = clock.from.elapsed().as_secs_f64();
    assert_eq!(pairs.len(), keys, "every key is there once");
    // A sum, as a hash map gives its pairs in any order.
    let digest = pairs.fold(0_u64, |sum, (key, value)| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(key.as_ref());
        hasher.update(value.as_ref());
        sum.wrapping_add(u64::from(hasher.finalize()))
    });
    clock.tell(seconds, digest);
}

/// When a load began, and after how many seconds everything was open.
#[derive(Clone, Copy)]
struct Clock {
    from: Instant,
    opened: f64,
}

impl Clock {
    /// Prints what [`Loaded`] holds.
    fn tell(self, seconds: f64, digest: u64) {
        let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
        let bytes = |field: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
            let number = line.split_whitespace().nth(1).expect("a number of KiB");
            number.parse::<u64>().expect("a number") << 10
        };
        let [peak, anonymous, mapped] = ["VmHWM:", "RssAnon:", "RssFile:"].map(bytes);
        println!("{seconds} {} {digest} {peak} {anonymous} {mapped}", self.opened);
    }
}
