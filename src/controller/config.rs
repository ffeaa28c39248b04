//! What `scontrol show config` is told: slurm.conf, field by field, and what the controller adds.

use crate::controller::inform::{cluster_preempt_mode, select_plugin};
use crate::controller::memory;
use crate::slurm::conf::{Conf, level, minutes, select_parameters};
use crate::slurm::wire::constants::select;
use crate::slurm::wire::tables::Config;
use crate::slurm::wire::{Text, Time, Unset};

/// The release whose protocol this is; clients show it as the controller's.
pub const VERSION: &str = "22.05.8";

const OVERRIDES: u32 = 1;
const NO_ROOT_JOBS: u32 = 1 << 2;
const SPEC_RESOURCES: u32 = 1 << 3;
const PAM: u32 = 1 << 4;
const WCKEYS: u32 = 1 << 5;
const IPV4: u32 = 1 << 6;
const IPV6: u32 = 1 << 7;
const CR_CORE: u16 = 0x4;
/// A log level that is not set.
const NO_LEVEL: u16 = 10;

/// What is not in the file.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Now.
    pub now: i64,
    /// When the controller began.
    pub started: i64,
    /// What this host is called.
    pub own_name: String,
    /// The id of the next job.
    pub next_job_id: u32,
    /// The uid of SlurmUser.
    pub slurm_user: u32,
    /// The uid of SlurmdUser.
    pub slurmd_user: u32,
}

impl Facts {
    /// The name of a controller's host: `localhost` is this one.
    fn host_name<'a>(&'a self, name: &'a str) -> &'a str {
        if name == "localhost" { &self.own_name } else { name }
    }
}

fn text(conf: &Conf, name: &str) -> Text {
    conf.text(name).into()
}

fn text_or(conf: &Conf, name: &str, default: &str) -> Text {
    conf.text(name).unwrap_or(default).into()
}

fn u16_of(conf: &Conf, name: &str) -> u16 {
    u16::try_from(conf.number(name)).unwrap_or(u16::INFINITE)
}

fn u32_of(conf: &Conf, name: &str) -> u32 {
    u32::try_from(conf.number(name)).unwrap_or(u32::INFINITE)
}

fn conf_flags(conf: &Conf) -> u32 {
    let flags = [
        ("DisableRootJobs", NO_ROOT_JOBS),
        ("AllowSpecResourcesUsage", SPEC_RESOURCES),
        ("UsePAM", PAM),
        ("TrackWCKey", WCKEYS),
    ];
    let has = |name: &str, word: &str| {
        conf.text(name).is_some_and(|text| text.to_ascii_lowercase().contains(word))
    };
    let enforced = conf.text("AccountingStorageEnforce").unwrap_or("").to_ascii_lowercase();
    let words = [
        (has("SlurmdParameters", "config_override"), OVERRIDES),
        (!has("CommunicationParameters", "disableipv4"), IPV4),
        (has("CommunicationParameters", "enableipv6"), IPV6),
        (enforced.split(',').any(|word| ["wckeys", "all"].contains(&word)), WCKEYS),
    ];
    let flags = flags.into_iter().map(|(name, flag)| (conf.flag(name), flag)).chain(words);
    let stored = u32::try_from(conf.bits("AccountingStoreFlags")).expect("three low bits");
    flags.filter(|(is, _)| *is).fold(stored, |sum, (_, flag)| sum | flag)
}

/// Bits of words, of which the protocol has 16.
fn bits16(conf: &Conf, name: &str) -> u16 {
    u16::try_from(conf.bits(name)).expect("as wide as in the table of words")
}

/// The same, of which it has 32.
fn bits32(conf: &Conf, name: &str) -> u32 {
    u32::try_from(conf.bits(name)).expect("as wide as in the table of words")
}

/// As Slurm: an exception stands for all others.
fn propagated(conf: &Conf) -> Text {
    let excepted = conf.says("PropagateResourceLimitsExcept");
    if excepted && !conf.says("PropagateResourceLimits") {
        return Text::default();
    }
    text(conf, "PropagateResourceLimits")
}

