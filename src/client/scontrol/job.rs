//! `scontrol show job`.

use super::{Desk, words};
use crate::client::job::{Known, errors, input, output, show};
use crate::client::{job_state, ranges, reasons, squeue, text, time, units, users};
use crate::slurm::hostlist::{compress, expand};
use crate::slurm::wire::constants::job;
use crate::slurm::wire::tables::{InfoRequest, Job, JobRequest, JobResources, JobsRequest, Node};
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::cell::OnceCell;

/// What a job had asked for, in its flags.
mod bit {
    pub const KILL_INVALID: u64 = 1;
    pub const KEEP_INVALID: u64 = 1 << 1;
    pub const GRES_BIND: u64 = 1 << 4;
    pub const SPREAD: u64 = 1 << 8;
    pub const GRES_NO_BIND: u64 = 1 << 19;
    pub const CRON: u64 = 1 << 22;
    pub const BACKFILL: u64 = 1 << 32;
    pub const BACKFILL_LAST: u64 = 1 << 33;
}

/// Shows all jobs, or one (`7`, `7_1`).
pub fn show(desk: &Desk<'_>, id: Option<&str>) -> u8 {
    if id.is_some_and(|id| !id.chars().all(|c| c.is_ascii_digit() || "_+".contains(c))) {
        return desk.wrong("scontrol_print_job error: Invalid job id specified");
    }
    let (number, rest) = text::leading_number(id.unwrap_or("0"));
    let number = u32::try_from(number).unwrap_or(0);
    let task = rest.strip_prefix('_').map(|task| text::leading_number(task).0);
    let task = task.and_then(|task| u32::try_from(task).ok());
    let jobs = match load(desk, number, desk.flags()) {
        Ok(jobs) => jobs,
        Err(code) => return code,
    };
    let page = Page { desk, nodes: OnceCell::new(), now: time::now() };
    let mut shown = String::new();
    for mut known in jobs {
        if let Some(task) = task {
            if !known.has_task(task) {
                continue;
            }
            if known.tasks_text.take().is_some() {
                known.job.array_task_id = task;
            }
        }
        shown += &page.text_of(&known);
    }
    let nothing = shown.is_empty();
    text::print(&shown);
    match (nothing, id, task) {
        (false, ..) => 0,
        (true, None, _) => {
            if !desk.quiet {
                text::print("No jobs in the system\n");
            }
            0
        }
        (true, Some(_), task) => {
            let task = task.map_or(String::new(), |task| format!("_{task}"));
            if !desk.quiet {
                text::print(&format!("Job {number}{task} not found\n"));
            }
            1
        }
    }
}

/// One job, or all if `id` is 0.
pub fn load(desk: &Desk<'_>, id: u32, show_flags: u16) -> Result<Vec<Known>, u8> {
    let question = if id == 0 {
        let all = JobsRequest { last_update: Time(0), show_flags, job_ids: None };
        Message::JobsRequest(Box::new(all))
    } else {
        Message::JobRequest(Box::new(JobRequest { job_id: id, show_flags }))
    };
    match desk.cluster.ask(&question) {
        Ok(Message::Jobs(listing)) => Ok(listing.records.into_iter().map(Known::new).collect()),
        Ok(_) => Err(1),
        Err(failure) => Err(desk.failed("slurm_load_jobs error", &failure)),
    }
}

struct Page<'a> {
    desk: &'a Desk<'a>,
    /// Asked for when a job's CPUs are to be named.
    nodes: OnceCell<Vec<Node>>,
    now: i64,
}

fn stamp(time: Time) -> String {
    time::stamp(time)
}

/// `exit:signal` of what wait(2) said.
fn exit_code(status: u32) -> String {
    let signal = status & 0x7f;
    match signal {
        0 => format!("{}:0", status >> 8 & 0xff),
        0x7f => "0:0".to_owned(),
        signal => format!("0:{signal}"),
    }
}

fn or_star(number: u16) -> String {
    if number.is_unset() { "*".to_owned() } else { number.to_string() }
}

/// With a star also where there is no bound.
fn or_stars(number: u16) -> String {
    if number == u16::INFINITE { "*".to_owned() } else { or_star(number) }
}

fn range(lower: u32, upper: u32) -> String {
    if upper > 0 { format!("{lower}-{upper}") } else { lower.to_string() }
}

