//! The table of all messages: number, name, body, the longest body, the first version whose layout
//! is known here. Everything that handles messages walks this table: the codec, the limits of the
//! frame, the tests, the fuzzer, docs/slurm-protocol.md.

use crate::slurm::wire::Column;
use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Record;
use crate::slurm::wire::Time;
use crate::slurm::wire::Version;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::limits::FRAME_MAX;
use crate::slurm::wire::limits::MEDIUM_MAX;
use crate::slurm::wire::limits::SMALL_MAX;
use crate::slurm::wire::limits::SUBMIT_MAX;
use crate::slurm::wire::tables::{
    AgentLoad, AllocationDone, ArrayErrors, BatchDone, Config, ControlStatus, DeletePartition,
    EpilogDone, InfoRequest, Job, JobDesc, JobRequest, JobTimes, JobsRequest, KillJob, KillRequest,
    Launch, Listing, Node, NodeRequest, Partition, Peer, Prolog, PrologDone, Registered,
    Registration, Requeue, ReturnCode, ReturnMessage, Script, Shutdown, SignalTasks, Since,
    Standing, Step, StepDone, StepsRequest, Submitted, Suspend, SuspendTasks, TopJob, UpdateNode,
    UpdatePartition, UserJobsRequest, WillRun,
};

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The message's number.
    pub kind: u16,
    /// Its name here.
    pub name: &'static str,
    /// The record that its body is; empty: it has none.
    pub body: &'static str,
    /// The fields of the body.
    pub columns: &'static [Column],
    /// The longest body, in bytes.
    pub body_max: usize,
    /// The first version whose layout of it is known here.
    pub since: Version,
    /// A message that `choose` decides about, for tests.
    pub sample: fn(choose: &mut dyn FnMut() -> u64) -> Message,
}

/// The line of a message.
#[must_use]
pub fn row(kind: u16) -> Option<&'static Row> {
    MESSAGES.binary_search_by_key(&kind, |row| row.kind).ok().map(|at| &MESSAGES[at])
}

