//! Values that every layer shares: ordinals, identities, limits, the authority to write.
//! Nothing here does I/O.

mod authority;
mod codec;
mod ids;
pub mod limits;
pub mod spans;

pub use authority::{Authority, Fenced, Local, Point};
pub use codec::{Cursor, Short};
pub use ids::{Chain, Epoch, Id, Lsn, Nanos, SegmentId};