impl Page<'_> {
    fn text_of(&self, known: &Known) -> String {
        let of = &known.job;
        if of.job_id == 0 {
            return String::new();
        }
        let mut lines = self.head(known);
        lines.extend(times(of, self.now));
        lines.extend(place(of));
        lines.extend(size(of));
        lines.extend(self.cpus(of));
        lines.extend(wishes(of));
        lines.extend(files(of));
        lines.extend(rest(of));
        // Each part ends with what separates lines, the last one, too.
        let end = self.desk.line_end();
        lines.into_iter().map(|line| line + end).collect::<String>() + self.desk.record_end()
    }

    fn head(&self, known: &Known) -> Vec<String> {
        let of = &known.job;
        let mut first = format!("JobId={} ", of.job_id);
        if of.array_job_id != 0 {
            let task = known.tasks_text.clone().unwrap_or_else(|| of.array_task_id.to_string());
            first += &format!("ArrayJobId={} ArrayTaskId={task} ", of.array_job_id);
            if of.array_max_tasks != 0 {
                first += &format!("ArrayTaskThrottle={} ", of.array_max_tasks);
            }
        } else if of.het_job_id != 0 {
            first += &format!("HetJobId={} HetJobOffset={} ", of.het_job_id, of.het_job_offset);
        }
        let mut lines = vec![first + &format!("JobName={}", text::or_null(&of.name))];
        if !of.het_job_id_set.is_none() {
            lines.push(format!("HetJobIdSet={}", text::of(&of.het_job_id_set)));
        }
        let label = if of.mcs_label.is_none() { "N/A".into() } else { text::of(&of.mcs_label) };
        let (user, group) = (users::name(of.user_id), users::group(of.group_id));
        lines.push(format!(
            "UserId={user}({}) GroupId={group}({}) MCS_label={label}",
            of.user_id, of.group_id
        ));
        let nice = i64::from(of.nice) - i64::from(job::NICE_OFFSET);
        let mut line = format!(
            "Priority={} Nice={nice} Account={} QOS={}",
            of.priority,
            text::or_null(&of.account),
            text::or_null(&of.qos)
        );
        if self.desk.cluster.conf.flag("TrackWCKey") {
            line += &format!(" WCKey={}", text::or_null(&of.wckey));
        }
        lines.push(line);
        let reason = if of.state_desc.is_none() {
            reasons::text(of.state_reason)
        } else {
            text::of(&of.state_desc).replace(|c: char| c.is_ascii_whitespace(), "_")
        };
        lines.push(format!(
            "JobState={} Reason={reason} Dependency={}",
            job_state::full(of.job_state),
            text::or_null(&of.dependency)
        ));
        lines.push(format!(
            "Requeue={} Restarts={} BatchFlag={} Reboot={} ExitCode={}",
            of.requeue,
            of.restart_cnt,
            of.batch_flag,
            of.reboot,
            exit_code(of.exit_code)
        ));
        if of.show_flags & show::DETAIL != 0 {
            lines.push(format!("DerivedExitCode={}", exit_code(of.derived_ec)));
        }
        lines
    }

    /// Which CPUs of which nodes a job has, if that was asked for.
    fn cpus(&self, of: &Job) -> Vec<String> {
        let Some(own) = &of.job_resrcs.0 else { return Vec::new() };
        if own.core_bitmap.iter().next().is_none() {
            return Vec::new();
        }
        let mut lines = vec![format!("JOB_GRES={}", text::or_null(&of.gres_total))];
        let mut same: Option<(Share, Vec<String>)> = None;
        for (host, share) in self.shares(of, own) {
            match &mut same {
                Some((like, hosts)) if *like == share => hosts.push(host),
                _ => {
                    lines.extend(same.take().map(|(share, hosts)| share.line(&hosts)));
                    same = Some((share, vec![host]));
                }
            }
        }
        lines.extend(same.map(|(share, hosts)| share.line(&hosts)));
        lines
    }

    fn shares(&self, of: &Job, own: &JobResources) -> Vec<(String, Share)> {
        let hosts = expand(&text::of(&own.nodes)).unwrap_or_default();
        let cores = own.sockets_per_node.iter().zip(&own.cores_per_socket);
        let groups = cores.zip(&own.sock_core_rep_count);
        let mut sizes = groups.flat_map(|((sockets, cores), nodes)| {
            std::iter::repeat_n(u32::from(*sockets) * u32::from(*cores), *nodes as usize)
        });
        let (mut first, mut found) = (0, Vec::new());
        for (at, host) in hosts.into_iter().enumerate() {
            let cores = sizes.next().unwrap_or(0);
            let threads = self.threads(&host);
            let used = (0..cores).filter(|core| own.core_bitmap.has(first + core));
            let cpus: Vec<u32> =
                used.flat_map(|core| core * threads..(core + 1) * threads).collect();
            first += cores;
            let memory = own.memory_allocated.get(at).copied().unwrap_or(0);
            let gres = of.gres_detail_str.get(at).map(text::of).unwrap_or_default();
            found.push((host, Share { cpus: ranges::full(&cpus), memory, gres }));
            if own.core_bitmap.iter().all(|bit| bit < first) {
                break;
            }
        }
        found
    }

    fn threads(&self, host: &str) -> u32 {
        let nodes = self.nodes.get_or_init(|| {
            let ask = InfoRequest { last_update: Time(0), show_flags: 0 };
            match self.desk.cluster.ask(&Message::NodesRequest(Box::new(ask))) {
                Ok(Message::Nodes(listing)) => listing.records,
                _ => Vec::new(),
            }
        });
        let found = nodes.iter().find(|node| text::of(&node.name) == host);
        found.map_or(1, |node| node.threads.into())
    }
}

