//! The permission to run a job on a node, which the controller signs.

use crate::slurm::wire::Bits;
use crate::slurm::wire::JobGres;
use crate::slurm::wire::StepGres;
use crate::slurm::wire::Text;
use crate::slurm::wire::Time;
use crate::slurm::wire::record::record;
use crate::slurm::wire::tables::CoreGroups;
use crate::slurm::wire::tables::CpuGroups;
use crate::slurm::wire::tables::MemGroups;
use crate::slurm::wire::tables::StepId;

record! {
    /// What is permitted. A batch job wants groups, host lists, a core, memory, a recent `ctime`
    /// and the step [`BATCH`](crate::slurm::wire::constants::step::BATCH).
    Cred {
        step_id: StepId;
        uid: u32;
        gid: u32;
        pw_name: Text;
        pw_gecos: Text;
        pw_dir: Text;
        pw_shell: Text;
        gids: Vec<u32>;
        gr_names: Vec<Text>;
        job_gres_list: JobGres;
        step_gres_list: StepGres;
        job_core_spec: u16;
        job_account: Text;
        job_alias_list: Text;
        job_comment: Text;
        job_constraints: Text;
        job_partition: Text;
        job_reservation: Text;
        job_restart_cnt: u16;
        job_std_err: Text;
        job_std_in: Text;
        job_std_out: Text;
        step_hostlist: Text;
        x11: u16;
        ctime: Time;
        tot_core_cnt: u32;
        job_core_bitmap: Bits;
        step_core_bitmap: Bits;
        core_groups: CoreGroups;
        cpu_groups: CpuGroups;
        job_nhosts: u32;
        job_ntasks: u32;
        job_hostlist: Text;
        job_memory: MemGroups;
        step_memory: MemGroups;
        selinux_context: Text;
    }
}
