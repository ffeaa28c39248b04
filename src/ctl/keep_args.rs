//! What `prune` is to keep, as it stands on a command line.

use crate::export::keep::Keep;
use clap::Args;

/// What is to stay. What several rules want stays once; without a rule everything stays.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What stays (periods in UTC, weeks from Monday)")]
pub struct KeepArgs {
    /// The newest N.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_last: u32,
    /// The newest of each of the last N hours that hold any.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_hourly: u32,
    /// The newest of each of N days.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_daily: u32,
    /// The newest of each of N weeks.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep_weekly: u32,
    /// Everything with this tag; may be given several times.
    #[arg(long, value_name = "TAG")]
    keep_tag: Vec<String>,
}

impl KeepArgs {
    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Keep {
        Keep {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            tags: self.keep_tag.clone(),
        }
    }
}
