//! `scontrol show config`: one line for each setting, in Slurm's order.

use super::{Desk, daemons, partition, words};
use crate::client::partition::PER_CPU;
use crate::client::{text, time};
use crate::slurm::wire::tables::{Config, Pair, PluginPairs, Since};
use crate::slurm::wire::{Message, Text, Time, Unset};
use std::path::Path;

/// Shows the configuration that the controller works with, and which controllers answer.
pub fn show(desk: &Desk<'_>) -> u8 {
    let question = Message::ConfigRequest(Box::new(Since { last_update: Time(0) }));
    let config = match desk.cluster.ask(&question) {
        Ok(Message::Config(config)) => config,
        Ok(_) => return 1,
        Err(failure) => return desk.failed("slurm_load_ctl_conf error", &failure),
    };
    text::print(&format!("{}\n", text_of(desk, &config)));
    let (out, code) = daemons::ping_all(desk);
    text::print(&out);
    code
}

#[derive(Default)]
struct Settings(String);

impl Settings {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0 += &format!("{name:<23} = {value}\n");
    }

    fn text(&mut self, name: &str, value: &Text) {
        self.add(name, text::or_null(value));
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display, unit: &str) {
        match unit {
            "" => self.add(name, value),
            unit => self.add(name, format!("{value} {unit}")),
        }
    }

    fn memory(&mut self, which: &str, amount: u64) {
        // All bits: no bound for a node, not none for a CPU.
        let amount = if amount == u64::INFINITE { 0 } else { amount };
        let said = match amount {
            PER_CPU => format!("{which}MemPerCPU=0"),
            amount => partition::memory(which, amount),
        };
        let (name, value) = said.split_once('=').expect("a name and a value");
        self.add(name, value);
    }

    fn hosts(&mut self, c: &Config) {
        for (at, (name, address)) in c.control_machine.iter().zip(&c.control_addr).enumerate() {
            let host = if name == address {
                text::or_null(name)
            } else {
                format!("{}({})", text::or_null(name), text::or_null(address))
            };
            self.add(&format!("SlurmctldHost[{at}]"), host);
        }
    }

    fn pairs(&mut self, title: &str, pairs: Option<&[Pair]>) {
        let Some(pairs) = pairs.filter(|pairs| !pairs.is_empty()) else { return };
        self.0 += title;
        for pair in pairs {
            self.text(&text::of(&pair.name), &pair.value);
        }
    }

    fn plugins(&mut self, title: &str, plugins: Option<&[PluginPairs]>) {
        let Some(plugins) = plugins.filter(|plugins| !plugins.is_empty()) else { return };
        self.0 += title;
        for plugin in plugins {
            self.0 += &format!("\n----- {} -----\n", text::or_null(&plugin.name));
            self.pairs("", plugin.pairs.as_deref());
        }
    }
}

fn text_of(desk: &Desk<'_>, config: &Config) -> String {
    let mut set =
        Settings(format!("Configuration data as of {}\n", time::stamp(config.last_update)));
    first(&mut set, config);
    second(desk, &mut set, config);
    third(&mut set, config);
    fourth(&mut set, config);
    fifth(&mut set, config);
    let c = config;
    set.pairs("\nAccount Gather Configuration:\n", c.acct_gather_conf.as_deref());
    set.pairs("\nCgroup Support Configuration:\n", c.cgroup_conf.as_deref());
    set.pairs("\nExternal Sensors Configuration:\n", c.ext_sensors_conf.as_deref());
    set.pairs("\nMPI Plugins Configuration:\n", c.mpi_conf.as_deref());
    set.plugins("\nNode Features Configuration:", c.node_features_conf.as_deref());
    let title = "\nSlurmctld Plugstack Plugins Configuration:";
    set.plugins(title, c.slurmctld_plugstack_conf.as_deref());
    set.pairs("Select Plugin Configuration", c.select_conf_key_pairs.as_deref());
    set.0
}

fn yes(c: &Config, bit: u32) -> &'static str {
    if c.conf_flags >> bit & 1 == 1 { "Yes" } else { "No" }
}

fn user(name: &Text, uid: u32) -> String {
    format!("{}({uid})", text::or_null(name))
}

fn basic(c: &Config) -> bool {
    text::of(&c.priority_type) == "priority/basic"
}

