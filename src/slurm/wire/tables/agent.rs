//! What controller and agents (slurmd) say to each other.

use crate::slurm::wire::AllocatedGres;
use crate::slurm::wire::Maybe;
use crate::slurm::wire::SelectJob;
use crate::slurm::wire::SizedBlob;
use crate::slurm::wire::Text;
use crate::slurm::wire::Time;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::CpuGroups;
use crate::slurm::wire::tables::Energy;
use crate::slurm::wire::tables::SignedCred;
use crate::slurm::wire::tables::StepId;
use crate::slurm::wire::tables::Versioned;

record! {
    /// An agent registers (1002).
    Registration {
        timestamp: Time;
        slurmd_start_time: Time;
        status: u32;
        features_active: Text;
        features_avail: Text;
        hostname: Text;
        node_name: Text;
        arch: Text;
        cpu_spec_list: Text;
        os: Text;
        cpus: u16;
        boards: u16;
        sockets: u16;
        cores: u16;
        threads: u16;
        real_memory: u64;
        tmp_disk: u32;
        up_time: u32;
        hash_val: u32;
        cpu_load: u32;
        free_mem: u64;
        steps: Vec<StepId>;
        flags: u16;
        gres_info: SizedBlob;
        energy: Energy;
        version: Text;
        dynamic_type: u8;
        dynamic_conf: Text;
        dynamic_feature: Text;
    }

    /// A resource that is counted.
    Tres {
        alloc_secs: u64;
        count: u64;
        id: u32;
        name: Text;
        kind: Text;
    }

    /// What an agent gets in return (1024). Without the list its launches wait for ever.
    Registered {
        tres: Option<Vec<Tres>>;
        node_name: Text;
    }

    /// How an agent is (1016).
    AgentLoad {
        cpu_load: u32;
        free_mem: u64;
    }

    /// A batch script is to be started (4005).
    Launch {
        job_id: u32;
        het_job_id: u32;
        uid: u32;
        gid: u32;
        user_name: Text;
        gids: Vec<u32>;
        partition: Text;
        ntasks: u32;
        pn_min_memory: u64;
        open_mode: u8;
        overcommit: u8;
        array_job_id: u32;
        array_task_id: u32;
        acctg_freq: Text;
        container: Text;
        cpu_bind_type: u16;
        cpus_per_task: u16;
        restart_cnt: u16;
        job_core_spec: u16;
        cpu_groups: CpuGroups;
        alias_list: Text;
        cpu_bind: Text;
        nodes: Text;
        script: Text;
        work_dir: Text;
        std_err: Text;
        std_in: Text;
        std_out: Text;
        argc: u32;
        argv: Vec<Text>;
        spank_job_env: Vec<Text>;
        envc: u32;
        environment: Vec<Text>;
        job_mem: u64;
        cred: Versioned<SignedCred>;
        select_jobinfo: SelectJob;
        account: Text;
        qos: Text;
        resv_name: Text;
        profile: u32;
        tres_bind: Text;
        tres_freq: Text;
    }

    /// A job is to be ended: at its limit (6009), at its end (6011), at once (6013).
    KillJob {
        cred: Maybe<SignedCred>;
        details: Text;
        derived_ec: u32;
        exit_code: u32;
        job_gres_info: AllocatedGres;
        step_id: StepId;
        het_job_id: u32;
        job_state: u32;
        job_uid: u32;
        job_gid: u32;
        nodes: Text;
        select_jobinfo: SelectJob;
        spank_job_env: Vec<Text>;
        start_time: Time;
        time: Time;
        work_dir: Text;
    }

    /// A batch script has ended (5018). `job_rc` is what wait(2) said.
    BatchDone {
        jobacct: Maybe<Usage>;
        job_id: u32;
        job_rc: u32;
        slurm_rc: u32;
        user_id: u32;
        node_name: Text;
    }

    /// A step has ended (5016).
    StepDone {
        step_id: StepId;
        range_first: u32;
        range_last: u32;
        step_rc: u32;
        jobacct: Maybe<Usage>;
    }

    /// An epilog has run (6012).
    EpilogDone {
        job_id: u32;
        return_code: u32;
        node_name: Text;
    }

    /// A prolog has run (6018).
    PrologDone {
        job_id: u32;
        node_name: Text;
        prolog_rc: u32;
    }

    /// A prolog is to run (6017).
    Prolog {
        job_gres_info: AllocatedGres;
        job_id: u32;
        het_job_id: u32;
        uid: u32;
        gid: u32;
        alias_list: Text;
        nodes: Text;
        std_err: Text;
        std_out: Text;
        work_dir: Text;
        x11: u16;
        x11_alloc_host: Text;
        x11_alloc_port: u16;
        x11_magic_cookie: Text;
        x11_target: Text;
        x11_target_port: u16;
        spank_job_env: Vec<Text>;
        cred: SignedCred;
        user_name: Text;
    }

    /// A signal to tasks (6004, 6006).
    SignalTasks {
        step_id: StepId;
        flags: u16;
        signal: u16;
    }

    /// Tasks of a job are to stop for a while (`op` 0), or to go on (1) (5031).
    SuspendTasks {
        indf_susp: u8;
        job_core_spec: u16;
        job_id: u32;
        op: u16;
    }

    /// What a job used: times, and arrays by counted resource.
    Usage {
        user_cpu_sec: u64;
        user_cpu_usec: u32;
        sys_cpu_sec: u64;
        sys_cpu_usec: u32;
        act_cpufreq: u32;
        consumed_energy: u64;
        tres_ids: Vec<u32>;
        tres: Option<Vec<Tres>>;
        tres_usage_in_max: Vec<u64>;
        tres_usage_in_max_nodeid: Vec<u64>;
        tres_usage_in_max_taskid: Vec<u64>;
        tres_usage_in_min: Vec<u64>;
        tres_usage_in_min_nodeid: Vec<u64>;
        tres_usage_in_min_taskid: Vec<u64>;
        tres_usage_in_tot: Vec<u64>;
        tres_usage_out_max: Vec<u64>;
        tres_usage_out_max_nodeid: Vec<u64>;
        tres_usage_out_max_taskid: Vec<u64>;
        tres_usage_out_min: Vec<u64>;
        tres_usage_out_min_nodeid: Vec<u64>;
        tres_usage_out_min_taskid: Vec<u64>;
        tres_usage_out_tot: Vec<u64>;
    }
}
