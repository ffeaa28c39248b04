//! The bench's flags.

use crate::load::Child;
use statedir::Options;
use std::path::PathBuf;

/// Everything that `--workloads` knows.
const ALL: [&str; 8] =
    ["floor", "writers", "burst", "batch", "load", "beside", "space", "sustained"];

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Where the data go: a disk whose flushes are real.
    pub dir: PathBuf,
    /// Which workloads.
    pub workloads: Vec<String>,
    /// Numbers of writer threads.
    pub writers: Vec<usize>,
    /// Rounds, of which the median counts.
    pub rounds: usize,
    /// Seconds of one round.
    pub seconds: f64,
    /// Seconds of rest before each timed round: the disk here has a budget.
    pub rest: f64,
    /// Leave the floors out: for profiling.
    pub alone: bool,
    /// MiB that a floor prewrites.
    pub floor_mib: u64,
    /// Keys of `load`, of `beside`, of `space`.
    pub load_keys: u64,
    pub beside_keys: u64,
    pub space_keys: u64,
    /// `load`: MiB of log behind the snapshot.
    pub log_mib: u64,
    /// `load`: the controller's map, hash or btree.
    pub map: String,
    /// `beside`: a snapshot is due when this much has been logged, in units of the live data.
    pub due: f64,
    /// `beside`: seconds after which too few snapshots are a failure.
    pub limit: f64,
    /// `space`: the values of `Options::snapshot_ratio`.
    pub ratios: Vec<f64>,
    /// `sustained`: seconds, and seconds of one slice.
    pub sustain: f64,
    pub slice: f64,
    /// `beside`, `sustained`: keep superseded files as by default, which takes much room.
    pub keep_history: bool,
    /// Hidden: be the process that loads.
    pub child: Option<Child>,
}

const HELP: &str = "\
usage: cargo bench --bench engine -- [flags]
  --workloads A,B   of floor writers burst batch load beside space sustained (all)
  --dir DIR         where the data go (target/bench)
  --rounds N        interleaved rounds, the median counts; snapshots of beside (5)
  --seconds S       seconds of one round of writers, burst, batch (2)
  --rest S          seconds of rest before a timed round (1)
  --floor-mib N     MiB that a floor prewrites (192)
  --alone           without floors, for profiling (not load)
  --smoke           everything, briefly; flags after it count
writers:
  --writers 1,8,64  numbers of writer threads (1,8,64,256)
load:
  --load-keys N     keys of 1 KiB (1000000)
  --log-mib N       MiB of log behind the snapshot (64)
  --map MAP         the map that is filled, hash or btree (hash)
beside:
  --beside-keys N   live keys of 1 KiB (1000000)
  --due X           a snapshot is due when X times the live data are logged (0.5)
  --limit S         seconds after which too few snapshots are a failure (900)
  --keep-history    superseded files stay as by default (also sustained)
space:
  --space-keys N    keys of 1 KiB (100000)
  --ratios 1,2      values of the option snapshot_ratio (0.5,1,2)
sustained:
  --sustain S       seconds (60)
  --slice S         seconds of a slice (5)";

impl Flags {
    /// Reads the flags; ends the program where they are wrong.
    pub fn parse(args: impl Iterator<Item = String>) -> Flags {
        let mut flags = Flags {
            dir: PathBuf::from("target/bench"),
            workloads: ALL.map(str::to_owned).to_vec(),
            writers: vec![1, 8, 64, 256],
            rounds: 5,
            seconds: 2.0,
            rest: 1.0,
            alone: false,
            floor_mib: 192,
            load_keys: 1_000_000,
            beside_keys: 1_000_000,
            space_keys: 100_000,
            log_mib: 64,
            map: "hash".to_owned(),
            due: 0.5,
            limit: 900.0,
            ratios: vec![0.5, 1.0, 2.0],
            sustain: 60.0,
            slice: 5.0,
            keep_history: false,
            child: None,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| end(&format!("{arg} wants a value")));
            match arg.as_str() {
                "--workloads" => flags.workloads = list(&value()),
                "--writers" => flags.writers = list(&value()),
                "--rounds" => flags.rounds = number(&value()),
                "--seconds" => flags.seconds = number(&value()),
                "--rest" => flags.rest = number(&value()),
                "--floor-mib" => flags.floor_mib = number(&value()),
                "--load-keys" => flags.load_keys = number(&value()),
                "--beside-keys" => flags.beside_keys = number(&value()),
                "--space-keys" => flags.space_keys = number(&value()),
                "--log-mib" => flags.log_mib = number(&value()),
                "--map" => flags.map = value(),
                "--due" => flags.due = number(&value()),
                "--limit" => flags.limit = number(&value()),
                "--ratios" => flags.ratios = list(&value()),
                "--sustain" => flags.sustain = number(&value()),
                "--slice" => flags.slice = number(&value()),
                "--keep-history" => flags.keep_history = true,
                "--child" => {
                    let child = Child::parse(&value());
                    flags.child = Some(child.unwrap_or_else(|| end("--child is not for people")));
                }
                "--alone" => flags.alone = true,
                "--dir" => flags.dir = PathBuf::from(value()),
                "--smoke" => flags.smoke(),
                // What cargo itself passes.
                "--bench" => {}
                _ => end(HELP),
            }
        }
        flags.check();
        flags
    }

    /// Sizes with which everything runs within seconds and no number means anything.
    fn smoke(&mut self) {
        self.rounds = 1;
        self.seconds = 0.3;
        self.rest = 0.0;
        self.floor_mib = 64;
        self.load_keys = 20_000;
        self.log_mib = 2;
        self.beside_keys = 10_000;
        self.due = 6.0;
        self.limit = 300.0;
        self.space_keys = 5_000;
        self.ratios = vec![1.0];
        self.sustain = 1.0;
        self.slice = 0.5;
    }

    /// Ends the program now where it would only fail later.
    fn check(&self) {
        if let Some(unknown) = self.workloads.iter().find(|name| !ALL.contains(&name.as_str())) {
            end(&format!("no workload {unknown}\n{HELP}"));
        }
        if !["hash", "btree"].contains(&self.map.as_str()) {
            end(&format!("no map {}\n{HELP}", self.map));
        }
        if self.rounds == 0 || self.slice <= 0.0 {
            end(&format!("nothing would be measured\n{HELP}"));
        }
    }

    /// `options` with the retention that is wanted: none, unless history is to be kept.
    pub fn retention(&self, options: Options) -> Options {
        if self.keep_history { options } else { options.without_history() }
    }
}

fn list<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(',').map(|part| number(part)).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| end(&format!("{text}: not what is wanted here\n{HELP}")))
}

fn end(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(2)
}
