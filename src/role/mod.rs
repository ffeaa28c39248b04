//! Who may write a shared directory: the register, what makes an
//! [`Authority`](crate::base::Authority) of it, and when somebody tries.
//!
//! - [`Register`]: one host's door to the register in the directory. [`Register::make`] makes it
//!   for a store that becomes a shared one, [`Register::join`] says that this host sees it,
//!   [`Register::claim`] makes this host the primary of the next epoch.
//! - [`Reigning`]: the [`Authority`](crate::base::Authority) that a claim gives, for `Store::open`.
//! - [`Heart`]: the primary's heartbeat in the directory, with which it admits other hosts.
//! - [`rules`]: every decision about these, pure.
//! - [`quarantine`]: what it remembers of who was deposed.
//! - [`takeover`]: when to claim, to cede, to stand by; pure, too.
//!
//! Invariants:
//! - An epoch is claimed by one host: its record gets its name in one step, and never twice.
//! - A record keeps its name for ever, so that a claimer that slept through many reigns finds its
//!   epoch taken. It is one small file for each reign.
//! - Nothing here decides by a clock what is safe. Clocks decide when somebody tries.
//! - What is flushed before a confirmation that says yes is read by whoever claims later: the
//!   claimer makes its claim visible first, and reads the log afterwards.

mod authority;
mod heart;
pub mod quarantine;
mod register;
pub mod rules;
pub mod takeover;

pub use authority::{Check, Reigning};
pub use heart::Heart;
pub use register::{ClaimError, Register, RegisterError, Sight};
