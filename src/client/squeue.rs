//! `squeue`: the queue.
//!
//! Waiting tasks of an array that have records of their own are shown in one line with the others,
//! unless each is asked for.

use crate::client::cluster::Cluster;
use crate::client::columns::{Column, left, right};
use crate::client::getopt::{Getopt, Long, Takes};
use crate::client::job::{Known, show};
use crate::client::{Call, VERSION, again, env, job_state, ranges, reasons, text, time, users};
use crate::slurm::hostlist::{by_prefix, compress, expand};
use crate::slurm::wire::constants::{job, step};
use crate::slurm::wire::tables::{
    InfoRequest, JobRequest, JobsRequest, Node, Step, StepId, StepsRequest,
};
use crate::slurm::wire::{Message, Time, Unset};
use std::cmp::Ordering;
use std::collections::BTreeSet;

const USAGE: &str = "\
Usage: squeue [-ahlrsV] [--start] [-A accounts] [-i seconds] [-j jobs] [-n names] [-p partitions]
              [-q qos] [-t states] [-u users] [-w nodes]
";

const HELP: &str = "\
Usage: squeue [OPTIONS]
  -A, --account=list         only jobs of these accounts
  -a, --all                  also jobs in hidden partitions
  -r, --array                each task of an array in a line of its own
      --array-unique         each reason for which tasks of an array wait
  -h, --noheader             no headers
      --hide                 not jobs in hidden partitions
  -i, --iterate=seconds      again and again, each so many seconds
  -j, --jobs=list            only these jobs
      --local                (the only cluster there is)
  -l, --long                 more columns
      --me                   only jobs of who asks
  -n, --name=list            only jobs of these names
  -p, --partition=list       only jobs in these partitions
  -q, --qos=list             only jobs of these qualities of service
  -R, --reservation=name     only jobs in this reservation
  -s, --steps                steps instead of jobs
      --start                when jobs that wait are expected to start
  -t, --states=list          only jobs in these states; all: in every one
  -u, --user=list            only jobs of these users
  -V, --version              print the version
  -w, --nodelist=list        only jobs on these nodes
Formats (-o, -O, --json, --yaml) and orders (-S) are left to Slurm's own squeue.
";

const LONGS: &[Long] = &[
    ("accounts", Takes::Value, 'A'),
    ("all", Takes::Nothing, 'a'),
    ("array", Takes::Nothing, 'r'),
    ("array-unique", Takes::Nothing, '1'),
    ("Format", Takes::Value, 'O'),
    ("format", Takes::Value, 'o'),
    ("federation", Takes::Nothing, 'F'),
    ("help", Takes::Nothing, '2'),
    ("hide", Takes::Nothing, '3'),
    ("iterate", Takes::Value, 'i'),
    ("jobs", Takes::Maybe, 'j'),
    ("local", Takes::Nothing, 'F'),
    ("long", Takes::Nothing, 'l'),
    ("licenses", Takes::Value, 'L'),
    ("cluster", Takes::Value, 'M'),
    ("clusters", Takes::Value, 'M'),
    ("me", Takes::Nothing, '4'),
    ("name", Takes::Value, 'n'),
    ("noconvert", Takes::Nothing, 'F'),
    ("node", Takes::Value, 'w'),
    ("nodes", Takes::Value, 'w'),
    ("nodelist", Takes::Value, 'w'),
    ("noheader", Takes::Nothing, 'h'),
    ("partitions", Takes::Value, 'p'),
    ("priority", Takes::Nothing, 'P'),
    ("qos", Takes::Value, 'q'),
    ("reservation", Takes::Value, 'R'),
    ("sib", Takes::Nothing, 'F'),
    ("sibling", Takes::Nothing, 'F'),
    ("sort", Takes::Value, 'S'),
    ("start", Takes::Nothing, '5'),
    ("steps", Takes::Maybe, 's'),
    ("states", Takes::Value, 't'),
    ("usage", Takes::Nothing, '6'),
    ("user", Takes::Value, 'u'),
    ("users", Takes::Value, 'u'),
    ("verbose", Takes::Nothing, 'v'),
    ("version", Takes::Nothing, 'V'),
    ("json", Takes::Nothing, 'y'),
    ("yaml", Takes::Nothing, 'y'),
];

