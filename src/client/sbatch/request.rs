//! The description of a job, of what was asked for.

use super::environment;
use super::options::Options;
use super::values::ANY_LAYOUT;
use crate::client::{Call, desc, text};
use crate::slurm::conf::Conf;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Text, Time};

/// It was said how many tasks, how many CPUs for each.
const NTASKS_SET: u64 = 1 << 14;
const CPUS_SET: u64 = 1 << 15;
const PER_CPU: u64 = 1 << 63;
const NICE_OFFSET: i64 = 0x8000_0000;

fn optional(value: &Option<String>) -> Text {
    value.as_ref().map_or(Text::NONE, |value| text::wire(value))
}

/// A count in sixteen bits; the largest for what is more.
fn short(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX - 2)
}

/// Makes it.
pub fn describe(
    call: &Call,
    conf: &Conf,
    options: &Options,
    body: &[u8],
    line: &str,
) -> Result<JobDesc, u8> {
    let mut desc = desc::blank(conf);
    texts(options, &mut desc);
    sizes(options, &mut desc);
    desc::mark_defaults(&mut desc);
    if let Some(spec) = options.core_spec.filter(|_| !conf.flag("AllowSpecResourcesUsage")) {
        let option = if spec & 0x8000 == 0 { "-S" } else { "--thread-spec" };
        call.error(&format!(
            "Ignoring {option} since it's not allowed by configuration (AllowSpecResourcesUsage = \
             No)"
        ));
    }
    desc.environment = environment::make(call, conf, options)?;
    desc.script = Text::from_bytes(body);
    desc.argv = options.argv.iter().map(|word| text::wire(word)).collect();
    desc.submit_line = text::wire(line);
    desc.user_id = options.uid.unwrap_or_else(|| rustix::process::getuid().as_raw());
    desc.group_id = options.gid.unwrap_or_else(|| rustix::process::getgid().as_raw());
    // 0 if the session's leader is outside of this process's PID namespace, as in a container.
    let session = nix::unistd::getsid(None).map_or(0, |id| id.as_raw());
    desc.alloc_sid = session.cast_unsigned();
    Ok(desc)
}

fn texts(options: &Options, desc: &mut JobDesc) {
    desc.account = optional(&options.account);
    desc.acctg_freq = optional(&options.accounting);
    desc.array_inx = optional(&options.array);
    desc.batch_features = optional(&options.batch);
    desc.cluster_features = optional(&options.cluster_constraint);
    desc.comment = optional(&options.comment);
    desc.container = optional(&options.container);
    desc.dependency = optional(&options.dependency);
    desc.exc_nodes = optional(&options.exclude);
    desc.features = optional(&options.constraint);
    desc.licenses = optional(&options.licenses);
    desc.mail_user = optional(&options.mail_user);
    desc.mcs_label = optional(&options.mcs_label);
    desc.name = text::wire(options.name.as_deref().unwrap_or("sbatch"));
    desc.network = optional(&options.network);
    desc.partition = optional(&options.partition);
    desc.prefer = optional(&options.prefer);
    desc.qos = optional(&options.qos);
    desc.req_nodes = optional(&options.nodelist);
    desc.reservation = optional(&options.reservation);
    desc.std_err = optional(&options.error);
    desc.std_in = optional(&options.input);
    desc.std_out = optional(&options.output);
    desc.wckey = optional(&options.wckey);
    desc.work_dir = text::wire(&options.chdir);
    let gres = options.gres.as_ref().map(|list| {
        let one = |part: &str| match part.strip_prefix("gres:") {
            Some(_) => part.to_owned(),
            None => format!("gres:{part}"),
        };
        list.split(',').map(one).collect::<Vec<_>>().join(",")
    });
    desc.tres_per_node = optional(&gres);
}

fn sizes(options: &Options, desc: &mut JobDesc) {
    desc.begin_time = Time(options.begin);
    desc.deadline = Time(options.deadline);
    desc.bitflags = options.bits;
    desc.contiguous = u16::from(options.contiguous);
    desc.mail_type = options.mail_type;
    desc.mem_bind_type = 0;
    desc.open_mode = options.open_mode;
    desc.task_dist = options.layout;
    desc.warn_signal = options.signal.signal;
    desc.warn_time = options.signal.seconds;
    desc.warn_flags = options.signal.flags;
    desc.core_spec = options.core_spec.unwrap_or(desc.core_spec);
    desc.delay_boot = options.delay_boot.unwrap_or(desc.delay_boot);
    desc.plane_size = options.plane.unwrap_or(desc.plane_size);
    desc.req_switch = options.switches.unwrap_or(desc.req_switch);
    desc.requeue = options.requeue.unwrap_or(desc.requeue);
    desc.shared = options.share.unwrap_or(desc.shared);
    desc.time_limit = options.time.unwrap_or(desc.time_limit);
    desc.time_min = options.time_min.unwrap_or(desc.time_min);
    desc.wait4switch = options.switches_wait.unwrap_or(desc.wait4switch);
    desc.wait_all_nodes = options.wait_all.unwrap_or(desc.wait_all_nodes);
    if options.no_kill {
        desc.kill_on_node_fail = 0;
    }
    if options.reboot {
        desc.reboot = 1;
    }
    if let Some(nice) = options.nice {
        desc.nice = u32::try_from(NICE_OFFSET + nice).expect("it was checked");
    }
    if options.hold {
        desc.priority = 0;
    } else if let Some(priority) = options.priority.filter(|priority| *priority != 0) {
        desc.priority = priority;
    }
    if let Some(tasks) = options.ntasks {
        desc.bitflags |= NTASKS_SET;
        desc.num_tasks = tasks;
    }
    if let Some(cpus) = options.cpus_per_task {
        desc.bitflags |= CPUS_SET;
        desc.cpus_per_task = short(cpus);
    }
    desc.min_cpus = match (options.overcommit, options.cpus_per_task, options.nodes) {
        (true, ..) => options.min_nodes().max(1),
        (_, Some(cpus), _) => options.tasks * cpus,
        (_, None, Some((0, _))) => 0,
        _ => options.tasks,
    };
    if options.overcommit {
        desc.overcommit = 1;
    }
    if let Some((least, most)) = options.nodes {
        desc.min_nodes = least;
        if most != 0 {
            desc.max_nodes = most;
        }
    }
    layout(options, desc);
}

fn layout(options: &Options, desc: &mut JobDesc) {
    let fields = [
        (&mut desc.sockets_per_node, options.sockets_per_node),
        (&mut desc.cores_per_socket, options.cores_per_socket),
        (&mut desc.threads_per_core, options.threads_per_core),
        (&mut desc.ntasks_per_node, options.per_node),
        (&mut desc.ntasks_per_socket, options.per_socket),
        (&mut desc.ntasks_per_core, options.per_core),
        (&mut desc.pn_min_cpus, options.min_cpus),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            *field = short(value);
        }
    }
    match (options.mem, options.mem_per_cpu) {
        (Some(mb), _) => desc.pn_min_memory = mb,
        (None, Some(mb)) => desc.pn_min_memory = mb | PER_CPU,
        _ => {}
    }
    if let Some(mb) = options.tmp {
        desc.pn_min_tmp_disk = u32::try_from(mb).unwrap_or(u32::MAX - 2);
    }
    debug_assert!(options.layout <= ANY_LAYOUT);
}
