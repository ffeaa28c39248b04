//! Tests that need the store's inner parts.

mod directory;
mod model;
mod variants;
