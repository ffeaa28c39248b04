//! What the agent tells a job's supervisor, through a socket in the job's folder: 12 bytes, and one
//! byte in return when it is done.
//!
//! | order | bytes 0–3 | 4–7 | 8–11 | answered |
//! |---|---|---|---|---|
//! | signal | 1 | signal | 0 all, 1 the script, 2 its group | at once |
//! | tell | 2 | why, as Slurm numbers it | 0 | when it stands in the job's stderr |
//! | stop | 3 | 0 | 0 | when every process is stopped |
//! | go on | 4 | 0 | 0 | at once |
//! | forget | 5 | 0 | 0 | at once: everything is killed, the folder goes, nobody is told |
//!
//! Numbers are little-endian. Only the agent's own user is listened to. A supervisor that is gone,
//! or takes no more orders, closes the connection: then the job's folder says what is so.

use crate::agent::spool::Folder;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// The socket's name.
pub const NAME: &str = "orders";
/// Bytes of an order.
pub const LEN: usize = 12;

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Every process of the job.
    All,
    /// The script's own process.
    Script,
    /// The script's process group.
    Group,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A signal.
    Signal(i32, Whom),
    /// What is about to happen, for the user.
    Tell(u16),
    /// Every process stops.
    Stop,
    /// And goes on.
    GoOn,
    /// Everything is killed, and nobody is told.
    Forget,
}

impl Order {
    /// Its bytes.
    pub fn pack(self) -> [u8; LEN] {
        let (kind, number, whom) = match self {
            Order::Signal(number, whom) => (1, number, whom as i32),
            Order::Tell(why) => (2, i32::from(why), 0),
            Order::Stop => (3, 0, 0),
            Order::GoOn => (4, 0, 0),
            Order::Forget => (5, 0, 0),
        };
        let mut bytes = [0; LEN];
        for (at, word) in [kind, number, whom].into_iter().enumerate() {
            bytes[4 * at..][..4].copy_from_slice(&i32::to_le_bytes(word));
        }
        bytes
    }

    /// The order of these bytes, if they are one.
    pub fn unpack(bytes: [u8; LEN]) -> Option<Order> {
        let word =
            |at: usize| i32::from_le_bytes(bytes[4 * at..][..4].try_into().expect("four bytes"));
        let whom = match word(2) {
            0 => Whom::All,
            1 => Whom::Script,
            2 => Whom::Group,
            _ => return None,
        };
        Some(match (word(0), word(1)) {
            (1, signal @ 1..=64) => Order::Signal(signal, whom),
            (2, why) => Order::Tell(u16::try_from(why).ok()?),
            (3, 0) => Order::Stop,
            (4, 0) => Order::GoOn,
            (5, 0) => Order::Forget,
            _ => return None,
        })
    }
}

/// Takes orders in `folder` from now on.
///
/// # Errors
/// Those of the file system.
pub fn listen(folder: &Folder) -> std::io::Result<UnixListener> {
    let _ = std::fs::remove_file(folder.file(NAME));
    let at = folder.descriptor()?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{NAME}", at.as_raw_fd()))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Gives an order, and waits until it is done, at most for `limit`. `false`: nobody took it.
pub fn give(folder: &Folder, order: Order, limit: Option<Duration>) -> bool {
    let give = || -> std::io::Result<()> {
        let at = folder.descriptor()?;
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/{NAME}", at.as_raw_fd()))?;
        stream.set_read_timeout(limit)?;
        stream.write_all(&order.pack())?;
        stream.read_exact(&mut [0])
    };
    give().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_back_and_other_bytes_are_none() {
        let orders = [
            Order::Signal(15, Whom::All),
            Order::Signal(9, Whom::Script),
            Order::Signal(64, Whom::Group),
            Order::Tell(996),
            Order::Stop,
            Order::GoOn,
            Order::Forget,
        ];
        for order in orders {
            assert_eq!(Order::unpack(order.pack()), Some(order));
        }
        for (at, value) in [(0, 0), (0, 6), (4, 0), (4, 65), (8, 3)] {
            let mut bytes = Order::Signal(15, Whom::All).pack();
            bytes[at] = value;
            assert_eq!(Order::unpack(bytes), None, "{at} {value}");
        }
    }
}
