//! What the controller costs, beside a null server (same credentials and decoding, nothing saved)
//! and beside Slurm's own controller: medians of interleaved rounds.
//!
//! `cargo bench --bench controller -- --help` lists workloads and flags; `--smoke` runs everything
//! briefly, to see that it runs. `docs/benchmarks.md` has the results with their commands.

#[allow(dead_code, reason = "every user takes a part of it")]
#[path = "../tests/controller/cluster.rs"]
mod cluster;
#[path = "common/device.rs"]
mod device;
#[path = "controller/flags.rs"]
mod flags;
#[path = "../tests/controller/keyed.rs"]
mod keyed;
#[path = "controller/lab.rs"]
mod lab;
#[path = "controller/load.rs"]
mod load;
#[path = "controller/null.rs"]
mod null;
#[path = "controller/sbatch.rs"]
mod sbatch;
#[path = "controller/work.rs"]
mod work;

use flags::Flags;

fn main() {
    let flags = Flags::parse(std::env::args().skip(1));
    if let Some(port) = flags.null {
        return null::serve(port, &flags);
    }
    for name in &flags.workloads {
        match name.as_str() {
            "rate" => work::rate(&flags),
            "write" => work::write(&flags),
            "start" => work::start(&flags),
            "ask" => work::ask(&flags),
            "sbatch" => sbatch::sbatch(&flags),
            other => panic!("no workload {other}: see --help"),
        }
    }
}
