//! Storage engines side by side, every save durable before it returns, against two bare logs.
//!
//! `systems/` holds a file for each engine, `work/` one for each workload; see `--help`.

mod data;
#[path = "../../common/device.rs"]
mod device;
mod flags;
mod report;
mod scratch;
mod system;
mod systems;
mod work;

use data::Values;
use flags::{Flags, HELP};
use system::Fault;
use work::{floor, load, rate, space};

/// Puts in each save of the batch workload.
const BATCH: usize = 1000;

fn main() -> Result<(), Fault> {
    let Some(flags) = Flags::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    let values = Values::new();
    for workload in &flags.workloads {
        run(workload, &flags, &values)?;
    }
    Ok(())
}

fn run(workload: &str, flags: &Flags, values: &Values) -> Result<(), Fault> {
    let print = |name: &str, unit, rows: Vec<_>| report::print(name, unit, &rows, flags.json);
    match workload {
        "floor" => {
            for bytes in floor::SIZES {
                let name = format!("floor, saves of {bytes} bytes");
                print(&name, "saves", floor::run(flags, bytes)?);
            }
        }
        "writers" => {
            for &writers in &flags.writers {
                let rows = rate::run(flags, values, writers, 1)?;
                print(&format!("writers={writers}"), "saves of 1 KiB", rows);
            }
        }
        "batch" => {
            print("batch", "saves of 1000 x 1 KiB", rate::run(flags, values, 1, BATCH)?);
        }
        "load" => print("load", "pairs of 1 KiB", load::run(flags, values)?),
        "space" => print("space", "puts of 1 KiB", space::run(flags, values)?),
        _ => return Err(format!("no workload {workload}, see --help").into()),
    }
    Ok(())
}
