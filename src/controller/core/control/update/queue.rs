//! Where a job stands in the queue: priority, hold, release, nice.
//!
//! Priority 0 is held. What a request's priority means:
//!
//! | asked | job | comes to |
//! |---|---|---|
//! | 0 | not held | held, by a user if a user asks or `uhold` says so, else by an administrator |
//! | 0 | held | an administrator may turn one kind of hold into the other |
//! | INFINITE | held | released; what an administrator holds by administrators only |
//! | INFINITE | not held | an administrator takes a priority back that was set |
//! | a number | held | 2042: it is to be released first |
//! | a number | not held | administrators set it for good; users may lower it, once (2095) |
//!
//! A job without a priority (`UNSET`) gets one from the scheduler.

use super::Draft;
use crate::slurm::wire::constants::job::{NICE_OFFSET, SPECIAL_EXIT};
use crate::slurm::wire::constants::{rc, reason};
use crate::slurm::wire::{Text, Time, Unset};

/// In `alloc_sid`: a user's hold is wanted.
const USER_HOLD: u32 = 2;
/// In `bitflags`: it is as old as if it were new.
const RESET_ACCRUE_TIME: u64 = 1 << 21;
/// A priority that scheduling by submission may not go below.
const LEAST: i64 = 2;

/// Gives a code that is a warning.
pub fn change(draft: &mut Draft<'_>) -> Result<u32, u32> {
    let flags = draft.desc.bitflags;
    if !flags.is_unset() && flags & RESET_ACCRUE_TIME != 0 {
        draft.waits()?;
        draft.course.accrue_time = Time(draft.world.now);
    }
    if let Some(factor) = draft.desc.site_factor.get() {
        draft.admin_or(rc::ACCESS)?;
        draft.spec.site_factor = factor;
    }
    let code = match draft.desc.priority.get() {
        Some(asked) => priority(draft, asked)?,
        None => rc::OK,
    };
    nice(draft)?;
    if draft.desc.priority.is_unset() && draft.course.reason == reason::BAD_CONSTRAINTS {
        // What was wrong may have been what has changed.
        (draft.course.reason, draft.course.priority) = (reason::NONE, u32::UNSET);
    }
    Ok(code)
}

fn priority(draft: &mut Draft<'_>, asked: u32) -> Result<u32, u32> {
    let (now, admin) = (draft.course.priority, draft.who.admin);
    let by_user = draft.course.reason == reason::HELD_USER;
    match asked {
        0 if now == 0 => {
            if admin {
                draft.course.reason = held_by(draft);
            }
        }
        u32::INFINITE if now == 0 && (admin || by_user) => release(draft),
        u32::INFINITE if now == 0 => return Err(rc::ACCESS),
        _ if now == 0 => return Err(rc::HELD),
        0 => hold(draft),
        u32::INFINITE => {
            if admin && !draft.spec.priority.is_unset() {
                (draft.spec.priority, draft.course.priority) = (u32::UNSET, u32::UNSET);
                draft.spec.nice = NICE_OFFSET;
            }
        }
        _ if asked == now => {}
        _ if admin => {
            (draft.spec.priority, draft.course.priority) = (asked, asked);
            draft.spec.nice = NICE_OFFSET;
        }
        _ if !now.is_unset() && asked < now => {
            draft.course.priority = asked;
            draft.spec.nice = NICE_OFFSET;
            return Ok(rc::PRIORITY_RESET);
        }
        _ => return Err(rc::ACCESS),
    }
    Ok(rc::OK)
}

fn held_by(draft: &Draft<'_>) -> u16 {
    let by_user = !draft.who.admin || draft.desc.alloc_sid == USER_HOLD;
    if by_user { reason::HELD_USER } else { reason::HELD }
}

fn hold(draft: &mut Draft<'_>) {
    draft.course.priority = 0;
    draft.course.reason = held_by(draft);
    draft.course.state_desc = Text::NONE;
    draft.course.accrue_time = Time(0);
    forget_begin(draft);
}

fn release(draft: &mut Draft<'_>) {
    (draft.spec.priority, draft.course.priority) = (u32::UNSET, u32::UNSET);
    draft.course.reason = reason::NONE;
    draft.course.state &= !SPECIAL_EXIT;
    draft.course.state_desc = Text::NONE;
    draft.course.exit_code = 0;
    draft.course.requeues = 0;
    forget_begin(draft);
}

/// A time to begin that has come means nothing any more.
fn forget_begin(draft: &mut Draft<'_>) {
    if draft.spec.begin_time.0 < draft.world.now {
        draft.spec.begin_time = Time(0);
    }
}

fn nice(draft: &mut Draft<'_>) -> Result<(), u32> {
    let Some(asked) = draft.desc.nice.get() else { return Ok(()) };
    let now = draft.spec.nice;
    let set = !draft.spec.priority.is_unset() && draft.course.priority != 0;
    if asked == now || set {
        return Ok(());
    }
    if asked < NICE_OFFSET {
        draft.admin_or(rc::ACCESS)?;
    }
    let by_submission = draft.world.conf.text("PriorityType") == Some("priority/basic");
    let own = draft.course.priority;
    if by_submission && own != 0 && !own.is_unset() {
        let now = if now.is_unset() { NICE_OFFSET } else { now };
        let next = (i64::from(own) + i64::from(now) - i64::from(asked)).max(LEAST);
        draft.course.priority = u32::try_from(next).unwrap_or(u32::MAX - 2);
    }
    draft.spec.nice = asked;
    Ok(())
}
