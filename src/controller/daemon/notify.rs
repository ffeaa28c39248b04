//! What systemd is told, where it listens: NOTIFY_SOCKET.

use sd_notify::NotifyState;

/// The controller answers, and how it is.
pub fn ready(status: &str) {
    // In the background it is another process than the one that was started.
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready, state(status)]);
}

/// How it is.
pub fn status(status: &str) {
    tell(&[state(status)]);
}

/// It is about to end.
pub fn stopping(why: &str) {
    tell(&[NotifyState::Stopping, state(why)]);
}

fn state(text: &str) -> NotifyState<'_> {
    NotifyState::Status(text)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("NOTIFY_SOCKET: {error}");
    }
}
