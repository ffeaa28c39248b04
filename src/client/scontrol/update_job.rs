//! `scontrol update JobId=…`.
//!
//! One table says which field a word sets, and how its value is read. What Slurm's own refuses is
//! refused in its words; generic resources, burst buffers and clusters travel as they are.

use super::{Desk, job, jobs};
use crate::client::{desc, job as flags, sbatch, text, time, users, when};
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Message, Time, Unset};

const NICE_MAX: i64 = 0x8000_0000 - 3;
const NICE_OFFSET: i64 = 0x8000_0000;
const PER_CPU: u64 = 1 << 63;

/// What a word asks for.
#[derive(Default)]
struct Change {
    desc: JobDesc,
    ids: Option<String>,
    uid: Option<u32>,
    count: u32,
    resizes: bool,
}

/// Changes jobs.
pub fn update(desk: &Desk<'_>, words: &[String]) -> u8 {
    let mut change = Change { desc: desc::blank(&desk.cluster.conf), ..Change::default() };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if let Err(code) = change.word(desk, word, &mut rest) {
            return code;
        }
    }
    if change.count == 0 {
        text::complain("No changes specified\n");
        return 1;
    }
    change.desc.user_id = desk.uid.unwrap_or(u32::UNSET);
    if change.ids.is_none() && !change.desc.name.is_none() {
        change.ids = named(desk, &text::of(&change.desc.name), change.uid);
        if change.ids.is_none() {
            return 1;
        }
    }
    let Some(ids) = change.ids else { return desk.error("No job ID specified") };
    if change.resizes && jobs::ids(&ids).is_some_and(|ids| ids.len() != 1) {
        return desk.error("Job resizing not supported for job arrays");
    }
    let worst = jobs::each(desk, &ids, |id| {
        let mut desc = change.desc.clone();
        desc::mark_defaults(&mut desc);
        desc.job_id_str = text::wire(id);
        Message::UpdateJob(Box::new(desc))
    });
    u8::from(worst != 0)
}

/// The ids of all jobs of a name.
fn named(desk: &Desk<'_>, name: &str, uid: Option<u32>) -> Option<String> {
    let jobs = job::load(desk, 0, desk.flags()).ok()?;
    let ids: Vec<String> = jobs
        .iter()
        .filter(|known| uid.is_none_or(|uid| uid == known.job.user_id))
        .filter(|known| text::of(&known.job.name) == name)
        .map(|known| known.id().replace(['[', ']'], ""))
        .collect();
    if ids.is_empty() {
        let by = uid.map_or(String::new(), |uid| format!("user ID {uid} and "));
        desk.error(&format!("No jobs with {by}name '{name}'"));
        return None;
    }
    Some(ids.join(","))
}

/// A number below the marks of its width, or Slurm's complaint.
fn number<T: TryFrom<u64> + Unset + Into<u64>>(
    desk: &Desk<'_>,
    name: &str,
    value: &str,
) -> Result<T, u8> {
    let read = value.parse::<u64>().ok().filter(|number| *number < T::UNSET.into());
    let read = read.and_then(|number| T::try_from(number).ok());
    read.ok_or_else(|| desk.error(&format!("Invalid {name} value: {value}")))
}

fn yes_or_no(desk: &Desk<'_>, name: &str, value: &str) -> Result<u16, u8> {
    if text::abbreviates(value, "YES", 1) {
        Ok(1)
    } else if text::abbreviates(value, "NO", 1) {
        Ok(0)
    } else {
        number(desk, name, value)
    }
}

/// `4`, `2-4`, `1k`.
fn range(desk: &Desk<'_>, name: &str, value: &str) -> Result<(u32, Option<u32>), u8> {
    let wrong = || desk.error(&format!("Invalid numeric value \"{value}\" for {name}."));
    let count = |text: &str| sbatch::count(text).ok_or_else(wrong);
    match value.split_once('-') {
        None => Ok((count(value)?, None)),
        Some((least, most)) => Ok((count(least)?, Some(count(most)?))),
    }
}

