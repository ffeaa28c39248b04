//! Why a job is not accepted: Slurm's number, which clients have a text for, and at times a line
//! about it.

use crate::slurm::wire::Message;
use crate::slurm::wire::tables::ReturnMessage;

/// Slurm's numbers for what may be wrong with a request for a job.
pub mod code {
    /// Try again: clients do so by themselves.
    pub const AGAIN: u32 = 11;
    /// No such partition.
    pub const PARTITION: u32 = 2000;
    /// None was named, and there is no default.
    pub const NO_DEFAULT_PARTITION: u32 = 2001;
    /// Not allowed for this user.
    pub const ACCESS: u32 = 2002;
    /// Only for groups that the user is in none of.
    pub const GROUP: u32 = 2003;
    /// Nodes that the partition does not have.
    pub const NODES_NOT_IN_PARTITION: u32 = 2004;
    /// More CPUs than the partition has.
    pub const TOO_MANY_CPUS: u32 = 2005;
    /// A number of nodes that cannot be.
    pub const NODE_COUNT: u32 = 2006;
    /// There is no script.
    pub const NO_SCRIPT: u32 = 2009;
    /// The user is not who he says he is, or may not run jobs here.
    pub const USER: u32 = 2010;
    /// There is a job of that id.
    pub const DUPLICATE_ID: u32 = 2011;
    /// A text is too long.
    pub const TOO_LONG: u32 = 2012;
    /// No nodes have what is wanted.
    pub const NODE_CONFIG: u32 = 2014;
    /// The partition does not allow what is wanted.
    pub const PARTITION_CONFIG: u32 = 2015;
    /// An id that may not be asked for.
    pub const JOB_ID: u32 = 2017;
    /// No such node.
    pub const NODE: u32 = 2018;
    /// A feature that no node has, or a list that cannot be read.
    pub const FEATURE: u32 = 2029;
    /// Not supported.
    pub const UNSUPPORTED: u32 = 2036;
    /// A dependency that cannot be read.
    pub const DEPENDENCY: u32 = 2038;
    /// More memory than the partition allows.
    pub const MEMORY: u32 = 2044;
    /// An account that the partition is not for.
    pub const ACCOUNT: u32 = 2045;
    /// No such licenses.
    pub const LICENSES: u32 = 2048;
    /// A time limit that cannot be.
    pub const TIME_LIMIT: u32 = 2051;
    /// No such reservation.
    pub const RESERVATION: u32 = 2053;
    /// The partition takes no jobs now.
    pub const PARTITION_NOT_AVAILABLE: u32 = 2070;
    /// No such generic resources.
    pub const GRES: u32 = 2072;
    /// It cannot be started at once.
    pub const NOT_IMMEDIATELY: u32 = 2078;
    /// A list of tasks that cannot be read, or is too long.
    pub const ARRAY: u32 = 2081;
    /// No windows are forwarded from there.
    pub const X11: u32 = 2112;
    /// The group is not the user's.
    pub const GROUP_ID: u32 = 2113;
    /// Features for the batch host without features for the job.
    pub const BATCH_FEATURES: u32 = 2114;
    /// No such resources.
    pub const RESOURCES: u32 = 2115;
    /// Only administrators lift a job over others.
    pub const NICE: u32 = 2123;
    /// A least time that cannot be.
    pub const TIME_MIN: u32 = 2124;
    /// Preferred features that no node has, or a list that cannot be read.
    pub const PREFER: u32 = 2133;
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Slurm's number.
    pub code: u32,
    /// A line about it, for the user.
    pub line: Option<String>,
}

impl From<u32> for Refusal {
    fn from(code: u32) -> Refusal {
        Refusal { code, line: None }
    }
}

impl Refusal {
    /// With a line for the user.
    #[must_use]
    pub fn because(code: u32, line: impl Into<String>) -> Refusal {
        Refusal { code, line: Some(line.into()) }
    }

    /// What is sent back.
    #[must_use]
    pub fn reply(self) -> Message {
        match self.line {
            None => Message::code(self.code),
            Some(line) => {
                let message = line.into();
                Message::ReturnMessage(Box::new(ReturnMessage { return_code: self.code, message }))
            }
        }
    }
}
