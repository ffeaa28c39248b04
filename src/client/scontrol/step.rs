//! `scontrol show step`.

use super::{Desk, job};
use crate::client::job::show;
use crate::client::{job_state, squeue, text, time, units};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::tables::{Step, StepId, StepsRequest};
use crate::slurm::wire::{Message, Time, Unset};

/// Shows all steps, or those of a job.
pub fn show(desk: &Desk<'_>, id: Option<&str>) -> u8 {
    let (number, rest) = text::leading_number(id.unwrap_or("0"));
    let job_id = u32::try_from(number).ok().filter(|id| *id != 0).unwrap_or(u32::UNSET);
    let step = rest.strip_prefix('.').map(|step| text::leading_number(step).0);
    let step = step.and_then(|step| u32::try_from(step).ok());
    let step_id = StepId { job_id, step_id: step.unwrap_or(u32::UNSET), step_het_comp: u32::UNSET };
    let show_flags = if desk.all { show::ALL } else { 0 };
    let question = StepsRequest { last_update: Time(0), step_id, show_flags };
    let steps = match desk.cluster.ask(&Message::StepsRequest(Box::new(question))) {
        Ok(Message::Steps(listing)) => listing.records,
        Ok(_) => return 1,
        Err(failure) => return desk.failed("slurm_get_job_steps error", &failure),
    };
    if let (true, Some(id)) = (steps.is_empty(), id) {
        let what = if step.is_some() { "Job step" } else { "Job step(s) of job" };
        if !desk.quiet {
            text::print(&format!("{what} {id} not found\n"));
        }
        return 1;
    }
    if steps.is_empty() && !desk.quiet {
        text::print("No job steps in the system\n");
    }
    text::print(&steps.iter().map(|step| text_of(desk, step)).collect::<String>());
    0
}

fn text_of(desk: &Desk<'_>, of: &Step) -> String {
    let limit = if of.time_limit == u32::INFINITE {
        "UNLIMITED".to_owned()
    } else {
        time::long(i64::from(of.time_limit) * 60)
    };
    let nodes = text::of(&of.nodes);
    let count = expand(&nodes).map_or(0, |names| names.len() as u64);
    let clock = job::frequency(of.cpu_freq_gov, of.cpu_freq_min, of.cpu_freq_max);
    let mut lines = vec![
        format!(
            "StepId={} UserId={} StartTime={} TimeLimit={limit}",
            squeue::step_id(of),
            of.user_id,
            time::stamp(of.start_time)
        ),
        format!(
            "State={} Partition={} NodeList={}",
            job_state::full(of.state),
            text::or_null(&of.partition),
            squeue::sorted(&nodes)
        ),
        format!(
            "Nodes={} CPUs={} Tasks={} Name={} Network={}",
            units::text(count, 0),
            of.num_cpus,
            of.num_tasks,
            text::or_null(&of.name),
            text::or_null(&of.network)
        ),
        format!("TRES={}", text::or_null(&of.tres_alloc_str)),
        format!("ResvPorts={}", text::or_null(&of.resv_ports)),
        clock.unwrap_or_else(|| "CPUFreqReq=Default".to_owned()) + &distribution(of.task_dist),
        format!("SrunHost:Pid={}:{}", text::or_null(&of.srun_host), of.srun_pid),
    ];
    let more = [
        ("CpusPerTres", &of.cpus_per_tres),
        ("MemPerTres", &of.mem_per_tres),
        ("TresBind", &of.tres_bind),
        ("TresFreq", &of.tres_freq),
        ("TresPerStep", &of.tres_per_step),
        ("TresPerNode", &of.tres_per_node),
        ("TresPerSocket", &of.tres_per_socket),
        ("TresPerTask", &of.tres_per_task),
        ("Container", &of.container),
    ];
    let there = more.iter().filter(|(_, text)| !text.is_none());
    lines.extend(there.map(|(name, text)| format!("{name}={}", text::of(text))));
    lines.join(desk.line_end()) + desk.record_end()
}

/// How tasks are laid out, in the forms that most steps have.
fn distribution(number: u32) -> String {
    let name = match number & 0xffff {
        0 => return String::new(),
        1 => "Cyclic",
        2 => "Block",
        3 => "Arbitrary",
        4 => "Plane",
        0x11 => "CCyclic",
        0x21 => "BCyclic",
        _ => "Unknown",
    };
    format!(" Dist={name}")
}