fn enforce_part_limits(conf: &Conf) -> u16 {
    match conf.text("EnforcePartLimits").unwrap_or("NO").to_ascii_uppercase().as_str() {
        "YES" | "ALL" | "TRUE" | "1" => 1,
        "ANY" => 2,
        _ => 0,
    }
}

fn max_node_count(conf: &Conf) -> u32 {
    match u32_of(conf, "MaxNodeCount") {
        0 => u32::try_from(conf.nodes.len()).expect("a hostlist's limit"),
        count => count,
    }
}

fn seconds(conf: &Conf, name: &str) -> u32 {
    let found = conf.text(name).and_then(|text| minutes(text).ok());
    found
        .map_or(0, |minutes| if minutes == u32::MAX { minutes } else { minutes.saturating_mul(60) })
}

fn select_type_param(conf: &Conf) -> u16 {
    let set = conf.text("SelectTypeParameters").and_then(|text| select_parameters(text).ok());
    let default = if select_plugin(conf) == select::LINEAR { 0 } else { CR_CORE };
    set.unwrap_or(default)
}

fn log_level(conf: &Conf, name: &str) -> u16 {
    level::of(conf.text(name)).unwrap_or(NO_LEVEL)
}

fn srun_ports(conf: &Conf) -> (u16, u16) {
    let text = conf.text("SrunPortRange").unwrap_or("0-0");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (first.parse().unwrap_or(0), last.parse().unwrap_or(0))
}

fn preempt_exempt_time(conf: &Conf) -> u32 {
    if conf.says("PreemptExemptTime") { bits32(conf, "PreemptExemptTime") } else { 0 }
}

fn suspend_time(conf: &Conf) -> u32 {
    match conf.text("SuspendTime") {
        None | Some("-1") => u32::INFINITE,
        Some(text) => text.parse().unwrap_or(u32::INFINITE),
    }
}

