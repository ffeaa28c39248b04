//! The bench's flags.

use std::path::PathBuf;

/// Everything that `--workloads` knows.
const ALL: [&str; 5] = ["rate", "write", "start", "ask", "sbatch"];

/// What to run, and for how long.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Where the data go: a disk whose flushes are real.
    pub dir: PathBuf,
    /// Which workloads.
    pub workloads: Vec<String>,
    /// Rounds, of which the median counts.
    pub rounds: usize,
    /// Seconds of one round.
    pub seconds: f64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Pending jobs of `write` and `start`.
    pub jobs: usize,
    /// Whether they all ask for the same.
    pub equal: bool,
    /// Another slurmctld that `start` starts as well.
    pub beside: Option<PathBuf>,
    /// Hidden: be the null server, on that port.
    pub null: Option<u16>,
    /// Hidden: the null server's key file; else munge.
    pub key: Option<PathBuf>,
    /// Hidden: the null server's AuthInfo.
    pub auth_info: String,
}

const HELP: &str = "\
usage: cargo bench --bench controller -- [flags]
  --workloads A,B   of rate write start ask sbatch (all)
  --dir DIR         where the data go (target/bench)
  --rounds N        interleaved rounds, the median counts (5)
  --seconds S       seconds of one round (4)
  --in-flight N     requests in flight of rate (64)
  --jobs N          pending jobs of write and start (50000)
  --equal           they all ask for the same (each of start's is unlike every other)
  --beside PROGRAM  a slurmctld of another commit, which start starts as well
  --smoke           everything, briefly";

impl Flags {
    /// Reads them; ends the process where they are wrong.
    pub fn parse(args: impl Iterator<Item = String>) -> Flags {
        let mut flags = Flags {
            dir: PathBuf::from("target/bench"),
            workloads: ALL.map(str::to_owned).to_vec(),
            rounds: 5,
            seconds: 4.0,
            in_flight: 64,
            jobs: 50_000,
            equal: false,
            beside: None,
            null: None,
            key: None,
            auth_info: String::new(),
        };
        let mut args = args;
        while let Some(flag) = args.next() {
            let mut value =
                || args.next().unwrap_or_else(|| wrong(&format!("{flag} wants a value")));
            match flag.as_str() {
                "--workloads" => flags.workloads = value().split(',').map(str::to_owned).collect(),
                "--dir" => flags.dir = value().into(),
                "--rounds" => flags.rounds = number(&value()),
                "--seconds" => flags.seconds = number(&value()),
                "--in-flight" => flags.in_flight = number(&value()),
                "--jobs" => flags.jobs = number(&value()),
                "--equal" => flags.equal = true,
                "--beside" => flags.beside = Some(value().into()),
                "--null" => flags.null = Some(number(&value())),
                "--key" => flags.key = Some(value().into()),
                "--auth-info" => flags.auth_info = value(),
                "--smoke" => {
                    (flags.rounds, flags.seconds, flags.jobs) = (1, 0.5, 500);
                }
                // As cargo calls every bench.
                "--bench" => {}
                "--help" | "-h" => {
                    println!("{HELP}");
                    std::process::exit(0);
                }
                other => wrong(&format!("no flag {other}")),
            }
        }
        flags
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| wrong(&format!("{text} is no number")))
}

fn wrong(what: &str) -> ! {
    eprintln!("{what}\n{HELP}");
    std::process::exit(2);
}