/// What a job has of a node.
#[derive(PartialEq)]
struct Share {
    cpus: String,
    memory: u64,
    gres: String,
}

impl Share {
    fn line(&self, hosts: &[String]) -> String {
        let Share { cpus, memory, gres } = self;
        let hosts = compress(hosts.iter().map(String::as_str));
        format!("  Nodes={hosts} CPU_IDs={cpus} Mem={memory} GRES={gres}")
    }
}

fn times(of: &Job, now: i64) -> Vec<String> {
    let limit = if of.time_limit.is_unset() {
        "Partition_Limit".to_owned()
    } else {
        time::minutes(of.time_limit)
    };
    let least = if of.time_min == 0 { "N/A".to_owned() } else { time::minutes(of.time_min) };
    let run = time::long(job_state::run_time(of, now));
    let mut lines = vec![
        format!("RunTime={run} TimeLimit={limit} TimeMin={least}"),
        format!("SubmitTime={} EligibleTime={}", stamp(of.submit_time), stamp(of.eligible_time)),
        format!("AccrueTime={}", stamp(of.accrue_time)),
    ];
    if of.resize_time.0 != 0 {
        lines.push(format!("ResizeTime={}", stamp(of.resize_time)));
    }
    let endless = of.time_limit == u32::INFINITE && of.end_time.0 > now;
    let end = if endless { "Unknown".to_owned() } else { stamp(of.end_time) };
    let deadline = if of.deadline.0 == 0 { "N/A".to_owned() } else { stamp(of.deadline) };
    lines.push(format!("StartTime={} EndTime={end} Deadline={deadline}", stamp(of.start_time)));
    if of.bitflags & bit::CRON != 0 || !of.cronspec.is_none() {
        let yes = if of.bitflags & bit::CRON != 0 { "CronJob=Yes " } else { "" };
        lines.push(format!("{yes}CrontabSpec=\"{}\"", text::or_null(&of.cronspec)));
    }
    if of.preemptable_time.0 != 0 {
        let when = if of.preempt_time.0 == 0 { "None".into() } else { stamp(of.preempt_time) };
        lines
            .push(format!("PreemptEligibleTime={} PreemptTime={when}", stamp(of.preemptable_time)));
    }
    let suspended = if of.suspend_time.0 == 0 { "None".into() } else { stamp(of.suspend_time) };
    let by = if of.bitflags & bit::BACKFILL != 0 { "Backfill" } else { "Main" };
    let last = if of.bitflags & bit::BACKFILL_LAST != 0 { ":*" } else { "" };
    lines.push(format!(
        "SuspendTime={suspended} SecsPreSuspend={} LastSchedEval={} Scheduler={by}{last}",
        of.pre_sus_time.0,
        stamp(of.last_sched_eval)
    ));
    lines
}

fn place(of: &Job) -> Vec<String> {
    let mut nodes = format!("NodeList={}", squeue::sorted(&text::of(&of.nodes)));
    if !of.sched_nodes.is_none() {
        nodes += &format!(" SchedNodeList={}", text::of(&of.sched_nodes));
    }
    let mut lines = vec![
        format!(
            "Partition={} AllocNode:Sid={}:{}",
            text::or_null(&of.partition),
            text::or_null(&of.alloc_node),
            of.alloc_sid
        ),
        format!(
            "ReqNodeList={} ExcNodeList={}",
            text::or_null(&of.req_nodes),
            text::or_null(&of.exc_nodes)
        ),
        nodes,
    ];
    let own = [("BatchFeatures", &of.batch_features), ("BatchHost", &of.batch_host)];
    let own: Vec<String> = own
        .iter()
        .filter(|(_, text)| !text.is_none())
        .map(|(name, text)| format!("{name}={}", text::of(text)))
        .collect();
    if !own.is_empty() {
        lines.push(own.join(" "));
    }
    if of.fed_siblings_active != 0 || of.fed_siblings_viable != 0 {
        lines.push(format!(
            "FedOrigin={} FedViableSiblings={} FedActiveSiblings={}",
            text::or_null(&of.fed_origin_str),
            text::or_null(&of.fed_siblings_viable_str),
            text::or_null(&of.fed_siblings_active_str)
        ));
    }
    lines
}

