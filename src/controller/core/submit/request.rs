//! What is wrong with a request whatever the cluster looks like: who asks, what he may ask for,
//! how long texts are, what is not supported here. And defaults that rest on nothing else.

use crate::controller::core::Who;
use crate::controller::core::submit::refusal::{Refusal, code};
use crate::slurm::conf::Conf;
use crate::slurm::hostlist;
use crate::slurm::wire::constants::job::NICE_OFFSET;
use crate::slurm::wire::tables::JobDesc;
use crate::slurm::wire::{Text, Unset};

/// Longest script in bytes, unless SchedulerParameters=max_script_size says otherwise.
const SCRIPT_MAX: u32 = 4 << 20;
/// Longest path.
const PATH_MAX: usize = 4096;
/// Longest of most texts.
const SHORT_MAX: usize = 1024;
/// Longest of texts that list jobs or CPUs.
const LONG_MAX: usize = 128 << 10;
/// Longest command line of a client.
const LINE_MAX: usize = 1 << 20;

/// Who the job belongs to is who asks, unless an administrator says otherwise.
pub fn owner(spec: &mut JobDesc, who: &Who) -> Result<(), Refusal> {
    spec.user_id = spec.user_id.get().unwrap_or(who.uid);
    spec.group_id = spec.group_id.get().unwrap_or(who.gid);
    if who.admin {
        return Ok(());
    }
    if spec.user_id != who.uid {
        return Err(code::USER.into());
    }
    if spec.group_id == who.gid { Ok(()) } else { Err(code::GROUP_ID.into()) }
}

/// Where the job was submitted, as its client says: clients leave the field to the controller, and
/// put the name into the job's environment.
pub fn from_where(spec: &mut JobDesc, environment: &[Text]) {
    if spec.alloc_node.is_empty() {
        let name =
            |line: &Text| line.bytes().strip_prefix(b"SLURM_SUBMIT_HOST=").map(Text::from_bytes);
        spec.alloc_node = environment.iter().find_map(name).unwrap_or(Text::NONE);
    }
}

/// What only administrators may.
pub fn rights(spec: &mut JobDesc, who: &Who, conf: &Conf) -> Result<(), Refusal> {
    let reboot = !matches!(spec.reboot, 0 | u16::UNSET);
    if !who.admin {
        if spec.priority != 0 {
            spec.priority = u32::UNSET;
        }
        if spec.nice < NICE_OFFSET {
            return Err(code::NICE.into());
        }
        if !spec.admin_comment.is_none() {
            return Err(code::ACCESS.into());
        }
        if reboot {
            let line = "rebooting of nodes is only allowed for admins";
            return Err(Refusal::because(code::ACCESS, line));
        }
    }
    if spec.priority == u32::INFINITE {
        // `--no-hold`, as it were.
        spec.priority = u32::UNSET;
    }
    // Nodes cannot be booted anew without a program that does it: Slurm gives such a job idle nodes
    // for itself, and that is all.
    let program = conf.text("RebootProgram").is_some_and(|text| !text.is_empty());
    if reboot && program { Err(code::UNSUPPORTED.into()) } else { Ok(()) }
}

