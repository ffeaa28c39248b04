//! Threads that serve one request each, where serving it waits for somebody outside: munged.
//!
//! A request that is passed between the runtime's threads and others, once for each credential,
//! costs a wake-up each time; one that stays where it is costs none.
//!
//! Invariants: at most [`AT_ONCE`] requests have a thread of their own, others are served by the
//! runtime's as before; no thread of the runtime waits for anybody outside, in either case.

use std::cell::Cell;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// Requests that have a thread of their own at a time: more than a machine has cores, and few
/// beside the threads that a runtime lends (512), which listings and credentials need as well.
const AT_ONCE: usize = 64;

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

/// Goes on with `work` on a thread of its own, which nobody waits for. Gives it back where there is
/// none to be had now.
pub fn go_on<F: Future<Output = ()> + Send + 'static>(work: F) -> Option<F> {
    let Ok(place) = PLACES.try_acquire() else { return Some(work) };
    let runtime = Handle::current();
    drop(spawn_blocking(move || {
        let _place = place;
        let _marked = Marked::begin();
        runtime.block_on(work);
    }));
    None
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
    use tokio::sync::{Notify, mpsc};

    /// The places are the process's: a test that takes them all leaves none for others.
    static ALONE: Mutex<()> = Mutex::new(());

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
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
            assert!(go_on(work).is_none());
            let (here, there) = told.recv().await.unwrap();
            assert_eq!(here, there);
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
                refused += usize::from(go_on(work).is_some());
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
