//! What users want done with jobs: submit, change, cancel, suspend, requeue.

use crate::slurm::wire::CronEntry;
use crate::slurm::wire::Scaled;
use crate::slurm::wire::SelectJob;
use crate::slurm::wire::Text;
use crate::slurm::wire::Time;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::StepId;

record! {
    /// A job as its user describes it (4003), or changes it (3001). What is not set is the
    /// [`UNSET`](crate::slurm::wire::Unset) of its width.
    JobDesc {
        site_factor: u32;
        batch_features: Text;
        cluster_features: Text;
        clusters: Text;
        contiguous: u16;
        container: Text;
        core_spec: u16;
        task_dist: u32;
        kill_on_node_fail: u16;
        features: Text;
        fed_siblings_active: u64;
        fed_siblings_viable: u64;
        job_id: u32;
        job_id_str: Text;
        name: Text;
        alloc_node: Text;
        alloc_sid: u32;
        array_inx: Text;
        burst_buffer: Text;
        pn_min_cpus: u16;
        pn_min_memory: u64;
        pn_min_tmp_disk: u32;
        power_flags: u8;
        prefer: Text;
        cpu_freq_min: u32;
        cpu_freq_max: u32;
        cpu_freq_gov: u32;
        partition: Text;
        priority: u32;
        dependency: Text;
        account: Text;
        admin_comment: Text;
        comment: Text;
        nice: u32;
        profile: u32;
        qos: Text;
        mcs_label: Text;
        origin_cluster: Text;
        open_mode: u8;
        overcommit: u8;
        acctg_freq: Text;
        num_tasks: u32;
        req_context: Text;
        req_nodes: Text;
        exc_nodes: Text;
        environment: Vec<Text>;
        spank_job_env: Vec<Text>;
        script: Text;
        argv: Vec<Text>;
        std_err: Text;
        std_in: Text;
        std_out: Text;
        submit_line: Text;
        work_dir: Text;
        immediate: u16;
        reboot: u16;
        requeue: u16;
        shared: u16;
        cpus_per_task: u16;
        ntasks_per_node: u16;
        ntasks_per_board: u16;
        ntasks_per_socket: u16;
        ntasks_per_core: u16;
        ntasks_per_tres: u16;
        plane_size: u16;
        cpu_bind_type: u16;
        mem_bind_type: u16;
        cpu_bind: Text;
        mem_bind: Text;
        time_limit: u32;
        time_min: u32;
        min_cpus: u32;
        max_cpus: u32;
        min_nodes: u32;
        max_nodes: u32;
        boards_per_node: u16;
        sockets_per_board: u16;
        sockets_per_node: u16;
        cores_per_socket: u16;
        threads_per_core: u16;
        user_id: u32;
        group_id: u32;
        alloc_resp_port: u16;
        resp_host: Text;
        other_port: u16;
        network: Text;
        begin_time: Time;
        end_time: Time;
        deadline: Time;
        licenses: Text;
        mail_type: u16;
        mail_user: Text;
        reservation: Text;
        restart_cnt: u16;
        warn_flags: u16;
        warn_signal: u16;
        warn_time: u16;
        wckey: Text;
        req_switch: u32;
        wait4switch: u32;
        select_jobinfo: SelectJob;
        wait_all_nodes: u16;
        bitflags: u64;
        delay_boot: u32;
        extra: Text;
        x11: u16;
        x11_magic_cookie: Text;
        x11_target: Text;
        x11_target_port: u16;
        cpus_per_tres: Text;
        mem_per_tres: Text;
        tres_bind: Text;
        tres_freq: Text;
        tres_per_job: Text;
        tres_per_node: Text;
        tres_per_socket: Text;
        tres_per_task: Text;
        crontab_entry: CronEntry;
    }

    /// A job was accepted (4004).
    Submitted {
        job_id: u32;
        step_id: u32;
        error_code: u32;
        user_message: Text;
    }

    /// When and where a job would run (4013).
    WillRun {
        job_id: u32;
        user_message: Text;
        nodes: Text;
        partition: Text;
        preempted: Option<Vec<u32>>;
        cpus: u32;
        start_time: Time;
        system_usage: Scaled;
    }

    /// A signal to a job or a step (5032): `scancel` names the job in `sjob_id`.
    KillRequest {
        step_id: StepId;
        sjob_id: Text;
        sibling: Text;
        signal: u16;
        flags: u16;
    }

    /// One error among those of an array.
    ArrayError {
        error_code: u32;
        job_array_id: Text;
    }

    /// What came of each part of an array (5034).
    ArrayErrors {
        errors: Vec<ArrayError>;
    }

    /// A job is to be queued again (5023).
    Requeue {
        job_id: u32;
        job_id_str: Text;
        flags: u32;
    }

    /// A job is to be stopped for a while, or to go on (5014).
    Suspend {
        op: u16;
        job_id: u32;
        job_id_str: Text;
    }

    /// A job is to be the first of its user (5038).
    TopJob {
        op: u16;
        job_id: u32;
        job_id_str: Text;
    }

    /// The text of a batch script (2052).
    Script {
        script: Text;
    }

    /// An allocation is over (5017).
    AllocationDone {
        job_id: u32;
        job_rc: u32;
    }
}
