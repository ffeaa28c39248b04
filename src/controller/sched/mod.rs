//! The scheduler: which jobs that wait start where, and why the others do not.
//!
//! - [`layout`] nodes and partitions, [`grid`] what is free on them, [`cores`] on one node, and for
//!   jobs that share (`manner`) [`rows`];
//! - [`need`] what a job wants, [`offer`] what a node has for it, [`choose`] which nodes it gets,
//!   [`share`] what of each;
//! - [`order`] who comes first, [`wait`] who may not start yet, [`hold`] what is free when;
//! - `pass` all of it: pure; [`run`] the thread around it; [`forecast`] what users are told.
//!
//! Invariants:
//! - A pass works on a copy of the state, and proposes; `core::start` disposes: it checks every
//!   proposal against the state as it is then. So no core and no memory is ever given twice,
//!   whatever changed meanwhile, and nothing waits for a pass.
//! - What a pass proposes, `core::start` accepts, if nothing changed meanwhile.

pub mod bell;
pub mod choose;
pub mod cores;
pub mod forecast;
pub mod grid;
pub mod hold;
pub mod layout;
pub mod manner;
pub mod need;
pub mod offer;
pub mod order;
pub mod pass;
pub mod rows;
pub mod run;
pub mod share;
pub mod wait;

pub use forecast::{Board, Forecast, Forecasts};
pub use layout::Layout;
pub use pass::{Found, pass};

#[cfg(test)]
mod tests;
