//! The store against a map: whatever is done to it, in whatever order, it holds what a `BTreeMap`
//! and the list of its earlier states hold.
//!
//! On the fake disk and without threads, so that a case is repeated exactly. Crashes keep what is
//! durable and a random choice of what is not, at any moment of the last step.
//!
//! `PROPTEST_CASES` sets the number of cases, `PROPTEST_RNG_SEED` the seed, which a failure prints
//! with the shortest steps that still fail. Without it the seed is always the same, and so is each
//! run; `tools/soak model` takes new ones. No failure file is written: a case that once
//! failed becomes a test by name.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;
#[path = "model/stage.rs"]
mod stage;
#[path = "model/steps.rs"]
mod steps;

use proptest::test_runner::{Config, RngSeed, TestRunner};
use stage::Stage;
use steps::{Drawn, Manner, Step};

/// Cases in a default run.
const CASES: u32 = 15_000;

/// Where it begins in a default run.
const SEED: u64 = 20_261_126;

fn play(manner: Manner, steps: &[Step]) {
    let mut stage = Stage::new(manner);
    for step in steps {
        stage.play(step);
    }
    stage.end();
}

#[test]
fn store_equals_a_map_whatever_is_done_to_it() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = asked("PROPTEST_RNG_SEED").unwrap_or(SEED);
    let cases = asked("PROPTEST_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    println!("repeat: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test --test model");
    let mut runner = TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    });
    let outcome = runner.run(&(steps::manner(), steps::steps()), |(manner, steps)| {
        play(manner, &steps);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("seed {seed}: {error}");
    }
}

/// Tickets that joined while a group was flushed waited for a thread that was not there, and so did
/// every save after them.
#[test]
fn tickets_that_share_a_flush_need_no_thread() {
    let save = |key: u8| vec![Drawn { table: "t".into(), key: vec![key], value: Some((1, 1)) }];
    let manner = Manner { large_unit: false, history: true, roomy: false, prewrite: true };
    play(manner, &[Step::Submit(vec![save(1), save(2), save(3)]), Step::Save(save(4))]);
}

/// A group that reached over the end of its segment by no more than the bytes that had been added
/// there for copiers was read whole after a crash that had taken its new length, and the store was
/// refused as cut.
#[test]
fn a_group_of_which_a_crash_took_only_padding_is_there() {
    let manner = Manner { large_unit: false, history: false, roomy: false, prewrite: false };
    let save = |changes| Step::Save(changes);
    let change = Drawn { table: "jobs-old".into(), key: vec![0], value: Some((4000, 0)) };
    for part in (0..=255).step_by(8) {
        for survivors in 0..40 {
            let crash = Step::Crash(part, survivors);
            play(manner, &[Step::Maintain, save(vec![]), save(vec![change.clone()]), crash]);
        }
    }
}
