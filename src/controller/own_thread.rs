//! Threads that serve one request each, where serving it waits for somebody outside: munged.
//!
//! A request that is passed between the runtime's threads and others, for each credential and each
//! part of it that comes, costs a wake-up each time; one that stays where it is costs none.
//!
//! Invariants: at most [`AT_ONCE`] requests have a thread of their own, others are served by the
//! runtime's as before; no thread of the runtime waits for anybody outside, in either case; time
//! limits around what is waited for hold as elsewhere ([`Waiting`]).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{JoinError, spawn_blocking};

/// Requests that have a thread of their own at a time: more than a machine has cores, and few
/// beside the threads that a runtime lends (512), which listings and credentials need as well.
const AT_ONCE: usize = 64;

/// How long a thread waits for a connection before it looks whether the time is over.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// While this lives, the thread may wait for others.
struct Marked;

impl Marked {
    fn begin() -> Marked {
        OWN.set(true);
        Marked
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        OWN.set(false);
    }
}

/// A place for one request.
pub struct Place(SemaphorePermit<'static>);

impl Place {
    /// One, if there is one now.
    pub fn take() -> Option<Place> {
        PLACES.try_acquire().ok().map(Place)
    }

    /// Goes on with `work` on a thread of its own, which nobody waits for.
    pub fn go_on(self, work: impl Future<Output = ()> + Send + 'static) {
        let runtime = Handle::current();
        drop(spawn_blocking(move || {
            let _place = self.0;
            let _marked = Marked::begin();
            runtime.block_on(work);
        }));
    }
}

/// A connection that the thread itself waits for, not the runtime. Only for threads that may wait.
///
/// Whoever has waited gives the thread back for a moment, so that a time limit around a read is
/// looked at however slowly bytes come.
pub struct Waiting(TcpStream);

impl Waiting {
    /// Takes a connection out of the runtime's hands.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn of(stream: tokio::net::TcpStream) -> io::Result<Waiting> {
        stream.into_std().map(Waiting)
    }

    fn done<T>(
        &self,
        context: &Context<'_>,
        wanted: PollFlags,
        outcome: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // What fails here, the next try tells.
                let _ = poll(&mut [PollFd::new(&self.0, wanted)], Some(&LOOK));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return Poll::Ready(outcome),
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Waiting {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = (&self.0).read(buf.initialize_unfilled());
        self.done(context, PollFlags::IN, read).map_ok(|got| buf.advance(got))
    }
}

impl AsyncWrite for Waiting {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = (&self.0).write(bytes);
        self.done(context, PollFlags::OUT, written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

/// Does what may have to wait for others: here, if this thread may wait, else elsewhere.
///
/// # Errors
/// It panicked, elsewhere.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if OWN.get() { Ok(work()) } else { spawn_blocking(work).await }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::sync::{Notify, mpsc};
    use tokio::time::timeout;

    /// The places are the process's: a test that takes them all leaves none for others.
    static ALONE: Mutex<()> = Mutex::new(());

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    /// The other test may have them all.
    async fn take() -> Place {
        loop {
            match Place::take() {
                Some(place) => return place,
                None => tokio::task::yield_now().await,
            }
        }
    }

    #[test]
    fn what_waits_is_done_on_the_requests_own_thread_and_never_on_one_of_the_runtimes() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        runtime().block_on(async {
            let shared = tokio::spawn(async {
                (thread::current().id(), aside(|| thread::current().id()).await.unwrap())
            });
            let (here, there) = shared.await.unwrap();
            assert_ne!(here, there, "a thread of the runtime has waited");
            let (tell, mut told) = mpsc::unbounded_channel();
            let work = async move {
                tokio::task::yield_now().await;
                let here = thread::current().id();
                tell.send((here, aside(|| thread::current().id()).await.unwrap())).unwrap();
            };
            take().await.go_on(work);
            let (here, there) = told.recv().await.unwrap();
            assert_eq!(here, there);
        });
    }

    #[test]
    fn a_time_limit_ends_a_read_that_bytes_dribble_into() {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let dribble = thread::spawn(move || {
                let mut peer = TcpStream::connect(address).unwrap();
                peer.write_all(b"head").unwrap();
                while peer.write_all(b".").is_ok() {
                    thread::sleep(Duration::from_millis(2));
                }
            });
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = Waiting::of(stream).unwrap();
            let (tell, mut told) = mpsc::unbounded_channel();
            let work = async move {
                let mut head = [0; 4];
                stream.read_exact(&mut head).await.unwrap();
                assert_eq!(&head, b"head");
                let mut rest = vec![0; 1 << 20];
                let all = stream.read_exact(&mut rest);
                tell.send(timeout(Duration::from_millis(50), all).await.is_err()).unwrap();
            };
            take().await.go_on(work);
            assert_eq!(told.recv().await, Some(true));
            dribble.join().unwrap();
        });
    }

    #[test]
    fn places_are_bounded_and_come_back_after_a_panic_too() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        runtime().block_on(async {
            let go = Arc::new(Notify::new());
            let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let mut refused = 0;
            for _ in 0..2 * AT_ONCE {
                let (go, begun, ended) = (Arc::clone(&go), Arc::clone(&begun), Arc::clone(&ended));
                let work = async move {
                    let waits = go.notified();
                    begun.fetch_add(1, Ordering::SeqCst);
                    waits.await;
                    ended.fetch_add(1, Ordering::SeqCst);
                    panic!("on purpose");
                };
                match Place::take() {
                    Some(place) => place.go_on(work),
                    None => refused += 1,
                }
            }
            // Another test may have one of them.
            assert!((AT_ONCE..AT_ONCE + 4).contains(&refused), "{refused}");
            let all = 2 * AT_ONCE - refused;
            while ended.load(Ordering::SeqCst) < all {
                go.notify_waiters();
                tokio::task::yield_now().await;
            }
            while PLACES.available_permits() < AT_ONCE {
                tokio::task::yield_now().await;
            }
        });
    }
}
