//! The design holds in every state that is reached, and each naive variant of it does not: those
//! are the tests of the checker.
//!
//! `STATEDIR_MODEL` goes further, as said at the last test; `tools/soak` does so.

use super::model::{ALL, Limits, Variant, check};
use std::time::Instant;

const SMALL: Limits = Limits {
    hosts: 2,
    saves: 2,
    claims: 3,
    snaps: 0,
    rotations: 0,
    crashes: 0,
    follower: false,
    begun: false,
};

const BEGUN: Limits = Limits { snaps: 1, claims: 4, begun: true, ..SMALL };

const FOLLOWED: Limits = Limits { hosts: 3, saves: 1, follower: true, ..SMALL };

fn holds(variant: Variant, limits: Limits) {
    let started = Instant::now();
    let (states, wrong) = check(variant, limits);
    println!("{variant:?} {limits:?}: {states} states, {:.1?}", started.elapsed());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn fails(variant: Variant, limits: Limits, why: &[&str]) {
    let started = Instant::now();
    let (states, wrong) = check(variant, limits);
    println!("{variant:?}: {states} states, {:.1?}", started.elapsed());
    let right = |one: &String| why.iter().any(|why| one.starts_with(why));
    assert!(wrong.iter().any(right), "{variant:?}: {wrong:#?}");
}

#[test]
fn write_flush_check_acknowledge_against_claim_read_seal_holds() {
    holds(Variant::Good, SMALL);
    holds(Variant::Good, Limits { hosts: 3, ..SMALL });
}

#[test]
fn a_zombie_that_snapshots_rotates_and_deletes_harms_no_later_epoch() {
    holds(Variant::Good, BEGUN);
    holds(Variant::Good, Limits { snaps: 2, ..SMALL });
    holds(Variant::Good, Limits { snaps: 1, rotations: 1, ..SMALL });
}

#[test]
fn a_follower_hands_out_only_what_every_later_primary_holds() {
    holds(Variant::Good, FOLLOWED);
    holds(Variant::Good, Limits { hosts: 2, saves: 2, ..FOLLOWED });
}

/// Whoever asked may be frozen before it deletes: so what it deletes is dispensable in any case.
#[test]
fn what_is_deleted_is_dispensable_even_by_one_that_never_asked() {
    holds(Variant::DeleteUnconfirmed, BEGUN);
    holds(Variant::DeleteUnconfirmed, Limits { snaps: 2, ..SMALL });
}

#[test]
fn a_primary_that_trusts_its_heartbeat_loses_saves() {
    fails(Variant::HeartbeatAge, SMALL, &["S2"]);
}

#[test]
fn a_check_before_the_write_loses_saves() {
    fails(Variant::CheckThenWrite, SMALL, &["S2"]);
}

#[test]
fn a_cached_lease_loses_saves() {
    fails(Variant::CachedLease, SMALL, &["S2"]);
}

#[test]
fn a_claimer_that_has_read_before_loses_saves() {
    fails(Variant::ReadBeforeClaim, SMALL, &["S2"]);
}

#[test]
fn without_a_recorded_seal_saves_are_lost() {
    fails(Variant::NoSeal, Limits { saves: 3, ..SMALL }, &["S2", "nobody who claims"]);
}

#[test]
fn a_snapshot_of_what_nobody_has_confirmed_ruins_the_directory() {
    fails(Variant::PublishUnconfirmed, BEGUN, &["S2", "nobody who claims"]);
}

#[test]
fn a_control_file_that_vouches_before_its_epoch_is_confirmed_misleads_followers() {
    fails(Variant::VouchEarly, FOLLOWED, &["I10"]);
}

#[test]
fn a_claimer_that_serves_before_it_is_confirmed_misleads_followers() {
    fails(Variant::ServeUnconfirmed, FOLLOWED, &["I10"]);
}

#[test]
fn a_follower_that_takes_a_seal_for_a_confirmation_is_misled() {
    fails(Variant::FollowSeals, FOLLOWED, &["I10"]);
}

#[test]
fn a_follower_that_reads_the_log_before_the_watermark_is_misled() {
    fails(Variant::FollowLooksFirst, Limits { hosts: 2, saves: 2, ..FOLLOWED }, &["I10"]);
}

/// Further: `STATEDIR_MODEL=Variant,hosts,saves,claims,snaps,rotations,crashes,follower,begun`.
#[test]
fn what_is_asked_for_is_walked_through() {
    let Ok(asked) = std::env::var("STATEDIR_MODEL") else { return };
    for asked in asked.split(' ') {
        let (name, numbers) = asked.split_once(',').expect("a variant and numbers");
        let variant = ALL.iter().find(|one| format!("{one:?}") == name).expect("a variant");
        let numbers: Vec<u8> = numbers.split(',').map(|one| one.parse().unwrap()).collect();
        let [hosts, saves, claims, snaps, rotations, crashes, follower, begun] = numbers[..] else {
            panic!("eight numbers")
        };
        let (follower, begun) = (follower > 0, begun > 0);
        let limits = Limits { hosts, saves, claims, snaps, rotations, crashes, follower, begun };
        let started = Instant::now();
        let (states, wrong) = check(*variant, limits);
        println!("{asked}: {states} states, {:.1?}: {wrong:?}", started.elapsed());
        assert!(*variant != Variant::Good || wrong.is_empty());
    }
}