fn or_unlimited(minutes: u16) -> String {
    if minutes == u16::INFINITE { "UNLIMITED".to_owned() } else { format!("{minutes} min") }
}

fn or_word(seconds: u32, special: u32, word: &str) -> String {
    if seconds == special { word.to_owned() } else { format!("{seconds} sec") }
}

fn exempt(seconds: u32) -> String {
    if seconds == u32::INFINITE { "NONE".to_owned() } else { time::long(seconds.into()) }
}

fn ports(c: &Config) -> String {
    match u32::from(c.slurmctld_port_count) {
        0 | 1 => c.slurmctld_port.to_string(),
        count => format!("{}-{}", c.slurmctld_port, c.slurmctld_port + count - 1),
    }
}

fn priority(set: &mut Settings, c: &Config) {
    set.add("PriorityDecayHalfLife", time::long(c.priority_decay_hl.into()));
    set.add("PriorityCalcPeriod", time::long(c.priority_calc_period.into()));
    set.add("PriorityFavorSmall", if c.priority_favor_small == 0 { "No" } else { "Yes" });
    set.add("PriorityFlags", words::priority_flags(c.priority_flags));
    set.add("PriorityMaxAge", time::long(c.priority_max_age.into()));
    set.add("PriorityUsageResetPeriod", words::reset_period(c.priority_reset_period));
    set.text("PriorityType", &c.priority_type);
    set.add("PriorityWeightAge", c.priority_weight_age);
    set.add("PriorityWeightAssoc", c.priority_weight_assoc);
    set.add("PriorityWeightFairShare", c.priority_weight_fs);
    set.add("PriorityWeightJobSize", c.priority_weight_js);
    set.add("PriorityWeightPartition", c.priority_weight_part);
    set.add("PriorityWeightQOS", c.priority_weight_qos);
    set.text("PriorityWeightTRES", &c.priority_weight_tres);
}

fn first(set: &mut Settings, c: &Config) {
    set.text("AccountingStorageBackupHost", &c.accounting_storage_backup_host);
    set.add("AccountingStorageEnforce", words::enforced(c.accounting_storage_enforce));
    set.text("AccountingStorageHost", &c.accounting_storage_host);
    set.text("AccountingStorageExternalHost", &c.accounting_storage_ext_host);
    set.text("AccountingStorageParameters", &c.accounting_storage_params);
    set.number("AccountingStoragePort", c.accounting_storage_port, "");
    set.text("AccountingStorageTRES", &c.accounting_storage_tres);
    set.text("AccountingStorageType", &c.accounting_storage_type);
    set.text("AccountingStorageUser", &c.accounting_storage_user);
    set.add("AccountingStoreFlags", words::store_flags(c.conf_flags));
    set.text("AcctGatherEnergyType", &c.acct_gather_energy_type);
    set.text("AcctGatherFilesystemType", &c.acct_gather_filesystem_type);
    set.text("AcctGatherInterconnectType", &c.acct_gather_interconnect_type);
    set.number("AcctGatherNodeFreq", c.acct_gather_node_freq, "sec");
    set.text("AcctGatherProfileType", &c.acct_gather_profile_type);
    set.add("AllowSpecResourcesUsage", yes(c, 3));
    set.text("AuthAltTypes", &c.authalttypes);
    set.text("AuthAltParameters", &c.authalt_params);
    set.text("AuthInfo", &c.authinfo);
    set.text("AuthType", &c.authtype);
    set.number("BatchStartTimeout", c.batch_start_timeout, "sec");
    set.text("BcastExclude", &c.bcast_exclude);
    set.text("BcastParameters", &c.bcast_parameters);
    set.add("BOOT_TIME", time::stamp(c.boot_time));
    set.text("BurstBufferType", &c.bb_type);
    set.text("CliFilterPlugins", &c.cli_filter_plugins);
    set.text("ClusterName", &c.cluster_name);
    set.text("CommunicationParameters", &c.comm_params);
    set.number("CompleteWait", c.complete_wait, "sec");
    set.text("CoreSpecPlugin", &c.core_spec_plugin);
    set.add("CpuFreqDef", words::frequency(c.cpu_freq_def));
    set.add("CpuFreqGovernors", words::governors(c.cpu_freq_govs));
    set.text("CredType", &c.cred_type);
    set.add("DebugFlags", words::debug_flags(c.debug_flags));
    set.memory("Def", c.def_mem_per_cpu);
    set.text("DependencyParameters", &c.dependency_params);
    set.add("DisableRootJobs", yes(c, 2));
    set.number("EioTimeout", c.eio_timeout, "");
    set.add("EnforcePartLimits", words::part_limits(c.enforce_part_limits));
}

