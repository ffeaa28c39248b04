//! `scancel`: ends jobs, or sends them a signal.
//!
//! Ids alone go to the controller as they are written. Where a filter, a signal or a question is
//! asked for, all jobs are loaded, and those that fit are asked for one by one: those that wait
//! first, so that none of them starts meanwhile.

use crate::client::cluster::{Cluster, Failure};
use crate::client::getopt::{Getopt, Long, Takes};
use crate::client::job::{Known, show};
use crate::client::{Call, VERSION, env, errors, job_state, signals, text, users};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::constants::{job, rc};
use crate::slurm::wire::tables::{JobsRequest, KillRequest, StepId};
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::io::BufRead;
use std::time::Duration;

const USAGE: &str = "\
Usage: scancel [-A account] [--batch] [--full] [--interactive] [-n job_name]
               [-p partition] [-Q] [-q qos] [-R reservation][-s signal | integer]
               [-t PENDING | RUNNING | SUSPENDED] [--usage] [-u user_name]
               [--hurry] [-V] [-v] [-w hosts...] [--wckey=wckey]
               [job_id[_array_id][.step_id]]
";

const HELP: &str = "\
Usage: scancel [OPTIONS] [job_id[_array_id][.step_id]]
  -A, --account=account           only jobs of this account
  -b, --batch                     signal the batch script alone
  -f, --full                      signal the batch script and all steps
  -H, --hurry                     no stage out of burst buffers
  -i, --interactive               ask for each job
      --me                        only jobs of who asks
  -n, --name=job_name             only jobs of this name
  -p, --partition=partition       only jobs in this partition
  -Q, --quiet                     say nothing of what goes wrong
  -q, --qos=qos                   only jobs of this quality of service
  -R, --reservation=reservation   only jobs in this reservation
  -s, --signal=name | integer     the signal to send instead of an end
  -t, --state=state               only jobs in this state: PENDING, RUNNING or SUSPENDED
  -u, --user=user                 only jobs of this user
  -v, --verbose                   say what is done
  -V, --version                   print the version
  -w, --nodelist                  only jobs on these nodes
      --wckey=wckey               only jobs with this wckey
";

const LONGS: &[Long] = &[
    ("account", Takes::Value, 'A'),
    ("batch", Takes::Nothing, 'b'),
    ("ctld", Takes::Nothing, '1'),
    ("full", Takes::Nothing, 'f'),
    ("help", Takes::Nothing, '2'),
    ("hurry", Takes::Nothing, 'H'),
    ("interactive", Takes::Nothing, 'i'),
    ("cluster", Takes::Value, 'M'),
    ("clusters", Takes::Value, 'M'),
    ("jobname", Takes::Value, 'n'),
    ("me", Takes::Nothing, '3'),
    ("name", Takes::Value, 'n'),
    ("nodelist", Takes::Value, 'w'),
    ("partition", Takes::Value, 'p'),
    ("qos", Takes::Value, 'q'),
    ("quiet", Takes::Nothing, 'Q'),
    ("reservation", Takes::Value, 'R'),
    ("sibling", Takes::Value, '4'),
    ("signal", Takes::Value, 's'),
    ("state", Takes::Value, 't'),
    ("usage", Takes::Nothing, '5'),
    ("user", Takes::Value, 'u'),
    ("verbose", Takes::Nothing, 'v'),
    ("version", Takes::Nothing, 'V'),
    ("wckey", Takes::Value, '6'),
];

const BATCH: u16 = 1;
const FULL: u16 = 1 << 3;
const HURRY: u16 = 1 << 5;
const SIGKILL: u16 = 9;

/// The job cannot be altered now. It is asked for again, so often, each after so long.
const TRANSITION: u32 = 2020;
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(180);

/// A job that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    job: u32,
    tasks: Tasks,
    step: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tasks {
    /// None is named.
    Whole,
    /// `_*`
    All,
    One(u32),
}

