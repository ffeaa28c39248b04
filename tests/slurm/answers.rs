//! What the server of a test answers: a cluster of two nodes, one partition, one job.

use statedir::slurm::wire::constants::{job, node, partition, rc, select, step, tres};
use statedir::slurm::wire::tables::{
    Config, ControlStatus, Job, JobTimes, Listing, Node, NodeSelect, Partition, Registered,
    Submitted, Tres,
};
use statedir::slurm::wire::{Bits, Message, Scaled, SelectJob, Text, Time, Unset};

/// When everything happened.
pub const THEN: Time = Time(1_700_000_000);

/// The number of the job that there is, and that a submission gets.
pub const JOB_ID: u32 = 4711;

/// The answer to a message; `None` where nobody waits for one.
pub fn answer(asked: &Message) -> Option<Message> {
    Some(match asked {
        Message::ControlStatusRequest => {
            Message::ControlStatus(Box::new(ControlStatus { index: 0, in_charge_since: THEN }))
        }
        Message::ConfigRequest(_) => Message::Config(Box::new(config())),
        Message::JobsRequest(_) => jobs(),
        Message::JobRequest(wanted) if wanted.job_id == JOB_ID => jobs(),
        Message::JobRequest(_) => Message::code(rc::JOB),
        Message::StepsRequest(_) => Message::Steps(Box::default()),
        Message::NodesRequest(_) | Message::NodeRequest(_) => {
            let records = vec![node_called("n1", node::IDLE), node_called("n2", node::ALLOCATED)];
            Message::Nodes(Box::new(Listing { head: THEN, records }))
        }
        Message::PartitionsRequest(_) => {
            Message::Partitions(Box::new(Listing { head: THEN, records: vec![main_partition()] }))
        }
        Message::FederationRequest | Message::FrontEndsRequest(_) => Message::code(rc::UNSUPPORTED),
        Message::Submit(_) => Message::Submitted(Box::new(Submitted {
            job_id: JOB_ID,
            step_id: step::BATCH,
            ..Submitted::default()
        })),
        Message::Registration(wanted) if wanted.flags & 2 != 0 => registered(),
        Message::EpilogDone(_) => return None,
        _ => Message::code(rc::OK),
    })
}

fn registered() -> Message {
    let tres = tres::ALWAYS
        .map(|(id, kind)| Tres { id, kind: Text::from(kind), ..Tres::default() })
        .to_vec();
    Message::Registered(Box::new(Registered { tres: Some(tres), node_name: Text::NONE }))
}

fn config() -> Config {
    Config {
        last_update: THEN,
        boot_time: THEN,
        cluster_name: "stage".into(),
        control_machine: vec!["localhost".into()],
        control_addr: vec!["127.0.0.1".into()],
        authtype: "auth/munge".into(),
        slurm_user_name: "nobody-in-particular".into(),
        select_type: "select/cons_tres".into(),
        max_job_id: 67_043_328,
        version: "22.05.8".into(),
        ..Config::default()
    }
}

fn node_called(name: &str, state: u32) -> Node {
    Node {
        name: name.into(),
        node_hostname: name.into(),
        node_addr: "127.0.0.1".into(),
        port: 17001,
        next_state: u32::UNSET,
        node_state: state,
        version: "22.05.8".into(),
        cpus: 1,
        boards: 1,
        sockets: 1,
        cores: 1,
        threads: 1,
        real_memory: 100,
        cpus_efctv: 1,
        cpu_load: 123,
        free_mem: 77,
        weight: 1,
        owner: u32::UNSET,
        boot_time: THEN,
        last_busy: THEN,
        slurmd_start_time: THEN,
        select_nodeinfo: NodeSelect {
            plugin: SelectJob(select::CONS_TRES),
            alloc_cpus: u16::from(state == node::ALLOCATED),
            ..NodeSelect::default()
        },
        arch: "x86_64".into(),
        os: "Linux".into(),
        tres_fmt_str: "cpu=1,mem=100M,billing=1".into(),
        ..Node::default()
    }
}

fn main_partition() -> Partition {
    Partition {
        name: "main".into(),
        max_time: u32::INFINITE,
        default_time: u32::UNSET,
        max_nodes: u32::INFINITE,
        total_nodes: 2,
        total_cpus: 2,
        max_cpus_per_node: u32::INFINITE,
        flags: partition::DEFAULT,
        max_share: 1,
        over_time_limit: u16::UNSET,
        priority_job_factor: 1,
        priority_tier: 1,
        state_up: partition::UP,
        nodes: "n[1-2]".into(),
        node_inx: Bits::from_set(2, [0, 1]),
        tres_fmt_str: "cpu=2,mem=200M,node=2,billing=2".into(),
        ..Partition::default()
    }
}

fn jobs() -> Message {
    let job = Job {
        job_id: JOB_ID,
        array_task_id: u32::UNSET,
        user_id: 12_345,
        group_id: 12_345,
        user_name: "whoever".into(),
        name: "sleeper".into(),
        partition: "main".into(),
        nodes: "n2".into(),
        batch_host: "n2".into(),
        alloc_node: "localhost".into(),
        job_state: job::RUNNING,
        batch_flag: 1,
        time_limit: 60,
        time_min: 0,
        nice: job::NICE_OFFSET,
        site_factor: job::NICE_OFFSET,
        submit_time: THEN,
        eligible_time: THEN,
        start_time: THEN,
        end_time: Time(THEN.0 + 3600),
        priority: 4_294_901_760,
        billable_tres: Scaled::new(1.0),
        node_inx: Bits::from_set(2, [1]),
        num_cpus: 1,
        num_nodes: 1,
        num_tasks: 1,
        cpus_per_task: 1,
        requeue: 1,
        command: "/home/whoever/run.sh".into(),
        work_dir: "/home/whoever".into(),
        ntasks_per_node: 0,
        shared: u16::UNSET,
        core_spec: u16::UNSET,
        cpu_freq_min: u32::UNSET,
        cpu_freq_max: u32::UNSET,
        cpu_freq_gov: u32::UNSET,
        tres_req_str: "cpu=1,node=1,billing=1".into(),
        tres_alloc_str: "cpu=1,node=1,billing=1".into(),
        ..Job::default()
    };
    let head = JobTimes { last_update: THEN, last_backfill: Time(0) };
    Message::Jobs(Box::new(Listing { head, records: vec![job] }))
}