/// A job that is asked for, and a task of it.
type Wanted = (u32, Option<u32>);

#[derive(Debug, Default)]
struct Options {
    all: bool,
    each_task: bool,
    each_reason: bool,
    no_header: bool,
    each_s: u64,
    long: bool,
    start: bool,
    steps: bool,
    jobs: Option<Vec<Wanted>>,
    accounts: Option<Vec<String>>,
    names: Option<Vec<String>>,
    partitions: Option<Vec<String>>,
    qos: Option<Vec<String>>,
    reservation: Option<String>,
    /// `Some(None)`: in every state.
    states: Option<Option<Vec<u32>>>,
    users: Option<Vec<u32>>,
    nodes: Option<Vec<String>>,
}

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Partition,
    Name,
    User,
    State,
    LongState,
    Used,
    Limit,
    Nodes,
    Start,
    Planned,
    ListOrReason,
}

impl Options {
    fn columns(&self) -> Vec<(Field, Column)> {
        use Field::*;
        let front = [(Id, right(18)), (Partition, right(9)), (Name, right(8)), (User, right(8))];
        let nodes = (Nodes, right(6));
        let list = (ListOrReason, left(0));
        let rest = if self.start {
            vec![(State, right(2)), (Start, right(19)), nodes, (Planned, left(20)), list]
        } else if self.long {
            vec![(LongState, right(8)), (Used, right(10)), (Limit, right(9)), nodes, list]
        } else {
            vec![(State, right(2)), (Used, right(10)), nodes, list]
        };
        [&front[..], &rest].concat()
    }

    fn wants_state(&self, of: &Known) -> bool {
        let state = of.job.job_state;
        match &self.states {
            Some(None) => true,
            Some(Some(states)) => states.iter().any(|wanted| {
                if wanted & !job::BASE != 0 { wanted & state != 0 } else { *wanted == state }
            }),
            None => {
                let staging = state & 0x80_0000 != 0;
                job_state::base(&of.job) <= job::SUSPENDED || staging || of.completing()
            }
        }
    }

    /// Whether a job is asked for. Of an array perhaps only some tasks are: the others go.
    fn wants(&self, known: &mut Known) -> bool {
        let of = &known.job;
        let is = |list: &Option<Vec<String>>, text: String| {
            list.as_ref().is_none_or(|list| list.iter().any(|one| one.eq_ignore_ascii_case(&text)))
        };
        let runs_on = |names: &Vec<String>| {
            let own = expand(&text::of(&of.nodes)).unwrap_or_default();
            own.iter().any(|name| names.contains(name))
        };
        let partitions = text::of(&of.partition);
        let in_partition = |wanted: &Vec<String>| {
            partitions.split(',').any(|name| wanted.iter().any(|one| one == name))
        };
        let fits = of.job_id != 0
            && self.wants_state(known)
            && is(&self.accounts, text::of(&of.account))
            && is(&self.names, text::of(&of.name))
            && is(&self.qos, text::of(&of.qos))
            && self.reservation.as_ref().is_none_or(|name| *name == text::of(&of.resv_name))
            && self.users.as_ref().is_none_or(|users| users.contains(&of.user_id))
            && self.partitions.as_ref().is_none_or(in_partition)
            && self.nodes.as_ref().is_none_or(runs_on);
        fits && self.jobs.as_ref().is_none_or(|jobs| narrow(jobs, known))
    }
}

/// Whether a record is of a job that is asked for, and leaves of an array what is asked for.
fn narrow(wanted: &[Wanted], known: &mut Known) -> bool {
    let of = &known.job;
    let whole = wanted.iter().any(|(id, task)| match task {
        None => [of.array_job_id, of.job_id, of.het_job_id].contains(id),
        Some(task) => *task == of.array_task_id && *id == of.array_job_id,
    });
    if whole {
        return true;
    }
    let Some(tasks) = &known.tasks else { return false };
    let asked = |at: &u32| wanted.contains(&(of.array_job_id, Some(*at)));
    let left: Vec<u32> = tasks.iter().copied().filter(asked).collect();
    match left.as_slice() {
        [] => return false,
        [one] => {
            known.job.array_task_id = *one;
            (known.tasks, known.tasks_text) = (None, None);
        }
        several => {
            known.tasks_text = Some(ranges::full(several));
            known.tasks = Some(left);
        }
    }
    true
}