fn size(of: &Job) -> Vec<String> {
    let waits = job_state::base(of) == job::PENDING;
    let most = if waits { of.max_nodes } else { 0 };
    let least = if most != 0 { of.num_nodes.min(most) } else { of.num_nodes };
    let tasks = if of.num_tasks.is_unset() { "N/A".to_owned() } else { of.num_tasks.to_string() };
    let cpus =
        if of.cpus_per_task.is_unset() { "N/A".into() } else { of.cpus_per_task.to_string() };
    let asked = Layout::of(of);
    let tres = if of.tres_alloc_str.is_none() { &of.tres_req_str } else { &of.tres_alloc_str };
    let core_spec = match of.core_spec {
        u16::UNSET => "CoreSpec=*".to_owned(),
        threads if threads & 0x8000 != 0 => format!("ThreadSpec={}", threads & 0x7fff),
        cores => format!("CoreSpec={cores}"),
    };
    vec![
        format!(
            "NumNodes={} NumCPUs={} NumTasks={tasks} CPUs/Task={cpus} ReqB:S:C:T={}:{}:{}:{}",
            range(least, most),
            range(of.num_cpus, of.max_cpus),
            or_star(asked.boards_per_node),
            or_star(asked.sockets_per_board),
            or_star(asked.cores_per_socket),
            or_star(asked.threads_per_core)
        ),
        format!("TRES={}", text::or_null(tres)),
        format!(
            "Socks/Node={} NtasksPerN:B:S:C={}:{}:{}:{} {core_spec}",
            or_star(asked.sockets_per_node),
            or_star(of.ntasks_per_node),
            or_star(asked.ntasks_per_board),
            or_stars(asked.ntasks_per_socket),
            or_stars(asked.ntasks_per_core)
        ),
    ]
}

/// How a job wants its cores laid out, in the order in which that travels.
struct Layout {
    boards_per_node: u16,
    sockets_per_board: u16,
    sockets_per_node: u16,
    cores_per_socket: u16,
    threads_per_core: u16,
    ntasks_per_board: u16,
    ntasks_per_socket: u16,
    ntasks_per_core: u16,
}

impl Layout {
    fn of(of: &Job) -> Layout {
        let numbers = of.mc_ptr.0.unwrap_or([0; 9]);
        let [boards_per_node, sockets_per_board, sockets_per_node, cores, threads, ..] = numbers;
        let [.., ntasks_per_board, ntasks_per_socket, ntasks_per_core, _] = numbers;
        Layout {
            boards_per_node,
            sockets_per_board,
            sockets_per_node,
            cores_per_socket: cores,
            threads_per_core: threads,
            ntasks_per_board,
            ntasks_per_socket,
            ntasks_per_core,
        }
    }
}

fn wishes(of: &Job) -> Vec<String> {
    const PER_CPU: u64 = 1 << 63;
    let per = if of.pn_min_memory & PER_CPU == 0 { "Node" } else { "CPU" };
    let mut lines = vec![
        format!(
            "MinCPUsNode={} MinMemory{per}={} MinTmpDiskNode={}",
            of.pn_min_cpus,
            units::text(of.pn_min_memory & !PER_CPU, units::MEGA),
            units::text(of.pn_min_tmp_disk.into(), units::MEGA)
        ),
        format!(
            "Features={} DelayBoot={}",
            text::or_null(&of.features),
            time::long(of.delay_boot.into())
        ),
    ];
    let more = [
        ("ClusterFeatures", &of.cluster_features),
        ("Prefer", &of.prefer),
        ("Reservation", &of.resv_name),
    ];
    lines.extend(present(&more));
    let share = match of.shared {
        0 => "NO",
        1 => "YES",
        2 => "USER",
        3 => "MCS",
        _ => "OK",
    };
    lines.push(format!(
        "OverSubscribe={share} Contiguous={} Licenses={} Network={}",
        of.contiguous,
        text::or_null(&of.licenses),
        text::or_null(&of.network)
    ));
    lines
}

