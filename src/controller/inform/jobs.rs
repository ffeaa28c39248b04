//! What is told about jobs. Field by field what Slurm's own controller says; tests compare the two.
//!
//! Invariants: only durable state is shown, and what the scheduler thinks of it; a job is shown to
//! those who may see it.

use crate::controller::core::array::throttle;
use crate::controller::core::array_list::mask;
use crate::controller::core::{current, members};
use crate::controller::inform::{SHOW_ALL, SHOW_DETAIL, amounts, select_plugin};
use crate::controller::job::{Job, Share};
use crate::controller::memory::PER_CPU;
use crate::controller::sched::{Forecast, Forecasts};
use crate::controller::state::State;
use crate::slurm::conf::{Conf, Partition};
use crate::slurm::hostlist::{compress, expand};
use crate::slurm::wire::constants::job::NICE_OFFSET;
use crate::slurm::wire::constants::{reason, select};
use crate::slurm::wire::tables::{Job as JobInfo, JobTimes, Listing, MultiCore};
use crate::slurm::wire::{Bits, Scaled, SelectJob, Text, Time, Unless, Unset, Version};
use std::collections::HashMap;

/// Priorities begin below this one, and go down by one with each job (priority/basic).
const TOP_PRIORITY: u32 = 0xffff_0000;
/// In `max_share`: jobs share resources whether they want to or not.
const FORCE: u16 = 0x8000;
/// In `bitflags`: it runs.
const WAS_RUNNING: u64 = 1 << 20;
/// In `bitflags`: what it had is settled.
const COUNTED: u64 = 1 << 11;
/// In `bitflags`: of a range of numbers of nodes the least is wanted.
const USE_MIN_NODES: u64 = 1 << 9;
/// Seconds that a job without a limit is thought to run.
const YEAR: i64 = 365 * 24 * 3600;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The configuration.
    pub conf: &'a Conf,
    /// The state.
    pub state: &'a State,
    /// What the scheduler has found about jobs that wait.
    pub forecasts: &'a Forecasts,
    /// Seconds since 1970.
    pub now: i64,
}

/// Who asks, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    /// User id.
    pub uid: u32,
    /// Whether all is shown to him.
    pub admin: bool,
    /// The flags of the request.
    pub show: u16,
}

/// What is needed of a partition again and again.
struct Queue {
    partition: Partition,
    max_cpus: u32,
    max_cores: u32,
    first_memory: u64,
    /// CPUs of its nodes, those that are taken first in front.
    cpus: Vec<u32>,
}

/// What is needed for many jobs again and again.
pub struct Listed<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) viewer: Viewer,
    queues: HashMap<String, Queue>,
    pub(super) places: HashMap<&'a str, u32>,
    private: bool,
}

impl<'a> Listed<'a> {
    pub(super) fn new(scene: Scene<'a>, viewer: Viewer) -> Listed<'a> {
        let conf = scene.conf;
        let queue = |partition: Partition| {
            let members = members(conf, &partition);
            let nodes = || members.iter().map(|at| &conf.nodes[*at]);
            let max_cpus = nodes().map(|node| u32::from(node.cpus)).max().unwrap_or(1).max(1);
            let cores = nodes().map(|node| u32::from(node.sockets) * u32::from(node.cores));
            let memory =
                nodes().next().map(|node| node.real_memory.saturating_sub(node.mem_spec_limit));
            let mut by_weight: Vec<_> = nodes().collect();
            by_weight.sort_by_key(|node| node.weight);
            let most = partition.max_cpus_per_node;
            let queue = Queue {
                cpus: by_weight.iter().map(|node| u32::from(node.cpus).min(most)).collect(),
                max_cpus,
                max_cores: cores.max().unwrap_or(1).max(1),
                first_memory: memory.unwrap_or(0),
                partition,
            };
            (queue.partition.name.clone(), queue)
        };
        let place = |(at, node): (usize, &'a crate::slurm::conf::Node)| {
            (node.name.as_str(), u32::try_from(at).expect("a hostlist's limit"))
        };
        let private = conf.text("PrivateData").unwrap_or("").to_ascii_lowercase();
        Listed {
            scene,
            viewer,
            queues: current(conf, scene.state).into_iter().map(queue).collect(),
            places: conf.nodes.iter().enumerate().map(place).collect(),
            private: private.split(',').any(|word| matches!(word, "jobs" | "all")),
        }
    }

    /// How many jobs may share a CPU where the job runs, as the partition says.
    pub(super) fn max_share(&self, job: &Job) -> u16 {
        self.queue(job).map_or(1, |queue| queue.partition.max_share)
    }

    fn queue(&self, job: &Job) -> Option<&Queue> {
        let name = match job.course.partition.is_empty() || job.is_pending() {
            true => job.spec.partition.lossy(),
            false => job.course.partition.lossy(),
        };
        self.queues.get(name.split(',').next().unwrap_or(""))
    }

    /// Whether the job is shown to who asks.
    pub(super) fn shows(&self, job: &Job) -> bool {
        if self.viewer.admin {
            return true;
        }
        if self.private && job.spec.user_id != self.viewer.uid {
            return false;
        }
        self.viewer.show & SHOW_ALL != 0 || !self.is_hidden(job)
    }

    fn is_hidden(&self, job: &Job) -> bool {
        let names = job.spec.partition.lossy();
        let mut queues = names.split(',').map(|name| self.queues.get(name));
        queues.all(|queue| queue.is_some_and(|queue| queue.partition.hidden))
    }

    fn forecast(&self, job: &Job) -> Option<&'a Forecast> {
        self.scene.forecasts.get(&job.id).filter(|_| job.is_pending())
    }

