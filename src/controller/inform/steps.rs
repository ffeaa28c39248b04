//! What is told about steps: each job that runs has one, its batch script.

use crate::controller::inform::jobs::{Listed, Scene, Viewer};
use crate::controller::inform::select_plugin;
use crate::controller::job::Job;
use crate::slurm::hostlist::compress;
use crate::slurm::wire::constants::{job as state, step};
use crate::slurm::wire::tables::{Listing, Step, StepId, StepsRequest};
use crate::slurm::wire::{Bits, SelectJob, Time, Unset, Version};

/// The steps that are asked for: of all jobs, of one, or one.
#[must_use]
pub fn steps(scene: Scene<'_>, viewer: Viewer, asked: &StepsRequest) -> Listing<Time, Step> {
    let listed = Listed::new(scene, viewer);
    let wanted = asked.step_id.step_id.get().is_none_or(|step| step == step::BATCH);
    let of_job = |job: &Job| {
        asked.step_id.job_id.get().is_none_or(|id| id == job.id || id == job.course.array_job_id)
    };
    let busy = scene.state.busy.iter().filter_map(|id| scene.state.job(*id));
    let runs = busy.filter(|job| wanted && job.is_active() && of_job(job) && listed.shows(job));
    Listing { head: Time(scene.now), records: runs.map(|job| batch(&listed, job)).collect() }
}

fn batch(listed: &Listed<'_>, job: &Job) -> Step {
    let (course, scene) = (&job.course, &listed.scene);
    let host = course.batch_host.lossy();
    let all = u32::try_from(scene.conf.nodes.len()).expect("a hostlist's limit");
    let ran = scene.now.saturating_sub(course.start_time.0).max(0);
    let stopped = job.base() == state::SUSPENDED;
    Step {
        array_job_id: course.array_job_id,
        array_task_id: course.array_task_id,
        step_id: StepId { job_id: job.id, step_id: step::BATCH, step_het_comp: u32::UNSET },
        user_id: job.spec.user_id,
        num_tasks: 1,
        time_limit: u32::INFINITE,
        state: if stopped { state::SUSPENDED } else { state::RUNNING },
        start_time: course.start_time,
        run_time: if stopped { course.pre_sus_time } else { Time(ran) },
        cluster: scene.conf.text("ClusterName").into(),
        partition: course.partition.clone(),
        nodes: compress([&*host]).into(),
        name: "batch".into(),
        node_inx: Bits::from_set(all, listed.places.get(&*host).copied()),
        select_jobinfo: SelectJob(select_plugin(scene.conf)),
        start_protocol_ver: Version::V22_05.0,
        submit_line: job.spec.submit_line.clone(),
        ..Step::default()
    }
}
