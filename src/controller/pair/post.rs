//! Words between controllers: frames like all others, each with a credential of its own, many on
//! one connection.
//!
//! Invariant: a word counts only if root or SlurmUser has said it.

use crate::controller::pair::{Pair, lock};
use crate::controller::vital;
use crate::slurm::auth::{Role, To};
use crate::slurm::wire::frame::{Frame, Header, LENGTH_LEN, length};
use crate::slurm::wire::limits::{HEAD_MAX, SMALL_MAX};
use crate::slurm::wire::tables::Peer;
use crate::slurm::wire::{Message, Version};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

impl Pair {
    /// A word of this controller.
    pub fn word(&self, what: u16, epoch: u64, ready: bool) -> Peer {
        let host = self.hosts[usize::from(self.host.index)].name.as_str().into();
        let (digests, cluster) = (*lock(&self.digests), self.cluster_id().as_str().into());
        Peer {
            what,
            host,
            epoch,
            ready: u16::from(ready),
            conf_digest: digests.conf,
            own_digest: digests.own,
            cluster,
        }
    }
}

/// Says a word.
///
/// # Errors
/// No credential, or the connection is broken.
pub async fn say(pair: &Arc<Pair>, to: &mut OwnedWriteHalf, word: Peer) -> Result<(), String> {
    let pair = Arc::clone(pair);
    let sealed = spawn_blocking(move || {
        let message = Message::Peer(Box::new(word));
        let body = message.pack(Version::NEWEST).map_err(|error| error.to_string())?;
        let header = Header::new(Version::NEWEST, message.kind(), body.len());
        let sealed = pair.auth.seal(&header, &body, Role::Request, To::Uid(pair.host.slurm_user));
        sealed.map_err(|error| error.to_string())
    });
    let sealed = sealed.await.map_err(|error| error.to_string())??;
    to.write_all(&sealed.bytes).await.map_err(|error| error.to_string())
}

/// Hears a word.
///
/// # Errors
/// The connection has ended, or somebody else speaks.
async fn hear(pair: &Arc<Pair>, from: &mut OwnedReadHalf) -> Result<Peer, String> {
    let mut len = [0; LENGTH_LEN];
    from.read_exact(&mut len).await.map_err(|error| error.to_string())?;
    let len = length(len).map_err(|error| error.to_string())?;
    if len > SMALL_MAX + HEAD_MAX {
        return Err(format!("a word of {len} bytes"));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
    let pair = Arc::clone(pair);
    let heard = spawn_blocking(move || {
        let frame = Frame::unpack(&bytes).map_err(|error| error.to_string())?;
        let proved = pair.auth.verify(&frame, Role::Request).map_err(|error| error.to_string())?;
        if !pair.is_admin(proved.identity) {
            return Err(format!("uid {} is no controller", proved.identity.uid));
        }
        let Header { kind, version, .. } = frame.head.header;
        match Message::unpack(kind, version, frame.body) {
            Ok(Message::Peer(word)) => Ok(*word),
            Ok(other) => Err(format!("{} is no word of a controller", other.row().name)),
            Err(error) => Err(error.to_string()),
        }
    });
    heard.await.map_err(|error| error.to_string())?
}

/// All words that come, until the connection ends.
pub fn hear_all(pair: Arc<Pair>, mut from: OwnedReadHalf) -> mpsc::Receiver<Peer> {
    let (to, words) = mpsc::channel(16);
    vital::request(async move {
        loop {
            tokio::select! {
                word = hear(&pair, &mut from) => match word {
                    Ok(word) => {
                        if to.send(word).await.is_err() {
                            return;
                        }
                    }
                    Err(why) => return tracing::debug!("a controller's connection: {why}"),
                },
                // Nobody listens: the connection is given up.
                () = to.closed() => return,
            }
        }
    });
    words
}
