//! Rings for the scheduler.
//!
//! Invariant: whoever listens hears that it rang since it listened last, once.

use std::sync::Arc;
use tokio::sync::Notify;

/// Rings when the scheduler may find something.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// Something has changed.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Returns when it has rung.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
