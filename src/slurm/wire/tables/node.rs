//! Nodes, as `sinfo` and `scontrol show node` ask for them.
//!
//! A hidden node is sent too, without a name: bitmaps of partitions and jobs count by its place.

use crate::slurm::wire::Scaled;
use crate::slurm::wire::SelectJob;
use crate::slurm::wire::Text;
use crate::slurm::wire::Time;
use crate::slurm::wire::record::record;

record! {
    /// A node (2008).
    Node {
        name: Text;
        node_hostname: Text;
        node_addr: Text;
        bcast_address: Text;
        port: u16;
        next_state: u32;
        node_state: u32;
        version: Text;
        cpus: u16;
        boards: u16;
        sockets: u16;
        cores: u16;
        threads: u16;
        real_memory: u64;
        tmp_disk: u32;
        mcs_label: Text;
        owner: u32;
        core_spec_cnt: u16;
        cpu_bind: u32;
        mem_spec_limit: u64;
        cpu_spec_list: Text;
        cpus_efctv: u16;
        cpu_load: u32;
        free_mem: u64;
        weight: u32;
        reason_uid: u32;
        boot_time: Time;
        last_busy: Time;
        reason_time: Time;
        slurmd_start_time: Time;
        select_nodeinfo: NodeSelect;
        arch: Text;
        features: Text;
        features_act: Text;
        gres: Text;
        gres_drain: Text;
        gres_used: Text;
        os: Text;
        comment: Text;
        extra: Text;
        reason: Text;
        energy: Energy;
        ext_sensors: Sensors;
        power: Power;
        tres_fmt_str: Text;
    }

    /// What is in use on a node.
    NodeSelect {
        plugin: SelectJob;
        alloc_cpus: u16;
        alloc_memory: u64;
        alloc_tres: Text;
        alloc_tres_weighted: Scaled;
    }

    /// Energy that a node used.
    Energy {
        base_energy: u64;
        ave_watts: u32;
        consumed_energy: u64;
        current_watts: u32;
        previous_energy: u64;
        poll_time: Time;
    }

    /// Sensors outside of a node.
    Sensors {
        consumed_energy: u64;
        temperature: u32;
        energy_update_time: Time;
        current_watts: u32;
    }

    /// What a node may draw.
    Power {
        cap_watts: u32;
    }

    /// A change of nodes (3002).
    UpdateNode {
        comment: Text;
        cpu_bind: u32;
        extra: Text;
        features: Text;
        features_act: Text;
        gres: Text;
        node_addr: Text;
        node_hostname: Text;
        node_names: Text;
        node_state: u32;
        reason: Text;
        reason_uid: u32;
        weight: u32;
    }

    /// One node is asked for (2040).
    NodeRequest {
        name: Text;
        flags: u16;
    }
}