fn second(desk: &Desk<'_>, set: &mut Settings, c: &Config) {
    set.text("Epilog", &c.epilog);
    set.number("EpilogMsgTime", c.epilog_msg_time, "usec");
    set.text("EpilogSlurmctld", &c.epilog_slurmctld);
    set.text("ExtSensorsType", &c.ext_sensors_type);
    set.number("ExtSensorsFreq", c.ext_sensors_freq, "sec");
    if !basic(c) {
        set.number("FairShareDampeningFactor", c.fs_dampening_factor, "");
    }
    set.text("FederationParameters", &c.fed_params);
    set.number("FirstJobId", c.first_job_id, "");
    set.number("GetEnvTimeout", c.get_env_timeout, "sec");
    set.text("GresTypes", &c.gres_plugins);
    set.text("GpuFreqDef", &c.gpu_freq_def);
    set.number("GroupUpdateForce", c.group_force, "");
    set.number("GroupUpdateTime", c.group_time, "sec");
    if !c.hash_val.is_unset() {
        set.add("HASH_VAL", hash(desk, c.hash_val));
    }
    set.number("HealthCheckInterval", c.health_check_interval, "sec");
    set.add("HealthCheckNodeState", words::health_states(c.health_check_node_state));
    set.text("HealthCheckProgram", &c.health_check_program);
    set.number("InactiveLimit", c.inactive_limit, "sec");
    set.text("InteractiveStepOptions", &c.interactive_step_opts);
    set.text("JobAcctGatherFrequency", &c.job_acct_gather_freq);
    set.text("JobAcctGatherType", &c.job_acct_gather_type);
    set.text("JobAcctGatherParams", &c.job_acct_gather_params);
    set.text("JobCompHost", &c.job_comp_host);
    set.text("JobCompLoc", &c.job_comp_loc);
    set.number("JobCompPort", c.job_comp_port, "");
    set.text("JobCompType", &c.job_comp_type);
    set.text("JobCompUser", &c.job_comp_user);
    set.text("JobContainerType", &c.job_container_plugin);
    set.text("JobCredentialPrivateKey", &c.job_credential_private_key);
    set.text("JobCredentialPublicCertificate", &c.job_credential_public_certificate);
    set.add("JobDefaults", words::job_defaults(c.job_defaults_list.as_deref()));
    set.number("JobFileAppend", c.job_file_append, "");
    set.number("JobRequeue", c.job_requeue, "");
    set.text("JobSubmitPlugins", &c.job_submit_plugins);
    set.number("KillOnBadExit", c.kill_on_bad_exit, "");
    set.number("KillWait", c.kill_wait, "sec");
    set.text("LaunchParameters", &c.launch_params);
    set.text("LaunchType", &c.launch_type);
    set.text("Licenses", &c.licenses);
}