    fn bits<'b>(&self, names: impl IntoIterator<Item = &'b str>) -> Bits {
        let all = u32::try_from(self.scene.conf.nodes.len()).expect("a hostlist's limit");
        let places = names.into_iter().filter_map(|name| self.places.get(name).copied());
        Bits::from_set(all, places)
    }
}

/// All jobs that are shown, or those of the list; of one user alone, if one is named.
#[must_use]
pub fn jobs(
    scene: Scene<'_>,
    viewer: Viewer,
    ids: Option<&[u32]>,
    user: Option<u32>,
) -> Listing<JobTimes, JobInfo> {
    let listed = Listed::new(scene, viewer);
    let shown = |job: &Job| user.is_none_or(|user| job.spec.user_id == user) && listed.shows(job);
    let records = match ids {
        None => scene
            .state
            .jobs
            .values()
            .filter(|job| shown(job))
            .map(|job| info(&listed, job))
            .collect(),
        Some(ids) => {
            let found = ids.iter().filter_map(|id| scene.state.job(*id));
            found.filter(|job| shown(job)).map(|job| info(&listed, job)).collect()
        }
    };
    Listing { head: head(scene), records }
}

/// One job, or all that is left of an array; `None`: there is none that is shown.
#[must_use]
pub fn one_job(scene: Scene<'_>, viewer: Viewer, id: u32) -> Option<Listing<JobTimes, JobInfo>> {
    let listed = Listed::new(scene, viewer);
    let own = scene.state.job(id);
    let own_array = own.is_none_or(|job| job.is_array() || job.course.array_job_id == id);
    let rest = scene.state.array(id).filter(|job| own_array && job.id != id);
    let found = own.into_iter().chain(rest).filter(|job| listed.shows(job));
    let records: Vec<JobInfo> = found.map(|job| info(&listed, job)).collect();
    (!records.is_empty()).then(|| Listing { head: head(scene), records })
}

fn head(scene: Scene<'_>) -> JobTimes {
    JobTimes { last_update: Time(scene.now), last_backfill: Time(0) }
}

