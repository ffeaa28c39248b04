//! Numbers of the protocol that have a meaning: return codes, states, flags, plugins, resources.

/// Return codes, as in [`ReturnCode`](crate::slurm::wire::tables::ReturnCode).
pub mod rc {
    /// Done.
    pub const OK: u32 = 0;
    /// An error that has no other code.
    pub const ERROR: u32 = u32::MAX;
    /// A protocol version that is not spoken here.
    pub const VERSION: u32 = 1005;
    /// An answer to an information request that names a time: nothing has changed since.
    pub const NO_CHANGE: u32 = 1900;
    /// No such partition.
    pub const PARTITION: u32 = 2000;
    /// Not allowed for this user.
    pub const ACCESS: u32 = 2002;
    /// No user id, or an unknown one.
    pub const USER: u32 = 2010;
    /// Fewer nodes than one, or more at least than at most.
    pub const NODE_COUNT: u32 = 2006;
    /// There is no script.
    pub const NO_SCRIPT: u32 = 2009;
    /// The request cannot be met in this partition.
    pub const PARTITION_CONFIG: u32 = 2015;
    /// No such job.
    pub const JOB: u32 = 2017;
    /// No such node.
    pub const NODE: u32 = 2018;
    /// The job can not be altered in its present state.
    pub const TRANSITION: u32 = 2020;
    /// The job is over already.
    pub const ALREADY_DONE: u32 = 2021;
    /// The job waits still.
    pub const PENDING: u32 = 2024;
    /// A number of tasks that cannot be.
    pub const TASK_COUNT: u32 = 2025;
    /// A state that the node cannot take.
    pub const NODE_STATE: u32 = 2028;
    /// No such feature, or a list of features that cannot be read.
    pub const FEATURE: u32 = 2029;
    /// Active features that are not available.
    pub const FEATURE_SUBSET: u32 = 2031;
    /// In standby: ask the controller that is in charge.
    pub const STANDBY: u32 = 2027;
    /// Not supported.
    pub const UNSUPPORTED: u32 = 2036;
    /// Turned off.
    pub const DISABLED: u32 = 2037;
    /// Only for batch jobs.
    pub const BATCH_ONLY: u32 = 2039;
    /// The job is held.
    pub const HELD: u32 = 2042;
    /// A time that cannot be.
    pub const TIME_VALUE: u32 = 2054;
    /// Fewer CPUs than one, or more at least than at most.
    pub const CPU_COUNT: u32 = 2069;
    /// A partition that takes no jobs.
    pub const PARTITION_NOT_AVAILABLE: u32 = 2070;
    /// The job waits no more.
    pub const NOT_PENDING: u32 = 2073;
    /// Jobs are in the partition.
    pub const PARTITION_IN_USE: u32 = 2075;
    /// The job is over.
    pub const FINISHED: u32 = 2084;
    /// The job does not run.
    pub const NOT_RUNNING: u32 = 2085;
    /// The job is not stopped.
    pub const NOT_SUSPENDED: u32 = 2087;
    /// The priority counts for now, not for long.
    pub const PRIORITY_RESET: u32 = 2095;
    /// The time limit is below the least time.
    pub const TIME_MIN: u32 = 2124;
    /// In standby: go to the backup.
    pub const STANDBY_USE_BACKUP: u32 = 2131;
    /// From an agent: nothing of the job is left there.
    pub const AGENT_JOB_COMPLETE: u32 = 4002;
    /// From an agent: the credential was revoked.
    pub const AGENT_REVOKED: u32 = 4008;
    /// From an agent: the job does not run there.
    pub const AGENT_NOT_RUNNING: u32 = 4027;
}

