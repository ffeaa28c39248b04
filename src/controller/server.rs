//! Reads requests from TCP connections, one from each, and writes replies.
//!
//! Invariants:
//! - Whoever has not proved who he is costs at most [`HEAD_MAX`] bytes and [`UNKNOWN_TIME`]; a body
//!   is read only after its credential is genuine, and only as long as its kind may be.
//! - Every genuine request gets a reply; what cannot be read is refused with Slurm's code.
//! - At most [`CONNECTIONS_MAX`] are served at a time; others wait in the kernel.

use crate::controller::log::Rarely;
use crate::controller::own_thread::{Place, Waiting, aside};
use crate::controller::service::{Answer, Asker, End, Service};
use crate::controller::vital;
use crate::slurm::auth::{Auth, Opened, Proved, Role, Sealed, To};
use crate::slurm::wire::constants::rc;
use crate::slurm::wire::frame::{self, Head, Header, LENGTH_LEN};
use crate::slurm::wire::limits::HEAD_MAX;
use crate::slurm::wire::{Message, Version, Why};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long an unknown peer may take to say who he is.
pub const UNKNOWN_TIME: Duration = Duration::from_secs(10);

/// How long a body, or a reply, may be under way without anything moving.
pub const TRANSFER_TIME: Duration = Duration::from_secs(10);

/// Connections at a time. Each costs at most 16 KiB until it is known.
pub const CONNECTIONS_MAX: usize = 1024;

/// What is read and thrown away of a request that is refused, so that the refusal arrives.
const DISCARD_MAX: usize = 1 << 20;

/// Slurm's code for a credential that is not believed.
const AUTHENTICATION: u32 = 1007;
/// Slurm's code for a body that cannot be read.
const INCOMPLETE: u32 = 5003;

/// Anybody can send what cannot be believed or read: a few lines about it are enough.
static COMPLAINTS: Rarely = Rarely::new();

fn complain(peer: SocketAddr, what: &impl std::fmt::Display) {
    match COMPLAINTS.may(Instant::now()) {
        None => {}
        Some(0) => tracing::warn!("{peer}: {what}"),
        Some(others) => tracing::warn!("{peer}: {what} ({others} more before it, of others too)"),
    }
}