fn info(listed: &Listed<'_>, job: &Job) -> JobInfo {
    let (spec, course) = (&*job.spec, &job.course);
    let array = throttle(listed.scene.state, course.array_job_id);
    let requested = JobInfo {
        array_job_id: course.array_job_id,
        array_task_id: course.array_task_id,
        array_task_str: job.is_array().then(|| mask(&course.tasks)).into(),
        array_max_tasks: if course.array_job_id == 0 { 0 } else { array },
        container: spec.container.clone(),
        delay_boot: spec.delay_boot.get().unwrap_or(0),
        job_id: job.id,
        user_id: spec.user_id,
        group_id: spec.group_id,
        profile: spec.profile,
        job_state: course.state,
        batch_flag: course.requeues.saturating_add(1),
        power_flags: spec.power_flags,
        restart_cnt: course.restart_cnt,
        show_flags: listed.viewer.show,
        deadline: spec.deadline,
        reboot: u8::from(spec.reboot == 1),
        alloc_sid: spec.alloc_sid,
        time_min: spec.time_min,
        nice: spec.nice,
        submit_time: course.submit_time,
        accrue_time: course.accrue_time,
        resize_time: course.resize_time,
        suspend_time: course.suspend_time,
        pre_sus_time: course.pre_sus_time,
        billable_tres: Scaled::new(f64::from(u32::UNSET)),
        cluster: listed.scene.conf.text("ClusterName").into(),
        account: spec.account.clone(),
        admin_comment: spec.admin_comment.clone(),
        site_factor: NICE_OFFSET,
        network: spec.network.clone(),
        comment: spec.comment.clone(),
        container_again: spec.container.clone(),
        batch_features: spec.batch_features.clone(),
        batch_host: course.batch_host.clone(),
        burst_buffer: spec.burst_buffer.clone(),
        licenses: spec.licenses.clone(),
        resv_name: spec.reservation.clone(),
        mcs_label: spec.mcs_label.clone(),
        exit_code: course.exit_code,
        derived_ec: course.derived_ec,
        name: spec.name.clone(),
        user_name: course.user_name.clone(),
        wckey: spec.wckey.clone(),
        req_switch: spec.req_switch.get().unwrap_or(0),
        wait4switch: spec.wait4switch.get().unwrap_or(0),
        alloc_node: spec.alloc_node.clone(),
        select_jobinfo: SelectJob(select_plugin(listed.scene.conf)),
        features: spec.features.clone(),
        prefer: if job.is_pending() { spec.prefer.clone() } else { Text::NONE },
        cluster_features: spec.cluster_features.clone(),
        work_dir: spec.work_dir.clone(),
        dependency: course.dependency.clone(),
        command: spec.argv.first().cloned().unwrap_or(Text::NONE),
        requeue: spec.requeue,
        ntasks_per_node: spec.ntasks_per_node.get().unwrap_or(0),
        ntasks_per_tres: spec.ntasks_per_tres.get().unwrap_or(0),
        cpu_freq_min: spec.cpu_freq_min,
        cpu_freq_max: spec.cpu_freq_max,
        cpu_freq_gov: spec.cpu_freq_gov,
        contiguous: spec.contiguous,
        core_spec: u16::UNSET,
        cpus_per_task: spec.cpus_per_task.get().unwrap_or(1),
        pn_min_cpus: spec.pn_min_cpus,
        pn_min_memory: spec.pn_min_memory,
        pn_min_tmp_disk: spec.pn_min_tmp_disk,
        std_err: spec.std_err.clone(),
        std_in: spec.std_in.clone(),
        std_out: spec.std_out.clone(),
        mc_ptr: layout(job),
        bitflags: spec.bitflags,
        start_protocol_ver: Version::V22_05.0,
        mail_type: spec.mail_type,
        mail_user: mail_user(job),
        ..JobInfo::default()
    };
    placed(listed, job, timed(listed, job, requested))
}

fn mail_user(job: &Job) -> Text {
    match job.spec.mail_user.is_empty() {
        true => job.course.user_name.clone(),
        false => job.spec.mail_user.clone(),
    }
}

/// How it wants its cores: what is asked for, and how tasks are spread.
fn layout(job: &Job) -> MultiCore {
    let spec = &job.spec;
    let per = |number: u16| number.get().unwrap_or(u16::INFINITE);
    MultiCore(Some([
        0,
        0,
        spec.sockets_per_node,
        spec.cores_per_socket,
        spec.threads_per_core,
        0,
        per(spec.ntasks_per_socket),
        per(spec.ntasks_per_core),
        spec.plane_size.get().unwrap_or(0),
    ]))
}

/// Reason, priority and times.
fn timed(listed: &Listed<'_>, job: &Job, info: JobInfo) -> JobInfo {
    let (course, spec) = (&job.course, &job.spec);
    let (now, forecast) = (listed.scene.now, listed.forecast(job));
    let queue = listed.queue(job);
    let time_limit = match (course.time_limit.get(), queue) {
        (None, Some(queue)) => queue.partition.max_time,
        (None, None) => u32::UNSET,
        (Some(limit), _) => limit,
    };
    let limit = match time_limit {
        u32::UNSET => None,
        u32::INFINITE => Some(YEAR),
        minutes => Some(i64::from(minutes) * 60),
    };
    let (mut start_time, mut end_time) = (course.start_time, course.end_time);
    if job.is_pending() {
        let thought = forecast.map_or(0, |forecast| forecast.start);
        start_time = match thought {
            0 if spec.begin_time.0 > now => spec.begin_time,
            0 => Time(0),
            at => Time(at.max(now)),
        };
        // The length that clients are told of jobs without a limit is all bits of the number.
        let minutes = time_limit.get().filter(|_| start_time.0 != 0);
        end_time = Time(minutes.map_or(0, |minutes| start_time.0 + i64::from(minutes) * 60));
    } else if job.is_active() && end_time.0 == 0 {
        end_time = Time(start_time.0 + limit.unwrap_or(YEAR));
    }
    let fixed = course.priority == 0
        || matches!(course.reason, reason::DEPENDENCY_NEVER | reason::MAX_REQUEUE);
    let (state_reason, state_desc) = match forecast.filter(|_| !fixed) {
        Some(forecast) => (forecast.reason, forecast.text.clone()),
        None => (course.reason, course.state_desc.clone()),
    };
    let evaluated = match (forecast, job.is_pending()) {
        (Some(forecast), _) => Time(forecast.evaluated),
        (None, true) => course.submit_time,
        (None, false) => Time(course.start_time.0.max(course.submit_time.0)),
    };
    let priority = match (course.priority.get(), forecast) {
        (Some(priority), _) => priority,
        (None, Some(forecast)) => forecast.priority,
        (None, None) => basic_priority(job),
    };
    JobInfo {
        state_reason,
        state_desc,
        time_limit,
        eligible_time: course.eligible_time,
        start_time,
        end_time,
        last_sched_eval: evaluated,
        priority,
        ..info
    }
}