/// Tasks that wait, and have records of their own, join the record of their array.
fn combine(jobs: &mut Vec<Known>, each_reason: bool) {
    let mut at = 0;
    while at < jobs.len() {
        let array = &jobs[at];
        let (true, Some(tasks)) = (array.pending(), array.tasks.clone()) else {
            at += 1;
            continue;
        };
        let (id, most) = (array.job.array_job_id, tasks.iter().max().map_or(0, |max| max + 4));
        let (name, partition) = (array.job.name.clone(), array.job.partition.clone());
        let joins = |place: usize, one: &Known| {
            let own = (&one.job.name, &one.job.partition) == (&name, &partition);
            let same = one.job.array_job_id == id && one.job.array_task_id < most;
            place != at && one.pending() && own && same && !each_reason
        };
        let places: Vec<usize> =
            (0..jobs.len()).filter(|place| joins(*place, &jobs[*place])).collect();
        let joined: Vec<Known> = places.iter().rev().map(|place| jobs.remove(*place)).collect();
        let before = places.iter().filter(|place| **place < at).count();
        at -= before;
        if !joined.is_empty() {
            absorb(&mut jobs[at], tasks, joined);
        }
        at += 1;
    }
}

fn absorb(array: &mut Known, tasks: Vec<u32>, joined: Vec<Known>) {
    let mut all: BTreeSet<u32> = tasks.into_iter().collect();
    for one in joined.into_iter().rev() {
        all.insert(one.job.array_task_id);
        let (own, other) = (array.job.state_reason, one.job.state_reason);
        if own != other {
            let mut described = reason(array);
            let name = reasons::text(other);
            if !described.contains(&name) {
                described = format!("{described},{name}");
            }
            array.job.state_desc = text::wire(&described);
        }
    }
    let all: Vec<u32> = all.into_iter().collect();
    let mut shown = ranges::full(&all);
    if env("SLURM_BITSTR_LEN").is_none() {
        shown.truncate(63);
    }
    array.tasks_text = Some(shown);
    array.tasks = Some(all);
}

fn reason(of: &Known) -> String {
    if of.job.state_desc.is_none() {
        reasons::text(of.job.state_reason)
    } else {
        text::of(&of.job.state_desc)
    }
}

/// A list of nodes, in order, each once.
pub fn sorted(nodes: &str) -> String {
    let mut names = expand(nodes).unwrap_or_default();
    names.sort_by(|a, b| by_prefix(a, b));
    names.dedup();
    compress(names.iter().map(String::as_str))
}

/// Sorts by merging, left before right where they are equal. Slurm's tools compare starts in a way
/// that is no order: how it is sorted then decides what comes out.
fn merge_sort<T: Clone>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if items.len() < 2 {
        return items.to_vec();
    }
    let (left, right) = items.split_at(items.len() / 2);
    let (left, right) = (merge_sort(left, compare), merge_sort(right, compare));
    let (mut a, mut b) = (left.iter().peekable(), right.iter().peekable());
    let mut merged = Vec::new();
    while let (Some(one), Some(other)) = (a.peek(), b.peek()) {
        let next = if compare(one, other).is_gt() { b.next() } else { a.next() };
        merged.extend(next.cloned());
    }
    merged.extend(a.chain(b).cloned());
    merged
}

/// Those that have not started come last, whatever the order, and against each other.
fn by_start(a: &Known, b: &Known, now: i64, latest_first: bool) -> Ordering {
    let start = |of: &Known| {
        let Time(start) = of.job.start_time;
        if of.job.job_state == job::PENDING { start.max(now) } else { start }
    };
    match (a.job.start_time.0, b.job.start_time.0) {
        (0, _) => Ordering::Greater,
        (_, 0) => Ordering::Less,
        _ if latest_first => start(b).cmp(&start(a)),
        _ => start(a).cmp(&start(b)),
    }
}

