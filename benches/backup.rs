//! What backups cost, beside cp and rsync on the same bytes: medians of interleaved rounds.
//!
//! `cargo bench --bench backup -- --help` lists workloads and flags; `--smoke` runs everything
//! briefly, to see that it runs. `docs/benchmarks.md` has the results with their commands.

#[path = "backup/beside.rs"]
mod beside;
#[path = "common/data.rs"]
mod data;
#[path = "backup/flags.rs"]
mod flags;
#[path = "floor/mod.rs"]
mod floor;
#[path = "backup/full.rs"]
mod full;
#[path = "backup/incremental.rs"]
mod incremental;
#[path = "engine/report.rs"]
mod report;
#[path = "engine/scratch.rs"]
mod scratch;
#[path = "backup/work.rs"]
mod work;

use flags::Flags;

fn main() {
    let flags = Flags::parse(std::env::args().skip(1));
    for name in &flags.workloads {
        match name.as_str() {
            "full" => full::full(&flags),
            "incremental" => incremental::incremental(&flags),
            "beside" => beside::beside(&flags),
            other => panic!("no workload {other}: see --help"),
        }
    }
}