impl Wanted {
    fn is(&self, known: &Known) -> bool {
        let of = &known.job;
        match self.tasks {
            Tasks::Whole => {
                self.job == of.job_id || (self.job == of.array_job_id && self.step.is_none())
            }
            Tasks::All => self.job == of.array_job_id,
            Tasks::One(task) => self.job == of.array_job_id && known.has_task(task),
        }
    }

    fn id(&self) -> String {
        match self.tasks {
            Tasks::Whole => self.job.to_string(),
            Tasks::All => format!("{}_*", self.job),
            Tasks::One(task) => format!("{}_{task}", self.job),
        }
    }
}

#[derive(Debug, Default)]
struct Options {
    account: Option<String>,
    flags: u16,
    interactive: bool,
    name: Option<String>,
    nodes: Option<String>,
    partition: Option<String>,
    qos: Option<String>,
    reservation: Option<String>,
    sibling: Option<String>,
    signal: Option<u16>,
    state: Option<u32>,
    user: Option<u32>,
    verbose: i32,
    wckey: Option<String>,
    jobs: Vec<String>,
    wanted: Vec<Wanted>,
}

impl Options {
    fn filters(&self) -> bool {
        let texts = [
            &self.account,
            &self.name,
            &self.nodes,
            &self.partition,
            &self.qos,
            &self.reservation,
            &self.wckey,
        ];
        texts.iter().any(|text| text.is_some()) || self.state.is_some() || self.user.is_some()
    }

    /// Whether ids may go as they are.
    fn plain(&self) -> bool {
        let steps = self.wanted.iter().any(|wanted| wanted.step.is_some());
        let special = self.interactive || self.flags & BATCH != 0 || self.signal.is_some();
        !steps && !special && !self.filters()
    }

    fn fits(&self, known: &Known) -> bool {
        let of = &known.job;
        let is = |wanted: &Option<String>, found: &Text| {
            wanted.as_ref().is_none_or(|wanted| *wanted == text::of(found))
        };
        let base = job_state::base(of);
        let key = text::of(&of.wckey);
        let own_key = |wanted: &String| {
            let key = if wanted.starts_with('*') { &key } else { key.trim_start_matches('*') };
            key == wanted
        };
        let on = |list: &String| {
            let (own, asked) = (expand(&text::of(&of.nodes)), expand(list));
            let asked = asked.unwrap_or_default();
            own.is_ok_and(|own| own.iter().any(|name| asked.contains(name)))
        };
        base <= job::SUSPENDED
            && is(&self.account, &of.account)
            && is(&self.name, &of.name)
            && is(&self.partition, &of.partition)
            && is(&self.qos, &of.qos)
            && is(&self.reservation, &of.resv_name)
            && self.state.is_none_or(|state| state == base)
            && self.user.is_none_or(|user| user == of.user_id)
            && self.nodes.as_ref().is_none_or(on)
            && self.wckey.as_ref().is_none_or(own_key)
    }
}

/// What a word asks for.
fn wanted(word: &str) -> Option<Vec<Wanted>> {
    let (number, rest) = text::leading_number(word);
    let job = u32::try_from(number).ok().filter(|job| *job > 0)?;
    let number = |text: &str| {
        let (number, rest) = text::leading_number(text);
        u32::try_from(number).ok().map(|number| (number, rest.to_owned()))
    };
    if let Some(list) = rest.strip_prefix("_[") {
        let tasks = expand(&format!("[{}]", list.strip_suffix(']')?)).ok()?;
        let one = |task: String| {
            let tasks = Tasks::One(task.parse().ok()?);
            Some(Wanted { job, tasks, step: None })
        };
        return tasks.into_iter().map(one).collect();
    }
    let (tasks, rest) = if let Some(rest) = rest.strip_prefix("_*") {
        (Tasks::All, rest.to_owned())
    } else if let Some(rest) = rest.strip_prefix('_') {
        let (task, rest) = number(rest)?;
        (Tasks::One(task), rest)
    } else if let Some(rest) = rest.strip_prefix('+') {
        (Tasks::Whole, number(rest)?.1)
    } else {
        (Tasks::Whole, rest.to_owned())
    };
    let (step, rest) = match rest.strip_prefix('.') {
        Some(rest) => number(rest).map(|(step, rest)| (Some(step), rest))?,
        None => (None, rest),
    };
    rest.is_empty().then(|| vec![Wanted { job, tasks, step }])
}

