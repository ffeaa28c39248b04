//! The open port of a controller that may or may not reign: every request is served here, relayed
//! to the primary, or held until there is one.
//!
//! Invariants:
//! - A frame that a primary which is gone may have executed is served once more only if that does
//!   it once: who only asks, and what the state itself recognizes (a submission by the digest of
//!   its credential, what agents report by the job).
//! - Whoever has not proved who he is costs what he does at a primary: [`HEAD_MAX`] and a buffer.
//! - A request is held no longer than MessageTimeout less 2 s; then it gets a code that unmodified
//!   clients understand.
//!
//! [`HEAD_MAX`]: crate::slurm::wire::limits::HEAD_MAX

use crate::controller::pair::relay::{Came, Frame, KEPT_MAX, MARK};
use crate::controller::pair::{Counted, Pair, Stance, closing, local, relay};
use crate::controller::server::{
    self, Begun, CONNECTIONS_MAX, Dropped, UNKNOWN_TIME, begin_with, serve_begun,
};
use crate::controller::vital;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::frame::LENGTH_LEN;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Between two tries to reach a primary that should be there.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two looks whether the primary is elsewhere.
const LOOK: Duration = Duration::from_millis(250);

/// How much longer than SlurmctldTimeout a takeover may take.
const MARGIN: Duration = Duration::from_millis(500);

/// How long a relayed frame is not answered where the reign that is meant has not begun. Less than
/// a relay waits for that.
const COMES: Duration = Duration::from_millis(500);