impl Change {
    fn word<'a>(
        &mut self,
        desk: &Desk<'_>,
        word: &'a str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), u8> {
        let (tag, value) = match word.split_once('=') {
            Some((tag, value)) => (tag, value),
            None if text::abbreviates(word, "Nice", 2) => {
                self.desc.nice = (NICE_OFFSET + 100) as u32;
                self.count += 1;
                return Ok(());
            }
            None if text::abbreviates(word, "ResetAccrueTime", 3) => {
                const RESET_ACCRUE_TIME: u64 = 1 << 21;
                self.desc.bitflags |= RESET_ACCRUE_TIME;
                self.count += 1;
                return Ok(());
            }
            None => match rest.next() {
                Some(value) => (word, value.as_str()),
                None => {
                    text::complain(&format!("Invalid input: {word}\nRequest aborted\n"));
                    return Err(1);
                }
            },
        };
        let (tag, sign) = match tag.strip_suffix(['+', '-']) {
            Some(bare) if !bare.is_empty() => (bare, tag.chars().last()),
            _ => (tag, None),
        };
        if text::abbreviates(tag, "JobId", 3) {
            self.ids = Some(value.to_owned());
            return Ok(());
        }
        if text::abbreviates(tag, "UserID", 3) {
            self.uid = users::uid(value);
            if self.uid.is_none() {
                text::complain(&format!("Invalid UserID: {value}\nRequest aborted\n"));
                return Err(1);
            }
            return Ok(());
        }
        if text::abbreviates(tag, "TimeLimit", 5) {
            return self.time_limit(desk, value, sign);
        }
        if sign.is_some() {
            return Err(desk.error(&format!("Option {word} does not accept [+|-]= syntax")));
        }
        self.field(desk, word, tag, value)
    }

    /// The limit, or by how much it is to change.
    fn time_limit(&mut self, desk: &Desk<'_>, value: &str, sign: Option<char>) -> Result<(), u8> {
        let (sign, value) = match value.split_at_checked(1) {
            Some(("+" | "-", rest)) if sign.is_none() => (value.chars().next(), rest),
            _ => (sign, value),
        };
        let minutes = when::minutes(value).ok_or_else(|| desk.error("Invalid TimeLimit value"))?;
        let limit = match sign {
            None => minutes,
            Some(sign) => {
                let ids = self.ids.as_ref().ok_or_else(|| {
                    desk.error("JobId must precede TimeLimit increment or decrement")
                })?;
                let now = current_limit(desk, ids)?;
                match sign {
                    '+' => now.saturating_add(minutes),
                    _ if minutes > now => {
                        let both = format!("({minutes} > {now})");
                        return Err(desk.error(&format!(
                            "TimeLimit decrement larger than current time limit {both}"
                        )));
                    }
                    _ => now - minutes,
                }
            }
        };
        self.desc.time_limit = limit;
        self.count += 1;
        Ok(())
    }

    /// Sets the field that a tag names. The order decides what an abbreviation stands for.
    fn field(&mut self, desk: &Desk<'_>, word: &str, tag: &str, value: &str) -> Result<(), u8> {
        let is = |name: &str, least: usize| text::abbreviates(tag, name, least);
        let to = &mut self.desc;
        match tag {
            _ if is("AdminComment", 6) => to.admin_comment = text::wire(value),
            _ if is("SiteFactor", 5) => to.site_factor = nice(desk, "SiteFactor", value)?,
            _ if is("ArrayTaskThrottle", 10) => {
                if text::leading_number(value).0 < 0 {
                    return Err(desk.error("Invalid ArrayTaskThrottle value"));
                }
                to.array_inx = text::wire(value);
            }
            _ if is("Comment", 3) => to.comment = text::wire(value),
            _ if is("Clusters", 8) => to.clusters = text::wire(value),
            _ if is("ClusterFeatures", 8) => to.cluster_features = text::wire(value),
            _ if is("DelayBoot", 5) => {
                to.delay_boot =
                    when::seconds(value).ok_or_else(|| desk.error("Invalid DelayBoot value"))?;
            }
            _ if is("TimeMin", 5) => {
                to.time_min =
                    when::minutes(value).ok_or_else(|| desk.error("Invalid TimeMin value"))?;
            }
            _ if is("Priority", 2) => to.priority = number(desk, "Priority", value)?,
            _ if is("Nice", 2) => to.nice = nice(desk, "Nice", value)?,
            _ if is("CPUsPerTask", 9) => to.cpus_per_task = number(desk, "CPUsPerTask", value)?,
            _ if is("CpusPerTres", 9) => to.cpus_per_tres = text::wire(value),
            _ if is("NumCPUs", 6) => {
                let (least, most) = range(desk, "NumCPUs", value)?;
                if least == 0 || most.is_some_and(|most| most < least) {
                    return Err(desk.error(&format!("Invalid NumCPUs value: {value}")));
                }
                to.min_cpus = least;
                to.max_cpus = most.unwrap_or(to.max_cpus);
            }
            _ if is("NumTasks", 8) || is("ReqProcs", 8) => {
                to.num_tasks = number(desk, "NumTasks", value)?;
            }
            _ if is("Requeue", 4) => to.requeue = number(desk, "Requeue", value)?,
            _ if is("ReqNodes", 8) || is("NumNodes", 8) => {
                self.resizes = true;
                if value.eq_ignore_ascii_case("ALL") {
                    to.min_nodes = u32::INFINITE;
                } else {
                    let (least, most) = range(desk, "requested node count", value)?;
                    to.min_nodes = least;
                    to.max_nodes = most.unwrap_or(to.max_nodes);
                }
            }
            _ if is("ReqSockets", 4) => to.sockets_per_node = number(desk, "ReqSockets", value)?,
            _ if is("ReqCores", 4) => to.cores_per_socket = number(desk, "ReqCores", value)?,
            _ if is("TasksPerNode", 2) => {
                to.ntasks_per_node = number(desk, "TasksPerNode", value)?;
            }
            _ if is("ReqThreads", 4) => to.threads_per_core = number(desk, "ReqThreads", value)?,
            _ if is("MinCPUsNode", 4) => to.pn_min_cpus = number(desk, "MinCPUsNode", value)?,
            _ if is("MinMemoryNode", 10) => {
                to.pn_min_memory = number(desk, "MinMemoryNode", value)?;
            }
            _ if is("MinMemoryCPU", 10) => {
                to.pn_min_memory = number::<u64>(desk, "MinMemoryCPU", value)? | PER_CPU;
            }
            _ if is("MinTmpDiskNode", 5) => {
                to.pn_min_tmp_disk = number(desk, "MinTmpDiskNode", value)?;
            }
            _ if is("Partition", 2) => to.partition = text::wire(value),
            _ if is("QOS", 2) => to.qos = text::wire(value),
            _ if is("ReservationName", 3) => to.reservation = text::wire(value),
            _ if is("Name", 2) || is("JobName", 4) => to.name = text::wire(value),
            _ if is("WCKey", 1) => to.wckey = text::wire(value),
            _ if is("StdOut", 6) => to.std_out = text::wire(value),
            _ if is("OverSubscribe", 2) || is("Shared", 2) => {
                to.shared = yes_or_no(desk, "OverSubscribe", value)?;
            }
            _ if is("Contiguous", 3) => to.contiguous = yes_or_no(desk, "Contiguous", value)?,
            _ if is("CoreSpec", 4) => {
                to.core_spec = match value {
                    "-1" | "*" => u16::INFINITE,
                    value => number(desk, "CoreSpec", value)?,
                };
            }
            _ if is("ExcNodeList", 3) => to.exc_nodes = text::wire(value),
            _ if is("NodeList", 8) || is("ReqNodeList", 8) => {
                self.resizes = true;
                to.req_nodes = text::wire(value);
            }
            _ if is("Features", 1) => to.features = text::wire(value),
            _ if is("Prefer", 3) => to.prefer = text::wire(value),
            _ if is("Account", 1) => to.account = text::wire(value),
            _ if is("BurstBuffer", 1) => to.burst_buffer = text::wire(value),
            _ if is("Dependency", 1) => to.dependency = text::wire(value),
            _ if is("Licenses", 1) => to.licenses = text::wire(value),
            _ if is("EligibleTime", 2) || is("StartTime", 2) => {
                to.begin_time = point(value)?.max(Time(time::now()));
            }
            _ if is("EndTime", 2) => to.end_time = point(value)?,
            _ if is("Reboot", 3) => to.reboot = yes_or_no(desk, "reboot", value)?,
            _ if is("Deadline", 3) => to.deadline = point(value)?,
            _ if is("WorkDir", 2) => to.work_dir = text::wire(value),
            _ if is("MailType", 5) => {
                to.mail_type = sbatch::mail_type(value).ok_or_else(|| {
                    text::complain(&format!("Invalid MailType: {value}\n"));
                    1_u8
                })?;
            }
            _ if is("MailUser", 5) => to.mail_user = text::wire(value),
            _ => {
                text::complain(&format!(
                    "Update of this parameter is not supported: {word}\nRequest aborted\n"
                ));
                return Err(1);
            }
        }
        self.count += 1;
        Ok(())
    }
}