/// State of a node: a base in the low four bits, and flags.
pub mod node {
    /// Where the base is.
    pub const BASE: u32 = 0xf;
    /// Nobody knows yet.
    pub const UNKNOWN: u32 = 0;
    /// Out of service.
    pub const DOWN: u32 = 1;
    /// Free.
    pub const IDLE: u32 = 2;
    /// All in use.
    pub const ALLOCATED: u32 = 3;
    /// Broken.
    pub const ERROR: u32 = 4;
    /// Partly in use.
    pub const MIXED: u32 = 5;
    /// Not there yet.
    pub const FUTURE: u32 = 6;
    /// In a reservation.
    pub const RESERVED: u32 = 0x20;
    /// In a request: drain no more.
    pub const UNDRAIN: u32 = 0x40;
    /// In a request: back to service.
    pub const RESUME: u32 = 0x100;
    /// No new work.
    pub const DRAIN: u32 = 0x200;
    /// A job's end is being worked on.
    pub const COMPLETING: u32 = 0x400;
    /// Does not answer.
    pub const NO_RESPOND: u32 = 0x800;
    /// Switched off.
    pub const POWERED_DOWN: u32 = 0x1000;
    /// About to fail.
    pub const FAIL: u32 = 0x2000;
    /// In maintenance.
    pub const MAINT: u32 = 0x8000;
    /// A reboot was asked for.
    pub const REBOOT_REQUESTED: u32 = 0x1_0000;
    /// A reboot is under way.
    pub const REBOOT_ISSUED: u32 = 0x10_0000;
    /// Has less than slurm.conf says.
    pub const INVALID_REGISTRATION: u32 = 0x40_0000;
}

/// State of a job: a base in the low byte, and flags.
pub mod job {
    /// Where the base is.
    pub const BASE: u32 = 0xff;
    /// Waits.
    pub const PENDING: u32 = 0;
    /// Runs.
    pub const RUNNING: u32 = 1;
    /// Stopped for a while.
    pub const SUSPENDED: u32 = 2;
    /// Ended well.
    pub const COMPLETE: u32 = 3;
    /// Ended by a user.
    pub const CANCELLED: u32 = 4;
    /// Ended badly.
    pub const FAILED: u32 = 5;
    /// Ended at its limit.
    pub const TIMEOUT: u32 = 6;
    /// Ended with a node.
    pub const NODE_FAIL: u32 = 7;
    /// Ended for another.
    pub const PREEMPTED: u32 = 8;
    /// Its node did not start.
    pub const BOOT_FAIL: u32 = 9;
    /// Could not end in time.
    pub const DEADLINE: u32 = 10;
    /// Ended for want of memory.
    pub const OUT_OF_MEMORY: u32 = 11;
    /// In an agent's request to requeue: it could not be started.
    pub const LAUNCH_FAILED: u32 = 0x100;
    /// Requeue at the end.
    pub const REQUEUE: u32 = 0x400;
    /// Requeue at the end, and hold.
    pub const REQUEUE_HOLD: u32 = 0x800;
    /// Queued again and held, for a special way of ending.
    pub const SPECIAL_EXIT: u32 = 0x1000;
    /// Its nodes are made ready.
    pub const CONFIGURING: u32 = 0x4000;
    /// Its end is being worked on.
    pub const COMPLETING: u32 = 0x8000;
    /// Stopped by a signal.
    pub const STOPPED: u32 = 0x1_0000;
    /// A signal that stops it, or lets it go on, is on its way.
    pub const SIGNALING: u32 = 0x40_0000;
    /// What is added to `nice` and `site_factor`, so that they are positive.
    pub const NICE_OFFSET: u32 = 0x8000_0000;
}

/// Why a job waits, or ended as it did.
pub mod reason {
    /// Nobody says.
    pub const NONE: u16 = 0;
    /// Others come first.
    pub const PRIORITY: u16 = 1;
    /// Other jobs must end.
    pub const DEPENDENCY: u16 = 2;
    /// There is no room.
    pub const RESOURCES: u16 = 3;
    /// More nodes, or fewer, than the partition allows.
    pub const PARTITION_NODE_LIMIT: u16 = 4;
    /// Longer than the partition allows.
    pub const PARTITION_TIME_LIMIT: u16 = 5;
    /// The partition starts no jobs.
    pub const PARTITION_DOWN: u16 = 6;
    /// The partition neither takes nor starts jobs.
    pub const PARTITION_INACTIVE: u16 = 7;
    /// An administrator holds it.
    pub const HELD: u16 = 8;
    /// It is not to begin yet.
    pub const BEGIN_TIME: u16 = 9;
    /// A node that it needs is out of service.
    pub const NODE_NOT_AVAILABLE: u16 = 15;
    /// A user holds it.
    pub const HELD_USER: u16 = 16;
    /// Its node failed.
    pub const DOWN_NODE: u16 = 20;
    /// It can never run as it is.
    pub const BAD_CONSTRAINTS: u16 = 21;
    /// The system failed.
    pub const SYSTEM: u16 = 22;
    /// It could not be started.
    pub const LAUNCH: u16 = 23;
    /// Its exit code was not zero.
    pub const EXIT_CODE: u16 = 24;
    /// Its time was up.
    pub const TIMEOUT: u16 = 25;
    /// What it waits for is still ending.
    pub const CLEANING: u16 = 35;
    /// Its prolog runs.
    pub const PROLOG: u16 = 36;
    /// The partition is not for the job's account.
    pub const ACCOUNT: u16 = 38;
    /// What it waits for can never come.
    pub const DEPENDENCY_NEVER: u16 = 39;
    /// It was started too often.
    pub const MAX_REQUEUE: u16 = 71;
    /// As many tasks of its array run as may.
    pub const ARRAY_TASK_LIMIT: u16 = 72;
    /// It could not end in time.
    pub const DEADLINE: u16 = 167;
    /// The partition does not fit.
    pub const PARTITION_CONFIG: u16 = 178;
    /// It ran out of memory.
    pub const OUT_OF_MEMORY: u16 = 181;
    /// More memory of a node than the partition allows.
    pub const NODE_MEMORY_LIMIT: u16 = 182;
}

