//! What a mount must keep to hold a shared state directory, tried with a second process.
//!
//! The authority of a primary asks after each group whether another has claimed. Two ways of asking
//! are tried, each in the order in which it counts: this side has just looked and seen nothing, the
//! other side acts and says that it has, this side looks again and must see it.
//!
//! Invariants: nothing that was there is touched; what is made is removed again, whatever fails;
//! no check is said to hold that failed once.

pub mod peer;

use crate::ctl::probe::peer::{Peer, Place};
use crate::disk::Disk;
use crate::role::Check;
use std::io;
use std::time::{Duration, Instant};

/// Looks that are timed.
const LOOKS: usize = 300;

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds(String),
    /// It does not.
    Fails(String),
}

/// One check.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was tried.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// Whether a directory cannot be shared without it.
    pub needed: bool,
    /// What one look costs.
    pub cost: Option<Duration>,
}

/// Everything that was tried.
#[derive(Debug)]
pub struct Found {
    /// In order.
    pub lines: Vec<Line>,
}

impl Found {
    fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// Whether that holds.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        self.line(name).is_some_and(|line| matches!(line.verdict, Verdict::Holds(_)))
    }

    /// The cheapest way to ask that holds, and what it costs; `None`: the mount cannot be shared.
    #[must_use]
    pub fn chosen(&self) -> Option<(Check, Duration)> {
        let fails = |line: &&Line| line.needed && matches!(line.verdict, Verdict::Fails(_));
        if self.lines.iter().any(|line| fails(&line)) {
            return None;
        }
        let ways = [("names", Check::Name), ("marks", Check::Mark)];
        let holding = ways.into_iter().filter(|(name, _)| self.holds(name));
        let costed = holding.filter_map(|(name, check)| Some((check, self.line(name)?.cost?)));
        costed.min_by_key(|(_, cost)| *cost)
    }
}

/// A probe under way.
pub struct Probe {
    place: Place,
    peer: Peer,
    rounds: u64,
    mark: String,
}

impl Probe {
    /// One of so many rounds for each check.
    #[must_use]
    pub fn new(place: Place, peer: Peer, rounds: u64) -> Probe {
        Probe { place, peer, rounds, mark: format!(".probe-{}", std::process::id()) }
    }

