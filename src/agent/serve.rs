//! The agent's port: one request a connection, a thread for each. Only SlurmUser and root command;
//! a user may signal his own jobs.
//!
//! | request | answer |
//! |---|---|
//! | 1001 register | 1016, then the registration |
//! | 1008 ping | 1016: load and free memory |
//! | 1011 health check | 0, then the check |
//! | 1003 reconfigure | none; slurm.conf is read again, then the node registers |
//! | 1005 shutdown | none; the agent ends, jobs go on |
//! | 4005 | see [`launch`] |
//! | 6004, 6006, 6009, 6011, 6013, 5014, 5031 | see [`ending`] |
//! | anything else | 2036 |

use crate::agent::controllers::Patience;
use crate::agent::ending::{self, Kind};
use crate::agent::health;
use crate::agent::jobs::{self, Jobs};
use crate::agent::launch;
use crate::agent::log::{self, debug, error, info};
use crate::agent::machine;
use crate::agent::past::Past;
use crate::agent::register::{self, Why};
use crate::agent::setup::Setup;
use crate::agent::signals::Signals;
use crate::slurm::link::{self, LinkError, Received};
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::tables::AgentLoad;
use rustix::event::{PollFd, PollFlags, poll};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Most connections at once. Others wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;
/// Longest pause between two registrations, as in Slurm.
const REGISTER_MAX: Duration = Duration::from_secs(128);

/// The agent, as its threads share it.
#[derive(Debug)]
pub struct Agent {
    /// Where slurm.conf is.
    pub path: PathBuf,
    /// What is here.
    pub jobs: Arc<Jobs>,
    /// What was.
    pub past: Past,
    /// One launch at a time.
    pub launching: Mutex<()>,
    /// What is configured.
    pub current: RwLock<Arc<Setup>>,
    /// Connections that are being served.
    pub serving: AtomicUsize,
    /// Asks the main thread to end (0), or to read slurm.conf again (1).
    pub wishes: std::io::PipeWriter,
}

/// A wish of a request to the main thread.
const END: u8 = 0;
const AGAIN: u8 = 1;

impl Agent {
    /// What is configured now.
    pub fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn wish(&self, what: u8) {
        let _ = std::io::Write::write(&mut &self.wishes, &[what]);
    }

    /// Reads slurm.conf again. If it is wrong, everything stays as it is.
    fn reconfigure(self: &Arc<Agent>) {
        let name = self.setup().node.name.clone();
        match Setup::load(&self.path, Some(&name)) {
            Ok(setup) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(setup);
                info!("{} is read again", self.path.display());
                let agent = Arc::clone(self);
                jobs::spawn("register", move || registered(&agent, false));
            }
            Err(why) => error!("the configuration stays as it is: {why}"),
        }
    }
}

/// Opens the node's port.
///
/// # Errors
/// It is taken: what to do.
pub fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        .map_err(|error| format!("port {port}: {error}; next: ss -ltnp 'sport = :{port}'"))
}

/// Registers until a controller has taken it: after 1, 2, 4 … 128 s again. First, if need be, the
/// node is drained: no job must come to a node that is known not to be healthy.
pub fn registered(agent: &Arc<Agent>, first: bool) {
    let mut unhealthy = if first { health::check(&agent.setup()) } else { None };
    let mut pause = Duration::from_secs(1);
    loop {
        let setup = agent.setup();
        let drained = match &unhealthy {
            Some(reason) => health::drain(&setup, reason, Patience::Usual),
            None => Ok(()),
        };
        let done = drained.and_then(|()| {
            unhealthy = None;
            register::send(&setup, Why::Asked, Patience::Usual)
        });
        match done {
            Ok(()) => return info!("node {} is registered", setup.node.name),
            Err(why) => info!("node {} is not registered yet: {why}", setup.node.name),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(REGISTER_MAX);
    }
}

/// Serves until a signal or a request ends it.
pub fn run(
    agent: &Arc<Agent>,
    listener: &TcpListener,
    mut signals: Signals,
    wishes: std::io::PipeReader,
) {
    let mut wishes = wishes;
    loop {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
            PollFd::new(&wishes, PollFlags::IN),
        ];
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let [connected, signalled, wished] = fds.map(|fd| !fd.revents().is_empty());
        if signalled {
            for number in signals.take() {
                if number == libc::SIGHUP {
                    agent.reconfigure();
                } else if number == libc::SIGUSR2 {
                    log::reopen();
                } else {
                    return info!("ends by signal {number}; jobs go on");
                }
            }
        }
        if wished {
            let mut wish = [AGAIN];
            let _ = std::io::Read::read(&mut wishes, &mut wish);
            if wish[0] == END {
                return info!("ends as a controller wishes; jobs go on");
            }
            agent.reconfigure();
        }
        if connected {
            take(agent, listener);
        }
    }
}