/// The priority that a job gets by its place in the queue.
#[must_use]
pub fn basic_priority(job: &Job) -> u32 {
    let id = job.script_id();
    let nice = i64::from(job.spec.nice.get().unwrap_or(NICE_OFFSET)) - i64::from(NICE_OFFSET);
    let priority = i64::from(TOP_PRIORITY) - i64::from(id) - nice;
    u32::try_from(priority.clamp(1, i64::from(u32::UNSET) - 1)).expect("it is in the range")
}

/// Where it runs or may run, and what it has.
fn placed(listed: &Listed<'_>, job: &Job, info: JobInfo) -> JobInfo {
    let (course, spec) = (&job.course, &job.spec);
    let queue = listed.queue(job);
    let has = !job.is_pending() && !course.shares.is_empty();
    let names = |text: &Text| expand(&text.lossy()).unwrap_or_default();
    let (required, excluded) = (names(&spec.req_nodes), names(&spec.exc_nodes));
    let list_bits = |text: &Text, names: &[String]| match text.is_empty() {
        true => Bits::NONE,
        false => listed.bits(names.iter().map(String::as_str)),
    };
    let there: Vec<String> = match (job.is_completing(), has) {
        (true, _) => course.completing.iter().map(|node| node.lossy().into_owned()).collect(),
        (false, true) => {
            course.shares.iter().map(|share| share.node.lossy().into_owned()).collect()
        }
        (false, false) => Vec::new(),
    };
    let cpus: u32 = course.shares.iter().map(|share| u32::from(share.cpus)).sum();
    let nodes = u32::try_from(course.shares.len()).expect("a hostlist's limit");
    let detail = listed.viewer.show & SHOW_DETAIL != 0 && has;
    let (num_nodes, max_nodes) = match (has, queue) {
        (true, _) => (nodes, 0),
        (false, queue) => (likely_nodes(job, queue), spec.max_nodes),
    };
    JobInfo {
        nodes: (!there.is_empty()).then(|| compress(there.iter().map(String::as_str))).into(),
        node_inx: match there.is_empty() {
            true => Bits::NONE,
            false => listed.bits(there.iter().map(String::as_str)),
        },
        sched_nodes: listed.forecast(job).map_or(Text::NONE, |forecast| forecast.nodes.clone()),
        partition: match job.is_pending() || course.partition.is_empty() {
            true => spec.partition.clone(),
            false => course.partition.clone(),
        },
        job_resrcs: Unless(detail.then(|| Box::new(super::resources::of(listed, job)))),
        num_cpus: if has { cpus } else { spec.min_cpus },
        max_cpus: if has { 0 } else { spec.max_cpus.get().unwrap_or(0) },
        num_nodes,
        max_nodes,
        num_tasks: match spec.num_tasks.get().filter(|tasks| *tasks > 0) {
            Some(tasks) => tasks,
            None if job.is_pending() => spec.min_nodes,
            None if has => nodes,
            None => u32::UNSET,
        },
        shared: shared(job, queue, super::select_plugin(listed.scene.conf) == select::LINEAR),
        req_node_inx: list_bits(&spec.req_nodes, &required),
        req_nodes: spec.req_nodes.clone(),
        exc_node_inx: list_bits(&spec.exc_nodes, &excluded),
        exc_nodes: spec.exc_nodes.clone(),
        billable_tres: if has { Scaled::new(f64::from(cpus)) } else { info.billable_tres },
        bitflags: match (has, job.is_active()) {
            (true, true) => info.bitflags | WAS_RUNNING,
            (true, false) => info.bitflags | COUNTED,
            (false, _) => info.bitflags,
        },
        tres_alloc_str: has.then(|| allocated(&course.shares)).into(),
        tres_req_str: wanted(job, queue).into(),
        ..info
    }
}