/// Special steps of a job.
pub mod step {
    /// The batch script.
    pub const BATCH: u32 = 0xffff_fffb;
    /// What a job has on a node beside its steps.
    pub const EXTERN: u32 = 0xffff_fffc;
    /// The job as a whole.
    pub const NONE: u32 = 0xffff_fffe;
}

/// Flags of a partition and of its state.
pub mod partition {
    /// Jobs go here that name none.
    pub const DEFAULT: u16 = 1;
    /// Takes jobs.
    pub const SUBMIT: u16 = 1;
    /// Starts jobs.
    pub const SCHEDULE: u16 = 2;
    /// Takes and starts jobs.
    pub const UP: u16 = SUBMIT | SCHEDULE;
}

/// Plugins that select resources.
pub mod select {
    /// Cores, the older one.
    pub const CONS_RES: u32 = 101;
    /// Whole nodes.
    pub const LINEAR: u32 = 102;
    /// Cores and generic resources.
    pub const CONS_TRES: u32 = 109;
}

/// Resources that are counted.
pub mod tres {
    /// Id and name of each that is always there. The ids are their places in lists.
    pub const ALWAYS: [(u32, &str); 8] = [
        (1, "cpu"),
        (2, "mem"),
        (3, "energy"),
        (4, "node"),
        (5, "billing"),
        (6, "fs/disk"),
        (7, "vmem"),
        (8, "pages"),
    ];
}

/// How the credential of a frame is made.
pub mod auth {
    /// None.
    pub const NONE: u32 = 100;
    /// By munge.
    pub const MUNGE: u32 = 101;
    /// A JSON web token.
    pub const JWT: u32 = 102;
    /// By a key file of our own ("SDK1"): far from Slurm's numbers.
    pub const KEY: u32 = 0x5344_4b31;
}

/// A registration that wants the list of resources in return.
pub const REGISTRATION_WANTS_TRES: u16 = 0x2;

/// What controllers of a pair tell each other.
pub mod peer {
    /// A standby: it watches, and whether it could take over.
    pub const WATCHES: u16 = 1;
    /// The reign of who says it; epoch 0: it does not reign.
    pub const REIGNS: u16 = 2;
    /// The reign of that epoch has ended; whoever is told may have the next one.
    pub const OFFERS: u16 = 3;
    /// Whether who was offered the reign has it.
    pub const TAKEN: u16 = 4;
    /// A standby wants the reign, for an operator wants so.
    pub const ASKS: u16 = 5;
    /// All controllers are to end.
    pub const SHUTDOWN: u16 = 6;
}

/// How a controller of several stands.
pub mod standing {
    /// Its role: follows, relays, watches.
    pub const STANDBY: u16 = 1;
    /// Claims, and opens the store.
    pub const CLAIMING: u16 = 2;
    /// Serves.
    pub const PRIMARY: u16 = 3;
    /// Closes the store and hands over.
    pub const CEDING: u16 = 4;
    /// Is about to exit.
    pub const STOPPED: u16 = 5;
    /// A flag: the register says that it has seen this very directory, so that it may claim.
    pub const ADMITTED: u32 = 1;
    /// It follows the state in memory.
    pub const FOLLOWS: u32 = 2;
    /// It puts changes off: saves do not get through.
    pub const PUTS_OFF: u32 = 4;
    /// It has looked at the directory at least once.
    pub const LOOKED: u32 = 8;
}
