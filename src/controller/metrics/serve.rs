//! The port: HTTP/1.1 for `GET /metrics`, and nothing else.
//!
//! Invariants: few connections at a time, each for a few seconds and a few KiB; whoever is one too
//! many waits in the kernel, and is no business of the controller's own port.

use crate::controller::metrics::facts::{Facts, Sizes};
use crate::controller::metrics::text::text;
use crate::controller::service::{Service, now};
use crate::controller::vital;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Scrapes at a time.
const SCRAPES_MAX: usize = 4;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request.
const REQUEST_MAX: usize = 8 << 10;
/// Between two looks at the sizes of files.
const MEASURE: Duration = Duration::from_secs(10);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves metrics at an address, if there is one, of a controller with its state in `dir`, until it
/// is dropped.
pub async fn run(service: Arc<Service>, address: Option<SocketAddr>, dir: PathBuf) {
    if address.is_none() {
        return;
    }
    // A scrape must not keep a controller that ends: it looks whether there is one.
    let of = Arc::downgrade(&service);
    let tell = move || Some(text(Some(Facts::of(of.upgrade()?.as_ref())), None));
    tokio::join!(run_of(address, Arc::new(tell)), measure(service, dir));
}

/// What is told: nothing any more once there is nobody of whom.
type Tell = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Serves what `tell` tells at an address, if there is one, until it is dropped.
pub async fn run_of(address: Option<SocketAddr>, tell: Tell) {
    let Some(address) = address else { return };
    let Some(listener) = listen(address).await else { return };
    serve(tell, listener).await;
}

/// The port. That it cannot be had is said, and does not stop a controller.
async fn listen(address: SocketAddr) -> Option<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!("metrics at http://{address}/metrics");
            Some(listener)
        }
        Err(error) => {
            let port = address.port();
            tracing::error!(
                "MetricsAddress={address}: {error}: there are no metrics; next: ss -ltnp 'sport = \
                 :{port}', then restart slurmctld"
            );
            None
        }
    }
}

async fn serve(tell: Tell, listener: TcpListener) {
    let few = Arc::new(Semaphore::new(SCRAPES_MAX));
    loop {
        let Ok(one) = Arc::clone(&few).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for a while.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let tell = Arc::clone(&tell);
        vital::request(async move {
            let _one = one;
            let answered = async {
                let mut stream = stream;
                let asked = request(&mut stream).await;
                let answer = spawn_blocking(move || answer(asked.as_deref(), &tell)).await;
                let Ok(Some(answer)) = answer else { return };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            };
            let _ = timeout(PATIENCE, answered).await;
        });
    }
}

/// The head of a request; `None`: it is none, or too long.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= REQUEST_MAX || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn answer(request: Option<&str>, tell: &Tell) -> Option<String> {
    Some(match asked(request) {
        Ok(body) => reply("200 OK", OPEN_METRICS, &tell()?, body),
        Err((status, why)) => reply(status, "text/plain; charset=utf-8", why, true),
    })
}

/// Whether the body is wanted, too.
fn asked(request: Option<&str>) -> Result<bool, (&'static str, &'static str)> {
    let line = request.and_then(|head| head.lines().next()).unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if !version.is_some_and(|version| version.starts_with("HTTP/1.")) || words.next().is_some() {
        return Err(("400 Bad Request", "this is no request of HTTP/1.1\n"));
    }
    let path = target.and_then(|target| target.split('?').next());
    match (method, path) {
        (Some("GET"), Some("/metrics")) => Ok(true),
        (Some("HEAD"), Some("/metrics")) => Ok(false),
        (Some("GET" | "HEAD"), _) => Err(("404 Not Found", "there is /metrics\n")),
        _ => Err(("405 Method Not Allowed", "there is GET /metrics\n")),
    }
}

fn reply(status: &str, kind: &str, text: &str, body: bool) -> String {
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    if body { head + text } else { head }
}

/// Measures the state directory again and again; a disk that hangs holds this up, nothing else.
pub async fn measure(service: Arc<Service>, dir: PathBuf) {
    loop {
        let (service, of) = (Arc::downgrade(&service), dir.clone());
        let measured = spawn_blocking(move || {
            let found = Sizes::of(&of, now());
            if let (Ok(sizes), Some(service)) = (found, service.upgrade()) {
                service.numbers().measured(sizes);
            }
        });
        let _ = measured.await;
        sleep(MEASURE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metrics_are_given_and_everything_else_is_told_why() {
        let status = |head: &str| asked(Some(head)).map_err(|(status, _)| &status[..3]);
        assert_eq!(status("GET /metrics HTTP/1.1\r\n"), Ok(true));
        assert_eq!(status("GET /metrics?name=x HTTP/1.0\r\n"), Ok(true));
        assert_eq!(status("HEAD /metrics HTTP/1.1\r\n"), Ok(false));
        assert_eq!(status("GET / HTTP/1.1\r\n"), Err("404"));
        assert_eq!(status("POST /metrics HTTP/1.1\r\n"), Err("405"));
        assert_eq!(status("GET /metrics\r\n"), Err("400"));
        assert_eq!(status("GET /metrics HTTP/1.1 x\r\n"), Err("400"));
        assert_eq!(asked(None), Err(("400 Bad Request", "this is no request of HTTP/1.1\n")));
    }
}
