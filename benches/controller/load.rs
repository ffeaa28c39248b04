//! Requests, many in flight, each over a TCP connection of its own, as Slurm's clients send them.

use crate::keyed::held_job;
use statedir::slurm::auth::{Auth, Role, To};
use statedir::slurm::wire::frame::{Frame, Header, LENGTH_LEN};
use statedir::slurm::wire::tables::JobDesc;
use statedir::slurm::wire::{Message, Version};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Requests that were answered as hoped.
    pub done: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How long each took.
    pub took: Vec<Duration>,
    /// How long all took.
    pub all: Duration,
}

impl Ran {
    /// Requests in a second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.all.as_secs_f64()
    }

    /// The time within which so large a part of the requests was answered.
    pub fn within(&self, part: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took[((took.len() - 1) as f64 * part) as usize]
    }
}

/// A held batch job, whose request has a body of 2.5 KB.
pub fn job() -> JobDesc {
    let environment = (0..12).map(|at| format!("VARIABLE_{at}=value_of_it").as_str().into());
    held_job("bench", &script(), environment.collect())
}

/// As varied as scripts are: zstd makes half of it.
fn script() -> String {
    let mut text = "#!/bin/bash\nset -e\nmodule load compilers mpi\n".to_owned();
    let mut state = 7_u64;
    while text.len() < 1750 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let (step, input) = (state >> 52, state >> 20 & 0xffff_ffff);
        text += &format!("run_step_{step} --input data/{input:08x}.nc --output out/{step}.dat\n");
    }
    text
}

/// A submission.
pub fn submission() -> Message {
    Message::Submit(Box::new(job()))
}

/// A submission that is unlike every other.
pub fn distinct(number: usize) -> Rc<Message> {
    let submit_line = format!("sbatch -n 1 --comment=case-{number} run-{number}.sh");
    Rc::new(Message::Submit(Box::new(JobDesc {
        name: format!("run-{number}").as_str().into(),
        comment: format!("case-{number}").as_str().into(),
        submit_line: submit_line.as_str().into(),
        work_dir: format!("/home/user/project/run-{number}").as_str().into(),
        std_out: "/home/user/project/out/slurm-%j.out".into(),
        ..job()
    })))
}

/// One request, and its answer.
pub async fn exchange(auth: &Auth, port: u16, message: &Message) -> io::Result<(Message, usize)> {
    let other = |error: String| io::Error::other(error);
    let body = message.pack(Version::NEWEST).map_err(|error| other(error.to_string()))?;
    let header = Header::new(Version::NEWEST, message.kind(), body.len());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let sealed = auth.seal(&header, &body, Role::Request, To::Anybody);
    let sealed = sealed.map_err(|error| other(error.to_string()))?;
    stream.write_all(&sealed.bytes).await?;
    let mut reply = Vec::with_capacity(4096);
    stream.read_to_end(&mut reply).await?;
    if reply.len() < LENGTH_LEN {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let frame = Frame::unpack(&reply[LENGTH_LEN..]).map_err(|error| other(error.to_string()))?;
    let proved = auth.verify(&frame, Role::Reply(sealed.nonce));
    let _ = proved.map_err(|error| other(error.to_string()))?;
    let kind = frame.head.header.kind;
    let answer = Message::unpack(kind, Version::NEWEST, frame.body);
    Ok((answer.map_err(|error| other(error.to_string()))?, sealed.bytes.len()))
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many requests have begun.
    Count(usize),
    /// So long after its beginning.
    Time(Duration),
}

/// What a run's clients share.
struct Run {
    auth: Arc<Auth>,
    port: u16,
    message: Box<dyn Fn(usize) -> Rc<Message>>,
    until: Until,
    pace: Option<f64>,
    started: Instant,
    begun: Cell<usize>,
    ran: RefCell<Ran>,
}

impl Run {
    async fn client(self: Rc<Self>) {
        loop {
            let number = self.begun.get();
            let over = match self.until {
                Until::Count(count) => number >= count,
                Until::Time(time) => self.started.elapsed() >= time,
            };
            if over {
                return;
            }
            self.begun.set(number + 1);
            if let Some(pace) = self.pace {
                let due = self.started + Duration::from_secs_f64(number as f64 / pace);
                tokio::time::sleep_until(due.into()).await;
            }
            let message = (self.message)(number);
            let began = Instant::now();
            let asked = exchange(&self.auth, self.port, &message).await;
            let (answer, bytes) = asked.expect("it is answered");
            if let Message::ReturnCode(code) = &answer {
                panic!("refused with {}", code.return_code);
            }
            let mut ran = self.ran.borrow_mut();
            ran.done += 1;
            ran.bytes += bytes as u64;
            ran.took.push(began.elapsed());
        }
    }
}

/// Sends `message`, so many at a time; with a `pace`, so many in a second and no more.
pub fn run(
    auth: &Arc<Auth>,
    port: u16,
    message: &Message,
    in_flight: usize,
    until: Until,
    pace: Option<f64>,
) -> Ran {
    let message = Rc::new(message.clone());
    run_each(auth, port, move |_| Rc::clone(&message), in_flight, until, pace)
}

/// The same with a message for each number.
pub fn run_each(
    auth: &Arc<Auth>,
    port: u16,
    message: impl Fn(usize) -> Rc<Message> + 'static,
    in_flight: usize,
    until: Until,
    pace: Option<f64>,
) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let run = Rc::new(Run {
        auth: Arc::clone(auth),
        port,
        message: Box::new(message),
        until,
        pace,
        started,
        begun: Cell::new(0),
        ran: RefCell::default(),
    });
    let local = LocalSet::new();
    for _ in 0..in_flight {
        local.spawn_local(Rc::clone(&run).client());
    }
    runtime.block_on(local);
    let mut ran = run.ran.take();
    ran.all = started.elapsed();
    ran
}
