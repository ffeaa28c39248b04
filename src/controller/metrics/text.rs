//! [`Facts`] and [`Place`] as OpenMetrics text: one table of names, kinds and what they mean.

use crate::base::spans::{Counted, PARTS, bound};
use crate::controller::metrics::facts::{Facts, Sizes};
use crate::controller::metrics::place::{Place, ROLES};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// What a name shows.
enum Shows {
    Info,
    Gauge(fn(&Facts) -> i64),
    Measured(fn(&Sizes) -> i64),
    Counter(fn(&Facts) -> u64),
    Spans(fn(&Facts) -> &Counted),
    Jobs,
    Nodes,
    Refusals,
}

use Shows::{Counter, Gauge, Info, Jobs, Measured, Nodes, Refusals, Spans};

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Name without `statedir_` and without `_total` or `_info`, meaning, value.
const NAMES: [(&str, &str, Shows); 21] = [
    ("build", "Version, and the release whose protocol is spoken", Info),
    ("start_time_seconds", "When the controller began", Gauge(|facts| facts.started)),
    ("epoch", "The reign of this controller", Gauge(|facts| int(facts.progress.epoch.0))),
    ("jobs", "Jobs by state; of an array each task", Jobs),
    ("nodes", "Nodes by state; each is in one", Nodes),
    ("nodes_not_responding", "Nodes that do not answer", Gauge(|facts| int(facts.silent))),
    (
        "submissions_acknowledged",
        "Submissions whose id was told, after it was durable",
        Counter(|facts| facts.submitted),
    ),
    ("refusals", "Requests that were refused, by Slurm's code", Refusals),
    (
        "changes_put_off",
        "1 while changes are put off because saves do not get through",
        Gauge(|facts| i64::from(facts.stuck)),
    ),
    ("save_seconds", "From a change's way to the store until it is durable", Spans(|f| &f.saves)),
    ("flush_seconds", "Writing and flushing a group of saves", Spans(|facts| &facts.flushes)),
    ("saves", "Saves written", Counter(|facts| facts.progress.saves)),
    ("groups", "Groups of saves written, a flush each", Counter(|facts| facts.progress.groups)),
    ("log_written_bytes", "Bytes written to the log", Counter(|facts| facts.progress.log_bytes)),
    ("snapshots_made", "Snapshots made", Counter(|facts| facts.progress.checkpoints)),
    (
        "saves_slowed",
        "Saves that were slowed because no snapshot kept up",
        Counter(|facts| facts.progress.slowed),
    ),
    ("flush_lsn", "Last save that is durable here", Gauge(|f| int(f.progress.flush_lsn.0))),
    (
        "commit_lsn",
        "Last save that is acknowledged",
        Gauge(|facts| int(facts.progress.commit_lsn.0)),
    ),
    ("log_bytes", "What segments of the log occupy", Measured(|sizes| int(sizes.log))),
    ("snapshot_bytes", "What snapshots occupy", Measured(|sizes| int(sizes.snapshots))),
    ("free_bytes", "What the file system of the state has left", Measured(|s| int(s.free))),
];

/// When sizes were measured: it stands still while the disk hangs.
const MEASURED: &str = "measured_timestamp_seconds";

/// Name, meaning, value.
type OfPlace = (&'static str, &'static str, fn(&Place) -> i64);

/// Of one of several controllers.
const PLACE: [OfPlace; 7] = [
    ("register_epoch", "The newest reign that the register shows", |place| int(place.epoch)),
    ("standby_applied_lsn", "Last save that a standby has in memory", |place| int(place.applied)),
    ("standby_lag_saves", "Saves that a standby has read, and not in memory yet", |place| {
        int(place.read.saturating_sub(place.applied))
    }),
    ("standbys_connected", "Standbys that are connected to this controller", |place| {
        int(place.standbys)
    }),
    ("takeovers", "Reigns that this process has begun", |place| int(place.takeovers)),
    (
        "takeover_milliseconds",
        "From the reason to claim until requests were served, the last time",
        |place| int(place.takeover_ms),
    ),
    (
        "configurations_that_differ",
        "Controllers whose slurm.conf, statedir.conf or directory is another than this one's",
        |place| int(place.differ),
    ),
];

/// The role, a label each.
const ROLE: (&str, &str) = ("role", "1 for what this controller is");

#[derive(Debug)]
struct Scene(Option<Facts>, Option<Place>);