/// `name=text`, of those that are there.
fn present(list: &[(&str, &Text)]) -> Vec<String> {
    let there = list.iter().filter(|(_, text)| !text.is_none());
    there.map(|(name, text)| format!("{name}={}", text::of(text))).collect()
}

fn files(of: &Job) -> Vec<String> {
    let mut lines = vec![
        format!("Command={}", text::or_null(&of.command)),
        format!("WorkDir={}", text::or_null(&of.work_dir)),
    ];
    let comments = [
        ("AdminComment", &of.admin_comment),
        ("SystemComment", &of.system_comment),
        ("Comment", &of.comment),
    ];
    lines.extend(present(&comments).into_iter().map(|line| line + " "));
    if of.batch_flag != 0 {
        lines.push(format!("StdErr={}", errors(of)));
        lines.push(format!("StdIn={}", input(of)));
        lines.push(format!("StdOut={}", output(of)));
    }
    lines
}

fn rest(of: &Job) -> Vec<String> {
    let mut lines = Vec::new();
    if of.req_switch != 0 {
        let wait = time::long(of.wait4switch.into());
        lines.push(format!("Switches={}@{wait}", of.req_switch));
    }
    lines.extend(present(&[
        ("BurstBuffer", &of.burst_buffer),
        ("BurstBufferState", &of.burst_buffer_state),
    ]));
    lines.extend(frequency(of.cpu_freq_gov, of.cpu_freq_min, of.cpu_freq_max));
    lines.push(format!("Power={}", if of.power_flags & 1 == 0 { "" } else { "LEVEL" }));
    let flags = [
        (bit::GRES_NO_BIND, "GresEnforceBind=No"),
        (bit::GRES_BIND, "GresEnforceBind=Yes"),
        (bit::KILL_INVALID, "KillOInInvalidDependent=Yes"),
        (bit::KEEP_INVALID, "KillOInInvalidDependent=No"),
        (bit::SPREAD, "SpreadJob=Yes"),
    ];
    let flags = flags.iter().filter(|(flag, _)| of.bitflags & flag != 0);
    let flags: String = flags.map(|(_, text)| *text).collect();
    lines.extend(Some(flags).filter(|flags| !flags.is_empty()));
    lines.extend(present(&[
        ("CpusPerTres", &of.cpus_per_tres),
        ("MemPerTres", &of.mem_per_tres),
        ("TresBind", &of.tres_bind),
        ("TresFreq", &of.tres_freq),
        ("TresPerJob", &of.tres_per_job),
        ("TresPerNode", &of.tres_per_node),
        ("TresPerSocket", &of.tres_per_socket),
        ("TresPerTask", &of.tres_per_task),
    ]));
    if of.mail_type != 0 && !of.mail_user.is_none() {
        let (who, when) = (text::of(&of.mail_user), mail_types(of.mail_type));
        lines.push(format!("MailUser={who} MailType={when}"));
    }
    let tasks = of.ntasks_per_tres;
    if tasks != 0 && !tasks.is_unset() && tasks != u16::INFINITE {
        lines.push(format!("NtasksPerTRES={tasks}"));
    }
    lines.extend(present(&[("Container", &of.container), ("SELinuxContext", &of.selinux_context)]));
    lines
}

/// How CPUs are to be clocked, if a job said so.
pub fn frequency(governor: u32, min: u32, max: u32) -> Option<String> {
    let is_set = |number: u32| number != 0 && !number.is_unset();
    let number = |name: &str, khz: u32| match is_set(khz) {
        true => format!("{name}={} ", words::frequency(khz)),
        false => String::new(),
    };
    if ![governor, min, max].into_iter().any(is_set) {
        return None;
    }
    let governor = match is_set(governor) {
        true => format!("Governor={}", words::frequency(governor)),
        false => String::new(),
    };
    Some(number("CPU_min_freq", min) + &number("CPU_max_freq", max) + &governor)
}

/// When mail is sent.
fn mail_types(types: u16) -> String {
    const NAMES: [(u16, &str); 11] = [
        (1 << 9, "ARRAY_TASKS"),
        (1 << 10, "INVALID_DEPEND"),
        (1, "BEGIN"),
        (1 << 1, "END"),
        (1 << 2, "FAIL"),
        (1 << 3, "REQUEUE"),
        (1 << 8, "STAGE_OUT"),
        (1 << 7, "TIME_LIMIT_50"),
        (1 << 6, "TIME_LIMIT_80"),
        (1 << 5, "TIME_LIMIT_90"),
        (1 << 4, "TIME_LIMIT"),
    ];
    if types == 0 {
        return "NONE".to_owned();
    }
    let set = NAMES.iter().filter(|(flag, _)| types & flag != 0).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(",")
}