fn in_order(jobs: &[Known], options: &Options) -> Vec<Known> {
    let jobs = merge_sort(jobs, &|a: &Known, b: &Known| by_start(a, b, 0, true));
    if options.start {
        let now = time::now();
        return merge_sort(&jobs, &|a: &Known, b: &Known| by_start(a, b, now, false));
    }
    let key = |of: &Known| {
        let state = job_state::compact(of.job.job_state);
        (of.job.partition.bytes().to_vec(), state, std::cmp::Reverse(of.job.priority))
    };
    merge_sort(&jobs, &|a: &Known, b: &Known| key(a).cmp(&key(b)))
}

/// `m:ss` and so on, up to a year.
fn duration(seconds: i64) -> String {
    const YEAR_S: i64 = 365 * 86_400;
    if (0..=YEAR_S).contains(&seconds) { time::short(seconds) } else { "INVALID".to_owned() }
}

fn used(of: &Known) -> i64 {
    if of.job.start_time.0 == 0 { 0 } else { job_state::run_time(&of.job, time::now()) }
}

fn cell(field: Field, column: Column, known: &Known) -> String {
    let of = &known.job;
    let text = match field {
        Field::Id if known.tasks_text.is_some() && env("SLURM_BITSTR_LEN").is_some() => {
            return column.whole(&known.id());
        }
        Field::Id => known.id(),
        Field::Partition => text::or_null(&of.partition),
        Field::Name => text::or_null(&of.name),
        Field::User => users::name(of.user_id),
        Field::State => job_state::compact(of.job_state).to_owned(),
        Field::LongState => job_state::full(of.job_state).to_owned(),
        Field::Used => return column.whole(&duration(used(known))),
        Field::Limit => match of.time_limit {
            u32::INFINITE => "UNLIMITED".to_owned(),
            u32::UNSET => "NOT_SET".to_owned(),
            minutes => return column.whole(&duration(i64::from(minutes) * 60)),
        },
        Field::Nodes => of.num_nodes.cast_signed().to_string(),
        Field::Start if of.start_time.0 == 0 => "N/A".to_owned(),
        Field::Start => time::stamp(of.start_time),
        Field::Planned => return column.whole(&text::or_null(&of.sched_nodes)),
        Field::ListOrReason => list_or_reason(known),
    };
    column.cell(&text)
}

fn list_or_reason(known: &Known) -> String {
    let staging = known.job.job_state & 0x80_0000 != 0;
    let says_why = staging
        || matches!(
            job_state::base(&known.job),
            job::PENDING | job::TIMEOUT | job::OUT_OF_MEMORY | job::DEADLINE | job::FAILED
        );
    if says_why && !known.completing() {
        format!("({})", reason(known))
    } else {
        sorted(&text::of(&known.job.nodes))
    }
}

fn title(field: Field) -> &'static str {
    match field {
        Field::Id => "JOBID",
        Field::Partition => "PARTITION",
        Field::Name => "NAME",
        Field::User => "USER",
        Field::State => "ST",
        Field::LongState => "STATE",
        Field::Used => "TIME",
        Field::Limit => "TIME_LIMIT",
        Field::Nodes => "NODES",
        Field::Start => "START_TIME",
        Field::Planned => "SCHEDNODES",
        Field::ListOrReason => "NODELIST(REASON)",
    }
}

fn lines(jobs: Vec<Known>, options: &Options) -> String {
    let columns = options.columns();
    let line = |show: &dyn Fn(Field, Column) -> String| {
        let cells = columns.iter().map(|(field, column)| show(*field, *column));
        cells.collect::<Vec<_>>().join(" ") + "\n"
    };
    let mut out = String::new();
    if !options.no_header {
        out += &line(&|field, column| column.cell(title(field)));
    }
    let mut jobs: Vec<Known> = jobs
        .into_iter()
        .filter_map(|mut known| options.wants(&mut known).then_some(known))
        .collect();
    if !options.each_task {
        combine(&mut jobs, options.each_reason);
    }
    for known in in_order(&jobs, options) {
        match (&known.tasks, options.each_task) {
            (Some(tasks), true) => {
                for task in tasks {
                    let mut one = Known { tasks: None, tasks_text: None, ..known.clone() };
                    one.job.array_task_id = *task;
                    out += &line(&|field, column| cell(field, column, &one));
                }
            }
            _ => out += &line(&|field, column| cell(field, column, &known)),
        }
    }
    out
}

