//! Every limit of the wire protocol, with the reason for its value.

/// Longest frame, without its length: no message of ours is longer. A reply about 100,000 jobs
/// takes 63 MB, a submission is bounded by [`SUBMIT_MAX`].
pub const FRAME_MAX: usize = 512 << 20;

/// Most bytes of header and credential. They are read before anybody is trusted: an
/// unauthenticated connection costs no more. A munge credential is 212 to 700 bytes.
pub const HEAD_MAX: usize = 16 << 10;

/// Body of a request without much to say: a ping, a job's number.
pub const SMALL_MAX: usize = 64 << 10;

/// Body of an update or of a registration: names, reasons, host lists.
pub const MEDIUM_MAX: usize = 4 << 20;

/// Body of a submission: script (Slurm's default is at most 4 MiB), environment, arguments; and of
/// a launch, which carries the same.
pub const SUBMIT_MAX: usize = 64 << 20;

/// Most bits of a bitmap: cores of the largest cluster that we plan for, times eight.
pub const BITS_MAX: u32 = 1 << 25;

const _: () = assert!(SUBMIT_MAX < FRAME_MAX && HEAD_MAX < SMALL_MAX);
