//! The command line. Every flag has a default; sizes are there so that a smoke run can be small.

use std::path::PathBuf;

use crate::system::{Entry, Fault};
use crate::systems;

/// What `--help` prints.
pub const HELP: &str = "\
statedir-peers: storage engines side by side, each save durable before it returns
  --dir PATH          scratch directory, on the disk to measure (target/bench)
  --systems A,B       only these (all)
  --workloads A,B     of floor,writers,batch,load,space (all)
  --rounds N          interleaved rounds (5)
  --seconds S         timed seconds of a round (2)
  --warmup S          untimed seconds before them (0.3)
  --rest S            pause after opening, for a rate-limited device to recover (0)
  --writers 1,8       threads of the writers workload (1,8,64,256)
  --keys N            keys of writers, batch and space (100000)
  --load-keys N       keys of load (1000000)
  --space-rounds N    rounds of space (1)
  --floor-mib N       prewritten for a bare log, which wraps after it (256)
  --json              a line of JSON per result instead of tables";

/// The parsed command line.
pub struct Flags {
    pub dir: PathBuf,
    pub systems: Vec<Entry>,
    pub workloads: Vec<String>,
    pub rounds: usize,
    pub seconds: f64,
    pub warmup: f64,
    pub rest: f64,
    pub writers: Vec<usize>,
    pub keys: u64,
    pub load_keys: u64,
    pub space_rounds: usize,
    pub floor_bytes: u64,
    pub json: bool,
}

impl Flags {
    /// Parses the arguments after the program's name; `None` when asked for help.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Flags>, Fault> {
        let mut flags = Flags {
            dir: PathBuf::from("target/bench"),
            systems: systems::all(),
            workloads: list("floor,writers,batch,load,space"),
            rounds: 5,
            seconds: 2.0,
            warmup: 0.3,
            rest: 0.0,
            writers: vec![1, 8, 64, 256],
            keys: 100_000,
            load_keys: 1_000_000,
            space_rounds: 1,
            floor_bytes: 256 << 20,
            json: false,
        };
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--help" => return Ok(None),
                "--json" => flags.json = true,
                _ => {
                    let value = args.next().ok_or_else(|| format!("{flag} wants a value"))?;
                    flags.set(&flag, &value).map_err(|e| format!("{flag} {value}: {e}"))?;
                }
            }
        }
        Ok(Some(flags))
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), Fault> {
        match flag {
            "--dir" => self.dir = PathBuf::from(value),
            "--systems" => self.systems = pick(value)?,
            "--workloads" => self.workloads = list(value),
            "--rounds" => self.rounds = value.parse()?,
            "--seconds" => self.seconds = value.parse()?,
            "--warmup" => self.warmup = value.parse()?,
            "--rest" => self.rest = value.parse()?,
            "--writers" => {
                self.writers = list(value).iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
            }
            "--keys" => self.keys = value.parse()?,
            "--load-keys" => self.load_keys = value.parse()?,
            "--space-rounds" => self.space_rounds = value.parse()?,
            "--floor-mib" => self.floor_bytes = value.parse::<u64>()? << 20,
            _ => return Err("no such flag, see --help".into()),
        }
        Ok(())
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

/// The systems named, in the order of the table.
fn pick(value: &str) -> Result<Vec<Entry>, Fault> {
    let names = list(value);
    let mut entries = systems::all();
    if let Some(unknown) = names.iter().find(|name| !entries.iter().any(|e| e.name == **name)) {
        return Err(format!("no system {unknown} in this build").into());
    }
    entries.retain(|entry| names.iter().any(|name| name == entry.name));
    Ok(entries)
}