/// `1.batch`, `7_1.batch`, `5.0`.
pub fn step_id(of: &Step) -> String {
    let name = match of.step_id.step_id {
        step::BATCH => "batch".to_owned(),
        0xffff_fffc => "extern".to_owned(),
        0xffff_fffa => "interactive".to_owned(),
        number => number.to_string(),
    };
    if of.array_job_id != 0 {
        format!("{}_{}.{name}", of.array_job_id, of.array_task_id)
    } else {
        format!("{}.{name}", of.step_id.job_id)
    }
}

fn step_lines(mut steps: Vec<Step>, options: &Options) -> String {
    let columns = [right(15), right(8), right(9), right(8), right(9), left(0)];
    let line = |cells: [String; 6]| {
        let cells = columns.iter().zip(cells).map(|(column, text)| column.cell(&text));
        cells.collect::<Vec<_>>().join(" ") + "\n"
    };
    let mut out = String::new();
    if !options.no_header {
        let titles = ["STEPID", "NAME", "PARTITION", "USER", "TIME", "NODELIST"];
        out += &line(titles.map(str::to_owned));
    }
    let wants = |of: &Step| {
        let partition = text::of(&of.partition);
        let job = |(id, task): &Wanted| match task {
            None => [of.step_id.job_id, of.array_job_id].contains(id),
            Some(task) => *id == of.array_job_id && *task == of.array_task_id,
        };
        options.users.as_ref().is_none_or(|users| users.contains(&of.user_id))
            && options.partitions.as_ref().is_none_or(|names| names.contains(&partition))
            && options.jobs.as_ref().is_none_or(|jobs| jobs.iter().any(job))
    };
    steps.retain(wants);
    steps.sort_by_key(|of| (of.partition.bytes().to_vec(), of.step_id.job_id, of.step_id.step_id));
    for of in &steps {
        out += &line([
            step_id(of),
            text::or_null(&of.name),
            text::or_null(&of.partition),
            users::name(of.user_id),
            duration(of.run_time.0),
            sorted(&text::of(&of.nodes)),
        ]);
    }
    out
}

fn jobs(call: &Call, value: &str) -> Result<Vec<Wanted>, u8> {
    let wanted = text::list(value).into_iter().map(|one| {
        let (id, rest) = text::leading_number(&one);
        let task = rest.strip_prefix('_').map(|task| text::leading_number(task).0);
        match u32::try_from(id) {
            Ok(id) if id > 0 => Ok((id, task.and_then(|task| u32::try_from(task).ok()))),
            _ => {
                call.error(&format!("Invalid job id: {one}"));
                Err(1)
            }
        }
    });
    wanted.collect()
}

fn states(call: &Call, value: &str) -> Result<Option<Vec<u32>>, u8> {
    if value.eq_ignore_ascii_case("all") {
        return Ok(None);
    }
    let states = text::list(value).into_iter().map(|name| {
        job_state::wanted(&name).ok_or_else(|| {
            call.error(&format!("Invalid job state specified: {name}"));
            call.error(&format!("Valid job states include: {}\n", job_state::listed()));
            1
        })
    });
    states.collect::<Result<_, _>>().map(Some)
}

fn user_list(call: &Call, value: &str) -> Vec<u32> {
    let found = text::list(value).into_iter().filter_map(|name| {
        users::uid(&name).or_else(|| {
            call.error(&format!("Invalid user: {name}\n"));
            None
        })
    });
    found.collect()
}

