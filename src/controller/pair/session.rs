//! The primary's side of a standing connection: a standby watches, and is told that the reign goes
//! on, that it is offered, that all are to end.

use crate::controller::pair::{Pair, lock, post};
use crate::role::takeover::Event;
use crate::slurm::wire::constants::peer;
use crate::slurm::wire::tables::Peer;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Speaks with a standby until one of the two ends it.
pub async fn run(pair: &Arc<Pair>, stream: TcpStream, first: Peer) {
    let _ = stream.set_nodelay(true);
    let (from, mut to) = stream.into_split();
    let epoch = pair.epoch();
    if post::say(pair, &mut to, pair.word(peer::REIGNS, epoch, true)).await.is_err() || epoch == 0 {
        return;
    }
    let host = first.host.lossy().into_owned();
    let (way, mut wanted) = mpsc::unbounded_channel();
    lock(&pair.standbys).insert(host.clone(), way.clone());
    heard(pair, &host, &first);
    let mut words = post::hear_all(Arc::clone(pair), from);
    let mut beats = tokio::time::interval(pair.pulse());
    loop {
        let word = tokio::select! {
            word = words.recv() => match word {
                Some(word) => {
                    heard(pair, &host, &word);
                    continue;
                }
                None => break,
            },
            Some(word) = wanted.recv() => word,
            _ = beats.tick() => match pair.epoch() {
                // The reign is being closed: what comes of it is told then.
                0 => continue,
                epoch => pair.word(peer::REIGNS, epoch, true),
            },
        };
        if post::say(pair, &mut to, word).await.is_err() {
            break;
        }
    }
    let mut standbys = lock(&pair.standbys);
    // Unless it is connected anew already.
    if standbys.get(&host).is_some_and(|there| there.same_channel(&way)) {
        standbys.remove(&host);
        pair.happened(Event::Standby { host, ready: false });
    }
}

fn heard(pair: &Pair, host: &str, word: &Peer) {
    pair.compare(host, word);
    pair.reach.heard();
    let host = host.to_owned();
    match word.what {
        peer::WATCHES => pair.happened(Event::Standby { host, ready: word.ready != 0 }),
        peer::ASKS => pair.happened(Event::Cede { to: host }),
        peer::TAKEN => drop(pair.taken.send_replace((word.epoch, word.ready != 0))),
        _ => {}
    }
}