fn take(agent: &Arc<Agent>, listener: &TcpListener) {
    let stream = match listener.accept() {
        Ok((stream, _)) => stream,
        Err(why) => {
            error!("a connection: {why}");
            // Out of descriptors, most likely: others end meanwhile.
            return std::thread::sleep(Duration::from_millis(50));
        }
    };
    while agent.serving.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
        std::thread::sleep(Duration::from_millis(5));
    }
    agent.serving.fetch_add(1, Ordering::Relaxed);
    let agent = Arc::clone(agent);
    jobs::spawn("serve", move || {
        serve(&agent, stream);
        agent.serving.fetch_sub(1, Ordering::Relaxed);
    });
}

fn serve(agent: &Arc<Agent>, mut stream: TcpStream) {
    let setup = agent.setup();
    let _ = stream.set_nodelay(true);
    let mut received = match link::accept(&mut stream, &setup.auth, setup.times()) {
        Ok(received) => received,
        Err(LinkError::Broken(why)) => return debug!("a connection broke: {why}"),
        Err(why) => return error!("a request is refused: {why}"),
    };
    let from = received.from.uid;
    debug!("message {} of uid {from}", received.message.row().name);
    let message = std::mem::replace(&mut received.message, Message::Ping);
    if !setup.commands(from)
        && !matches!(message, Message::SignalTasks(_) | Message::TerminateTasks(_))
    {
        error!("message {} of uid {from}, who is not SlurmUser", message.row().name);
        return say(&mut stream, &setup, &received, &Message::code(rc::USER));
    }
    let mut answer = |code: u32| say(&mut stream, &setup, &received, &Message::code(code));
    match message {
        Message::Ping => {
            say(&mut stream, &setup, &received, &load());
        }
        Message::Register => {
            say(&mut stream, &setup, &received, &load());
            if let Err(why) = register::send(&setup, Why::Asked, Patience::Usual) {
                error!("the registration that was asked for: {why}");
            }
        }
        Message::HealthCheck => {
            answer(rc::OK);
            health::asked(&setup);
        }
        Message::Reconfigure => agent.wish(AGAIN),
        Message::Shutdown(_) => agent.wish(END),
        // The prolog runs with the launch, which follows.
        Message::Prolog(_) => answer(rc::OK),
        Message::Launch(launch) => launch::launch(agent, *launch, answer),
        Message::TerminateJob(kill) => ending::end(agent, *kill, Kind::Terminate, answer),
        Message::KillTimeLimit(kill) => ending::end(agent, *kill, Kind::TimeLimit, answer),
        Message::AbortJob(kill) => ending::end(agent, *kill, Kind::Abort, answer),
        Message::SignalTasks(tasks) => answer(ending::signal(agent, from, &tasks, false)),
        Message::TerminateTasks(tasks) => answer(ending::signal(agent, from, &tasks, true)),
        Message::SuspendTasks(tasks) => answer(ending::suspend(agent, tasks.job_id, tasks.op)),
        Message::Suspend(suspend) => answer(ending::suspend(agent, suspend.job_id, suspend.op)),
        other => {
            info!("message {} is not for an agent", other.row().name);
            answer(rc::UNSUPPORTED);
        }
    }
}

fn load() -> Message {
    let load = AgentLoad { cpu_load: machine::load(), free_mem: machine::free_mb() };
    Message::AgentLoad(Box::new(load))
}

fn say(stream: &mut TcpStream, setup: &Setup, to: &Received, message: &Message) {
    if let Err(why) = link::reply(stream, &setup.auth, to, message) {
        info!("an answer cannot be sent: {why}");
    }
}