    /// Tries everything.
    pub fn run(mut self) -> Found {
        let mut lines = Vec::new();
        let mut tried = |name, needed, outcome: io::Result<(String, Option<Duration>)>| {
            let (verdict, cost) = match outcome {
                Ok((what, cost)) => (Verdict::Holds(what), cost),
                Err(error) => (Verdict::Fails(error.to_string()), None),
            };
            lines.push(Line { name, verdict, needed, cost });
        };
        tried("flushes", true, self.flushes());
        tried("claims", true, self.claims());
        tried("replacing", true, self.replacing());
        tried("names", false, self.names());
        tried("marks", false, self.marks());
        tried("pages", false, self.pages());
        tried("locks", false, self.locks());
        self.clear();
        Found { lines }
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.mark)
    }

    fn act(&mut self, line: &str) -> io::Result<String> {
        self.place.act(line)
    }

    /// A block, written and flushed.
    fn flushes(&mut self) -> io::Result<(String, Option<Duration>)> {
        let name = self.name("flush");
        self.act(&format!("make {name} 0"))?;
        let cost = median(32, |value| self.act(&format!("mark {name} {value}")).map(drop))?;
        Ok(("a block is written and flushed".to_owned(), Some(cost)))
    }

    /// Of two that give a file the same name at the same time, one wins.
    fn claims(&mut self) -> io::Result<(String, Option<Duration>)> {
        let (mine, theirs) = (self.name("mine"), self.name("theirs"));
        self.act(&format!("make {mine} 1"))?;
        self.peer.ask(&format!("make {theirs} 2"))?;
        let mut won = 0;
        for round in 0..self.rounds {
            let name = self.name(&format!("claim{round}"));
            self.peer.tell(&format!("link {theirs} {name}"))?;
            let own = self.act(&format!("link {mine} {name}"))?;
            let other = self.peer.hear()?;
            match (own.as_str(), other.as_str()) {
                ("ok", "taken") => won += 1,
                ("taken", "ok") => {}
                ("ok", "ok") => return Err(wrong("two links to one name both succeeded")),
                _ => return Err(wrong("of two links to one name none succeeded")),
            }
            let winner = if own == "ok" { "1" } else { "2" };
            for said in
                [self.act(&format!("fresh {name}"))?, self.peer.ask(&format!("fresh {name}"))?]
            {
                if said != winner {
                    return Err(wrong("who has the name is not who is told to have it"));
                }
            }
            self.act(&format!("remove {name}"))?;
        }
        let rounds = self.rounds;
        Ok((format!("one of two wins a name ({rounds} rounds, {won} won here)"), None))
    }

    /// A file that takes another one's place is seen whole by who opens it afterwards.
    fn replacing(&mut self) -> io::Result<(String, Option<Duration>)> {
        let (name, draft) = (self.name("host"), self.name("draft"));
        self.act(&format!("make {name} 0"))?;
        for round in 1..=self.rounds {
            self.act(&format!("fresh {name}"))?;
            self.peer.ask(&format!("make {draft} {round}"))?;
            self.peer.ask(&format!("rename {draft} {name}"))?;
            let said = self.act(&format!("fresh {name}"))?;
            if said != round.to_string() {
                return Err(wrong("a file that was replaced is opened as the old one"));
            }
        }
        Ok((format!("a renamed file is seen at once ({} rounds)", self.rounds), None))
    }

    /// A name that was not there a moment ago is seen once the other side has made it.
    fn names(&mut self) -> io::Result<(String, Option<Duration>)> {
        let draft = self.name("named");
        self.act(&format!("make {draft} 0"))?;
        for round in 0..self.rounds {
            let name = self.name(&format!("name{round}"));
            let (link, look) = (format!("link {draft} {name}"), format!("look {name}"));
            let both = [self.act(&look)?, self.peer.ask(&look)?];
            if both != ["no", "no"] {
                return Err(wrong("a name is there that nobody has made"));
            }
            // Both directions, one after the other.
            let seen = match round % 2 {
                0 => {
                    self.peer.ask(&link)?;
                    self.act(&look)?
                }
                _ => {
                    self.act(&link)?;
                    self.peer.ask(&look)?
                }
            };
            if seen != "yes" {
                return Err(wrong("a name that the other side has made is not seen at once"));
            }
            self.act(&format!("remove {name}"))?;
        }
        let absent = self.name("absent");
        let cost = median(LOOKS, |_| self.place.disk.exists(&absent).map(drop))?;
        Ok((format!("a new name is seen at once ({} rounds)", self.rounds), Some(cost)))
    }

    /// What the other side has written into an open file is read past every cache.
    fn marks(&mut self) -> io::Result<(String, Option<Duration>)> {
        let name = self.name("mark");
        self.act(&format!("make {name} 0"))?;
        for round in 1..=self.rounds {
            let (mark, around) = (format!("mark {name} {round}"), format!("around {name}"));
            let before = [self.act(&around)?, self.peer.ask(&around)?];
            if before.contains(&"cached".to_owned()) {
                return Err(wrong("O_DIRECT is not supported: the cache cannot be gone around"));
            }
            let seen = match round % 2 {
                0 => {
                    self.peer.ask(&mark)?;
                    self.act(&around)?
                }
                _ => {
                    self.act(&mark)?;
                    self.peer.ask(&around)?
                }
            };
            if seen != round.to_string() {
                return Err(wrong("what the other side has flushed is not read with O_DIRECT"));
            }
        }
        let cost = median(LOOKS, |_| self.place.around(&name).map(drop))?;
        let what = format!("a flushed block is read with O_DIRECT ({} rounds)", self.rounds);
        Ok((what, Some(cost)))
    }

    /// Whether even the page cache of an open file is kept right.
    fn pages(&mut self) -> io::Result<(String, Option<Duration>)> {
        let name = self.name("page");
        self.act(&format!("make {name} 0"))?;
        for round in 1..=self.rounds {
            self.act(&format!("kept {name}"))?;
            self.peer.ask(&format!("mark {name} {round}"))?;
            if self.act(&format!("kept {name}"))? != round.to_string() {
                return Err(wrong("pages of an open file are kept: only O_DIRECT reads it anew"));
            }
        }
        Ok((format!("open files are read anew ({} rounds)", self.rounds), None))
    }

    /// Whether a lock of the other side is seen.
    fn locks(&mut self) -> io::Result<(String, Option<Duration>)> {
        let name = self.name("lock");
        self.act(&format!("make {name} 0"))?;
        self.peer.ask(&format!("lock {name}"))?;
        let seen = self.place.is_locked(&name)?;
        self.peer.ask(&format!("unlock {name}"))?;
        match (seen, self.place.is_locked(&name)?) {
            (true, false) => Ok(("a lock of the other side is seen".to_owned(), None)),
            _ => Err(wrong("a lock of the other side is not seen")),
        }
    }

    /// Removes what was made. Whoever was killed in between leaves files that begin with a dot.
    fn clear(&mut self) {
        for entry in self.place.disk.list().unwrap_or_default() {
            if entry.name.starts_with(&self.mark) {
                let _ = self.place.disk.remove(&entry.name);
            }
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what)
}

fn median(times: usize, mut each: impl FnMut(usize) -> io::Result<()>) -> io::Result<Duration> {
    let mut took = Vec::with_capacity(times);
    for number in 0..times {
        let began = Instant::now();
        each(number)?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok(took[times / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &'static str, holds: bool, needed: bool, us: u64) -> Line {
        let what = String::new();
        let verdict = if holds { Verdict::Holds(what) } else { Verdict::Fails(what) };
        let cost = holds.then_some(Duration::from_micros(us));
        Line { name, verdict, needed, cost }
    }

    #[test]
    fn the_cheapest_check_that_holds_is_chosen_and_none_where_claims_do_not() {
        for (claims, names, marks, chosen) in [
            (true, true, true, Some(Check::Name)),
            (true, false, true, Some(Check::Mark)),
            (true, true, false, Some(Check::Name)),
            (true, false, false, None),
            (false, true, true, None),
        ] {
            let lines = vec![
                line("claims", claims, true, 0),
                line("names", names, false, 1),
                line("marks", marks, false, 50),
                line("pages", false, false, 0),
            ];
            assert_eq!(Found { lines }.chosen().map(|(check, _)| check), chosen);
        }
        let lines = vec![line("names", true, false, 90), line("marks", true, false, 50)];
        assert_eq!(Found { lines }.chosen().map(|(check, _)| check), Some(Check::Mark));
    }
}
