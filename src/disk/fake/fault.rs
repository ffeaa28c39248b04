//! Calls that fail, by plan.

use std::io;

/// A kind of call to the disk. Each goes through the same retry loop as on a real disk, so one
/// `write_at` may be several calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `Disk::list`.
    List,
    /// `Disk::open`.
    Open,
    /// `Disk::remove`.
    Remove,
    /// `Disk::rename`.
    Rename,
    /// `Disk::sync_names`.
    SyncNames,
    /// `Disk::sync_parent`.
    SyncParent,
    /// `File::read_at` and `File::map`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::write_around`.
    WriteAround,
    /// `File::write_durable`.
    WriteDurable,
    /// `File::sync`.
    Sync,
    /// `File::set_len`.
    SetLen,
    /// `File::allocate`.
    Allocate,
    /// `File::punch`.
    Punch,
    /// `File::try_lock`.
    Lock,
    /// `Disk::space`, `handle`, `mode`; `File::len`, `modified`, `next_data`, `unlock`.
    Look,
}

impl Call {
    /// Every kind.
    pub const ALL: [Call; 16] = [
        Call::List,
        Call::Open,
        Call::Remove,
        Call::Rename,
        Call::SyncNames,
        Call::SyncParent,
        Call::Read,
        Call::Write,
        Call::WriteAround,
        Call::WriteDurable,
        Call::Sync,
        Call::SetLen,
        Call::Allocate,
        Call::Punch,
        Call::Lock,
        Call::Look,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO. Writes leave some of their units behind; a failed sync leaves everything that it
    /// should have flushed in doubt for ever, as Linux does: a later sync does not flush it.
    Io,
    /// ENOSPC. Writes leave a beginning behind.
    Full,
    /// ENOENT: somebody else has removed it.
    Gone,
    /// ESTALE: so has another host of a network file system.
    Stale,
    /// EINTR, before anything happened. Absorbed by the retry loops: callers never see it.
    Interrupted,
    /// A read or write of less than was asked for. Absorbed as well; other calls succeed.
    Short,
}

impl Fault {
    /// The error that a call with this fault returns; `None` if it only does less.
    pub(super) fn error(self) -> Option<io::Error> {
        let errno = match self {
            Fault::Io => libc::EIO,
            Fault::Full => libc::ENOSPC,
            Fault::Gone => libc::ENOENT,
            Fault::Stale => libc::ESTALE,
            Fault::Interrupted => libc::EINTR,
            Fault::Short => return None,
        };
        Some(io::Error::from_raw_os_error(errno))
    }
}

/// Which calls fail, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// The kind of call that is counted; `None` counts all.
    pub call: Option<Call>,
    /// Which of them fails, counted from 1 when the plan is made.
    pub nth: u64,
    /// How.
    pub fault: Fault,
    /// Whether all later ones fail too: a disk that has died.
    pub sticky: bool,
}

impl FaultPlan {
    /// The `nth` call of all fails once.
    #[must_use]
    pub fn nth(nth: u64, fault: Fault) -> FaultPlan {
        FaultPlan { call: None, nth, fault, sticky: false }
    }

    /// The `nth` call of one kind fails once.
    #[must_use]
    pub fn nth_of(call: Call, nth: u64, fault: Fault) -> FaultPlan {
        FaultPlan { call: Some(call), nth, fault, sticky: false }
    }

    /// The same, and all that follow.
    #[must_use]
    pub fn forever(self) -> FaultPlan {
        FaultPlan { sticky: true, ..self }
    }
}

/// Plans under way, and what was called so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    plans: Vec<(FaultPlan, u64)>,
    counts: [u64; Call::ALL.len()],
}

impl Faults {
    pub(super) fn add(&mut self, plan: FaultPlan) {
        assert!(plan.nth > 0, "calls are counted from 1");
        let endless = plan.sticky && plan.fault == Fault::Interrupted;
        assert!(!endless, "what interrupts every retry never ends");
        self.plans.push((plan, 0));
    }

    pub(super) fn clear(&mut self) {
        self.plans.clear();
    }

    pub(super) fn count(&self, call: Option<Call>) -> u64 {
        match call {
            Some(call) => self.counts[call as usize],
            None => self.counts.iter().sum(),
        }
    }

    /// Counts a call and says how it fails, if it does.
    pub(super) fn meet(&mut self, call: Call) -> Option<Fault> {
        self.counts[call as usize] += 1;
        let mut fault = None;
        for (plan, seen) in &mut self.plans {
            if plan.call.is_some_and(|wanted| wanted != call) {
                continue;
            }
            *seen += 1;
            let due = *seen == plan.nth || (plan.sticky && *seen > plan.nth);
            if due && fault.is_none() {
                fault = Some(plan.fault);
            }
        }
        fault
    }
}
