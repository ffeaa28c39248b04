//! Ports for the servers of tests, each for one test alone.
//!
//! - They are below those that the kernel gives to clients: of thousands of connections one would
//!   have it, or had it a minute ago, when a server starts or starts again.
//! - Whoever takes one has a name in the abstract namespace, until the process ends: other test
//!   binaries and other tests see it and go on to the next.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

/// The first one.
const FIRST: u16 = 16_384;

/// How many there are at least, where the kernel gives clients lower ones, too.
const COUNT_MIN: u16 = 8_192;

/// What this process has taken.
static TAKEN: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());

/// Behind the last one.
fn end() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    first.unwrap_or(32_768).max(FIRST + COUNT_MIN)
}

fn take(port: u16) -> Option<UnixDatagram> {
    let name = SocketAddr::from_abstract_name(format!("statedir-test-port-{port}")).unwrap();
    let taken = UnixDatagram::bind_addr(&name).ok()?;
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok().map(|_| taken)
}

/// So many ports, one behind the other; the first one.
pub fn in_a_row(count: u16) -> u16 {
    // In turn, and other binaries begin elsewhere: whoever asks rarely asks in vain.
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let room = end() - FIRST - count;
    let begin = u16::try_from(std::process::id() * 61 % u32::from(room)).unwrap();
    for _ in 0..=room {
        let at = next.unwrap_or(begin);
        *next = Some((at + 1) % room);
        let first = FIRST + at;
        let taken = (first..first + count).map(take).collect::<Option<Vec<_>>>();
        if let Some(taken) = taken {
            *next = Some((at + count) % room);
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).extend(taken);
            return first;
        }
    }
    panic!("no {count} free ports in a row from {FIRST} to {}", end());
}

/// One.
pub fn free_port() -> u16 {
    in_a_row(1)
}