/// Texts that are longer than anybody needs.
pub fn lengths(spec: &JobDesc, script: &Text, conf: &Conf) -> Result<(), Refusal> {
    let script_max = parameter(conf, "max_script_size=").unwrap_or(SCRIPT_MAX) as usize;
    let fine = [
        (&spec.account, SHORT_MAX),
        (&spec.alloc_node, SHORT_MAX),
        (&spec.array_inx, 4 * SHORT_MAX),
        (&spec.burst_buffer, 8 * SHORT_MAX),
        (&spec.comment, SHORT_MAX),
        (&spec.cpu_bind, LONG_MAX),
        (&spec.dependency, LONG_MAX),
        (&spec.features, SHORT_MAX),
        (&spec.cluster_features, SHORT_MAX),
        (&spec.mail_user, SHORT_MAX),
        (&spec.mcs_label, SHORT_MAX),
        (&spec.mem_bind, LONG_MAX),
        (&spec.name, SHORT_MAX),
        (&spec.network, SHORT_MAX),
        (&spec.partition, SHORT_MAX),
        (&spec.prefer, SHORT_MAX),
        (&spec.qos, SHORT_MAX),
        (script, script_max),
        (&spec.std_err, PATH_MAX),
        (&spec.std_in, PATH_MAX),
        (&spec.std_out, PATH_MAX),
        (&spec.submit_line, LINE_MAX),
        (&spec.wckey, SHORT_MAX),
        (&spec.work_dir, PATH_MAX),
    ];
    let fits = fine.iter().all(|(text, max)| text.bytes().len() <= *max);
    if fits { Ok(()) } else { Err(code::TOO_LONG.into()) }
}

/// A number in SchedulerParameters.
pub fn parameter(conf: &Conf, name: &str) -> Option<u32> {
    let text = conf.text("SchedulerParameters")?;
    let value = text.split(',').find_map(|part| part.strip_prefix(name))?;
    value.parse().ok()
}

/// What is not done here is refused, with the number that says so best.
pub fn unsupported(spec: &JobDesc, conf: &Conf) -> Result<(), Refusal> {
    let gres =
        [&spec.tres_per_job, &spec.tres_per_node, &spec.tres_per_socket, &spec.tres_per_task];
    let of_gres = [&spec.cpus_per_tres, &spec.mem_per_tres, &spec.tres_bind, &spec.tres_freq];
    let asked = |texts: &[&Text]| texts.iter().any(|text| !text.is_empty());
    if spec.immediate == 1 {
        return Err(code::NOT_IMMEDIATELY.into());
    }
    if !matches!(spec.x11, 0 | u16::UNSET) {
        return Err(code::X11.into());
    }
    if asked(&[&spec.licenses]) {
        return Err(code::LICENSES.into());
    }
    if asked(&gres) {
        return Err(code::GRES.into());
    }
    if asked(&of_gres) {
        return Err(code::RESOURCES.into());
    }
    if asked(&[&spec.reservation]) {
        return Err(code::RESERVATION.into());
    }
    // Without a plugin for them, what a burst buffer is to hold is noted, and that is all.
    let buffers = conf.text("BurstBufferType").is_some_and(|text| !text.is_empty());
    if buffers && asked(&[&spec.burst_buffer]) { Err(code::UNSUPPORTED.into()) } else { Ok(()) }
}

/// Numbers of nodes, tasks and CPUs that follow from each other.
pub fn sizes(spec: &mut JobDesc) -> Result<(), Refusal> {
    if !spec.req_nodes.is_none() {
        let named = hostlist::expand(&spec.req_nodes.lossy()).map_err(|_| code::NODE)?;
        let named = u32::try_from(named.len()).unwrap_or(u32::MAX);
        if spec.min_nodes.get().is_none_or(|least| least < named) {
            spec.min_nodes = named;
        }
    }
    if let (Some(each), Some(nodes), None) =
        (spec.ntasks_per_node.get(), spec.min_nodes.get(), spec.num_tasks.get())
    {
        spec.num_tasks = u32::from(each).saturating_mul(nodes);
    }
    if !matches!(spec.reboot, 0 | u16::UNSET) {
        spec.shared = 0;
    }
    let overcommit = !spec.overcommit.is_unset();
    if let (false, Some(cpus), Some(tasks)) =
        (overcommit, spec.min_cpus.get(), spec.num_tasks.get())
        && tasks > cpus
    {
        let each = spec.cpus_per_task.get().map_or(1, u32::from);
        spec.min_cpus = tasks.saturating_mul(each);
        if spec.max_cpus.get().is_some_and(|most| most < spec.min_cpus) {
            spec.max_cpus = spec.min_cpus;
        }
    }
    Ok(())
}
