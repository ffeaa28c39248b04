//! What one of several controllers is: shown whether it is in charge or stands by.

/// What a controller may be.
pub const ROLES: [&str; 3] = ["primary", "claiming", "standby"];

/// Everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// One of [`ROLES`].
    pub role: &'static str,
    /// The newest reign of the register.
    pub epoch: u64,
    /// Of a standby: the last save in memory.
    pub applied: u64,
    /// Of a standby: the last save that it has read, confirmed or not.
    pub read: u64,
    /// Standbys that are connected.
    pub standbys: u64,
    /// Reigns that this process has begun.
    pub takeovers: u64,
    /// How long the last one took, from the reason to claim until requests were served.
    pub takeover_ms: u64,
    /// Controllers whose configuration differs from this one's.
    pub differ: u64,
}