fn nice(desk: &Desk<'_>, name: &str, value: &str) -> Result<u32, u8> {
    let (number, _) = text::leading_number(value);
    if number.abs() > NICE_MAX {
        let what = format!("{name} value out of range (+/- {NICE_MAX}). Value ignored");
        return Err(desk.error(&what));
    }
    Ok(u32::try_from(NICE_OFFSET + number).expect("in range"))
}

fn point(value: &str) -> Result<Time, u8> {
    when::from_now(value).map(Time).ok_or_else(|| {
        text::complain(&format!("Invalid time specification (pos=0): {value}\n"));
        1
    })
}

fn current_limit(desk: &Desk<'_>, id: &str) -> Result<u32, u8> {
    let (number, rest) = text::leading_number(id);
    let task = rest.strip_prefix('_').and_then(|task| task.parse::<u32>().ok());
    let fine = rest.is_empty() || task.is_some();
    let number = u32::try_from(number).ok().filter(|number| fine && *number > 0);
    let number = number.ok_or_else(|| desk.error(&format!("Invalid job ID {id}")))?;
    let found = job::load(desk, number, flags::show::ALL)?;
    if found.len() > 1 && task.is_none() {
        let what = "TimeLimit increment/decrement not supported for job arrays";
        return Err(desk.error(what));
    }
    let known = found.iter().find(|known| task.is_none_or(|task| known.has_task(task)));
    let known = known.ok_or_else(|| desk.error(&format!("Job ID {id} not found")))?;
    Ok(known.job.time_limit)
}
