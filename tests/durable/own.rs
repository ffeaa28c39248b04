//! A client of our own: our codec, a key file, no program of Slurm.

use crate::cluster::Controller;
use crate::judge::Told;
use crate::keyed::{self, held_job};
use statedir::slurm::auth::{Auth, To};
use statedir::slurm::link::{Times, call};
use statedir::slurm::wire::tables::JobRequest;
use statedir::slurm::wire::{Message, Text};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Who holds the key.
pub struct Client {
    auth: Auth,
    number: AtomicU64,
}

/// A controller whose credentials are made with a key file, and somebody who has the key.
pub fn configure(dir: &Path, cluster: &str) -> (Controller, Client) {
    let (ours, auth, _) = keyed::configure(dir, cluster);
    (ours, Client { auth, number: AtomicU64::new(0) })
}

impl Client {
    fn ask(&self, of: &Controller, message: &Message) -> Option<Message> {
        call(&self.auth, ("127.0.0.1", of.port), message, To::Anybody, Times::default()).ok()
    }

    /// Submits a job with a script that is unlike every other.
    pub fn submit(&self, to: &Controller) -> Option<Told> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.submit_script(to, format!("#!/bin/sh\n# {number}\n{}\n", "x".repeat(2000)))
    }

    /// Submits a job with that script; `None`: it was put off, or nobody answered in time.
    pub fn submit_script(&self, to: &Controller, script: String) -> Option<Told> {
        self.submit_within(to, script, Times::default())
    }

    /// The same, with a minute for the answer.
    #[allow(dead_code, reason = "every test binary uses a part of it")]
    pub fn submit_patiently(&self, to: &Controller, script: String) -> Option<Told> {
        let times = Times { answer: Duration::from_secs(60), ..Times::default() };
        self.submit_within(to, script, times)
    }

    fn submit_within(&self, to: &Controller, script: String, times: Times) -> Option<Told> {
        let message = Message::Submit(Box::new(held_job(
            "durable",
            &script,
            vec!["PATH=/usr/bin:/bin".into()],
        )));
        let address = ("127.0.0.1", to.port);
        match call(&self.auth, address, &message, To::Anybody, times).ok()? {
            Message::Submitted(told) => Some(Told { id: told.job_id, script }),
            // Not done: again.
            Message::ReturnCode(code) if code.return_code == 11 => None,
            other => panic!("a job is refused: {other:?}"),
        }
    }

    /// Of these, the ones that the controller knows.
    pub fn known<'a>(&self, by: &Controller, of: impl Iterator<Item = &'a Told>) -> BTreeSet<u32> {
        let is_known = |id: &u32| {
            let request = JobRequest { job_id: *id, show_flags: 0 };
            matches!(self.ask(by, &Message::JobRequest(Box::new(request))), Some(Message::Jobs(_)))
        };
        of.map(|job| job.id).filter(is_known).collect()
    }

    /// The script of a job.
    pub fn script(&self, by: &Controller, id: u32) -> Option<String> {
        let request = JobRequest { job_id: id, show_flags: 0 };
        match self.ask(by, &Message::ScriptRequest(Box::new(request)))? {
            Message::Script(found) => Some(Text::lossy(&found.script).into_owned()),
            _ => None,
        }
    }
}
