//! How long a job may run, and from when on.

use super::{Draft, Refused};
use crate::controller::core::current;
use crate::slurm::conf::Partition;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::{Time, Unset};

/// A year, in minutes: what jobs without a limit count as.
const YEAR: u32 = 365 * 24 * 60;

pub fn change(draft: &mut Draft<'_>) -> Refused {
    limit(draft)?;
    least(draft)?;
    end(draft)?;
    deadline(draft)?;
    begin(draft)?;
    if let Some(delay) = draft.desc.delay_boot.get() {
        draft.spec.delay_boot = delay;
    }
    Ok(())
}

fn limit(draft: &mut Draft<'_>) -> Refused {
    let Some(asked) = draft.desc.time_limit.get() else { return Ok(()) };
    let now = draft.course.time_limit;
    if asked == now {
        return Ok(());
    }
    let least = draft.desc.time_min.get().or(draft.spec.time_min.get()).unwrap_or(0);
    let shorter = !now.is_unset() && asked < now;
    if draft.who.admin || shorter {
        if asked < least {
            return Err(rc::TIME_MIN);
        }
    } else if !draft.job.is_pending() || asked > partition_most(draft) {
        return Err(rc::ACCESS);
    }
    (draft.spec.time_limit, draft.course.time_limit) = (asked, asked);
    Ok(())
}

/// The longest that its partition lets it run.
fn partition_most(draft: &Draft<'_>) -> u32 {
    let names = draft.spec.partition.lossy();
    let first = names.split(',').next().unwrap_or("");
    let all: Vec<Partition> = current(draft.world.conf, draft.world.state);
    all.iter().find(|partition| partition.name == first).map_or(0, |partition| partition.max_time)
}

fn least(draft: &mut Draft<'_>) -> Refused {
    let Some(asked) = draft.desc.time_min.get().filter(|_| draft.job.is_pending()) else {
        return Ok(());
    };
    if asked > draft.course.time_limit {
        return Err(rc::TIME_MIN);
    }
    draft.spec.time_min = asked;
    Ok(())
}

/// EndTime= of a job that runs is another way to say how long it may.
fn end(draft: &mut Draft<'_>) -> Refused {
    let asked = draft.desc.end_time.0;
    if asked == 0 {
        return Ok(());
    }
    if draft.job.is_pending() || draft.job.course.suspend_time.0 != 0 {
        return Err(rc::NOT_RUNNING);
    }
    if asked < draft.world.now {
        return Err(rc::TIME_VALUE);
    }
    let minutes = u32::try_from((asked - draft.course.start_time.0 + 30) / 60);
    let minutes = minutes.map_err(|_| rc::TIME_VALUE)?;
    let now = draft.course.time_limit;
    let now = if now == u32::INFINITE { YEAR } else { now };
    if !draft.who.admin && minutes > now {
        return Err(rc::ACCESS);
    }
    (draft.spec.time_limit, draft.course.time_limit) = (minutes, minutes);
    Ok(())
}

fn deadline(draft: &mut Draft<'_>) -> Refused {
    let asked = draft.desc.deadline;
    if asked.0 == 0 || draft.job.is_active() {
        return Ok(());
    }
    if asked.0 < draft.world.now {
        return Err(rc::TIME_VALUE);
    }
    draft.admin_or(rc::ACCESS)?;
    draft.spec.deadline = asked;
    Ok(())
}

fn begin(draft: &mut Draft<'_>) -> Refused {
    if draft.desc.begin_time.0 == 0 {
        return Ok(());
    }
    draft.waits()?;
    let begin = draft.desc.begin_time.max(Time(draft.world.now));
    if begin == draft.spec.begin_time {
        return Ok(());
    }
    draft.spec.begin_time = begin;
    draft.course.eligible_time = begin;
    draft.course.accrue_time = Time(0);
    Ok(())
}
