//! The bench's flags.

use std::path::PathBuf;

/// Everything that `--workloads` knows.
const ALL: [&str; 3] = ["full", "incremental", "beside"];

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Where the data go: a disk whose flushes are real.
    pub dir: PathBuf,
    /// Which workloads.
    pub workloads: Vec<String>,
    /// Rounds, of which the median counts.
    pub rounds: usize,
    /// Keys of 1 KiB.
    pub keys: u64,
    /// Seconds of rest before each timed act: the disk here has a budget.
    pub rest: f64,
    /// `beside`: numbers of saver threads.
    pub savers: Vec<usize>,
    /// `beside`: least seconds of a phase.
    pub seconds: f64,
}

const HELP: &str = "\
usage: cargo bench --bench backup -- [flags]
  --workloads A,B   of full incremental beside (all)
  --dir DIR         where the data go (target/bench): some 6 GiB
  --rounds N        interleaved rounds, the median counts (5)
  --keys N          keys of 1 KiB (1032444, which is 1 GiB of keys and values)
  --rest S          seconds of rest before a timed act (1)
  --savers 1,4      beside: numbers of saver threads
  --seconds S       beside: least seconds of a phase (2)
  --smoke           everything, briefly; flags after it count";

impl Flags {
    /// Reads the flags; ends the program where they are wrong.
    pub fn parse(args: impl Iterator<Item = String>) -> Flags {
        let mut flags = Flags {
            dir: PathBuf::from("target/bench"),
            workloads: ALL.map(str::to_owned).to_vec(),
            rounds: 5,
            keys: 1_032_444,
            rest: 1.0,
            savers: vec![1, 4],
            seconds: 2.0,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| end(&format!("{arg} wants a value")));
            match arg.as_str() {
                "--workloads" => flags.workloads = list(&value()),
                "--dir" => flags.dir = PathBuf::from(value()),
                "--rounds" => flags.rounds = number(&value()),
                "--keys" => flags.keys = number(&value()),
                "--rest" => flags.rest = number(&value()),
                "--savers" => flags.savers = list(&value()),
                "--seconds" => flags.seconds = number(&value()),
                "--smoke" => {
                    flags = Flags {
                        rounds: 1,
                        keys: 20_000,
                        rest: 0.0,
                        savers: vec![1],
                        seconds: 0.2,
                        ..flags
                    }
                }
                // What cargo passes to every bench.
                "--bench" => {}
                "--help" => end(HELP),
                other => end(&format!("{other} is no flag\n{HELP}")),
            }
        }
        flags
    }
}

fn end(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(2)
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| end(&format!("{text} is no number")))
}

fn list<T: std::str::FromStr>(text: &str) -> Vec<T> {
    text.split(',').map(|part| part.parse().unwrap_or_else(|_| end(part))).collect()
}
