//! A server that believes a credential, decodes a submission, and answers with the next number:
//! what no controller can leave out. Nothing is checked, kept or saved.

use crate::flags::Flags;
use statedir::slurm::auth::key::{Key, system_clock};
use statedir::slurm::auth::munge::{Info, Munge};
use statedir::slurm::auth::{Auth, Role, To};
use statedir::slurm::wire::frame::{self, Frame, Header, LENGTH_LEN};
use statedir::slurm::wire::tables::Submitted;
use statedir::slurm::wire::{Message, Version};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves until the process is killed.
pub fn serve(port: u16, flags: &Flags) {
    let auth = match &flags.key {
        Some(path) => Auth::Key(Key::load(path, system_clock()).unwrap()),
        None => Auth::Munge(Munge::load(Info::parse(&flags.auth_info).unwrap()).unwrap()),
    };
    let auth = Arc::new(auth);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(one(Arc::clone(&auth), stream));
        }
    });
}

async fn one(auth: Arc<Auth>, mut stream: TcpStream) -> io::Result<()> {
    let mut length = [0; LENGTH_LEN];
    stream.read_exact(&mut length).await?;
    let len = frame::length(length).map_err(|error| io::Error::other(error.to_string()))?;
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    let reply = if auth.asks_daemon() {
        tokio::task::spawn_blocking(move || answer(&auth, &bytes)).await?
    } else {
        answer(&auth, &bytes)
    };
    stream.write_all(&reply?).await?;
    stream.shutdown().await
}

fn answer(auth: &Auth, bytes: &[u8]) -> io::Result<Vec<u8>> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let frame = Frame::unpack(bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let proved = auth.verify(&frame, Role::Request);
    let proved = proved.map_err(|error| io::Error::other(error.to_string()))?;
    let header = frame.head.header;
    let asked = Message::unpack(header.kind, header.version, frame.body);
    let reply = match asked.map_err(|error| io::Error::other(error.to_string()))? {
        Message::Submit(_) => {
            let job_id = NEXT.fetch_add(1, Ordering::Relaxed);
            Message::Submitted(Box::new(Submitted { job_id, ..Submitted::default() }))
        }
        _ => Message::code(0),
    };
    let body = reply.pack(Version::NEWEST).expect("it is short");
    let header = Header::new(header.version, reply.kind(), body.len());
    let role = Role::Reply(proved.nonce);
    let sealed = auth.seal(&header, &body, role, To::Uid(proved.identity.uid));
    Ok(sealed.map_err(|error| io::Error::other(error.to_string()))?.bytes)
}