/// A connection to who asks.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Why a connection ends without a reply.
#[derive(Debug, thiserror::Error)]
pub enum Dropped {
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not get on.
    #[error("nothing moved for too long")]
    Slow(#[from] tokio::time::error::Elapsed),
    /// What comes is no request.
    #[error("{0}")]
    Garbage(String),
    /// A panic.
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Serves until the service ends, and then until nobody is being served any more.
pub async fn run(service: Arc<Service>, listeners: Vec<TcpListener>) -> End {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut ending = service.ending();
    let accept = |listener| accept(Arc::clone(&service), listener, Arc::clone(&places));
    let accept = |listener| vital::task("accept", accept(listener));
    let accepting: Vec<_> = listeners.into_iter().map(accept).collect();
    let end = match ending.wait_for(Option::is_some).await {
        Ok(end) => end.clone().expect("waited for"),
        Err(_) => End::Failed("the service is gone".to_owned()),
    };
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    let all = u32::try_from(CONNECTIONS_MAX).expect("a small number");
    // Whoever is being served has his own time limit.
    let _ = timeout(UNKNOWN_TIME, places.acquire_many(all)).await;
    end
}

async fn accept(service: Arc<Service>, listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => {
                let service = Arc::clone(&service);
                vital::request(serve(service, stream, peer, place));
            }
            // Out of descriptors, most likely: those that are served give theirs back.
            Err(error) => {
                tracing::error!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A request whose sender is known, and whose body is not read yet.
struct Known {
    header: Header,
    opened: Opened,
    /// A digest of the credential.
    request: [u8; 16],
    /// Bytes of the body that came with the head.
    begun: Vec<u8>,
    body_len: Result<usize, u32>,
}

/// A request whose head has arrived, and is not judged yet.
pub struct Begun {
    /// Bytes of the frame, without its length.
    pub len: usize,
    /// Those that have arrived: at least the head.
    pub bytes: Vec<u8>,
}

impl Begun {
    /// The number of the message, as its sender says.
    #[must_use]
    pub fn kind(&self) -> u16 {
        Head::unpack(&self.bytes).expect("it was read before").header.kind
    }
}

/// Reads header and credential. `None`: the request was refused for its version.
///
/// # Errors
/// [`Dropped`].
pub async fn begin(auth: &Arc<Auth>, stream: &mut impl Stream) -> Result<Option<Begun>, Dropped> {
    let begun = timeout(UNKNOWN_TIME, async {
        let mut length = [0; LENGTH_LEN];
        stream.read_exact(&mut length).await?;
        head(stream, length).await
    })
    .await??;
    refused_for_its_version(auth, stream, begun).await
}

/// As [`begin`], where the length was read already.
///
/// # Errors
/// [`Dropped`].
pub async fn begin_with(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    length: [u8; LENGTH_LEN],
) -> Result<Option<Begun>, Dropped> {
    let begun = timeout(UNKNOWN_TIME, head(stream, length)).await??;
    refused_for_its_version(auth, stream, begun).await
}

async fn refused_for_its_version(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    begun: Result<Begun, usize>,
) -> Result<Option<Begun>, Dropped> {
    match begun {
        Ok(begun) => Ok(Some(begun)),
        Err(rest_len) => {
            // The refusal would be lost if bytes were still on their way.
            timeout(UNKNOWN_TIME, discard(stream, rest_len)).await??;
            refuse(auth, stream, Version::NEWEST, rc::VERSION).await.map(|()| None)
        }
    }
}

/// The head, or how much is left of a frame of a version that is not known here.
async fn head(
    stream: &mut impl Stream,
    length: [u8; LENGTH_LEN],
) -> Result<Result<Begun, usize>, Dropped> {
    let len = frame::length(length).map_err(|error| Dropped::Garbage(error.to_string()))?;
    let most = len.min(HEAD_MAX);
    let mut bytes = Vec::new();
    loop {
        match Head::unpack(&bytes) {
            Ok(_) => return Ok(Ok(Begun { len, bytes })),
            Err(error) if bytes.len() < most && Head::wants_more(&error, bytes.len()) => {}
            Err(error) if matches!(error.why, Why::Version(_)) => {
                return Ok(Err(len - bytes.len()));
            }
            Err(error) => return Err(Dropped::Garbage(error.to_string())),
        }
        let from = bytes.len();
        bytes.resize((from + 1024).min(most), 0);
        let got = stream.read(&mut bytes[from..]).await?;
        if got == 0 {
            return Err(Dropped::Garbage("the head ends early".to_owned()));
        }
        bytes.truncate(from + got);
    }
}

/// A request that is genuine, whole and understood.
pub struct Asked {
    /// What is asked.
    pub message: Message,
    /// Who asks.
    pub proved: Proved,
    /// A digest of the credential.
    pub request: [u8; 16],
    version: Version,
}

async fn serve(
    service: Arc<Service>,
    mut stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    let begun = match begin(service.auth(), &mut stream).await {
        Ok(Some(begun)) => begun,
        Ok(None) => return,
        Err(dropped) => return tracing::debug!("{peer}: {dropped}"),
    };
    // Only who has to wait for munged needs a thread of his own.
    let own = if service.auth().asks_daemon() { Place::take() } else { None };
    let Some(own) = own else { return to_its_end(service, stream, peer, begun, place).await };
    match Waiting::of(stream) {
        Ok(stream) => own.go_on(to_its_end(service, stream, peer, begun, place)),
        Err(error) => tracing::debug!("{peer}: {error}"),
    }
}

async fn to_its_end(
    service: Arc<Service>,
    mut stream: impl Stream,
    peer: SocketAddr,
    begun: Begun,
    place: OwnedSemaphorePermit,
) {
    if let Err(dropped) = serve_begun(&service, &mut stream, peer, begun).await {
        tracing::debug!("{peer}: {dropped}");
    }
    drop(place);
}

/// Serves a request whose head has arrived.
///
/// # Errors
/// [`Dropped`].
pub async fn serve_begun(
    service: &Arc<Service>,
    stream: &mut impl Stream,
    peer: SocketAddr,
    begun: Begun,
) -> Result<(), Dropped> {
    let auth = service.auth();
    let Some(asked) = receive(auth, stream, peer, begun).await? else { return Ok(()) };
    let asker = Asker { identity: asked.proved.identity, request: asked.request };
    match service.answer(asked.message, asker).await {
        Answer::Reply(message) => send(auth, stream, asked.version, &asked.proved, message).await,
        Answer::Nothing => Ok(()),
    }
}

/// Answers a request, whose message the caller has taken.
///
/// # Errors
/// [`Dropped`].
pub async fn answer(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    asked: &Asked,
    message: Message,
) -> Result<(), Dropped> {
    send(auth, stream, asked.version, &asked.proved, message).await
}

/// Judges a request, and reads the rest of it. `None`: it was refused.
///
/// # Errors
/// [`Dropped`].
pub async fn receive(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    peer: SocketAddr,
    Begun { len, bytes }: Begun,
) -> Result<Option<Asked>, Dropped> {
    let rest_len = len - bytes.len();
    let known = match judged(auth, peer, bytes).await? {
        Ok(known) => known,
        Err((version, code)) => {
            // The refusal would be lost if bytes were still on their way.
            timeout(UNKNOWN_TIME, discard(stream, rest_len)).await??;
            return refuse(auth, stream, version, code).await.map(|()| None);
        }
    };
    let Known { header, opened, request, begun, body_len } = known;
    let body_len = match body_len {
        Ok(len) if len == begun.len() + rest_len => len,
        other => {
            discard(stream, rest_len).await?;
            let code = other.err().unwrap_or(INCOMPLETE);
            return reply_to(auth, stream, header, opened, code).await.map(|()| None);
        }
    };
    let mut body = begun;
    while body.len() < body_len {
        // Memory follows what has arrived, not what was claimed.
        let wanted = (body_len - body.len()).min(256 << 10);
        let from = body.len();
        body.resize(from + wanted, 0);
        let got = timeout(TRANSFER_TIME, stream.read(&mut body[from..])).await??;
        if got == 0 {
            return Err(Dropped::Garbage("the body ends early".to_owned()));
        }
        body.truncate(from + got);
    }
    let version = header.version;
    let proved = match opened.prove(header.kind, &body) {
        Ok(proved) => proved,
        Err(error) => {
            complain(peer, &error);
            return refuse(auth, stream, version, AUTHENTICATION).await.map(|()| None);
        }
    };
    match Message::unpack(header.kind, version, &body) {
        Ok(message) => {
            tracing::debug!("{peer}: {} by uid {}", message.row().name, proved.identity.uid);
            Ok(Some(Asked { message, proved, request, version }))
        }
        Err(error) => {
            complain(peer, &error);
            let refusal = Message::code(INCOMPLETE);
            send(auth, stream, version, &proved, refusal).await.map(|()| None)
        }
    }
}

/// Who asks, or the version and the code to refuse with.
type Judged = Result<Known, (Version, u32)>;

async fn judged(auth: &Arc<Auth>, peer: SocketAddr, bytes: Vec<u8>) -> Result<Judged, Dropped> {
    if !auth.asks_daemon() {
        return Ok(judge(auth, peer, &bytes));
    }
    let auth = Arc::clone(auth);
    // munged is asked, and waited for.
    Ok(aside(move || judge(&auth, peer, &bytes)).await?)
}

/// Judges a head that is whole.
fn judge(auth: &Auth, peer: SocketAddr, bytes: &[u8]) -> Judged {
    let head = Head::unpack(bytes).expect("it was read before");
    let header = head.header;
    let body_len = head.body_len().map_err(|error| match error.why {
        Why::Version(_) => rc::VERSION,
        Why::Message(_) => rc::UNSUPPORTED,
        _ => INCOMPLETE,
    });
    match auth.open(&head, Role::Request) {
        Ok(opened) => {
            let mut request = [0; 16];
            request.copy_from_slice(&blake3::hash(&head.credential).as_bytes()[..16]);
            let begun = bytes[head.len..].to_vec();
            Ok(Known { header, opened, request, begun, body_len })
        }
        Err(error) => {
            complain(peer, &format_args!("message {}: {error}", header.kind));
            Err((header.version, AUTHENTICATION))
        }
    }
}

/// Reads what is left of a refused request, within bounds.
///
/// # Errors
/// [`Dropped`].
pub async fn discard(stream: &mut impl Stream, len: usize) -> Result<(), Dropped> {
    let mut left = len.min(DISCARD_MAX);
    let mut scrap = [0; 4096];
    while left > 0 {
        let wanted = left.min(scrap.len());
        match timeout(TRANSFER_TIME, stream.read(&mut scrap[..wanted])).await?? {
            0 => break,
            got => left -= got,
        }
    }
    Ok(())
}

/// Refuses a request whose sender is known, but whose body was not read.
async fn reply_to(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    header: Header,
    opened: Opened,
    code: u32,
) -> Result<(), Dropped> {
    let uid = opened.identity().uid;
    tracing::debug!("message {} by uid {uid} is refused with {code}", header.kind);
    // What was proved is who asks, not what: a code is all he gets.
    match opened.prove(header.kind, &[]) {
        Ok(proved) => send(auth, stream, header.version, &proved, Message::code(code)).await,
        Err(_) => refuse(auth, stream, header.version, code).await,
    }
}

/// A refusal for whoever reads it: nothing is in it but a code.
///
/// # Errors
/// [`Dropped`].
pub async fn refuse(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    version: Version,
    code: u32,
) -> Result<(), Dropped> {
    write(auth, stream, version, Role::Reply([0; 16]), To::Anybody, Message::code(code)).await
}

/// Refuses a request that has begun, without a look at who asks.
///
/// # Errors
/// [`Dropped`].
pub async fn refuse_begun(
    auth: &Arc<Auth>,
    stream: &mut TcpStream,
    begun: &Begun,
    code: u32,
) -> Result<(), Dropped> {
    // The refusal would be lost if bytes were still on their way.
    discard(stream, begun.len - begun.bytes.len()).await?;
    let nonce = auth.claimed_nonce(&Head::unpack(&begun.bytes).expect("it was read before"));
    let role = Role::Reply(nonce);
    write(auth, stream, Version::NEWEST, role, To::Anybody, Message::code(code)).await
}

async fn send(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    version: Version,
    proved: &Proved,
    message: Message,
) -> Result<(), Dropped> {
    let to = To::Uid(proved.identity.uid);
    write(auth, stream, version, Role::Reply(proved.nonce), to, message).await
}

async fn write(
    auth: &Arc<Auth>,
    stream: &mut impl Stream,
    version: Version,
    role: Role,
    to: To,
    message: Message,
) -> Result<(), Dropped> {
    let may_wait = auth.asks_daemon() || is_long(&message);
    let sealed = if may_wait {
        let auth = Arc::clone(auth);
        aside(move || seal(&auth, version, role, to, &message)).await?
    } else {
        seal(auth, version, role, to, &message)
    };
    let sealed = sealed.map_err(Dropped::Garbage)?;
    for part in sealed.bytes.chunks(256 << 10) {
        timeout(TRANSFER_TIME, stream.write_all(part)).await??;
    }
    timeout(TRANSFER_TIME, stream.shutdown()).await??;
    Ok(())
}

/// Whether packing it takes long enough to be done elsewhere.
fn is_long(message: &Message) -> bool {
    !matches!(message, Message::ReturnCode(_) | Message::Submitted(_) | Message::ControlStatus(_))
}

fn seal(
    auth: &Auth,
    version: Version,
    role: Role,
    to: To,
    message: &Message,
) -> Result<Sealed, String> {
    let body = message.pack(version).map_err(|error| error.to_string())?;
    let header = Header::new(version, message.kind(), body.len());
    auth.seal(&header, &body, role, to).map_err(|error| error.to_string())
}