/// How many nodes a job that waits will take. Where it could run as far as its request goes, the
/// nodes are counted that would be taken if all were free.
fn likely_nodes(job: &Job, queue: Option<&Queue>) -> u32 {
    let limited = [
        reason::PARTITION_NODE_LIMIT,
        reason::PARTITION_TIME_LIMIT,
        reason::PARTITION_CONFIG,
        reason::PARTITION_INACTIVE,
        reason::NODE_MEMORY_LIMIT,
        reason::ACCOUNT,
    ];
    let could = job.course.priority != 0 && !limited.contains(&job.course.reason);
    match queue.filter(|_| could && job.is_pending()) {
        Some(queue) => taken_nodes(job, queue),
        None => nodes_by_tasks(job, queue),
    }
}

fn taken_nodes(job: &Job, queue: &Queue) -> u32 {
    let spec = &job.spec;
    let named = spec.max_nodes.get().unwrap_or(0).min(queue.partition.max_nodes);
    let wished = if spec.bitflags & USE_MIN_NODES == 0 { named } else { 0 };
    let least = spec.min_nodes.max(queue.partition.min_nodes).max(wished);
    if spec.overcommit == 1 {
        return least;
    }
    let each = u32::from(spec.cpus_per_task.get().unwrap_or(1).max(1));
    let most = match spec.ntasks_per_node.get().unwrap_or(0) {
        0 => u32::MAX,
        tasks => u32::from(tasks) * each,
    };
    let (mut left, mut count) = (spec.min_cpus, 0);
    for cpus in &queue.cpus {
        if left == 0 {
            break;
        }
        let gives = (*cpus).min(most) / each * each;
        (left, count) = (left.saturating_sub(gives), count + u32::from(gives > 0));
    }
    count.max(least)
}

fn nodes_by_tasks(job: &Job, queue: Option<&Queue>) -> u32 {
    let spec = &job.spec;
    let tasks = spec.num_tasks.get().unwrap_or(0);
    let (max_cpus, max_cores) = queue.map_or((1, 1), |queue| (queue.max_cpus, queue.max_cores));
    let per_node = u32::from(spec.ntasks_per_node.get().unwrap_or(0));
    let each = u32::from(spec.cpus_per_task.get().unwrap_or(1));
    let per_core = spec.ntasks_per_core.get().filter(|number| *number != u16::INFINITE);
    let by_tasks = match (per_node, each, per_core.map_or(0, u32::from)) {
        (per_node @ 1.., ..) => tasks / per_node,
        (0, each @ 2.., _) => tasks.div_ceil((max_cpus / each).max(1)),
        (0, _, per_core @ 1..) => tasks.div_ceil(per_core).div_ceil(max_cores),
        _ => tasks.div_ceil(max_cpus),
    };
    by_tasks.max(spec.min_nodes)
}

/// Whether it shares nodes with others, as far as that is settled.
fn shared(job: &Job, queue: Option<&Queue>, linear: bool) -> u16 {
    let (own, Some(partition)) = (job.spec.shared, queue.map(|queue| &queue.partition)) else {
        return job.spec.shared;
    };
    match (partition.max_share, own) {
        (0, _) => 0,
        (share, _) if share & FORCE != 0 && share & !FORCE > 1 => 1,
        // Whole nodes are shared by those alone that ask for it.
        (share, 1) if linear => u16::from(share != 1),
        _ if linear => 0,
        (_, u16::MAX | u16::UNSET) if partition.exclusive_user => 2,
        (_, own) => own,
    }
}

fn allocated(shares: &[Share]) -> String {
    let cpus = shares.iter().map(|share| u64::from(share.cpus)).sum();
    let memory = shares.iter().map(|share| share.memory).sum();
    amounts(cpus, memory, Some(shares.len()))
}

/// What it asks for, in all.
fn wanted(job: &Job, queue: Option<&Queue>) -> String {
    let spec = &job.spec;
    let (cpus, nodes) = (u64::from(spec.min_cpus), u64::from(spec.min_nodes));
    let memory = match spec.pn_min_memory {
        0 => queue.map_or(0, |queue| queue.first_memory).saturating_mul(nodes),
        each if each & PER_CPU != 0 => (each & !PER_CPU).saturating_mul(cpus),
        each => each.saturating_mul(nodes),
    };
    amounts(cpus, memory, usize::try_from(nodes).ok())
}