fn third(set: &mut Settings, c: &Config) {
    set.add("LogTimeFormat", words::log_format(c.log_fmt));
    set.text("MailDomain", &c.mail_domain);
    set.text("MailProg", &c.mail_prog);
    set.number("MaxArraySize", c.max_array_sz, "");
    set.number("MaxDBDMsgs", c.max_dbd_msgs, "");
    set.number("MaxJobCount", c.max_job_cnt, "");
    set.number("MaxJobId", c.max_job_id, "");
    set.memory("Max", c.max_mem_per_cpu);
    set.number("MaxNodeCount", c.max_node_cnt, "");
    set.number("MaxStepCount", c.max_step_cnt, "");
    set.number("MaxTasksPerNode", c.max_tasks_per_node, "");
    set.text("MCSPlugin", &c.mcs_plugin);
    set.text("MCSParameters", &c.mcs_plugin_params);
    set.number("MessageTimeout", c.msg_timeout, "sec");
    set.number("MinJobAge", c.min_job_age, "sec");
    set.text("MpiDefault", &c.mpi_default);
    set.text("MpiParams", &c.mpi_params);
    set.add("MULTIPLE_SLURMD", "Yes");
    set.number("NEXT_JOB_ID", c.next_job_id, "");
    set.text("NodeFeaturesPlugins", &c.node_features_plugins);
    set.add("OverTimeLimit", or_unlimited(c.over_time_limit));
    set.text("PluginDir", &c.plugindir);
    set.text("PlugStackConfig", &c.plugstack);
    set.text("PowerParameters", &c.power_parameters);
    set.text("PowerPlugin", &c.power_plugin);
    set.add("PreemptMode", words::preempt_mode(c.preempt_mode));
    set.text("PreemptType", &c.preempt_type);
    set.add("PreemptExemptTime", exempt(c.preempt_exempt_time));
    set.text("PrEpParameters", &c.prep_params);
    set.text("PrEpPlugins", &c.prep_plugins);
    set.text("PriorityParameters", &c.priority_params);
    set.text("PrioritySiteFactorParameters", &Text::NONE);
    set.text("PrioritySiteFactorPlugin", &Text::NONE);
    if basic(c) {
        set.text("PriorityType", &c.priority_type);
    } else {
        priority(set, c);
    }
    set.add("PrivateData", words::private_data(c.private_data));
    set.text("ProctrackType", &c.proctrack_type);
    set.text("Prolog", &c.prolog);
    set.number("PrologEpilogTimeout", c.prolog_epilog_timeout, "");
    set.text("PrologSlurmctld", &c.prolog_slurmctld);
}

fn fourth(set: &mut Settings, c: &Config) {
    set.add("PrologFlags", words::prolog_flags(c.prolog_flags));
    set.number("PropagatePrioProcess", c.propagate_prio_process, "");
    set.text("PropagateResourceLimits", &c.propagate_rlimits);
    set.text("PropagateResourceLimitsExcept", &c.propagate_rlimits_except);
    set.text("RebootProgram", &c.reboot_program);
    set.add("ReconfigFlags", words::reconfig_flags(c.reconfig_flags));
    set.text("RequeueExit", &c.requeue_exit);
    set.text("RequeueExitHold", &c.requeue_exit_hold);
    set.text("ResumeFailProgram", &c.resume_fail_program);
    set.text("ResumeProgram", &c.resume_program);
    set.number("ResumeRate", c.resume_rate, "nodes/min");
    set.number("ResumeTimeout", c.resume_timeout, "sec");
    set.text("ResvEpilog", &c.resv_epilog);
    set.add("ResvOverRun", or_unlimited(c.resv_over_run));
    set.text("ResvProlog", &c.resv_prolog);
    set.number("ReturnToService", c.ret2service, "");
    set.text("RoutePlugin", &c.route_plugin);
    set.text("SchedulerParameters", &c.sched_params);
    set.number("SchedulerTimeSlice", c.sched_time_slice, "sec");
    set.text("SchedulerType", &c.schedtype);
    set.text("ScronParameters", &c.scron_params);
    set.text("SelectType", &c.select_type);
    if c.select_type_param != 0 {
        set.add("SelectTypeParameters", words::select_parameters(c.select_type_param));
    }
    set.add("SlurmUser", user(&c.slurm_user_name, c.slurm_user_id));
    set.text("SlurmctldAddr", &c.slurmctld_addr);
    set.add("SlurmctldDebug", words::log_level(c.slurmctld_debug));
    set.hosts(c);
    set.text("SlurmctldLogFile", &c.slurmctld_logfile);
    set.add("SlurmctldPort", ports(c));
    set.add("SlurmctldSyslogDebug", words::log_level(c.slurmctld_syslog_debug));
    set.text("SlurmctldPrimaryOffProg", &c.slurmctld_primary_off_prog);
    set.text("SlurmctldPrimaryOnProg", &c.slurmctld_primary_on_prog);
    set.number("SlurmctldTimeout", c.slurmctld_timeout, "sec");
    set.text("SlurmctldParameters", &c.slurmctld_params);
    set.add("SlurmdDebug", words::log_level(c.slurmd_debug));
    set.text("SlurmdLogFile", &c.slurmd_logfile);
    set.text("SlurmdParameters", &c.slurmd_params);
    set.text("SlurmdPidFile", &c.slurmd_pidfile);
    set.number("SlurmdPort", c.slurmd_port, "");
}

