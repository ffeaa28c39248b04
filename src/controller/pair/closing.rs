//! How a port is closed without harm to anybody who is at it.
//!
//! The kernel completes connections by itself, and resets those that nobody has accepted when the
//! listener goes: their clients fail, although another controller would have served them. So new
//! connections are turned away first, in silence, while those that are half or wholly made are
//! accepted still; then the listener goes. Whoever was turned away tries once more, after a second
//! as TCP has it, is refused, and goes on to the next controller.
//!
//! Invariant: between the first and the last packet of a connection that was let in, somebody
//! accepts it.

use std::io;
use std::net::{SocketAddr, TcpListener as Listener, TcpStream as Stream};
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

/// How long connections that were begun may take until they are made: some ways there and back.
/// Short: whoever comes meanwhile waits for a second.
const HANDSHAKE: Duration = Duration::from_millis(1);

/// So many at most are waiting: where new ones cannot be turned away, they might never end.
const WAITING_MAX: usize = 4096;

/// How long the last ones may wait for a descriptor.
const PATIENCE: Duration = Duration::from_millis(20);

/// Closes `listener`, giving everybody who is there already to `take`.
pub async fn close(listener: TcpListener, mut take: impl FnMut((TcpStream, SocketAddr))) {
    // What the kernel has counts, not what the runtime has heard of; and nothing else is done
    // meanwhile.
    let Ok(listener) = listener.into_std() else { return };
    let last = spawn_blocking(move || last(listener)).await.unwrap_or_default();
    for (stream, peer) in last {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        stream.into_iter().for_each(|stream| take((stream, peer)));
    }
}

/// The last ones.
fn last(listener: Listener) -> Vec<(Stream, SocketAddr)> {
    let mut last = Vec::new();
    if let Err(error) = turn_away(&listener) {
        tracing::debug!("a port is closed at once: {error}");
    }
    drain(&listener, &mut last);
    sleep(HANDSHAKE);
    let until = Instant::now() + PATIENCE;
    while !drain(&listener, &mut last) && Instant::now() < until {
        sleep(HANDSHAKE);
    }
    drop(listener);
    last
}

/// Takes all connections that are made; whether these were all.
fn drain(listener: &Listener, last: &mut Vec<(Stream, SocketAddr)>) -> bool {
    for _ in 0..WAITING_MAX {
        match listener.accept() {
            Ok(came) => last.push(came),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Else out of descriptors, most likely: they come back as others are served.
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Drops what begins a connection: a packet with SYN, and neither ACK, RST nor FIN.
fn turn_away(listener: &Listener) -> io::Result<()> {
    /// Where the flags are in a TCP header.
    const FLAGS: u32 = 13;
    const ALL: u32 = 0x17;
    const SYN: u32 = 0x02;
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).expect("a small number"),
        jt,
        jf,
        k,
    };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, ALL),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let len = libc::c_ushort::try_from(steps.len()).expect("a small number");
    let program = libc::sock_fprog { len, filter: steps.as_mut_ptr() };
    let size = libc::socklen_t::try_from(size_of_val(&program)).expect("a small number");
    // SAFETY: the kernel copies the program, which lives until the call has returned.
    let set = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Asks again and again until nobody listens; how often there was an answer.
    fn ask(at: SocketAddr, answered: &AtomicUsize) -> usize {
        let mut count = 0;
        loop {
            let mut stream = match std::net::TcpStream::connect(at) {
                Ok(stream) => stream,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return count,
                Err(error) => panic!("{error}"),
            };
            let mut byte = [1];
            let asked = stream.write_all(&byte).and_then(|()| stream.read_exact(&mut byte));
            asked.expect("whoever was let in is answered");
            count += 1;
            answered.fetch_add(1, Ordering::AcqRel);
        }
    }

    async fn answer(mut stream: TcpStream) {
        let byte = stream.read_u8().await.unwrap();
        stream.write_u8(byte).await.unwrap();
    }

    #[test]
    fn whoever_is_let_in_while_the_port_is_closed_is_answered_and_others_are_refused() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        for _ in 0..5 {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let at = listener.local_addr().unwrap();
            let answered = &AtomicUsize::new(0);
            std::thread::scope(|scope| {
                let askers: Vec<_> =
                    (0..8).map(|_| scope.spawn(move || ask(at, answered))).collect();
                runtime.block_on(async {
                    while answered.load(Ordering::Acquire) < 200 {
                        let (stream, _) = listener.accept().await.unwrap();
                        tokio::spawn(answer(stream));
                    }
                    close(listener, |(stream, _)| drop(tokio::spawn(answer(stream)))).await;
                });
                let all: usize = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
                assert!(all >= 200, "{all}");
            });
        }
    }
}
