//! The tables: one file for each subject, one table for each record. Names of fields are the
//! protocol's; docs/slurm-protocol.md lists them with their kinds, and a test compares the two.

mod agent;
mod config;
mod control;
mod cred;
mod groups;
mod job;
mod listing;
mod node;
mod partition;
mod signed;
mod submit;

pub use agent::{
    AgentLoad, BatchDone, EpilogDone, KillJob, Launch, Prolog, PrologDone, Registered,
    Registration, SignalTasks, StepDone, SuspendTasks, Tres, Usage,
};
pub use config::{Config, JobDefault, Pair, PluginPairs};
pub use control::{
    ControlStatus, InfoRequest, Peer, PeerStanding, ReturnCode, ReturnMessage, Shutdown, Since,
    Standing, StepId,
};
pub use cred::Cred;
pub use groups::{CoreGroup, CoreGroups, CpuGroup, CpuGroups, MemGroup, MemGroups};
pub use job::{
    Job, JobRequest, JobResources, JobTimes, JobsRequest, MultiCore, Step, StepsRequest,
    UserJobsRequest,
};
pub use listing::Listing;
pub use node::{Energy, Node, NodeRequest, NodeSelect, Power, Sensors, UpdateNode};
pub use partition::{DeletePartition, Partition, UpdatePartition};
pub use signed::{SignedCred, Versioned};
pub use submit::{
    AllocationDone, ArrayError, ArrayErrors, JobDesc, KillRequest, Requeue, Script, Submitted,
    Suspend, TopJob, WillRun,
};

use crate::slurm::wire::Column;
use crate::slurm::wire::Record;

/// Name and fields of every record.
#[must_use]
pub fn all() -> Vec<(&'static str, &'static [Column])> {
    fn row<T: Record>() -> (&'static str, &'static [Column]) {
        (T::NAME, T::COLUMNS)
    }
    vec![
        row::<StepId>(),
        row::<ReturnCode>(),
        row::<ReturnMessage>(),
        row::<ControlStatus>(),
        row::<Peer>(),
        row::<Standing>(),
        row::<PeerStanding>(),
        row::<Shutdown>(),
        row::<Since>(),
        row::<InfoRequest>(),
        row::<Config>(),
        row::<Pair>(),
        row::<PluginPairs>(),
        row::<JobDefault>(),
        row::<Node>(),
        row::<NodeSelect>(),
        row::<Energy>(),
        row::<Sensors>(),
        row::<Power>(),
        row::<UpdateNode>(),
        row::<NodeRequest>(),
        row::<Partition>(),
        row::<UpdatePartition>(),
        row::<DeletePartition>(),
        row::<Job>(),
        row::<JobResources>(),
        row::<Step>(),
        row::<JobTimes>(),
        row::<JobsRequest>(),
        row::<JobRequest>(),
        row::<UserJobsRequest>(),
        row::<StepsRequest>(),
        row::<JobDesc>(),
        row::<Submitted>(),
        row::<WillRun>(),
        row::<KillRequest>(),
        row::<ArrayError>(),
        row::<ArrayErrors>(),
        row::<Requeue>(),
        row::<Suspend>(),
        row::<TopJob>(),
        row::<Script>(),
        row::<AllocationDone>(),
        row::<Registration>(),
        row::<Tres>(),
        row::<Registered>(),
        row::<AgentLoad>(),
        row::<Launch>(),
        row::<KillJob>(),
        row::<BatchDone>(),
        row::<StepDone>(),
        row::<EpilogDone>(),
        row::<PrologDone>(),
        row::<Prolog>(),
        row::<SignalTasks>(),
        row::<SuspendTasks>(),
        row::<Usage>(),
        row::<Cred>(),
    ]
}