fn fifth(set: &mut Settings, c: &Config) {
    set.text("SlurmdSpoolDir", &c.slurmd_spooldir);
    set.add("SlurmdSyslogDebug", words::log_level(c.slurmd_syslog_debug));
    set.number("SlurmdTimeout", c.slurmd_timeout, "sec");
    set.add("SlurmdUser", user(&c.slurmd_user_name, c.slurmd_user_id));
    set.text("SlurmSchedLogFile", &c.sched_logfile);
    set.number("SlurmSchedLogLevel", c.sched_log_level, "");
    set.text("SlurmctldPidFile", &c.slurmctld_pidfile);
    set.text("SlurmctldPlugstack", &c.slurmctld_plugstack);
    set.text("SLURM_CONF", &c.slurm_conf);
    set.text("SLURM_VERSION", &c.version);
    set.text("SrunEpilog", &c.srun_epilog);
    set.add("SrunPortRange", format!("{}-{}", c.srun_port_range_first, c.srun_port_range_last));
    set.text("SrunProlog", &c.srun_prolog);
    set.text("StateSaveLocation", &c.state_save_location);
    set.text("SuspendExcNodes", &c.suspend_exc_nodes);
    set.text("SuspendExcParts", &c.suspend_exc_parts);
    set.text("SuspendProgram", &c.suspend_program);
    set.number("SuspendRate", c.suspend_rate, "nodes/min");
    set.add("SuspendTime", or_word(c.suspend_time, u32::INFINITE, "INFINITE"));
    set.add("SuspendTimeout", or_word(c.suspend_timeout.into(), 0, "NONE"));
    set.text("SwitchParameters", &c.switch_param);
    set.text("SwitchType", &c.switch_type);
    set.text("TaskEpilog", &c.task_epilog);
    set.text("TaskPlugin", &c.task_plugin);
    set.add("TaskPluginParam", words::cpu_bind(c.task_plugin_param));
    set.text("TaskProlog", &c.task_prolog);
    set.number("TCPTimeout", c.tcp_timeout, "sec");
    set.text("TmpFS", &c.tmp_fs);
    set.text("TopologyParam", &c.topology_param);
    set.text("TopologyPlugin", &c.topology_plugin);
    set.add("TrackWCKey", yes(c, 5));
    set.number("TreeWidth", c.tree_width, "");
    set.add("UsePam", yes(c, 4));
    set.text("UnkillableStepProgram", &c.unkillable_program);
    set.number("UnkillableStepTimeout", c.unkillable_timeout, "sec");
    set.number("VSizeFactor", c.vsize_factor, "percent");
    set.number("WaitTime", c.wait_time, "sec");
    set.text("X11Parameters", &c.x11_params);
}

/// Whether the controller's slurm.conf is the one that is here.
fn hash(desk: &Desk<'_>, theirs: u32) -> String {
    let mut ours = 0;
    hash_file(&desk.cluster.conf.path, 0, &mut ours);
    if ours == theirs {
        "Match".to_owned()
    } else {
        format!("Different Ours={ours:#x} Slurmctld={theirs:#x}")
    }
}

/// Slurm's checksum of a configuration: over every byte of the file, and of those it includes where
/// it includes them.
fn hash_file(path: &Path, depth: usize, sum: &mut u32) {
    const DEPTH_MAX: usize = 16;
    let Ok(bytes) = std::fs::read(path) else { return };
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        line.iter().for_each(|byte| hash_byte(sum, *byte));
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_whitespace();
        if let (Some(word), Some(file), true) = (words.next(), words.next(), depth < DEPTH_MAX)
            && word.eq_ignore_ascii_case("include")
        {
            hash_file(&path.with_file_name(file), depth + 1, sum);
        }
    }
}

fn hash_byte(sum: &mut u32, byte: u8) {
    const POLYNOMIAL: u32 = 4129;
    // A byte is signed there.
    *sum ^= (i32::from(byte.cast_signed()) << 8).cast_unsigned();
    for _ in 0..8 {
        let high = *sum & 0x8000 != 0;
        *sum <<= 1;
        if high {
            *sum ^= POLYNOMIAL;
        }
    }
}
