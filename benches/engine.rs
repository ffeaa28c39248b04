//! What the engine costs, as ratios to floors in the same run: medians of interleaved rounds.
//!
//! `cargo bench --bench engine -- --help` lists workloads and flags; `--smoke` runs everything
//! briefly, to see that it runs. `docs/benchmarks.md` has the results with their commands.

#[path = "engine/flags.rs"]
mod flags;
#[path = "floor/mod.rs"]
mod floor;
#[path = "engine/rate.rs"]
mod rate;
#[path = "engine/report.rs"]
mod report;
#[path = "engine/scratch.rs"]
mod scratch;

use flags::Flags;

fn main() {
    let flags = Flags::parse(std::env::args().skip(1));
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
            other => panic!("no workload {other}: see --help"),
        }
    }
}
