//! Clients that submit, one after the other in each of several threads; what each was told is
//! noted when it has ended.

use crate::drill::cluster;
use crate::drill::judge;
use crate::drill::ledger::{Event, Ledger};
use crate::drill::place::Place;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// After a refusal: whoever is refused does not spin.
const PAUSE: Duration = Duration::from_millis(10);

/// What submitters share.
pub struct Stream<'a> {
    /// Where the cluster is.
    pub place: &'a Place,
    /// Which round it is.
    pub round: u32,
    /// When it began.
    pub begun: Instant,
    /// What was seen.
    pub ledger: &'a Mutex<Ledger>,
    /// The number of the next submission.
    pub next: &'a AtomicU32,
    /// How many ids are wanted.
    pub jobs: usize,
    /// How many of them somebody is after.
    pub claimed: &'a AtomicUsize,
    /// No more.
    pub stop: &'a AtomicBool,
    /// The number of the next heavy one.
    pub heavy: &'a AtomicU32,
    /// No more heavy ones.
    pub light: &'a AtomicBool,
}

impl Stream<'_> {
    /// Notes what is seen now.
    pub fn note(&self, event: Event) {
        self.ledger.lock().expect("nobody panics with it").note(self.begun.elapsed(), event);
    }

    /// How many have been told an id.
    pub fn told(&self) -> usize {
        self.ledger.lock().expect("nobody panics with it").told_count()
    }

    /// Submits until enough are told, or no more is wanted.
    pub fn submit(&self, submitter: u32) {
        let script = self.place.dir.join(format!("scripts/{submitter}"));
        while self.claimed.fetch_add(1, Ordering::AcqRel) < self.jobs {
            self.until_told(&script);
        }
    }

    /// Submits one, by somebody who has not waited yet.
    pub fn submit_one(&self) {
        self.until_told(&self.place.dir.join("scripts/one"));
    }

    /// Submits heavy ones until no more is wanted.
    pub fn submit_heavy(&self) {
        let script = self.place.dir.join("scripts/heavy");
        while !self.light.load(Ordering::Acquire) && !self.stop.load(Ordering::Acquire) {
            self.attempt(self.heavy.fetch_add(1, Ordering::Relaxed), &script);
        }
    }

    /// Each attempt is a submission of its own: nobody knows what became of one that failed.
    fn until_told(&self, script: &Path) {
        while !self.stop.load(Ordering::Acquire) {
            if self.attempt(self.next.fetch_add(1, Ordering::Relaxed), script) {
                return;
            }
        }
    }

    /// Whether its client printed an id.
    fn attempt(&self, number: u32, script: &Path) -> bool {
        self.note(Event::Sent { number });
        match self.once(number, script) {
            Ok(id) => {
                self.note(Event::Told { number, id });
                true
            }
            Err(why) => {
                self.note(Event::Refused { number, why });
                std::thread::sleep(PAUSE);
                false
            }
        }
    }

    fn once(&self, number: u32, script: &Path) -> Result<u32, String> {
        fs::write(script, judge::script(number)).map_err(|error| error.to_string())?;
        let output = self.place.outputs(self.round).join("%j");
        let ran = cluster::client(self.place, "sbatch")
            .args(["-J", &judge::name(number), "--open-mode=append", "-o"])
            .arg(output)
            .arg(script)
            .output()
            .map_err(|error| format!("sbatch: {error}"))?;
        let said = String::from_utf8_lossy(&ran.stdout);
        // A client that printed the id has told it, however it ended.
        let id = said.trim().strip_prefix("Submitted batch job ").and_then(|id| id.parse().ok());
        id.ok_or_else(|| String::from_utf8_lossy(&ran.stderr).trim().to_owned())
    }

    /// Notes each job that writes its first line, until no more is wanted.
    pub fn watch(&self) {
        let folder = self.place.outputs(self.round);
        let mut seen = std::collections::HashSet::new();
        while !self.stop.load(Ordering::Acquire) {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if !seen.contains(&name) && entry.metadata().is_ok_and(|found| found.len() > 0) {
                    self.note(Event::Started);
                    seen.insert(name);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
