//! The bench's flags.

use std::path::PathBuf;

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
}

const HELP: &str = "\
usage: cargo bench --bench engine -- [flags]
  --workloads A,B   of floor writers burst batch (all)
  --writers 1,8,64  numbers of writer threads (1,8,64,256)
  --rounds N        interleaved rounds, the median counts (5)
  --seconds S       seconds of one round (2)
  --rest S          seconds of rest before a timed round (1)
  --floor-mib N     MiB that a floor prewrites (192)
  --alone           without floors, for profiling
  --dir DIR         where the data go (target/bench)
  --smoke           everything, briefly";

impl Flags {
    /// Reads the flags; ends the program where they are wrong.
    pub fn parse(args: impl Iterator<Item = String>) -> Flags {
        let mut flags = Flags {
            dir: PathBuf::from("target/bench"),
            workloads: ["floor", "writers", "burst", "batch"].map(str::to_owned).to_vec(),
            writers: vec![1, 8, 64, 256],
            rounds: 5,
            seconds: 2.0,
            rest: 1.0,
            alone: false,
            floor_mib: 192,
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
                "--alone" => flags.alone = true,
                "--dir" => flags.dir = PathBuf::from(value()),
                "--smoke" => {
                    flags.rounds = 1;
                    flags.seconds = 0.3;
                    flags.rest = 0.0;
                    flags.floor_mib = 64;
                }
                // What cargo itself passes.
                "--bench" => {}
                _ => end(HELP),
            }
        }
        flags
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