fn state(name: &str, variable: bool) -> Result<u32, u8> {
    job_state::wanted(name).ok_or_else(|| {
        let what = if variable {
            "Unrecognized SCANCEL_STATE value"
        } else {
            "Invalid job state specified"
        };
        text::complain(&format!(
            "{what}: {name}\nValid job states are PENDING, RUNNING, and SUSPENDED\n"
        ));
        1
    })
}

fn user(call: &Call, name: &str) -> Result<u32, u8> {
    users::uid(name).ok_or_else(|| {
        call.error(&format!("Invalid user name: {name}"));
        1
    })
}

fn from_environment(call: &Call) -> Result<Options, u8> {
    let switch = |name: &str| match env(name)?.to_ascii_lowercase().as_str() {
        "true" | "t" => Some(true),
        "false" | "f" => Some(false),
        other => {
            call.error(&format!("Unrecognized {name} value: {other}"));
            None
        }
    };
    let flag = |name: &str, flag: u16| if switch(name) == Some(true) { flag } else { 0 };
    let hurry = if env("SCANCEL_HURRY").is_some() { HURRY } else { 0 };
    Ok(Options {
        account: env("SCANCEL_ACCOUNT").map(|name| name.to_ascii_lowercase()),
        flags: flag("SCANCEL_BATCH", BATCH) | flag("SCANCEL_FULL", FULL) | hurry,
        interactive: switch("SCANCEL_INTERACTIVE") == Some(true),
        name: env("SCANCEL_NAME"),
        partition: env("SCANCEL_PARTITION"),
        qos: env("SCANCEL_QOS").map(|name| name.to_ascii_lowercase()),
        state: env("SCANCEL_STATE").map(|name| state(&name, true)).transpose()?,
        user: env("SCANCEL_USER").map(|name| user(call, &name)).transpose()?,
        verbose: i32::from(switch("SCANCEL_VERBOSE") == Some(true)),
        wckey: env("SCANCEL_WCKEY"),
        ..Options::default()
    })
}

fn read(call: &Call) -> Result<Options, u8> {
    let mut options = from_environment(call)?;
    let shorts = "A:bfHiM:n:p:Qq:R:s:t:u:vVw:";
    let mut reader = Getopt::new(&call.zero, shorts, LONGS, call.args.clone());
    for found in reader.by_ref() {
        let (option, value) = found.map_err(|why| {
            text::complain(&format!("{why}\n"));
            call.hint();
            1_u8
        })?;
        let value = value.unwrap_or_default();
        match option {
            'A' => options.account = Some(value.to_ascii_lowercase()),
            'b' => options.flags |= BATCH,
            'f' => options.flags |= FULL,
            'H' => options.flags |= HURRY,
            'i' => options.interactive = true,
            'n' => options.name = Some(value),
            'p' => options.partition = Some(value),
            'Q' => options.verbose = -1,
            'q' => options.qos = Some(value.to_ascii_lowercase()),
            'R' => options.reservation = Some(value),
            's' => {
                options.signal = Some(signals::number(&value).ok_or_else(|| {
                    text::complain(&format!("Unknown job signal: {value}\n"));
                    1_u8
                })?);
            }
            't' => options.state = Some(state(&value, false)?),
            'u' => options.user = Some(user(call, &value)?),
            'v' => options.verbose += 1,
            'V' => {
                text::print(&format!("{VERSION}\n"));
                return Err(0);
            }
            'w' => options.nodes = Some(value),
            '1' => {}
            '2' => {
                text::print(HELP);
                return Err(0);
            }
            '3' => options.user = Some(rustix::process::getuid().as_raw()),
            '4' => options.sibling = Some(value),
            '5' => {
                text::print(USAGE);
                return Err(0);
            }
            '6' => options.wckey = Some(value),
            _ => {
                call.left_to_slurm("--clusters");
                return Err(1);
            }
        }
    }
    options.jobs = reader.rest();
    for word in &options.jobs {
        match wanted(word) {
            Some(wanted) => options.wanted.extend(wanted),
            None => {
                call.error(&format!("Invalid job id {word}"));
                return Err(1);
            }
        }
    }
    if options.jobs.is_empty() && !options.filters() {
        call.error("No job identification provided");
        return Err(1);
    }
    Ok(options)
}