macro_rules! messages {
    ($(
        $(#[$about:meta])*
        $kind:literal $name:ident $(($body:ty))?, $since:ident, $max:expr;
    )*) => {
        /// A message of the table. What is in it is what a peer says, not what is so.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Message {
            $( $(#[$about])* $name $((Box<$body>))?, )*
        }

        /// Every message, ascending by number.
        pub const MESSAGES: &[Row] = &[
            $( Row {
                kind: $kind,
                name: stringify!($name),
                body: [$(<$body as Record>::NAME,)? ""][0],
                columns: [$(<$body as Record>::COLUMNS,)? &[]][0],
                body_max: $max,
                since: Version::$since,
                sample: |_choose| Message::$name $((<Box<$body> as Field>::sample(_choose)))?,
            }, )*
        ];

        impl Message {
            /// Its number.
            #[must_use]
            pub fn kind(&self) -> u16 {
                match self {
                    $( Message::$name { .. } => $kind, )*
                }
            }

            fn pack_into(&self, out: &mut Writer) {
                $( $( if let Message::$name(body) = self {
                    <$body as Field>::pack(body, out);
                } )? )*
            }

            fn unpack_from(kind: u16, input: &mut Reader<'_>) -> Result<Message, WireError> {
                match kind {
                    $( $kind => Ok(Message::$name $((<Box<$body> as Field>::unpack(input)?))?), )*
                    other => Err(input.fails(Why::Message(other))),
                }
            }
        }
    };
}

messages! {
    /// An agent is to register.
    1001 Register, V20_11, SMALL_MAX;
    /// An agent registers.
    1002 Registration(Registration), V22_05, MEDIUM_MAX;
    /// slurm.conf is to be read again.
    1003 Reconfigure, V20_11, SMALL_MAX;
    /// A daemon is to end.
    1005 Shutdown(Shutdown), V20_11, SMALL_MAX;
    /// Is anybody there?
    1008 Ping, V20_11, SMALL_MAX;
    /// A controller is to hand over.
    1009 Relinquish, V20_11, SMALL_MAX;
    /// An agent is to run its health check.
    1011 HealthCheck, V20_11, SMALL_MAX;
    /// A backup is to take over.
    1012 Takeover, V20_11, SMALL_MAX;
    /// An agent answers a ping.
    1016 AgentLoad(AgentLoad), V22_05, SMALL_MAX;
    /// An agent is registered.
    1024 Registered(Registered), V22_05, MEDIUM_MAX;
    /// What is the configuration?
    2001 ConfigRequest(Since), V22_05, SMALL_MAX;
    /// The configuration.
    2002 Config(Config), V22_05, MEDIUM_MAX;
    /// Which jobs are there?
    2003 JobsRequest(JobsRequest), V22_05, MEDIUM_MAX;
    /// Jobs.
    2004 Jobs(Listing<JobTimes, Job>), V22_05, FRAME_MAX;
    /// Which steps are there?
    2005 StepsRequest(StepsRequest), V22_05, SMALL_MAX;
    /// Steps.
    2006 Steps(Listing<Time, Step>), V22_05, FRAME_MAX;
    /// Which nodes are there?
    2007 NodesRequest(InfoRequest), V22_05, SMALL_MAX;
    /// Nodes.
    2008 Nodes(Listing<Time, Node>), V22_05, FRAME_MAX;
    /// Which partitions are there?
    2009 PartitionsRequest(InfoRequest), V22_05, SMALL_MAX;
    /// Partitions.
    2010 Partitions(Listing<Time, Partition>), V22_05, FRAME_MAX;
    /// One job. The answer is [`Message::Jobs`].
    2021 JobRequest(JobRequest), V22_05, SMALL_MAX;
    /// Which front ends are there? There are none: an error is expected.
    2031 FrontEndsRequest(Since), V22_05, SMALL_MAX;
    /// The jobs of one user. The answer is [`Message::Jobs`].
    2039 UserJobsRequest(UserJobsRequest), V22_05, SMALL_MAX;
    /// One node. The answer is [`Message::Nodes`].
    2040 NodeRequest(NodeRequest), V22_05, SMALL_MAX;
    /// Is there a federation? An error says no.
    2049 FederationRequest, V20_11, SMALL_MAX;
    /// The script of a job.
    2051 ScriptRequest(JobRequest), V22_05, SMALL_MAX;
    /// A script.
    2052 Script(Script), V22_05, SUBMIT_MAX;
    /// Who is in charge?
    2053 ControlStatusRequest, V20_11, SMALL_MAX;
    /// Who is in charge.
    2054 ControlStatus(ControlStatus), V20_11, SMALL_MAX;
    /// A job is to be changed.
    3001 UpdateJob(JobDesc), V22_05, SUBMIT_MAX;
    /// Nodes are to be changed.
    3002 UpdateNode(UpdateNode), V22_05, MEDIUM_MAX;
    /// A partition is to be made.
    3003 CreatePartition(UpdatePartition), V22_05, MEDIUM_MAX;
    /// A partition is to go.
    3004 DeletePartition(DeletePartition), V22_05, SMALL_MAX;
    /// A partition is to be changed.
    3005 UpdatePartition(UpdatePartition), V22_05, MEDIUM_MAX;
    /// `salloc`, `srun`: nodes are wanted.
    4001 Allocate(JobDesc), V22_05, SUBMIT_MAX;
    /// `sbatch`: a job is to be run.
    4003 Submit(JobDesc), V22_05, SUBMIT_MAX;
    /// The job was accepted.
    4004 Submitted(Submitted), V22_05, MEDIUM_MAX;
    /// A batch script is to be started.
    4005 Launch(Launch), V22_05, SUBMIT_MAX;
    /// `--test-only`: when would it run?
    4012 WillRunRequest(JobDesc), V22_05, SUBMIT_MAX;
    /// When it would run.
    4013 WillRun(WillRun), V22_05, MEDIUM_MAX;
    /// A step is to be signalled; as [`Message::Kill`].
    5005 CancelStep(KillRequest), V22_05, SMALL_MAX;
    /// `scontrol suspend`, `resume`.
    5014 Suspend(Suspend), V22_05, SMALL_MAX;
    /// A step has ended.
    5016 StepDone(StepDone), V22_05, SMALL_MAX;
    /// An allocation is given back.
    5017 AllocationDone(AllocationDone), V22_05, SMALL_MAX;
    /// A batch script has ended.
    5018 BatchDone(BatchDone), V22_05, SMALL_MAX;
    /// `scontrol requeue`.
    5023 Requeue(Requeue), V22_05, SMALL_MAX;
    /// Tasks are to stop for a while, or to go on.
    5031 SuspendTasks(SuspendTasks), V22_05, SMALL_MAX;
    /// `scancel`.
    5032 Kill(KillRequest), V22_05, SMALL_MAX;
    /// What came of each part of an array.
    5034 ArrayErrors(ArrayErrors), V22_05, MEDIUM_MAX;
    /// `scontrol top`.
    5038 TopJob(TopJob), V22_05, SMALL_MAX;
    /// Tasks are to be signalled.
    6004 SignalTasks(SignalTasks), V22_05, SMALL_MAX;
    /// Tasks are to be ended.
    6006 TerminateTasks(SignalTasks), V22_05, SMALL_MAX;
    /// A job is at its time limit.
    6009 KillTimeLimit(KillJob), V22_05, MEDIUM_MAX;
    /// A job is to be ended, and its epilog run.
    6011 TerminateJob(KillJob), V22_05, MEDIUM_MAX;
    /// An epilog has run. Nobody waits for a reply.
    6012 EpilogDone(EpilogDone), V22_05, SMALL_MAX;
    /// A job should not be running.
    6013 AbortJob(KillJob), V22_05, MEDIUM_MAX;
    /// A prolog is to be run.
    6017 Prolog(Prolog), V22_05, MEDIUM_MAX;
    /// A prolog has run.
    6018 PrologDone(PrologDone), V22_05, SMALL_MAX;
    /// How it went.
    8001 ReturnCode(ReturnCode), V20_11, SMALL_MAX;
    /// How it went, and why.
    8002 ReturnMessage(ReturnMessage), V20_11, SMALL_MAX;
    /// Controllers of a pair among each other.
    23801 Peer(Peer), V22_05, SMALL_MAX;
    /// `statectl status`: how does this controller stand?
    23802 StandingRequest, V22_05, SMALL_MAX;
    /// How it stands.
    23803 Standing(Standing), V22_05, SMALL_MAX;
    /// `statectl fence clear`: a controller that was deposed may claim again.
    23804 Pardon, V22_05, SMALL_MAX;
}

impl Message {
    /// The reply that is a mere [return code](crate::slurm::wire::constants::rc).
    #[must_use]
    pub fn code(return_code: u32) -> Message {
        Message::ReturnCode(Box::new(ReturnCode { return_code }))
    }

    /// Its line in the table.
    ///
    /// # Panics
    /// Never: every message has one.
    #[must_use]
    pub fn row(&self) -> &'static Row {
        row(self.kind()).expect("every message comes from the table")
    }

    /// The body of this message in `version`.
    ///
    /// # Errors
    /// [`Why::Version`] where the layout is not known, [`Why::Limit`] above the message's limit.
    pub fn pack(&self, version: Version) -> Result<Vec<u8>, WireError> {
        let row = self.row();
        let fails = |why| WireError { record: row.name, field: "body", at: 0, why };
        if version < row.since || version.edition().is_none() {
            return Err(fails(Why::Version(version.0)));
        }
        let mut out = Writer::new(version);
        self.pack_into(&mut out);
        let body = out.into_bytes();
        match body.len() {
            found if found > row.body_max => Err(fails(Why::Limit { found, max: row.body_max })),
            _ => Ok(body),
        }
    }

    /// The message of number `kind` whose body is all of `body`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn unpack(kind: u16, version: Version, body: &[u8]) -> Result<Message, WireError> {
        let mut input = Reader::new(body, version);
        let row = row(kind).ok_or_else(|| input.fails(Why::Message(kind)))?;
        if version < row.since || version.edition().is_none() {
            return Err(input.fails(Why::Version(version.0)));
        }
        if body.len() > row.body_max {
            return Err(input.fails(Why::Limit { found: body.len(), max: row.body_max }));
        }
        let message = Message::unpack_from(kind, &mut input)?;
        match input.rest().len() {
            0 => Ok(message),
            left => Err(input.fails(Why::Trailing(left))),
        }
    }
}
