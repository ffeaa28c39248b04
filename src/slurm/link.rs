//! One request and one reply over TCP, blocking: for agents and clients. (The controller's server
//! serves many at a time, and has its own.)
//!
//! Invariants: every wait has an end; a peer that has not proved who it is costs at most
//! [`HEAD_MAX`] bytes, and a body is read only after its credential is genuine; who asks is what
//! the credential says.

use crate::slurm::auth::{Auth, AuthError, Identity, Nonce, Role, To};
use crate::slurm::wire::frame::{self, Head, Header, LENGTH_LEN};
use crate::slurm::wire::limits::HEAD_MAX;
use crate::slurm::wire::{Message, Version, WireError};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To connect to one address: TCPTimeout.
    pub connect: Duration,
    /// For a request to be answered: MessageTimeout.
    pub answer: Duration,
}

impl Default for Times {
    /// Slurm's defaults.
    fn default() -> Times {
        Times { connect: Duration::from_secs(2), answer: Duration::from_secs(10) }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody is reached: the request certainly was not executed.
    #[error("{0}: {1}")]
    Connect(String, io::Error),
    /// The connection broke, or nothing came in time: the request may have been executed.
    #[error("no answer: {0}")]
    Broken(#[from] io::Error),
    /// The credential cannot be made, or the answer's is not genuine.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The answer is genuine, and of somebody who is not to answer.
    #[error("uid {0} answers, who may not; next: see who listens on that port there")]
    Stranger(u32),
    /// The answer cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Asks, and returns the answer.
///
/// # Errors
/// [`LinkError`].
pub fn call(
    auth: &Auth,
    (host, port): (&str, u16),
    message: &Message,
    to: To,
    times: Times,
) -> Result<Message, LinkError> {
    ask(auth, (host, port), message, to, times, |_| true)
}

/// The same, of somebody who answers only as a user for whom `may` says so: others who hold the
/// port are not heard.
///
/// # Errors
/// [`LinkError`].
pub fn ask(
    auth: &Auth,
    (host, port): (&str, u16),
    message: &Message,
    to: To,
    times: Times,
    may: impl FnOnce(u32) -> bool,
) -> Result<Message, LinkError> {
    let sent = send(auth, || connect(host, port, times.connect), message, to, times)?;
    answer(auth, sent, times, may)
}

/// The same, where addresses are known: the first one that is reached is asked.
///
/// # Errors
/// [`LinkError`].
pub fn ask_at(
    auth: &Auth,
    addresses: &[SocketAddr],
    message: &Message,
    to: To,
    times: Times,
    may: impl FnOnce(u32) -> bool,
) -> Result<Message, LinkError> {
    let connect = || {
        let failed = |error| LinkError::Connect(format!("{addresses:?}"), error);
        connect_first(addresses.iter().copied(), times.connect).map_err(failed)
    };
    let sent = send(auth, connect, message, to, times)?;
    answer(auth, sent, times, may)
}

fn answer(
    auth: &Auth,
    (mut stream, nonce): (TcpStream, Nonce),
    times: Times,
    may: impl FnOnce(u32) -> bool,
) -> Result<Message, LinkError> {
    let until = Instant::now() + times.answer;
    let received = receive(&mut stream, auth, Role::Reply(nonce), until)?;
    match received.from.uid {
        uid if may(uid) => Ok(received.message),
        uid => Err(LinkError::Stranger(uid)),
    }
}

/// Says something that nobody answers.
///
/// # Errors
/// [`LinkError`].
pub fn tell(
    auth: &Auth,
    address: (&str, u16),
    message: &Message,
    to: To,
    times: Times,
) -> Result<(), LinkError> {
    let connect = || connect(address.0, address.1, times.connect);
    let (stream, _) = send(auth, connect, message, to, times)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(())
}

fn send(
    auth: &Auth,
    connect: impl FnOnce() -> Result<TcpStream, LinkError>,
    message: &Message,
    to: To,
    times: Times,
) -> Result<(TcpStream, Nonce), LinkError> {
    let version = Version::NEWEST;
    let body = message.pack(version)?;
    let header = Header::new(version, message.kind(), body.len());
    let mut stream = connect()?;
    // After the connection: a credential is good for one request, and not for long.
    let sealed = auth.seal(&header, &body, Role::Request, to)?;
    stream.set_write_timeout(Some(times.answer))?;
    stream.write_all(&sealed.bytes)?;
    Ok((stream, sealed.nonce))
}

fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, LinkError> {
    let failed = |error| LinkError::Connect(format!("{host}:{port}"), error);
    let addresses = (host, port).to_socket_addrs().map_err(failed)?;
    connect_first(addresses, limit).map_err(failed)
}

fn connect_first(
    addresses: impl Iterator<Item = SocketAddr>,
    limit: Duration,
) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A message that was received, and who sent it.
#[derive(Debug)]
pub struct Received {
    /// What was said.
    pub message: Message,
    /// Who said it.
    pub from: Identity,
    version: Version,
    nonce: Nonce,
}

/// Receives a request. [`reply`] answers it.
///
/// # Errors
/// [`LinkError`]; a request whose sender is known and that cannot be read is [`LinkError::Wire`].
pub fn accept(stream: &mut TcpStream, auth: &Auth, times: Times) -> Result<Received, LinkError> {
    receive(stream, auth, Role::Request, Instant::now() + times.answer)
}

/// Answers a request.
///
/// # Errors
/// [`LinkError`].
pub fn reply(
    stream: &mut TcpStream,
    auth: &Auth,
    to: &Received,
    message: &Message,
) -> Result<(), LinkError> {
    let body = message.pack(to.version)?;
    let header = Header::new(to.version, message.kind(), body.len());
    let sealed = auth.seal(&header, &body, Role::Reply(to.nonce), To::Uid(to.from.uid))?;
    Ok(stream.write_all(&sealed.bytes)?)
}

fn receive(
    stream: &mut TcpStream,
    auth: &Auth,
    role: Role,
    until: Instant,
) -> Result<Received, LinkError> {
    let mut length = [0; LENGTH_LEN];
    fill(stream, &mut length, until)?;
    let len = frame::length(length)?;
    let most = len.min(HEAD_MAX);
    let mut bytes = Vec::new();
    let head = loop {
        match Head::unpack(&bytes) {
            Ok(head) => break head,
            Err(error) if bytes.len() < most && Head::wants_more(&error, bytes.len()) => {
                let from = bytes.len();
                bytes.resize((from + 1024).min(most), 0);
                let got = some(stream, &mut bytes[from..], until)?;
                bytes.truncate(from + got);
            }
            Err(error) => return Err(error.into()),
        }
    };
    let (header, head_len) = (head.header, head.len);
    let body_len = head.body_len()?;
    let opened = auth.open(&head, role)?;
    let mut body = bytes.split_off(head_len);
    while body.len() < body_len {
        // Memory follows what has arrived, not what was claimed.
        let from = body.len();
        body.resize(from + (body_len - from).min(256 << 10), 0);
        let got = some(stream, &mut body[from..], until)?;
        body.truncate(from + got);
    }
    let proved = opened.prove(header.kind, &body)?;
    let message = Message::unpack(header.kind, header.version, &body)?;
    let (from, version, nonce) = (proved.identity, header.version, proved.nonce);
    Ok(Received { message, from, version, nonce })
}

/// Reads something, before `until`.
fn some(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> Result<usize, LinkError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(got) => return Ok(got),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> Result<(), LinkError> {
    let mut at = 0;
    while at < buffer.len() {
        at += some(stream, &mut buffer[at..], until)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::auth::key::{Key, system_clock};
    use crate::slurm::wire::constants::rc;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    fn key(dir: &std::path::Path, name: &str) -> Auth {
        let path = dir.join(name);
        std::fs::write(&path, format!("{name}: a secret of more than thirty-two bytes")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Auth::Key(Key::load(&path, system_clock()).unwrap())
    }

    fn times() -> Times {
        Times { answer: Duration::from_secs(5), ..Times::default() }
    }

    #[test]
    fn a_request_is_answered_to_whoever_has_the_key_and_to_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, ours_too) = (key(dir.path(), "a"), key(dir.path(), "a"));
        let strange = key(dir.path(), "b");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = accept(&mut stream, &ours_too, times()).unwrap();
            assert_eq!(asked.message, Message::Ping);
            reply(&mut stream, &ours_too, &asked, &Message::code(7)).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let error = accept(&mut stream, &ours_too, times()).map(drop).unwrap_err();
            drop(stream);
            let (mut stream, _) = listener.accept().unwrap();
            let asked = accept(&mut stream, &ours_too, times()).unwrap();
            reply(&mut stream, &ours_too, &asked, &Message::code(7)).unwrap();
            error
        });
        let own = rustix::process::geteuid().as_raw();
        let address = ("127.0.0.1", port);
        let answer = call(&ours, address, &Message::Ping, To::Anybody, times()).unwrap();
        assert_eq!(answer, Message::code(7));
        let refused = call(&strange, address, &Message::Ping, To::Anybody, times());
        assert!(matches!(refused, Err(LinkError::Broken(_))), "{refused:?}");
        let stranger = ask(&ours, address, &Message::Ping, To::Anybody, times(), |uid| uid != own);
        assert!(matches!(stranger, Err(LinkError::Stranger(uid)) if uid == own), "{stranger:?}");
        assert!(matches!(server.join().unwrap(), LinkError::Auth(_)));
        let nobody = call(&ours, address, &Message::code(rc::OK), To::Anybody, times());
        assert!(matches!(nobody, Err(LinkError::Connect(..))), "{nobody:?}");
    }
}
