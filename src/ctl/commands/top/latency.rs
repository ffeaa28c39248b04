//! How long saves and flushes take, by the histograms that a controller shows at its `/metrics`:
//! what was counted between two looks.
//!
//! Invariants: a look is over within [`PATIENCE`] for each of its steps and [`ANSWER_MAX`] bytes,
//! whoever answers; what is said is the bound of the part in which a span lies, so that it was at
//! most that long; counters that went back (another process) are no difference.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For connecting, and for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Some kilobytes are usual.
const ANSWER_MAX: u64 = 1 << 20;

/// Names of the histograms.
const SAVE: &str = "statedir_save_seconds_bucket{le=\"";
const FLUSH: &str = "statedir_flush_seconds_bucket{le=\"";

/// Where it is asked, as `MetricsAddress` has it.
///
/// # Errors
/// A sentence.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let found = text.parse::<u16>().ok().map(local).or_else(|| text.parse().ok());
    found.filter(|at| at.port() != 0).ok_or_else(|| "a port, or address:port".to_owned())
}

/// How many were at most so long (in seconds, as it is written), that or less.
type Parts = Vec<(f64, u64)>;

/// What was counted until one look.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    saves: Parts,
    flushes: Parts,
}

/// Half of all spans, and 99 of 100, were at most so many seconds long; infinite: longer than the
/// largest bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Took {
    pub p50: f64,
    pub p99: f64,
}

/// Of saves and of flushes, where there were any.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latencies {
    pub save: Option<Took>,
    pub flush: Option<Took>,
}

/// Looks again and again.
pub struct Watch {
    at: SocketAddr,
    last: Option<Counts>,
}

impl Watch {
    /// The first look.
    ///
    /// # Errors
    /// Nobody answers there, or not with histograms of saves.
    pub fn new(at: SocketAddr) -> io::Result<Watch> {
        Ok(Watch { at, last: Some(look(at)?) })
    }

    /// What came since the last look; nothing if nobody answers now, or did then.
    pub fn next(&mut self) -> Latencies {
        let now = look(self.at).ok();
        let last = std::mem::replace(&mut self.last, now);
        match (&last, &self.last) {
            (Some(last), Some(now)) => Latencies {
                save: took(&last.saves, &now.saves),
                flush: took(&last.flushes, &now.flushes),
            },
            _ => Latencies::default(),
        }
    }
}

fn look(at: SocketAddr) -> io::Result<Counts> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: statectl\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let got = stream.read(&mut piece)?;
        if got == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..got]);
        if answer.len() as u64 > ANSWER_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    counts(&String::from_utf8_lossy(&answer)).ok_or_else(|| {
        // A standby saves nothing, and shows none.
        io::Error::other("shows no latencies of saves: is it the controller in charge?")
    })
}

/// The histograms in a whole answer.
fn counts(answer: &str) -> Option<Counts> {
    let whole = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("# EOF\n");
    let found = Counts { saves: parts(answer, SAVE), flushes: parts(answer, FLUSH) };
    (whole && !found.saves.is_empty() && !found.flushes.is_empty()).then_some(found)
}

fn parts(answer: &str, name: &str) -> Parts {
    let lines = answer.lines().filter_map(|line| line.strip_prefix(name));
    let part = |line: &str| {
        let (bound, count) = line.split_once("\"} ")?;
        // "+Inf" is a number, too.
        Some((bound.parse().ok()?, count.parse().ok()?))
    };
    lines.filter_map(part).collect()
}

fn took(last: &Parts, now: &Parts) -> Option<Took> {
    let last: BTreeMap<u64, u64> = last.iter().map(|(bound, n)| (bound.to_bits(), *n)).collect();
    let fresh: Option<Parts> = now
        .iter()
        .map(|(bound, n)| Some((*bound, n.checked_sub(*last.get(&bound.to_bits())?)?)))
        .collect();
    let fresh = fresh?;
    let all = fresh.last()?.1;
    let at_most = |part: u64, of: u64| {
        let wanted = u64::try_from((u128::from(all) * u128::from(part)).div_ceil(u128::from(of)));
        let wanted = wanted.unwrap_or(all);
        fresh.iter().find(|(_, n)| *n >= wanted).map(|(bound, _)| *bound)
    };
    (all > 0).then_some(())?;
    Some(Took { p50: at_most(1, 2)?, p99: at_most(99, 100)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answer(saves: [u64; 3]) -> String {
        let [a, b, c] = saves;
        let histogram = |name: &str| {
            format!(
                "{name}0.001\"}} {a}\n{name}0.002\"}} {b}\n{name}+Inf\"}} {c}\n\
                 statedir_saves_total 7\n"
            )
        };
        format!("HTTP/1.1 200 OK\r\n\r\n{}{}# EOF\n", histogram(SAVE), histogram(FLUSH))
    }

    #[test]
    fn what_came_between_two_looks_is_told_by_the_bounds_of_its_parts() {
        let looked = |saves| counts(&answer(saves)).unwrap().saves;
        let took = |then, now| took(&looked(then), &looked(now));
        let first = [1000, 1000, 1000];
        assert_eq!(took(first, [1050, 1100, 1100]), Some(Took { p50: 0.001, p99: 0.002 }));
        assert_eq!(took(first, [1049, 1100, 1100]), Some(Took { p50: 0.002, p99: 0.002 }));
        assert_eq!(took(first, [1099, 1099, 1100]), Some(Took { p50: 0.001, p99: 0.001 }));
        assert_eq!(took(first, [1000, 1000, 1001]).unwrap().p50, f64::INFINITY);
        assert_eq!(took(first, first), None, "nothing came");
        assert_eq!(took(first, [1, 1, 1]), None, "another process counts from nothing");
    }

    #[test]
    fn whoever_answers_otherwise_or_not_to_the_end_is_no_controller() {
        let whole = answer([1, 2, 3]);
        assert!(counts(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(counts(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(counts("HTTP/1.1 200 OK\r\n\r\n# EOF\n"), None);
        assert_eq!(counts(&whole.replace("200 OK", "404 Not Found")), None);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let endless = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        assert!(Watch::new(at).is_err());
        endless.join().unwrap();
        assert!(Watch::new(at).is_err(), "nobody is there");
    }

    #[test]
    fn addresses_are_those_of_statedir_conf() {
        assert_eq!(address("9341"), Ok("127.0.0.1:9341".parse().unwrap()));
        assert_eq!(address("[::1]:9341"), Ok("[::1]:9341".parse().unwrap()));
        assert!(address("0").is_err() && address("host").is_err() && address("::1").is_err());
    }
}