struct Work<'a> {
    call: &'a Call,
    cluster: &'a Cluster,
    options: &'a Options,
}

impl Work<'_> {
    fn say(&self, what: &str) {
        if self.options.verbose > 0 {
            self.call.info(what);
        }
    }

    /// Sends the signal, again while the job is between two states. The code, 0 where all is well.
    fn send(&self, message: &Message) -> Result<(), Failure> {
        for _ in 1..TRIES {
            match self.cluster.ask(message) {
                Err(failure) if failure.code == TRANSITION => {
                    self.say("Job is in transitional state, retrying");
                    std::thread::sleep(PAUSE);
                }
                Ok(_) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        self.cluster.ask(message).map(drop)
    }

    fn job(&self, id: &str) -> u32 {
        let options = self.options;
        let kind = match options.flags {
            flags if flags & FULL != 0 => "full ",
            flags if flags & BATCH != 0 => "batch ",
            _ => "",
        };
        match options.signal {
            None => self.say(&format!("Terminating {kind}job {id}")),
            Some(signal) => self.say(&format!("Signal {signal} to {kind}job {id}")),
        }
        let unset = StepId { job_id: 0, step_id: u32::UNSET, step_het_comp: u32::UNSET };
        let signal = options.signal.unwrap_or(SIGKILL);
        let message = Message::Kill(Box::new(KillRequest {
            step_id: StepId { step_id: 0, step_het_comp: 0, ..unset },
            sjob_id: text::wire(id),
            sibling: options.sibling.as_ref().map_or(Text::NONE, |name| text::wire(name)),
            signal,
            flags: options.flags,
        }));
        let Err(failure) = self.send(&message) else { return 0 };
        let over = matches!(failure.code, rc::ALREADY_DONE | rc::JOB);
        if options.verbose > 0 || !over {
            self.failed(&format!("job id {id}"), &failure);
        }
        if over && signal == SIGKILL { 0 } else { failure.code }
    }

    fn step(&self, known: &Known, step: u32) -> u32 {
        let (id, signal) = (known.job.job_id, self.options.signal.unwrap_or(SIGKILL));
        match signal {
            SIGKILL => self.say(&format!("Terminating step {id}.{step}")),
            signal => self.say(&format!("Signal {signal} to step {id}.{step}")),
        }
        let message = Message::CancelStep(Box::new(KillRequest {
            step_id: StepId { job_id: id, step_id: step, step_het_comp: u32::UNSET },
            sjob_id: Text::NONE,
            sibling: Text::NONE,
            signal,
            flags: 0,
        }));
        let Err(failure) = self.send(&message) else { return 0 };
        let over = failure.code == rc::ALREADY_DONE;
        if self.options.verbose > 0 || !over {
            self.failed(&format!("job step id {id}"), &failure);
        }
        if over && signal == SIGKILL { 0 } else { failure.code }
    }

    fn failed(&self, what: &str, failure: &Failure) {
        self.call.error(&format!("Kill job error on {what}: {}", failure.text()));
        text::complain(&failure.more());
    }

    /// Asks the person.
    fn agreed(&self, known: &Known, step: Option<u32>) -> bool {
        let (name, partition) =
            (text::or_null(&known.job.name), text::or_null(&known.job.partition));
        let what = match step {
            None => format!("job_id={}", known.id()),
            Some(step) => format!("step_id={}.{step}", known.id()),
        };
        loop {
            text::print(&format!("Cancel {what} name={name} partition={partition} [y/n]? "));
            let mut line = String::new();
            match std::io::stdin().lock().read_line(&mut line) {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            match line.chars().next() {
                Some('y' | 'Y') => return true,
                Some('n' | 'N') => return false,
                _ => {}
            }
        }
    }

    /// The jobs that are asked for; what is asked for and not there is said.
    fn chosen(&self, jobs: Vec<Known>) -> (Vec<(Known, Option<u32>)>, u32) {
        let options = self.options;
        let active: Vec<Known> =
            jobs.into_iter().filter(|known| !job_state::finished(&known.job)).collect();
        if options.wanted.is_empty() {
            let fits = active.into_iter().filter(|known| options.fits(known));
            return (fits.map(|known| (known, None)).collect(), 0);
        }
        let mut code = 0;
        for wanted in &options.wanted {
            if active.iter().any(|known| wanted.is(known)) {
                continue;
            }
            code = 1;
            if options.verbose >= 0 {
                let why = errors::text(rc::JOB);
                self.call.error(&match wanted.step {
                    None => format!("Kill job error on job id {}: {why}", wanted.id()),
                    Some(step) => {
                        format!("Kill job error on job step id {}.{step}: {why}", wanted.id())
                    }
                });
            }
        }
        let mut found = Vec::new();
        for known in active.iter().filter(|known| !options.filters() || options.fits(known)) {
            let mut asked = options.wanted.iter().filter(|wanted| wanted.is(known));
            let whole = asked.clone().any(|wanted| wanted.step.is_none());
            if whole {
                found.push((known.clone(), None));
            } else if !known.pending() {
                found.extend(asked.by_ref().map(|wanted| (known.clone(), wanted.step)));
            }
        }
        (found, code)
    }

    fn filtered(&self) -> u32 {
        let all = show::ALL | show::FEDERATION;
        let question = JobsRequest { last_update: Time(0), show_flags: all, job_ids: None };
        let jobs = match self.cluster.ask(&Message::JobsRequest(Box::new(question))) {
            Ok(Message::Jobs(listing)) => listing.records.into_iter().map(Known::new).collect(),
            Ok(_) => return 1,
            Err(failure) => {
                failure.tell("slurm_load_jobs error");
                return 1;
            }
        };
        let (mut chosen, mut code) = self.chosen(jobs);
        chosen.sort_by_key(|(known, _)| !known.pending());
        for (known, step) in &chosen {
            if self.options.interactive && !self.agreed(known, *step) {
                continue;
            }
            code = code.max(match step {
                None => self.job(&known.id()),
                Some(step) => self.step(known, *step),
            });
        }
        code
    }
}

/// Runs `scancel`. The exit code is the low byte of the largest code that came back.
#[must_use]
pub fn main(call: &Call) -> u8 {
    let options = match read(call) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(cluster) = Cluster::of(call) else { return 1 };
    let work = Work { call, cluster: &cluster, options: &options };
    let code = if options.plain() {
        options.jobs.iter().map(|id| work.job(id)).max().unwrap_or(0)
    } else {
        work.filtered()
    };
    code as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_slurms_are() {
        let one = |tasks: Tasks, step: Option<u32>| Some(vec![Wanted { job: 7, tasks, step }]);
        assert_eq!(wanted("7"), one(Tasks::Whole, None));
        assert_eq!(wanted("7_*"), one(Tasks::All, None));
        assert_eq!(wanted("7_3.0"), one(Tasks::One(3), Some(0)));
        assert_eq!(wanted("7_[1-3]").unwrap().len(), 3);
        for bad in ["abc", "0", "-1", "7x", "7_[1", "7.x.y"] {
            assert_eq!(wanted(bad), None, "{bad}");
        }
    }
}
