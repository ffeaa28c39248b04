//! A frame on its way through a standby to the primary, and the reply on its way back, both
//! undecoded.
//!
//! A relayed connection begins with a mark, the relay's epoch, and a byte that answers it:
//!
//! | bytes | |
//! |---|---|
//! | 4 | [`MARK`], which no frame's length may be |
//! | 8 | the epoch of the primary that is meant, big-endian |
//! | 1, back | 1: it reigns in that epoch, or a later one; 0: it does not, and nothing was done |
//!
//! A reign that has not begun is waited for, half a second at most.
//!
//! Invariants: two controllers never relay a frame back and forth; what was not answered is known
//! to be not done ([`Came::NotThere`]), or not known to be ([`Came::Unknown`]); frames that are
//! kept cost [`KEPT_MAX`] together, all others one buffer each.

use crate::controller::pair::{Pair, Stance};
use crate::controller::server::{Begun, TRANSFER_TIME};
use crate::slurm::wire::frame::LENGTH_LEN;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// "SDRL": more than any frame is long.
pub const MARK: [u8; LENGTH_LEN] = *b"SDRL";

/// Bytes of frames that are kept, so that they can be served again when their primary dies.
pub const KEPT_MAX: usize = 32 << 20;

/// How long a primary may take to say that it is one.
const GREETING: Duration = Duration::from_secs(2);

/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// A frame that is relayed.
pub struct Frame {
    /// How long it is, and what of it has arrived and is kept.
    pub begun: Begun,
    /// The leave to keep all of it; `None`: what was sent on is gone.
    kept: Option<OwnedSemaphorePermit>,
    gone: bool,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It was answered, or is not to be.
    Done,
    /// The primary is not there, or none any more: nothing was done.
    NotThere,
    /// The primary has it, and is gone.
    Unknown,
}

impl Frame {
    /// A frame whose head has arrived.
    pub fn new(begun: Begun, room: &Arc<Semaphore>) -> Frame {
        let wanted = u32::try_from(begun.len).ok();
        let kept = wanted.and_then(|len| Arc::clone(room).try_acquire_many_owned(len).ok());
        Frame { begun, kept, gone: false }
    }

    /// Whether all that has arrived is still here.
    pub fn is_here(&self) -> bool {
        !self.gone
    }

    /// Sends it on, until somebody else reigns; whether the primary has all of it.
    ///
    /// # Errors
    /// The client is gone.
    async fn send(
        &mut self,
        client: &mut TcpStream,
        to: &mut TcpStream,
        deposed: impl Future<Output = ()>,
    ) -> io::Result<bool> {
        tokio::select! {
            sent = self.send_all(client, to) => sent,
            // One that is frozen takes no more than the kernel has room for.
            () = deposed => Ok(false),
        }
    }

    /// Loses nothing of the frame where it is dropped half-way.
    async fn send_all(&mut self, client: &mut TcpStream, to: &mut TcpStream) -> io::Result<bool> {
        let len = u32::try_from(self.begun.len).expect("a frame's limit").to_be_bytes();
        if to.write_all(&[&len[..], &self.begun.bytes].concat()).await.is_err() {
            return Ok(false);
        }
        let mut left = self.begun.len - self.begun.bytes.len();
        let mut buffer = vec![0; left.min(64 << 10)];
        while left > 0 {
            let wanted = left.min(buffer.len());
            let got = timeout(TRANSFER_TIME, client.read(&mut buffer[..wanted])).await??;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match self.kept {
                Some(_) => self.begun.bytes.extend_from_slice(&buffer[..got]),
                None => self.gone = true,
            }
            left -= got;
            if to.write_all(&buffer[..got]).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A connection to the controller of that place, if it reigns in that epoch or a later one.
async fn reach(pair: &Pair, at: usize, epoch: u64) -> Option<TcpStream> {
    let reached = timeout(GREETING, async {
        let mut stream = pair.connect(at, GREETING / 4).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&[&MARK[..], &epoch.to_be_bytes()].concat()).await?;
        let mut reigns = [0];
        stream.read_exact(&mut reigns).await?;
        Ok::<_, io::Error>((stream, reigns == [1]))
    });
    match reached.await {
        Ok(Ok((stream, true))) => Some(stream),
        _ => None,
    }
}

/// Relays a frame to the primary of that place and epoch.
///
/// # Errors
/// The client is gone: nobody waits for what comes of it.
pub async fn relay(
    pair: &Pair,
    client: &mut TcpStream,
    frame: &mut Frame,
    (at, epoch): (usize, u64),
) -> io::Result<Came> {
    // Who is deposed answers nothing that counts: a frozen one is not waited for.
    let mut stances = pair.stance.subscribe();
    let mut deposed = std::pin::pin!(stances.wait_for(|stance| match stance {
        Stance::Serves(_) => true,
        Stance::Relays { epoch: of, .. } => *of > epoch,
        Stance::Waits => false,
    }));
    let reached = tokio::select! {
        reached = reach(pair, at, epoch) => reached,
        _ = &mut deposed => None,
    };
    let Some(mut primary) = reached else { return Ok(Came::NotThere) };
    if !frame.send(client, &mut primary, async { drop((&mut deposed).await) }).await? {
        // It may be read all the same, if only its end is missing.
        return Ok(Came::Unknown);
    }
    let mut buffer = vec![0; 64 << 10];
    let mut answered = false;
    loop {
        let read = tokio::select! {
            // What has come counts, whoever reigns now.
            biased;
            read = timeout(ANSWER, primary.read(&mut buffer)) => read,
            _ = &mut deposed, if !answered => return Ok(Came::Unknown),
        };
        match read {
            Ok(Ok(got)) if got > 0 => {
                answered = true;
                timeout(TRANSFER_TIME, client.write_all(&buffer[..got])).await??;
            }
            _ if answered => {
                let _ = client.shutdown().await;
                return Ok(Came::Done);
            }
            Ok(Ok(_)) => break,
            _ => return Ok(Came::Unknown),
        }
    }
    // An end without a word: from one that lives it is the answer.
    let lives = reach(pair, at, epoch).await.is_some();
    Ok(if lives { Came::Done } else { Came::Unknown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::net::TcpListener;

    /// More than the kernel takes for a peer that does not read.
    const LEN: usize = 24 << 20;

    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (one, listener.accept().await.unwrap().0)
    }

    /// A frame from a client that goes on or not, to a primary that never reads; whether that one
    /// is deposed as soon as it has some of it.
    async fn sent(goes_on: bool, is_deposed: bool) -> io::Result<bool> {
        let room = Arc::new(Semaphore::new(KEPT_MAX));
        let mut frame = Frame::new(Begun { len: LEN, bytes: vec![1; 100] }, &room);
        let ((mut client, mut here), (mut to, primary)) = (connection().await, connection().await);
        let sends = tokio::spawn(async move {
            // All of it, kept open; or the end, in the middle of it.
            let some = if goes_on { LEN } else { 1000 };
            let wrote = client.write_all(&vec![2; some]).await;
            goes_on.then_some((wrote, client))
        });
        let deposed = async {
            match is_deposed {
                true => primary.readable().await.unwrap(),
                false => pending().await,
            }
        };
        let sent = frame.send(&mut here, &mut to, deposed).await;
        assert!(frame.is_here());
        drop(here);
        drop(sends.await);
        sent
    }

    #[test]
    fn a_frozen_primary_that_is_deposed_is_sent_nothing_more_and_a_client_that_ends_is_an_error() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(async {
            assert!(!sent(true, true).await.unwrap());
            let gone = sent(false, false).await.unwrap_err();
            assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
        });
    }
}
