//! What the engine costs, as ratios to floors in the same run: medians of interleaved rounds.
//!
//! `cargo bench --bench engine -- --help` lists workloads and flags; `--smoke` runs everything
//! briefly, to see that it runs. `docs/benchmarks.md` has the results with their commands.

#[path = "engine/bare.rs"]
mod bare;
#[path = "engine/beside.rs"]
mod beside;
#[path = "engine/cache.rs"]
mod cache;
#[path = "common/data.rs"]
mod data;
#[path = "common/device.rs"]
mod device;
#[path = "engine/flags.rs"]
mod flags;
#[path = "floor/mod.rs"]
mod floor;
#[path = "engine/load.rs"]
mod load;
#[path = "engine/rate.rs"]
mod rate;
#[path = "engine/report.rs"]
mod report;
#[path = "engine/scratch.rs"]
mod scratch;
#[path = "engine/space.rs"]
mod space;
#[path = "engine/state.rs"]
mod state;
#[path = "engine/sustained.rs"]
mod sustained;

use flags::Flags;

fn main() {
    let flags = Flags::parse(std::env::args().skip(1));
    if let Some(child) = &flags.child {
        return child.run();
    }
    for name in &flags.workloads {
        match name.as_str() {
            "floor" => rate::floor(&flags),
            "writers" => {
                for writers in &flags.writers {
                    rate::writers(&flags, *writers);
                }
            }
            "burst" => rate::burst(&flags),
            "batch" => rate::batch(&flags),
            "load" => load::load(&flags),
            "beside" => beside::beside(&flags),
            "space" => space::space(&flags),
            "sustained" => sustained::sustained(&flags),
            other => panic!("no workload {other}: see --help"),
        }
    }
}