/// The whole record. What is not in slurm.conf comes from `facts`.
#[must_use]
pub fn config(conf: &Conf, facts: &Facts) -> Config {
    Config {
        last_update: Time(facts.now),
        accounting_storage_backup_host: text(conf, "AccountingStorageBackupHost"),
        accounting_storage_enforce: bits16(conf, "AccountingStorageEnforce"),
        accounting_storage_host: text(conf, "AccountingStorageHost"),
        accounting_storage_ext_host: text(conf, "AccountingStorageExternalHost"),
        accounting_storage_params: text(conf, "AccountingStorageParameters"),
        accounting_storage_port: u16_of(conf, "AccountingStoragePort"),
        accounting_storage_tres: text(conf, "AccountingStorageTRES"),
        accounting_storage_type: text(conf, "AccountingStorageType"),
        accounting_storage_user: text(conf, "AccountingStorageUser"),
        acct_gather_energy_type: text(conf, "AcctGatherEnergyType"),
        acct_gather_filesystem_type: text(conf, "AcctGatherFilesystemType"),
        acct_gather_interconnect_type: text(conf, "AcctGatherInterconnectType"),
        acct_gather_node_freq: u16_of(conf, "AcctGatherNodeFreq"),
        acct_gather_profile_type: text(conf, "AcctGatherProfileType"),
        authalttypes: text(conf, "AuthAltTypes"),
        authalt_params: text(conf, "AuthAltParameters"),
        authinfo: text(conf, "AuthInfo"),
        authtype: text(conf, "AuthType"),
        batch_start_timeout: u16_of(conf, "BatchStartTimeout"),
        boot_time: Time(facts.started),
        bb_type: text(conf, "BurstBufferType"),
        bcast_exclude: text(conf, "BcastExclude"),
        bcast_parameters: text(conf, "BcastParameters"),
        cli_filter_plugins: text(conf, "CliFilterPlugins"),
        cluster_name: text(conf, "ClusterName"),
        comm_params: text(conf, "CommunicationParameters"),
        complete_wait: u16_of(conf, "CompleteWait"),
        conf_flags: conf_flags(conf),
        control_addr: conf.controllers.iter().map(|host| host.address.as_str().into()).collect(),
        control_machine: conf
            .controllers
            .iter()
            .map(|host| facts.host_name(&host.name).into())
            .collect(),
        core_spec_plugin: text(conf, "CoreSpecPlugin"),
        cpu_freq_def: bits32(conf, "CpuFreqDef"),
        cpu_freq_govs: bits32(conf, "CpuFreqGovernors"),
        cred_type: text(conf, "CredType"),
        def_mem_per_cpu: memory::of_cluster(conf, "DefMemPerCPU", "DefMemPerNode"),
        debug_flags: conf.bits("DebugFlags"),
        dependency_params: text(conf, "DependencyParameters"),
        eio_timeout: u16_of(conf, "EioTimeout"),
        enforce_part_limits: enforce_part_limits(conf),
        epilog: text(conf, "Epilog"),
        epilog_msg_time: u32_of(conf, "EpilogMsgTime"),
        epilog_slurmctld: text(conf, "EpilogSlurmctld"),
        ext_sensors_type: text(conf, "ExtSensorsType"),
        ext_sensors_freq: u16_of(conf, "ExtSensorsFreq"),
        fed_params: text(conf, "FederationParameters"),
        first_job_id: u32_of(conf, "FirstJobId"),
        fs_dampening_factor: u16_of(conf, "FairShareDampeningFactor"),
        get_env_timeout: u16_of(conf, "GetEnvTimeout"),
        gres_plugins: text(conf, "GresTypes"),
        group_time: u16_of(conf, "GroupUpdateTime"),
        group_force: u16_of(conf, "GroupUpdateForce"),
        gpu_freq_def: text(conf, "GpuFreqDef"),
        hash_val: conf.hash,
        health_check_interval: u16_of(conf, "HealthCheckInterval"),
        health_check_node_state: bits16(conf, "HealthCheckNodeState"),
        health_check_program: text(conf, "HealthCheckProgram"),
        inactive_limit: u16_of(conf, "InactiveLimit"),
        interactive_step_opts: text(conf, "InteractiveStepOptions"),
        job_acct_gather_freq: text(conf, "JobAcctGatherFrequency"),
        job_acct_gather_type: text(conf, "JobAcctGatherType"),
        job_acct_gather_params: text(conf, "JobAcctGatherParams"),
        job_comp_host: text(conf, "JobCompHost"),
        job_comp_loc: text(conf, "JobCompLoc"),
        job_comp_params: text(conf, "JobCompParams"),
        job_comp_port: u32_of(conf, "JobCompPort"),
        job_comp_type: text(conf, "JobCompType"),
        job_comp_user: text(conf, "JobCompUser"),
        job_container_plugin: text(conf, "JobContainerType"),
        job_credential_private_key: text(conf, "JobCredentialPrivateKey"),
        job_credential_public_certificate: text(conf, "JobCredentialPublicCertificate"),
        job_file_append: u16_of(conf, "JobFileAppend"),
        job_requeue: u16_of(conf, "JobRequeue"),
        job_submit_plugins: text(conf, "JobSubmitPlugins"),
        kill_on_bad_exit: u16_of(conf, "KillOnBadExit"),
        kill_wait: u16_of(conf, "KillWait"),
        launch_params: text(conf, "LaunchParameters"),
        launch_type: text(conf, "LaunchType"),
        licenses: text(conf, "Licenses"),
        log_fmt: bits16(conf, "LogTimeFormat"),
        max_array_sz: u32_of(conf, "MaxArraySize"),
        max_dbd_msgs: u32_of(conf, "MaxDBDMsgs"),
        mail_domain: text(conf, "MailDomain"),
        mail_prog: text(conf, "MailProg"),
        max_job_cnt: u32_of(conf, "MaxJobCount"),
        max_job_id: u32_of(conf, "MaxJobId"),
        max_mem_per_cpu: memory::of_cluster(conf, "MaxMemPerCPU", "MaxMemPerNode"),
        max_node_cnt: max_node_count(conf),
        max_step_cnt: u32_of(conf, "MaxStepCount"),
        max_tasks_per_node: u16_of(conf, "MaxTasksPerNode"),
        mcs_plugin: text(conf, "MCSPlugin"),
        mcs_plugin_params: text(conf, "MCSParameters"),
        min_job_age: u32_of(conf, "MinJobAge"),
        mpi_default: text_or(conf, "MpiDefault", "none"),
        mpi_params: text(conf, "MpiParams"),
        msg_timeout: u16_of(conf, "MessageTimeout"),
        next_job_id: facts.next_job_id,
        node_features_plugins: text(conf, "NodeFeaturesPlugins"),
        over_time_limit: u16_of(conf, "OverTimeLimit"),
        plugindir: text(conf, "PluginDir"),
        plugstack: text(conf, "PlugStackConfig"),
        power_parameters: text(conf, "PowerParameters"),
        power_plugin: text_or(conf, "PowerPlugin", ""),
        preempt_mode: cluster_preempt_mode(conf),
        preempt_type: text(conf, "PreemptType"),
        preempt_exempt_time: preempt_exempt_time(conf),
        prep_params: text(conf, "PrEpParameters"),
        prep_plugins: text(conf, "PrEpPlugins"),
        priority_decay_hl: seconds(conf, "PriorityDecayHalfLife"),
        priority_calc_period: seconds(conf, "PriorityCalcPeriod"),
        priority_favor_small: u16::from(conf.flag("PriorityFavorSmall")),
        priority_flags: bits16(conf, "PriorityFlags"),
        priority_max_age: seconds(conf, "PriorityMaxAge"),
        priority_params: text(conf, "PriorityParameters"),
        priority_reset_period: bits16(conf, "PriorityUsageResetPeriod"),
        priority_type: text(conf, "PriorityType"),
        priority_weight_age: u32_of(conf, "PriorityWeightAge"),
        priority_weight_assoc: u32_of(conf, "PriorityWeightAssoc"),
        priority_weight_fs: u32_of(conf, "PriorityWeightFairshare"),
        priority_weight_js: u32_of(conf, "PriorityWeightJobSize"),
        priority_weight_part: u32_of(conf, "PriorityWeightPartition"),
        priority_weight_qos: u32_of(conf, "PriorityWeightQOS"),
        priority_weight_tres: text(conf, "PriorityWeightTRES"),
        private_data: bits16(conf, "PrivateData"),
        proctrack_type: text(conf, "ProctrackType"),
        prolog: text(conf, "Prolog"),
        prolog_epilog_timeout: u16_of(conf, "PrologEpilogTimeout"),
        prolog_flags: bits16(conf, "PrologFlags"),
        prolog_slurmctld: text(conf, "PrologSlurmctld"),
        propagate_prio_process: u16_of(conf, "PropagatePrioProcess"),
        propagate_rlimits: propagated(conf),
        propagate_rlimits_except: text(conf, "PropagateResourceLimitsExcept"),
        reboot_program: text(conf, "RebootProgram"),
        reconfig_flags: bits16(conf, "ReconfigFlags"),
        requeue_exit: text(conf, "RequeueExit"),
        requeue_exit_hold: text(conf, "RequeueExitHold"),
        resume_fail_program: text(conf, "ResumeFailProgram"),
        resume_program: text(conf, "ResumeProgram"),
        resume_rate: u16_of(conf, "ResumeRate"),
        resume_timeout: u16_of(conf, "ResumeTimeout"),
        resv_epilog: text(conf, "ResvEpilog"),
        resv_over_run: u16_of(conf, "ResvOverRun"),
        resv_prolog: text(conf, "ResvProlog"),
        ret2service: u16_of(conf, "ReturnToService"),
        route_plugin: text(conf, "RoutePlugin"),
        sched_params: text(conf, "SchedulerParameters"),
        sched_logfile: text(conf, "SlurmSchedLogFile"),
        sched_log_level: u16_of(conf, "SlurmSchedLogLevel"),
        sched_time_slice: u16_of(conf, "SchedulerTimeSlice"),
        schedtype: text(conf, "SchedulerType"),
        scron_params: text(conf, "ScronParameters"),
        select_type: text(conf, "SelectType"),
        select_type_param: select_type_param(conf),
        slurm_conf: Text::from(conf.path.to_string_lossy().as_ref()),
        slurm_user_id: facts.slurm_user,
        slurm_user_name: text(conf, "SlurmUser"),
        slurmd_user_id: facts.slurmd_user,
        slurmd_user_name: text(conf, "SlurmdUser"),
        slurmctld_addr: text(conf, "SlurmctldAddr"),
        slurmctld_debug: log_level(conf, "SlurmctldDebug"),
        slurmctld_logfile: text(conf, "SlurmctldLogFile"),
        slurmctld_params: text(conf, "SlurmctldParameters"),
        slurmctld_pidfile: text(conf, "SlurmctldPidFile"),
        slurmctld_plugstack: text(conf, "SlurmctldPlugstack"),
        slurmctld_port: conf.ports().0.into(),
        slurmctld_port_count: conf.ports().1,
        slurmctld_primary_off_prog: text(conf, "SlurmctldPrimaryOffProg"),
        slurmctld_primary_on_prog: text(conf, "SlurmctldPrimaryOnProg"),
        slurmctld_syslog_debug: log_level(conf, "SlurmctldSyslogDebug"),
        slurmctld_timeout: u16_of(conf, "SlurmctldTimeout"),
        slurmd_debug: log_level(conf, "SlurmdDebug"),
        slurmd_logfile: text(conf, "SlurmdLogFile"),
        slurmd_params: text(conf, "SlurmdParameters"),
        slurmd_pidfile: text(conf, "SlurmdPidFile"),
        slurmd_port: u32_of(conf, "SlurmdPort"),
        slurmd_spooldir: text(conf, "SlurmdSpoolDir"),
        slurmd_syslog_debug: log_level(conf, "SlurmdSyslogDebug"),
        slurmd_timeout: u16_of(conf, "SlurmdTimeout"),
        srun_epilog: text(conf, "SrunEpilog"),
        srun_port_range_first: srun_ports(conf).0,
        srun_port_range_last: srun_ports(conf).1,
        srun_prolog: text(conf, "SrunProlog"),
        state_save_location: text(conf, "StateSaveLocation"),
        suspend_exc_nodes: text(conf, "SuspendExcNodes"),
        suspend_exc_parts: text(conf, "SuspendExcParts"),
        suspend_program: text(conf, "SuspendProgram"),
        suspend_rate: u16_of(conf, "SuspendRate"),
        suspend_time: suspend_time(conf),
        suspend_timeout: u16_of(conf, "SuspendTimeout"),
        switch_param: text(conf, "SwitchParameters"),
        switch_type: text(conf, "SwitchType"),
        task_epilog: text(conf, "TaskEpilog"),
        task_prolog: text(conf, "TaskProlog"),
        task_plugin: text(conf, "TaskPlugin"),
        task_plugin_param: bits32(conf, "TaskPluginParam"),
        tcp_timeout: u16_of(conf, "TCPTimeout"),
        tmp_fs: text(conf, "TmpFS"),
        topology_param: text(conf, "TopologyParam"),
        topology_plugin: text(conf, "TopologyPlugin"),
        tree_width: u16_of(conf, "TreeWidth"),
        unkillable_program: text(conf, "UnkillableStepProgram"),
        unkillable_timeout: u16_of(conf, "UnkillableStepTimeout"),
        version: VERSION.into(),
        vsize_factor: u16_of(conf, "VSizeFactor"),
        wait_time: u16_of(conf, "WaitTime"),
        x11_params: text(conf, "X11Parameters"),
        ..Config::default()
    }
}
