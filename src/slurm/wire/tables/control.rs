//! Controllers, and what every message has use for.

use crate::slurm::wire::Text;
use crate::slurm::wire::Time;
use crate::slurm::wire::record::record;

record! {
    /// A part of a job.
    StepId {
        job_id: u32;
        step_id: u32;
        step_het_comp: u32;
    }

    /// How it went (8001).
    ReturnCode {
        return_code: u32;
    }

    /// How it went, and why (8002).
    ReturnMessage {
        return_code: u32;
        message: Text;
    }

    /// Which controller this is, and since when it is in charge; 0: it is not (2054).
    ControlStatus {
        index: u16;
        in_charge_since: Time;
    }

    /// What is to stop (1005): 0 everything, 1 everything with a core file, 2 controllers.
    Shutdown {
        option: u16;
    }

    /// Something is asked for if it is newer (2001, 2031).
    Since {
        last_update: Time;
    }

    /// Something is asked for if it is newer (2007, 2009).
    InfoRequest {
        last_update: Time;
        show_flags: u16;
    }

    /// What controllers of a pair tell each other on a standing connection (23801); no controller
    /// of Slurm's own knows it. What: see [`crate::slurm::wire::constants::peer`].
    Peer {
        what: u16;
        host: Text;
        epoch: u64;
        ready: u16;
        conf_digest: u32;
        own_digest: u64;
        cluster: Text;
    }

    /// How a controller of several stands, as it knows itself, whatever the directory does (23803).
    /// What its numbers mean: see [`crate::slurm::wire::constants::standing`].
    Standing {
        host: Text;
        index: u16;
        version: Text;
        role: u16;
        epoch: u64;
        primary: Text;
        own_epoch: u64;
        applied_lsn: u64;
        read_lsn: u64;
        flags: u32;
        quarantine_s: u32;
        looked_ms: u32;
        trouble: Text;
        now: u64;
        started: Time;
        conf_digest: Text;
        own_digest: Text;
        peers: Vec<PeerStanding>;
    }

    /// Another controller, as this one sees it.
    PeerStanding {
        host: Text;
        connected: u16;
        ready: u16;
    }
}
