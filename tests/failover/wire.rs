//! The way from one controller to another: a listener at an address of its own that passes on what
//! comes, until it is told to swallow it or to refuse.

use crate::cluster::until;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It arrives.
    Up,
    /// Nothing arrives, nothing comes back, nobody is told.
    Cut,
    /// Connections end, and are refused.
    Rejects,
    /// It arrives, and no answer comes back.
    Deaf,
    /// It arrives, except what was sent while the way was cut: that is still on its way.
    Late,
}

impl Link {
    fn of(state: &AtomicU8) -> Link {
        const ALL: [Link; 5] = [Link::Up, Link::Cut, Link::Rejects, Link::Deaf, Link::Late];
        ALL[usize::from(state.load(Ordering::Acquire))]
    }
}

/// One way. It ends with this value.
pub struct Wire {
    state: Arc<AtomicU8>,
    /// The listener is as the state says.
    settled: Arc<AtomicU8>,
    ends: Arc<AtomicBool>,
    held: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// One connection's part in it.
#[derive(Clone)]
struct Part {
    state: Arc<AtomicU8>,
    ends: Arc<AtomicBool>,
    /// It came while the way was cut.
    early: bool,
}

impl Part {
    /// Whether something has to wait, on its way forth or back.
    fn waits(&self, back: bool) -> bool {
        let held = match Link::of(&self.state) {
            Link::Cut => true,
            Link::Late => self.early,
            Link::Deaf => back,
            Link::Up | Link::Rejects => false,
        };
        held && !self.ends.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        Link::of(&self.state) == Link::Rejects || self.ends.load(Ordering::Acquire)
    }
}

impl Wire {
    pub fn lay(from: SocketAddr, to: SocketAddr) -> Wire {
        let (state, settled) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU8::new(0)));
        let ends = Arc::new(AtomicBool::new(false));
        let mut listener = Some(listen(from));
        let held = Arc::new(AtomicUsize::new(0));
        let (state_of, settled_of, ends_of) = (state.clone(), settled.clone(), ends.clone());
        let held_of = held.clone();
        let run = move || {
            while !ends_of.load(Ordering::Acquire) {
                let link = Link::of(&state_of);
                match (link, &listener) {
                    (Link::Rejects, Some(_)) => listener = None,
                    (Link::Up | Link::Cut | Link::Deaf | Link::Late, None) => {
                        listener = Some(listen(from))
                    }
                    _ => {}
                }
                settled_of.store(link as u8, Ordering::Release);
                match listener.as_ref().map(TcpListener::accept) {
                    Some(Ok((stream, _))) => {
                        stream.set_nonblocking(false).unwrap();
                        let (state, ends) = (state_of.clone(), ends_of.clone());
                        let part = Part { state, ends, early: link == Link::Cut };
                        let held = held_of.clone();
                        held.fetch_add(usize::from(part.early), Ordering::AcqRel);
                        std::thread::spawn(move || {
                            carry(stream, to, &part);
                            held.fetch_sub(usize::from(part.early), Ordering::AcqRel);
                        });
                    }
                    _ => sleep(LOOK),
                }
            }
        };
        let thread = Some(std::thread::spawn(run));
        Wire { state, settled, ends, held, thread }
    }

    /// From now on, it is so.
    pub fn set(&self, link: Link) {
        self.state.store(link as u8, Ordering::Release);
        until(&format!("the way is {link:?}"), || {
            self.settled.load(Ordering::Acquire) == link as u8
        });
    }

    /// Connections that came while it was cut and have not ended.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn listen(at: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// One connection.
fn carry(one: TcpStream, to: SocketAddr, part: &Part) {
    while part.waits(false) {
        sleep(LOOK);
    }
    if part.is_over() {
        return;
    }
    // Refused there is refused here.
    let Ok(other) = TcpStream::connect(to) else { return };
    let (back, forth) = (one.try_clone().unwrap(), other.try_clone().unwrap());
    let answers = part.clone();
    let answers = std::thread::spawn(move || pump(other, back, &answers, true));
    pump(one, forth, part, false);
    let _ = answers.join();
}

/// One direction of it.
fn pump(mut from: TcpStream, mut to: TcpStream, part: &Part, back: bool) {
    let _ = (from.set_read_timeout(Some(LOOK)), to.set_nodelay(true));
    let mut buffer = vec![0; 64 << 10];
    while !part.is_over() {
        if part.waits(back) {
            sleep(LOOK);
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(got) => {
                // What has come when it is cut does not arrive before it is mended.
                while part.waits(back) {
                    sleep(LOOK);
                }
                if part.is_over() || to.write_all(&buffer[..got]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