impl Collector for Scene {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, shows) in &NAMES {
            match &self.0 {
                Some(facts) => one(&mut encoder, facts, name, help, shows)?,
                None if matches!(shows, Info) => {
                    build(&mut encoder.encode_descriptor(name, help, None, MetricType::Info)?)?;
                }
                None => {}
            }
        }
        if let Some(place) = &self.1 {
            of_place(&mut encoder, place)?;
        }
        let Some(facts) = &self.0 else { return Ok(()) };
        let help = "When log_bytes, snapshot_bytes and free_bytes were measured";
        one(&mut encoder, facts, MEASURED, help, &Measured(|sizes| sizes.at))
    }
}

fn of_place(encoder: &mut DescriptorEncoder<'_>, place: &Place) -> Result<(), fmt::Error> {
    let roles = ROLES.map(|role| (role, u64::from(role == place.role)));
    let (name, help) = ROLE;
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (role, is) in roles {
        family.encode_family(&[("role", role)])?.encode_gauge(&int(is))?;
    }
    PLACE.iter().try_for_each(|(name, help, value)| {
        let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        gauge.encode_gauge(&value(place))
    })
}

fn build(encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    encoder.encode_info(&[("version", env!("CARGO_PKG_VERSION")), ("protocol", "22.05")])
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    facts: &Facts,
    name: &str,
    help: &str,
    shows: &Shows,
) -> Result<(), fmt::Error> {
    let kind = match shows {
        Info => MetricType::Info,
        Counter(_) | Refusals => MetricType::Counter,
        Spans(_) => MetricType::Histogram,
        Measured(_) if facts.sizes.is_none() => return Ok(()),
        _ => MetricType::Gauge,
    };
    let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
    match shows {
        Info => build(&mut encoder),
        Gauge(value) => encoder.encode_gauge(&value(facts)),
        Measured(value) => encoder.encode_gauge(&facts.sizes.as_ref().map_or(0, value)),
        Counter(value) => counter(&mut encoder, value(facts)),
        Spans(value) => spans(&mut encoder, value(facts)),
        Jobs => states(&mut encoder, &facts.jobs),
        Nodes => states(&mut encoder, &facts.nodes),
        Refusals => facts.refused.iter().try_for_each(|(code, count)| {
            let label = [("code", code.to_string())];
            counter(&mut encoder.encode_family(&label)?, *count)
        }),
    }
}

fn states(
    encoder: &mut MetricEncoder<'_>,
    of: &BTreeMap<&'static str, u64>,
) -> Result<(), fmt::Error> {
    of.iter().try_for_each(|(state, count)| {
        encoder.encode_family(&[("state", *state)])?.encode_gauge(&int(*count))
    })
}

fn spans(encoder: &mut MetricEncoder<'_>, counted: &Counted) -> Result<(), fmt::Error> {
    let parts: Vec<_> = (0..PARTS).map(|part| (seconds(part), counted.parts[part])).collect();
    let (sum, count) = (counted.total.as_secs_f64(), counted.parts.iter().sum());
    encoder.encode_histogram::<NoLabelSet>(sum, count, &parts, None)
}

fn counter(encoder: &mut MetricEncoder<'_>, value: u64) -> Result<(), fmt::Error> {
    encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

fn seconds(part: usize) -> f64 {
    bound(part).map_or(f64::INFINITY, |bound| bound.as_secs_f64())
}

/// The whole text.
pub fn text(facts: Option<Facts>, place: Option<Place>) -> String {
    let mut registry = Registry::with_prefix("statedir");
    registry.register_collector(Box::new(Scene(facts, place)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_documentation() {
        let page = include_str!("../../../docs/operations.md");
        for (name, _, shows) in &NAMES {
            let end = match shows {
                Info => "_info",
                Counter(_) | Refusals => "_total",
                _ => "",
            };
            assert!(page.contains(&format!("`statedir_{name}{end}")), "statedir_{name}{end}");
        }
        assert!(page.contains(&format!("`statedir_{MEASURED}`")));
        assert!(page.contains(&format!("`statedir_{}{{", ROLE.0)));
        for (name, ..) in PLACE {
            assert!(page.contains(&format!("`statedir_{name}`")), "statedir_{name}");
        }
    }

    #[test]
    fn a_standby_says_what_it_is_and_nothing_of_a_service_that_it_does_not_have() {
        let place = Place { role: "standby", applied: 5, read: 7, ..Place::default() };
        let text = text(None, Some(place));
        for line in [
            "statedir_role{role=\"standby\"} 1",
            "statedir_role{role=\"primary\"} 0",
            "statedir_standby_lag_saves 2",
        ] {
            assert!(text.lines().any(|of| of == line), "{line}: {text}");
        }
        assert!(text.contains("statedir_build_info{") && text.ends_with("# EOF\n"), "{text}");
        assert!(!text.contains("statedir_jobs"), "{text}");
    }
}
