//! Partitions: what clients have words for.

/// Flags of a partition, and those of a change that clear them.
pub mod flag {
    pub const DEFAULT: u16 = 0x1;
    pub const HIDDEN: u16 = 0x2;
    pub const NO_ROOT: u16 = 0x4;
    pub const ROOT_ONLY: u16 = 0x8;
    pub const REQ_RESV: u16 = 0x10;
    pub const LLN: u16 = 0x20;
    pub const EXCLUSIVE_USER: u16 = 0x40;
    /// By how much the flag that clears another is above it.
    pub const CLEAR_SHIFT: u16 = 8;
}

/// In front of a number of jobs that share: they must.
pub const FORCE: u16 = 0x8000;

/// In front of an amount of memory: for a CPU, not for a node.
pub const PER_CPU: u64 = 1 << 63;

/// `NO`, `YES:4`, `FORCE:4`, `EXCLUSIVE`.
pub fn oversubscribe(max_share: u16) -> String {
    match max_share & !FORCE {
        0 => "EXCLUSIVE".to_owned(),
        count if max_share & FORCE != 0 => format!("FORCE:{count}"),
        1 => "NO".to_owned(),
        count => format!("YES:{count}"),
    }
}

/// State in capitals; `None`: there is no name for it.
pub fn state(up: u16) -> Option<&'static str> {
    Some(match up {
        3 => "UP",
        1 => "DOWN",
        2 => "DRAIN",
        0 => "INACTIVE",
        _ => return None,
    })
}
