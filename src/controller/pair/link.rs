//! A standby's side of the standing connection to the primary: what is heard there, and how it
//! ends.
//!
//! Invariants: an end is told only after another try has shown that this reign does not answer any
//! more; silence is none. What counts is the reign that was heard: a connection to a controller
//! that began anew may lead to a later one than the register was last seen to name.

use crate::controller::home::Recover;
use crate::controller::pair::{Pair, Stance, lock, post};
use crate::role::takeover::Event;
use crate::slurm::wire::constants::peer;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long the first word may take after a connection that was alive has ended.
const PROOF: Duration = Duration::from_millis(300);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What a try has come to.
enum Came {
    /// Nobody listens there.
    Refused,
    /// Nothing, or nothing in time.
    Nothing,
    /// It answers that it does not reign.
    Abdicated,
    /// It reigned in that epoch, and then the connection ended.
    Lost(u64),
}

/// Keeps a connection to whoever reigns, until the task is aborted.
pub async fn run(pair: Arc<Pair>) {
    // The controller and the epoch that were heard on a connection that has ended since.
    let mut lost = (usize::MAX, 0);
    loop {
        let target = pair.sight.borrow().as_ref().and_then(|sight| {
            let host = sight.reign.primary.clone()?;
            Some((pair.place(&host)?, host, sight.reign.epoch.0))
        });
        let own = usize::from(pair.host.index);
        let Some((at, host, epoch)) = target.filter(|(at, ..)| *at != own) else {
            sleep(PAUSE).await;
            continue;
        };
        let was_heard = lost.0 == at && lost.1 >= epoch;
        match one(&pair, at, epoch, was_heard).await {
            Came::Lost(heard) => {
                lost = (at, heard);
                continue;
            }
            Came::Refused | Came::Abdicated if was_heard => {
                pair.happened(Event::Ended { host });
            }
            // It was there, and has not come back in time.
            Came::Nothing if was_heard => pair.happened(Event::Ended { host }),
            _ => {}
        }
        sleep(PAUSE).await;
    }
}

/// One connection, from its beginning to its end.
async fn one(pair: &Arc<Pair>, at: usize, epoch: u64, again: bool) -> Came {
    let patience = if again { PROOF } else { pair.timeout.min(Duration::from_secs(2)) };
    let stream = match timeout(patience, pair.connect(at, patience / 2)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let refused =
                matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset);
            return if refused { Came::Refused } else { Came::Nothing };
        }
        Err(_) => return Came::Nothing,
    };
    let _ = stream.set_nodelay(true);
    let (from, mut to) = stream.into_split();
    let watches = |pair: &Pair, epoch| pair.word(peer::WATCHES, epoch, pair.is_ready());
    if post::say(pair, &mut to, watches(pair, epoch)).await.is_err() {
        return Came::Nothing;
    }
    let mut words = post::hear_all(Arc::clone(pair), from);
    let first = timeout(patience.max(PROOF), words.recv()).await;
    let word = match first {
        Ok(Some(word)) if word.what == peer::REIGNS && word.epoch == 0 => return Came::Abdicated,
        Ok(Some(word)) if word.what == peer::REIGNS && word.epoch >= epoch => word,
        _ => return Came::Nothing,
    };
    // Before it is told that the primary lives: whoever hears that may ask it for the reign.
    let (way, mut wanted) = mpsc::unbounded_channel();
    *lock(&pair.upstream) = Some(way);
    pair.compare(&pair.hosts[at].name, &word);
    heard(pair, at, word.epoch);
    let mut epoch = word.epoch;
    let mut beats = tokio::time::interval(pair.pulse());
    let mut told = None;
    loop {
        let ready = pair.is_ready();
        let claims = pair.claiming.load(Ordering::Acquire);
        if !claims && told.replace((ready, epoch)) != Some((ready, epoch)) {
            let (host, able) = (&pair.hosts[at].name, if ready { "" } else { "not " });
            let (lsn, _) = pair.progress.lsns();
            tracing::info!("standby of {host}, epoch {epoch}: {able}ready to take over, at {lsn}");
            if post::say(pair, &mut to, watches(pair, epoch)).await.is_err() {
                break;
            }
        }
        let word = tokio::select! {
            word = words.recv() => match word {
                Some(word) if word.what == peer::REIGNS && word.epoch > 0 => {
                    pair.compare(&pair.hosts[at].name, &word);
                    heard(pair, at, word.epoch);
                    epoch = epoch.max(word.epoch);
                    continue;
                }
                Some(word) => {
                    match word.what {
                        peer::OFFERS => {
                            pair.offered.store(word.epoch, Ordering::Release);
                            let epoch = crate::base::Epoch(word.epoch);
                            pair.happened(Event::Offered { epoch });
                        }
                        peer::SHUTDOWN => {
                            pair.resigned.store(true, Ordering::Release);
                            pair.happened(Event::Shutdown);
                        }
                        _ => {}
                    }
                    continue;
                }
                None => break,
            },
            Some(word) = wanted.recv() => word,
            _ = beats.tick() => watches(pair, epoch),
        };
        if post::say(pair, &mut to, word).await.is_err() {
            break;
        }
    }
    *lock(&pair.upstream) = None;
    pair.stance.send_if_modified(|stance| {
        let relays = matches!(stance, Stance::Relays { .. });
        if relays {
            *stance = Stance::Waits;
        }
        relays
    });
    Came::Lost(epoch)
}

/// The primary lives: requests go there.
fn heard(pair: &Pair, at: usize, epoch: u64) {
    pair.reach.heard();
    leave_nothing_out(pair, at);
    pair.happened(Event::Heard { epoch: crate::base::Epoch(epoch) });
    pair.stance.send_if_modified(|stance| match stance {
        Stance::Serves(_) => false,
        Stance::Relays { at: old, epoch: of } if (*old, *of) == (at, epoch) => false,
        _ => {
            *stance = Stance::Relays { at, epoch };
            true
        }
    });
}

/// What was to be left out at the start is the state of then: another one has gone on with it.
fn leave_nothing_out(pair: &Pair, at: usize) {
    let asked = std::mem::take(&mut *lock(&pair.leave_out));
    if asked != Recover::default() {
        let host = &pair.hosts[at].name;
        tracing::warn!(
            "{host} reigns, and goes on with the state: nothing of it is left out; next: for -c, \
             -i or -r, stop every controller, and start one with it"
        );
    }
}
