//! Addresses of hosts by their names, for those whom a resolver that hangs must not hold up.
//!
//! Invariants:
//! - At most one lookup of a name is under way, however long it takes: nobody begins another one,
//!   and no threads pile up.
//! - Whoever asks waits until his limit has passed since the lookup began, and no longer; then he
//!   gets what was found last, which may be nothing. A lookup that fails leaves that as it was.
//! - An address that stands in place of a name is looked up nowhere.

use crate::controller::pair::{Pair, lock};
use crate::controller::vital;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// What is known of a name.
#[derive(Default)]
struct Known {
    /// When the lookup began that is under way.
    began: Option<Instant>,
    /// What was found last; their ports mean nothing.
    found: Vec<SocketAddr>,
}

/// All names that were asked for.
pub struct Names {
    lookup: Box<Lookup>,
    known: Mutex<HashMap<String, Known>>,
    ended: Condvar,
}

impl Names {
    /// Looks up as this host does.
    #[must_use]
    pub fn new() -> Names {
        Names::with(|name| Ok((name, 0).to_socket_addrs()?.collect()))
    }

    fn with(lookup: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Names {
        let lookup = Box::new(lookup);
        Names { lookup, known: Mutex::default(), ended: Condvar::new() }
    }

    /// Where that host is, as far as it is known within `limit`.
    pub fn of(self: &Arc<Self>, host: &str, port: u16, limit: Duration) -> Vec<SocketAddr> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return vec![SocketAddr::new(address, port)];
        }
        let mut known = lock(&self.known);
        let entry = known.entry(host.to_owned()).or_default();
        let began = match entry.began {
            Some(began) => began,
            None => {
                let now = Instant::now();
                match self.begin(host.to_owned()) {
                    Ok(()) => entry.began = Some(now),
                    Err(error) => tracing::warn!("{host}: {error}"),
                }
                now
            }
        };
        loop {
            let entry = known.entry(host.to_owned()).or_default();
            let left = limit.saturating_sub(began.elapsed());
            if entry.began != Some(began) || left.is_zero() {
                let at = |found: &SocketAddr| {
                    let mut at = *found;
                    at.set_port(port);
                    at
                };
                return entry.found.iter().map(at).collect();
            }
            let waited = self.ended.wait_timeout(known, left);
            known = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn begin(self: &Arc<Self>, host: String) -> Result<(), String> {
        let names = Arc::clone(self);
        vital::thread("resolve", move || {
            let looked = (names.lookup)(&host);
            let mut known = lock(&names.known);
            let entry = known.entry(host.clone()).or_default();
            entry.began = None;
            match looked {
                Ok(found) if !found.is_empty() => entry.found = found,
                Ok(_) => tracing::debug!("{host} has no address"),
                Err(error) => tracing::debug!("{host}: {error}"),
            }
            names.ended.notify_all();
        })
    }
}

impl Pair {
    /// A connection to the controller of that place, whose name is looked up for `limit` at most.
    ///
    /// # Errors
    /// Those of the kernel; no address is known.
    pub async fn connect(&self, at: usize, limit: Duration) -> io::Result<TcpStream> {
        let (host, port) = (self.hosts[at].address.clone(), self.port);
        if let Ok(address) = host.parse::<IpAddr>() {
            return TcpStream::connect((address, port)).await;
        }
        let names = Arc::clone(&self.names);
        let found = spawn_blocking(move || names.of(&host, port, limit)).await?;
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no address is known"));
        }
        TcpStream::connect(&found[..]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    const SOON: Duration = Duration::from_millis(50);
    /// Nothing is measured by it.
    const LONG: Duration = Duration::from_secs(120);

    fn at(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], port))
    }

    #[test]
    fn a_resolver_that_hangs_holds_one_thread_for_each_name_and_nobody_who_asks() {
        // Whatever it is told next; until then it hangs.
        let (tell, told) = mpsc::channel::<io::Result<Vec<SocketAddr>>>();
        let (told, begun) = (Mutex::new(told), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        let names = Arc::new(Names::with(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            lock(&told).recv().unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into()))
        }));
        // It answers: what it says, at once.
        tell.send(Ok(vec![at(1, 0), at(2, 0)])).unwrap();
        assert_eq!(names.of("n1", 7, LONG), [at(1, 7), at(2, 7)]);
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // It hangs: what was found last, again and again, and one lookup.
        for _ in 0..20 {
            assert_eq!(names.of("n1", 8, SOON), [at(1, 8), at(2, 8)]);
        }
        assert_eq!(names.of("n2", 8, SOON), [], "nothing was ever found");
        tell.send(Ok(vec![at(3, 0)])).unwrap();
        tell.send(Ok(vec![at(3, 0)])).unwrap();
        let until = Instant::now() + LONG;
        while lock(&names.known).values().any(|known| known.began.is_some()) {
            assert!(Instant::now() < until, "the lookups never end");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(begun.load(Ordering::SeqCst), 3, "one for n1, one for n2");
        // It failed: the old ones stay.
        tell.send(Err(io::ErrorKind::TimedOut.into())).unwrap();
        assert_eq!(names.of("n1", 9, LONG), [at(3, 9)]);
        tell.send(Ok(vec![])).unwrap();
        assert_eq!(names.of("n2", 9, LONG), [at(3, 9)]);
    }

    #[test]
    fn an_address_in_place_of_a_name_is_looked_up_nowhere() {
        let names = Arc::new(Names::with(|name| panic!("{name} is no name")));
        assert_eq!(names.of("10.0.0.5", 6817, Duration::ZERO), [at(5, 6817)]);
        let six = names.of("::1", 6817, Duration::ZERO);
        assert_eq!(six, [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 6817))]);
    }

    #[test]
    fn names_of_this_host_are_found() {
        let found = Arc::new(Names::new()).of("localhost", 6817, LONG);
        assert!(found.iter().any(|at| at.ip().is_loopback() && at.port() == 6817), "{found:?}");
    }
}
