//! Jobs and steps, as `squeue` and `scontrol show job` ask for them.

use crate::slurm::wire::Bits;
use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Scaled;
use crate::slurm::wire::SelectJob;
use crate::slurm::wire::Text;
use crate::slurm::wire::Time;
use crate::slurm::wire::Unless;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::StepId;

record! {
    /// A job (2004). `nice` and `site_factor` are above
    /// [`NICE_OFFSET`](crate::slurm::wire::constants::job::NICE_OFFSET); limits are minutes.
    Job {
        array_job_id: u32;
        array_task_id: u32;
        array_task_str: Text;
        array_max_tasks: u32;
        assoc_id: u32;
        container: Text;
        delay_boot: u32;
        job_id: u32;
        user_id: u32;
        group_id: u32;
        het_job_id: u32;
        het_job_id_set: Text;
        het_job_offset: u32;
        profile: u32;
        job_state: u32;
        batch_flag: u16;
        state_reason: u16;
        power_flags: u8;
        reboot: u8;
        restart_cnt: u16;
        show_flags: u16;
        deadline: Time;
        alloc_sid: u32;
        time_limit: u32;
        time_min: u32;
        nice: u32;
        submit_time: Time;
        eligible_time: Time;
        accrue_time: Time;
        start_time: Time;
        end_time: Time;
        suspend_time: Time;
        pre_sus_time: Time;
        resize_time: Time;
        last_sched_eval: Time;
        preempt_time: Time;
        priority: u32;
        billable_tres: Scaled;
        cluster: Text;
        nodes: Text;
        sched_nodes: Text;
        partition: Text;
        account: Text;
        admin_comment: Text;
        site_factor: u32;
        network: Text;
        comment: Text;
        container_again: Text;
        batch_features: Text;
        batch_host: Text;
        burst_buffer: Text;
        burst_buffer_state: Text;
        system_comment: Text;
        qos: Text;
        preemptable_time: Time;
        licenses: Text;
        state_desc: Text;
        resv_name: Text;
        mcs_label: Text;
        exit_code: u32;
        derived_ec: u32;
        gres_total: Text;
        job_resrcs: Unless<JobResources>;
        gres_detail_str: Vec<Text>;
        name: Text;
        user_name: Text;
        wckey: Text;
        req_switch: u32;
        wait4switch: u32;
        alloc_node: Text;
        node_inx: Bits;
        select_jobinfo: SelectJob;
        features: Text;
        prefer: Text;
        cluster_features: Text;
        work_dir: Text;
        dependency: Text;
        command: Text;
        num_cpus: u32;
        max_cpus: u32;
        num_nodes: u32;
        max_nodes: u32;
        requeue: u16;
        ntasks_per_node: u16;
        ntasks_per_tres: u16;
        num_tasks: u32;
        shared: u16;
        cpu_freq_min: u32;
        cpu_freq_max: u32;
        cpu_freq_gov: u32;
        cronspec: Text;
        contiguous: u16;
        core_spec: u16;
        cpus_per_task: u16;
        pn_min_cpus: u16;
        pn_min_memory: u64;
        pn_min_tmp_disk: u32;
        req_nodes: Text;
        req_node_inx: Bits;
        exc_nodes: Text;
        exc_node_inx: Bits;
        std_err: Text;
        std_in: Text;
        std_out: Text;
        mc_ptr: MultiCore;
        bitflags: u64;
        tres_alloc_str: Text;
        tres_req_str: Text;
        start_protocol_ver: u16;
        fed_origin_str: Text;
        fed_siblings_active: u64;
        fed_siblings_active_str: Text;
        fed_siblings_viable: u64;
        fed_siblings_viable_str: Text;
        cpus_per_tres: Text;
        mem_per_tres: Text;
        tres_bind: Text;
        tres_freq: Text;
        tres_per_job: Text;
        tres_per_node: Text;
        tres_per_socket: Text;
        tres_per_task: Text;
        mail_type: u16;
        mail_user: Text;
        selinux_context: Text;
    }

    /// Where a job runs, core by core. Arrays are by node, or by group of equal nodes.
    JobResources {
        nhosts: u32;
        ncpus: u32;
        node_req: u32;
        nodes: Text;
        whole_node: u8;
        threads_per_core: u16;
        cr_type: u16;
        cpu_array_reps: Vec<u32>;
        cpu_array_value: Vec<u16>;
        cpus: Vec<u16>;
        cpus_used: Vec<u16>;
        memory_allocated: Vec<u64>;
        memory_used: Vec<u64>;
        sockets_per_node: Vec<u16>;
        cores_per_socket: Vec<u16>;
        sock_core_rep_count: Vec<u32>;
        core_bitmap: Bits;
        core_bitmap_used: Bits;
    }

    /// A step of a job (2006).
    Step {
        array_job_id: u32;
        array_task_id: u32;
        step_id: StepId;
        user_id: u32;
        num_cpus: u32;
        cpu_freq_min: u32;
        cpu_freq_max: u32;
        cpu_freq_gov: u32;
        num_tasks: u32;
        task_dist: u32;
        time_limit: u32;
        state: u32;
        srun_pid: u32;
        start_time: Time;
        run_time: Time;
        cluster: Text;
        container: Text;
        partition: Text;
        srun_host: Text;
        resv_ports: Text;
        nodes: Text;
        name: Text;
        network: Text;
        node_inx: Bits;
        select_jobinfo: SelectJob;
        tres_alloc_str: Text;
        start_protocol_ver: u16;
        cpus_per_tres: Text;
        mem_per_tres: Text;
        submit_line: Text;
        tres_bind: Text;
        tres_freq: Text;
        tres_per_step: Text;
        tres_per_node: Text;
        tres_per_socket: Text;
        tres_per_task: Text;
    }

    /// Times in front of the jobs of a reply.
    JobTimes {
        last_update: Time;
        last_backfill: Time;
    }

    /// Jobs are asked for (2003): all, or those listed.
    JobsRequest {
        last_update: Time;
        show_flags: u16;
        job_ids: Option<Vec<u32>>;
    }

    /// A job is named (2021, 2051).
    JobRequest {
        job_id: u32;
        show_flags: u16;
    }

    /// The jobs of a user are asked for (2039).
    UserJobsRequest {
        user_id: u32;
        show_flags: u16;
    }

    /// Steps are asked for (2005).
    StepsRequest {
        last_update: Time;
        step_id: StepId;
        show_flags: u16;
    }
}

/// How a job wants its cores laid out: a byte 0, or 0xff, five numbers about what it asks and four
/// about how tasks go there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultiCore(pub Option<[u16; 9]>);

impl Field for MultiCore {
    const KIND: &'static str = "mcore";
    const LEAST: usize = 1;

    fn pack(&self, out: &mut Writer) {
        match &self.0 {
            Some(numbers) => {
                u8::MAX.pack(out);
                numbers.iter().for_each(|number| number.pack(out));
            }
            None => 0_u8.pack(out),
        }
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::unpack(input)? {
            0 => Ok(MultiCore(None)),
            u8::MAX => {
                let mut numbers = [0; 9];
                for number in &mut numbers {
                    *number = u16::unpack(input)?;
                }
                Ok(MultiCore(Some(numbers)))
            }
            other => Err(input.fails(Why::Undefined { value: other.into() })),
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        let numbers = std::array::from_fn(|_| u16::sample(choose));
        MultiCore((choose() % 2 == 1).then_some(numbers))
    }
}