/// Accepts connections until all ports are to be closed; then those that are there already.
pub async fn accept(pair: Arc<Pair>, listener: TcpListener) {
    let _open = Counted::new(&pair.doors);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let room = Arc::new(Semaphore::new(KEPT_MAX));
    let mut closing = pair.closing.subscribe();
    let take = |(stream, peer): (TcpStream, SocketAddr), place| {
        // Counted before anybody looks whether there are any.
        let (held, room) = (Held::new(&pair), Arc::clone(&room));
        vital::request(async move {
            if let Err(dropped) = serve(&held.0, stream, peer, &room).await {
                tracing::debug!("{peer}: {dropped}");
            }
            drop((place, held));
        });
    };
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            (place, listener.accept().await)
        };
        let next = tokio::select! {
            next = next => Some(next),
            _ = closing.wait_for(|closing| *closing) => None,
        };
        let Some((place, accepted)) = next else {
            return closing::close(listener, |came| take(came, None)).await;
        };
        match accepted {
            Ok(came) => take(came, Some(place)),
            // Out of descriptors, most likely: those that are served give theirs back.
            Err(error) => {
                tracing::error!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection.
struct Held(Arc<Pair>);

impl Held {
    fn new(pair: &Arc<Pair>) -> Held {
        pair.held.fetch_add(1, Ordering::AcqRel);
        Held(Arc::clone(pair))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn serve(
    pair: &Arc<Pair>,
    mut stream: TcpStream,
    peer: SocketAddr,
    room: &Arc<Semaphore>,
) -> Result<(), Dropped> {
    let until = Instant::now() + pair.hold;
    let mut length = [0; LENGTH_LEN];
    timeout(UNKNOWN_TIME, stream.read_exact(&mut length)).await??;
    if length == MARK {
        return relayed(pair, stream, peer).await;
    }
    let Some(begun) = begin_with(&pair.auth, &mut stream, length).await? else { return Ok(()) };
    if local::is_local(begun.kind()) {
        return local::answer(pair, stream, peer, begun).await;
    }
    let kind = begun.kind();
    let mut frame = Frame::new(begun, room);
    let mut stances = pair.stance.subscribe();
    loop {
        let stance = stances.borrow_and_update().clone();
        if !matches!(stance, Stance::Serves(_)) && is_elsewhere(pair) {
            return give_up(pair, &mut stream, &frame.begun).await;
        }
        match stance {
            Stance::Serves(_) => {
                let Some((service, _entered)) = pair.enter() else { continue };
                return serve_begun(&service, &mut stream, peer, frame.begun).await;
            }
            Stance::Relays { at, epoch } => {
                match relay::relay(pair, &mut stream, &mut frame, (at, epoch)).await? {
                    Came::Done => return Ok(()),
                    Came::NotThere => {}
                    Came::Unknown if frame.is_here() && is_done_once(kind) => {}
                    Came::Unknown => {
                        let why = "the primary is gone, and may have done what was asked";
                        return Err(Dropped::Garbage(why.to_owned()));
                    }
                }
                // The link notices by itself that nobody is there.
                let _ = timeout_at(until.min(Instant::now() + PAUSE), stances.changed()).await;
            }
            Stance::Waits => {
                let _ = timeout_at(until.min(Instant::now() + LOOK), stances.changed()).await;
            }
        }
        if Instant::now() >= until {
            return give_up(pair, &mut stream, &frame.begun).await;
        }
    }
}

/// Refuses, without knowing who asks: who is listed first sends clients on, where somebody reigns
/// that they may reach.
async fn give_up(pair: &Arc<Pair>, stream: &mut TcpStream, begun: &Begun) -> Result<(), Dropped> {
    let elsewhere = pair.host.index == 0 && pair.beats.load(Ordering::Acquire);
    let code = if elsewhere { rc::STANDBY_USE_BACKUP } else { rc::STANDBY };
    server::refuse_begun(&pair.auth, stream, begun, code).await
}

/// Whether the primary lives and is not reached from here, for so long that this controller would
/// have taken over, had it reached more agents: nothing is gained by waiting.
fn is_elsewhere(pair: &Pair) -> bool {
    let waited = |time| time > pair.timeout + MARGIN;
    pair.host.index == 0
        && pair.beats.load(Ordering::Acquire)
        && pair.reach.silence().is_some_and(waited)
}

/// Whether a reign has not begun, as far as is known here.
fn is_to_come(stance: &Stance, epoch: u64) -> bool {
    match stance {
        Stance::Serves(_) => false,
        Stance::Relays { epoch: of, .. } => *of < epoch,
        Stance::Waits => true,
    }
}

/// A frame that comes through a standby.
async fn relayed(pair: &Arc<Pair>, mut stream: TcpStream, peer: SocketAddr) -> Result<(), Dropped> {
    let mut epoch = [0; 8];
    timeout(UNKNOWN_TIME, stream.read_exact(&mut epoch)).await??;
    let epoch = u64::from_be_bytes(epoch);
    if is_to_come(&pair.stance.borrow(), epoch) {
        // Whoever hands over to this controller says so before it reigns.
        let mut stances = pair.stance.subscribe();
        let _ = timeout(COMES, stances.wait_for(|stance| !is_to_come(stance, epoch))).await;
    }
    let entered = pair.enter().filter(|(service, _)| service.epoch() >= epoch);
    stream.write_all(&[u8::from(entered.is_some())]).await?;
    let Some((service, _entered)) = entered else { return Ok(()) };
    match server::begin(&pair.auth, &mut stream).await? {
        Some(begun) => serve_begun(&service, &mut stream, peer, begun).await,
        None => Ok(()),
    }
}

/// Whether a message that is served twice does what it does once.
fn is_done_once(kind: u16) -> bool {
    const REGISTRATION: u16 = 1002;
    const SUBMIT: u16 = 4003;
    const STEP_DONE: u16 = 5016;
    const BATCH_DONE: u16 = 5018;
    const EPILOG_DONE: u16 = 6012;
    matches!(kind, REGISTRATION | SUBMIT | STEP_DONE | BATCH_DONE | EPILOG_DONE | 2001..=2099)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::wire::message::MESSAGES;

    #[test]
    fn a_reign_is_waited_for_until_a_later_one_is_known() {
        assert!(is_to_come(&Stance::Waits, 7));
        assert!(is_to_come(&Stance::Relays { at: 1, epoch: 6 }, 7));
        assert!(!is_to_come(&Stance::Relays { at: 1, epoch: 7 }, 7));
        assert!(!is_to_come(&Stance::Relays { at: 1, epoch: 8 }, 7));
    }

    #[test]
    fn what_changes_something_is_served_again_only_if_the_state_recognizes_it() {
        let again: Vec<&str> = MESSAGES
            .iter()
            .filter(|row| is_done_once(row.kind) && !(2001..=2099).contains(&row.kind))
            .map(|row| row.name)
            .collect();
        assert_eq!(again, ["Registration", "Submit", "StepDone", "BatchDone", "EpilogDone"]);
        for row in MESSAGES.iter().filter(|row| (2001..=2099).contains(&row.kind)) {
            let asks = row.name.ends_with("Request");
            let answers = ["Config", "Jobs", "Steps", "Nodes", "Partitions", "Script"];
            let told = answers.contains(&row.name) || row.name == "ControlStatus";
            assert!(asks || told, "{} asks for nothing but information", row.name);
        }
    }
}
