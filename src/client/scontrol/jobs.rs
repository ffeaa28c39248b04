//! What is done to jobs: hold, release, requeue, suspend, resume, top, and their scripts.
//!
//! A list of jobs is `1,2`, `[1-3]`, `7_[1-4]`. Each is asked for on its own, what goes wrong with
//! one does not stop the others, and is said.

use super::{Desk, job};
use crate::client::cluster::Failure;
use crate::client::{desc, errors, job_state, text};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::constants::{job as state, rc};
use crate::slurm::wire::tables::{JobRequest, Requeue, Suspend, TopJob};
use crate::slurm::wire::{Message, Unset};
use std::fs::File;
use std::io::Write;

/// The ids of a list; `None`: it is none.
pub fn ids(list: &str) -> Option<Vec<String>> {
    let (mut parts, mut depth) = (vec![String::new()], 0_i32);
    for c in list.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' | ' ' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '-' if depth == 0 && !parts.last()?.contains('_') => return None,
            '0'..='9' | '-' | ',' | ' ' => {}
            '_' | '+' if !parts.last()?.contains(c) => {}
            _ => return None,
        }
        parts.last_mut()?.push(c);
    }
    if depth != 0 {
        return None;
    }
    parts.retain(|part| !part.is_empty());
    let spread = parts.iter().map(|part| one(part)).collect::<Option<Vec<_>>>()?;
    Some(spread.concat())
}

/// The jobs of a part, with the tasks behind, without brackets around those.
fn one(part: &str) -> Option<Vec<String>> {
    let (jobs, tasks) = match part.split_once('_') {
        Some((jobs, tasks)) => (jobs, Some(tasks.trim_start_matches('[').trim_end_matches(']'))),
        None => (part, None),
    };
    let jobs = if jobs.contains('[') { expand(jobs).ok()? } else { vec![jobs.to_owned()] };
    let tasks = tasks.map_or(String::new(), |tasks| format!("_{tasks}"));
    Some(jobs.into_iter().map(|job| job + &tasks).collect())
}

/// `JobId=7` is `7`.
fn bare(list: &str) -> &str {
    let list = text::without(list, "jobid=").unwrap_or(list);
    text::without(list, "job=").unwrap_or(list)
}

/// Asks for something to be done with each job of a list. The largest code of those that failed,
/// 0 where all is well.
pub fn each(desk: &Desk<'_>, list: &str, message: impl Fn(&str) -> Message) -> u32 {
    let Some(ids) = ids(list) else {
        desk.wrong(&format!("{} for job {list}", errors::text(rc::JOB)));
        return rc::JOB;
    };
    ids.iter().map(|id| with_one(desk, id, &message(id))).max().unwrap_or(0)
}

fn with_one(desk: &Desk<'_>, id: &str, message: &Message) -> u32 {
    match desk.cluster.ask(message) {
        Ok(Message::ArrayErrors(found)) => {
            let all = &found.errors;
            let wrong = |code: u32| code != rc::OK || all.len() != 1;
            for error in all.iter().filter(|error| wrong(error.error_code)) {
                let (of, why) = (text::of(&error.job_array_id), errors::text(error.error_code));
                desk.wrong(&format!("{of}: {why}"));
            }
            u32::from(all.iter().any(|error| wrong(error.error_code)))
        }
        Ok(_) => rc::OK,
        Err(failure) => {
            told(desk, id, &failure);
            failure.code
        }
    }
}

fn told(desk: &Desk<'_>, id: &str, failure: &Failure) {
    if !desk.quiet {
        text::complain(&format!("{} for job {id}\n{}", failure.text(), failure.more()));
    }
}

/// Whether a verb is one of those that hold.
pub fn is_hold(verb: &str) -> bool {
    let begins = |name: &str| text::without(verb, name).is_some();
    begins("hold") || begins("uhold")
}

/// `hold`, `uhold`, `release`: by ids, or by `Name=`.
pub fn hold(desk: &Desk<'_>, verb: &str, lists: &[String]) -> u8 {
    /// The user may release it again.
    const BY_USER: u32 = 2;
    let mut change = desc::blank(&desk.cluster.conf);
    change.priority = if is_hold(verb) { 0 } else { u32::INFINITE };
    if text::without(verb, "holdu").is_some() || text::without(verb, "uhold").is_some() {
        change.alloc_sid = BY_USER;
    } else if is_hold(verb) {
        change.alloc_sid = 0;
    }
    let message = |id: &str| {
        let mut change = change.clone();
        change.job_id_str = text::wire(id);
        desc::mark_defaults(&mut change);
        Message::UpdateJob(Box::new(change))
    };
    let mut code = 0;
    for list in lists {
        let list = bare(list);
        let name = text::without(list, "name=").or_else(|| text::without(list, "jobname="));
        let worst = match name {
            Some(name) => named(desk, name, &message),
            None => each(desk, list, message),
        };
        if worst != 0 {
            code = desk.wrong(&format!("slurm_suspend error: {}", errors::text(worst)));
        }
    }
    code
}