fn read(call: &Call) -> Result<Options, u8> {
    let mut options = Options {
        all: env("SQUEUE_ALL").is_some(),
        each_task: env("SQUEUE_ARRAY").is_some(),
        each_reason: env("SQUEUE_ARRAY_UNIQUE").is_some(),
        ..Options::default()
    };
    let mut asks_jobs = false;
    let shorts = "A:ahi:j::lL:n:M:O:o:p:Pq:R:rs::S:t:u:U:vVw:";
    let mut reader = Getopt::new(&call.zero, shorts, LONGS, call.args.clone());
    for found in reader.by_ref() {
        let (option, value) = found.map_err(|why| {
            text::complain(&format!("{why}\n"));
            call.hint();
            1_u8
        })?;
        let given = value.is_some();
        let value = value.unwrap_or_default();
        match option {
            'A' | 'U' => options.accounts = Some(text::list(&value)),
            'a' => options.all = true,
            'h' => options.no_header = true,
            'i' => match value.parse() {
                Ok(seconds) if seconds > 0 => options.each_s = seconds,
                _ => {
                    call.error(&format!("--iterate={value}\n"));
                    return Err(1);
                }
            },
            'j' => {
                asks_jobs = true;
                if given {
                    options.jobs = Some(jobs(call, &value)?);
                }
            }
            'l' => options.long = true,
            'n' => options.names = Some(text::list(&value)),
            'p' => options.partitions = Some(text::list(&value)),
            'q' => options.qos = Some(text::list(&value)),
            'R' => options.reservation = Some(value),
            'r' => options.each_task = true,
            's' if !given => options.steps = true,
            't' => options.states = Some(states(call, &value)?),
            'u' => options.users = Some(user_list(call, &value)),
            '4' => options.users = Some(vec![rustix::process::geteuid().as_raw()]),
            'w' => match expand(&value) {
                Ok(names) => options.nodes = Some(names),
                Err(_) => {
                    call.error(&format!("'{value}' invalid entry for --nodelist"));
                    return Err(1);
                }
            },
            'V' => {
                text::print(&format!("{VERSION}\n"));
                return Err(0);
            }
            '1' => options.each_reason = true,
            '2' => {
                text::print(HELP);
                return Err(0);
            }
            '3' => options.all = false,
            '5' => options.start = true,
            '6' => {
                text::print(USAGE);
                return Err(0);
            }
            'F' | 'v' => {}
            _ => {
                let long = LONGS.iter().find(|(_, _, c)| *c == option).map_or("", |long| long.0);
                call.left_to_slurm(&format!("--{long}"));
                return Err(1);
            }
        }
    }
    let mut rest = reader.rest().into_iter();
    if asks_jobs
        && options.jobs.is_none()
        && let Some(value) = rest.next()
    {
        options.jobs = Some(jobs(call, &value)?);
    }
    if let Some(other) = rest.next() {
        call.error(&format!("Unrecognized option: {other}"));
        text::print(USAGE);
        return Err(1);
    }
    from_environment(call, &mut options)?;
    Ok(options)
}

/// What the command line leaves open.
fn from_environment(call: &Call, options: &mut Options) -> Result<(), u8> {
    let lists = [
        (&mut options.accounts, "SQUEUE_ACCOUNT"),
        (&mut options.names, "SQUEUE_NAMES"),
        (&mut options.partitions, "SQUEUE_PARTITION"),
        (&mut options.qos, "SQUEUE_QOS"),
    ];
    for (option, name) in lists {
        if option.is_none() {
            *option = env(name).map(|value| text::list(&value));
        }
    }
    if let (None, Some(value)) = (&options.states, env("SQUEUE_STATES")) {
        options.states = Some(states(call, &value)?);
    }
    if let (None, Some(value)) = (&options.users, env("SQUEUE_USERS")) {
        options.users = Some(user_list(call, &value));
    }
    if options.start && options.states.is_none() {
        options.states = Some(Some(vec![job::PENDING]));
    }
    options.all |= options.partitions.is_some();
    Ok(())
}

/// Nodes that are asked for, by the names that the cluster has for them.
fn node_names(call: &Call, cluster: &Cluster, asked: &[String]) -> Result<Vec<String>, u8> {
    let all = InfoRequest { last_update: Time(0), show_flags: show::ALL };
    let nodes = match cluster.ask(&Message::NodesRequest(Box::new(all))) {
        Ok(Message::Nodes(listing)) => listing.records,
        Ok(_) => return Err(1),
        Err(failure) => {
            failure.tell("slurm_load_node error");
            return Err(1);
        }
    };
    let named = asked.iter().map(|name| {
        let is = |node: &&Node| [&node.name, &node.node_hostname].map(text::of).contains(name);
        nodes.iter().find(is).map(|node| text::of(&node.name)).ok_or_else(|| {
            call.error(&format!("Invalid node name {name}"));
            1
        })
    });
    named.collect()
}

