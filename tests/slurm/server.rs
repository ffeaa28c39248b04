//! A server for one test: takes a connection, checks who it is and what he asks, answers, keeps
//! the question. Blocking, one thread for each connection.

use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, Role, To};
use statedir::slurm::wire::frame::{Frame, Header, LENGTH_LEN, length};
use statedir::slurm::wire::{Message, Version};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request: its number, its body as it came, and what was read in it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub uid: u32,
    pub body: Vec<u8>,
    pub message: Message,
}

/// What a server was asked, in order; and what went wrong.
#[derive(Debug, Default)]
pub struct Seen {
    pub asked: Vec<Asked>,
    pub faults: Vec<String>,
}

/// A server that answers until the process ends.
pub struct Server {
    pub seen: Arc<Mutex<Seen>>,
}

type Answer = fn(&Message) -> Option<Message>;

impl Server {
    /// Serves a listener.
    pub fn start(listener: TcpListener, auth_info: &str, answer: Answer) -> Server {
        let auth = Auth::Munge(Munge::load(Info::parse(auth_info).unwrap()).unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, auth) = (Arc::clone(&seen), Arc::new(auth));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, auth) = (Arc::clone(&shared), Arc::clone(&auth));
                std::thread::spawn(move || {
                    if let Err(fault) = serve(&mut stream.unwrap(), &auth, answer, &seen) {
                        seen.lock().unwrap().faults.push(fault);
                    }
                });
            }
        });
        Server { seen }
    }

    /// Waits for a request.
    ///
    /// # Panics
    /// After three minutes without it, or if something went wrong.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Asked {
        for _ in 0..18_000 {
            let seen = self.seen.lock().unwrap();
            assert!(seen.faults.is_empty(), "{:?}", seen.faults);
            if let Some(asked) = seen.asked.iter().find(|asked| wanted(&asked.message)) {
                return asked.clone();
            }
            drop(seen);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{what} does not come: {:?}", self.seen.lock().unwrap());
    }

    /// What was asked since the last look. Nothing may have gone wrong.
    pub fn take(&self) -> Vec<Asked> {
        let mut seen = self.seen.lock().unwrap();
        assert!(seen.faults.is_empty(), "{:?}", seen.faults);
        std::mem::take(&mut seen.asked)
    }
}

fn frame(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut head = [0; LENGTH_LEN];
    stream.read_exact(&mut head).map_err(|error| format!("length: {error}"))?;
    let mut bytes = vec![0; length(head).map_err(|error| error.to_string())?];
    stream.read_exact(&mut bytes).map_err(|error| format!("frame: {error}"))?;
    Ok(bytes)
}

fn serve(
    stream: &mut TcpStream,
    auth: &Auth,
    answer: Answer,
    seen: &Mutex<Seen>,
) -> Result<(), String> {
    let bytes = frame(stream)?;
    let frame = Frame::unpack(&bytes).map_err(|error| error.to_string())?;
    let header = frame.head.header;
    let proved = auth.verify(&frame, Role::Request).map_err(|error| error.to_string())?;
    let message = Message::unpack(header.kind, header.version, frame.body)
        .map_err(|error| format!("message {}: {error}", header.kind))?;
    let reply = answer(&message);
    let uid = proved.identity.uid;
    seen.lock().unwrap().asked.push(Asked { uid, body: frame.body.to_vec(), message });
    let Some(reply) = reply else { return Ok(()) };
    let body = reply.pack(header.version).map_err(|error| error.to_string())?;
    let header = Header::new(header.version, reply.kind(), body.len());
    let sealed = auth
        .seal(&header, &body, Role::Reply(proved.nonce), To::Uid(uid))
        .map_err(|error| error.to_string())?;
    stream.write_all(&sealed.bytes).map_err(|error| error.to_string())
}

/// Asks an agent at `port`, and returns what it answers.
pub fn ask(auth: &Auth, port: u16, message: &Message) -> Result<Message, String> {
    let body = message.pack(Version::NEWEST).map_err(|error| error.to_string())?;
    let header = Header::new(Version::NEWEST, message.kind(), body.len());
    let sealed =
        auth.seal(&header, &body, Role::Request, To::Anybody).map_err(|error| error.to_string())?;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let limit = Some(std::time::Duration::from_secs(180));
    stream.set_read_timeout(limit).map_err(|error| error.to_string())?;
    stream.write_all(&sealed.bytes).map_err(|error| error.to_string())?;
    let bytes = frame(&mut stream)?;
    let frame = Frame::unpack(&bytes).map_err(|error| error.to_string())?;
    auth.verify(&frame, Role::Reply(sealed.nonce)).map_err(|error| error.to_string())?;
    Message::unpack(frame.head.header.kind, frame.head.header.version, frame.body)
        .map_err(|error| error.to_string())
}