/// With every job of a name that waits.
fn named(desk: &Desk<'_>, name: &str, message: &dyn Fn(&str) -> Message) -> u32 {
    const NOT_PENDING: u32 = 2073;
    let Ok(jobs) = job::load(desk, 0, desk.flags()) else { return 1 };
    let mut worst = 0;
    for known in jobs.iter().filter(|known| text::of(&known.job.name) == name) {
        if job_state::base(&known.job) != state::PENDING {
            if !known.job.array_task_id.is_unset() {
                continue;
            }
            worst = worst.max(NOT_PENDING);
        }
        let id = known.id().replace(['[', ']'], "");
        worst = worst.max(with_one(desk, &id, &message(&id)));
    }
    worst
}

/// `requeue`, `requeuehold`.
pub fn requeue(desk: &Desk<'_>, words: &[String], hold: bool) -> u8 {
    let mut flags = if hold { state::REQUEUE_HOLD } else { 0 };
    let mut lists = words;
    while let Some((word, rest)) = lists.split_first()
        && let Some(flag) = requeue_flag(word)
    {
        flags |= flag;
        lists = rest;
    }
    let worst = lists.iter().map(|list| {
        each(desk, bare(list), |id| {
            let job_id_str = text::wire(id);
            Message::Requeue(Box::new(Requeue { job_id: u32::UNSET, job_id_str, flags }))
        })
    });
    u8::from(worst.fold(0, u32::max) != 0)
}

fn requeue_flag(word: &str) -> Option<u32> {
    const SPECIAL_EXIT: u32 = 0x1000;
    if !word.is_empty() && text::abbreviates(word, "incomplete", 1) {
        return Some(state::RUNNING);
    }
    let state = text::without(word, "state=")?;
    let special = text::without(state, "specialexit").or_else(|| text::without(state, "se"));
    special.map(|_| SPECIAL_EXIT)
}

/// `suspend`, `resume`.
pub fn suspend(desk: &Desk<'_>, stop: bool, lists: &[String]) -> u8 {
    let op = u16::from(!stop);
    let worst = lists.iter().map(|list| {
        each(desk, bare(list), |id| {
            let job_id_str = text::wire(id);
            Message::Suspend(Box::new(Suspend { op, job_id: u32::UNSET, job_id_str }))
        })
    });
    u8::from(worst.fold(0, u32::max) != 0)
}

/// `top`.
pub fn top(desk: &Desk<'_>, list: &str) -> u8 {
    let id = bare(list);
    let job_id_str = text::wire(id);
    let message = Message::TopJob(Box::new(TopJob { op: 0, job_id: 0, job_id_str }));
    match desk.cluster.order(&message) {
        Ok(()) => 0,
        Err(failure) => {
            told(desk, id, &failure);
            1
        }
    }
}

/// `write batch_script`.
pub fn write(desk: &Desk<'_>, verb: &str, rest: &[String]) -> u8 {
    let (what, rest) = match rest.split_first() {
        None => return desk.wrong(&format!("too few arguments for keyword:{verb}")),
        Some(split) => split,
    };
    if !text::abbreviates(what, "batch_script", 5) {
        if text::abbreviates(what, "config", 6) {
            desk.call.left_to_slurm("write config");
            return 1;
        }
        return desk.wrong(&format!("invalid write argument:{what}"));
    }
    let (id, file) = match rest {
        [] => return desk.wrong(&format!("too few arguments for keyword:{verb}")),
        [id] => (id, None),
        [id, file] => (id, Some(file.clone())),
        _ => return desk.wrong(&format!("too many arguments for keyword:{verb}")),
    };
    let job_id = u32::try_from(text::leading_number(id).0).unwrap_or(0);
    let question = JobRequest { job_id, show_flags: 0 };
    let script = match desk.cluster.ask(&Message::ScriptRequest(Box::new(question))) {
        Ok(Message::Script(script)) => script.script.bytes().to_vec(),
        Ok(_) => return 1,
        Err(failure) => {
            failure.tell("job script retrieval failed");
            return 0;
        }
    };
    let file = file.unwrap_or_else(|| format!("slurm-{job_id}.sh"));
    if file == "-" {
        text::print(&text::from_bytes(&script));
        return 0;
    }
    let written = File::create(text::to_os(&file)).and_then(|mut out| out.write_all(&script));
    match written {
        Ok(()) => {
            if !desk.quiet {
                text::print(&format!("batch script for job {job_id} written to {file}\n"));
            }
            0
        }
        Err(error) => {
            text::complain(&format!("failed to open file `{file}`: {error}\n"));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_jobs_are_spread() {
        let spread = |list: &str| ids(list).map(|ids| ids.join(" "));
        assert_eq!(spread("7").unwrap(), "7");
        assert_eq!(spread("1,2 3").unwrap(), "1 2 3");
        assert_eq!(spread("[1-3]").unwrap(), "1 2 3");
        assert_eq!(spread("7_[1-4,9],8_2").unwrap(), "7_1-4,9 8_2");
        for bad in ["abc", "1-2", "1_2_3", "[1", "1]"] {
            assert_eq!(spread(bad), None, "{bad}");
        }
    }
}