fn once(cluster: &Cluster, options: &Options) -> Result<String, u8> {
    let asked = options.jobs.as_ref().is_some_and(|jobs| !jobs.is_empty());
    let mut show_flags = if options.all || asked { show::ALL } else { 0 };
    if options.steps {
        let step_id = StepId { job_id: u32::UNSET, step_id: u32::UNSET, step_het_comp: u32::UNSET };
        let question = StepsRequest { last_update: Time(0), step_id, show_flags };
        return match cluster.ask(&Message::StepsRequest(Box::new(question))) {
            Ok(Message::Steps(listing)) => Ok(step_lines(listing.records, options)),
            Ok(_) => Err(1),
            Err(failure) => {
                failure.tell("slurm_get_job_steps error");
                Err(1)
            }
        };
    }
    let question = match options.jobs.as_deref() {
        Some([(job_id, _)]) => {
            Message::JobRequest(Box::new(JobRequest { job_id: *job_id, show_flags }))
        }
        _ => {
            show_flags |= if options.jobs.is_some() { show::ALL } else { 0 };
            let all = JobsRequest { last_update: Time(0), show_flags, job_ids: None };
            Message::JobsRequest(Box::new(all))
        }
    };
    match cluster.ask(&question) {
        Ok(Message::Jobs(listing)) => {
            let jobs = listing.records.into_iter().map(Known::new).collect();
            Ok(lines(jobs, options))
        }
        Ok(_) => Err(1),
        Err(failure) => {
            failure.tell("slurm_load_jobs error");
            Err(1)
        }
    }
}

/// Runs `squeue`.
#[must_use]
pub fn main(call: &Call) -> u8 {
    let mut options = match read(call) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(cluster) = Cluster::of(call) else { return 1 };
    if let Some(asked) = options.nodes.take() {
        match node_names(call, &cluster, &asked) {
            Ok(names) => options.nodes = Some(names),
            Err(code) => return code,
        }
    }
    let dated = !options.no_header && (options.long || options.each_s > 0);
    again(options.each_s, dated, || once(&cluster, &options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::wire::Text;
    use crate::slurm::wire::tables::Job;

    fn job(id: u32, tasks: &str, state: u32) -> Known {
        Known::new(Job {
            job_id: id,
            array_job_id: if tasks.is_empty() { 0 } else { id },
            array_task_id: u32::UNSET,
            array_task_str: if tasks.is_empty() { Text::NONE } else { tasks.into() },
            job_state: state,
            partition: "main".into(),
            name: "job".into(),
            num_nodes: 1,
            ..Job::default()
        })
    }

    #[test]
    fn waiting_tasks_join_the_line_of_their_array() {
        let mut one = job(8, "", job::PENDING);
        (one.job.array_job_id, one.job.array_task_id, one.job.state_reason) = (7, 4, 2);
        let mut jobs = vec![one, job(7, "0x6", job::PENDING), job(9, "", job::RUNNING)];
        combine(&mut jobs, false);
        let ids: Vec<String> = jobs.iter().map(Known::id).collect();
        assert_eq!(ids, ["7_[1-2,4]", "9"]);
        assert_eq!(reason(&jobs[0]), "None,Dependency");
    }

    #[test]
    fn a_task_that_is_asked_for_is_all_that_is_shown_of_its_array() {
        let mut array = job(7, "0xE", job::PENDING);
        assert!(narrow(&[(7, Some(2))], &mut array));
        assert_eq!(array.id(), "7_2");
        let mut array = job(7, "0xE", job::PENDING);
        assert!(narrow(&[(7, Some(1)), (7, Some(3))], &mut array) && array.id() == "7_[1,3]");
        assert!(!narrow(&[(7, Some(9))], &mut job(7, "0xE", job::PENDING)));
        assert!(narrow(&[(7, None)], &mut job(7, "0xE", job::PENDING)));
    }

    #[test]
    fn merging_keeps_the_order_of_equals() {
        let items = [(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd'), (0, 'e')];
        let sorted = merge_sort(&items, &|a, b| a.0.cmp(&b.0));
        assert_eq!(sorted, [(0, 'e'), (1, 'b'), (1, 'd'), (2, 'a'), (2, 'c')]);
    }
}
