//! What must not be done again: launches that a controller has taken back, epilogs that have run,
//! commands of a controller that another one has replaced.
//!
//! | file in the spool | what it is |
//! |---|---|
//! | `terminated` | a line for each: `t JOB TIME` (permissions up to then are void), `e JOB START` (its epilog has run) |
//! | `epoch` | the highest epoch that any controller's command named |
//!
//! `terminated` survives the end of the agent, not of the machine, which ends all jobs; the epoch
//! is flushed before the command is obeyed that named it.
//!
//! Invariant: what is not known is not void: an empty file refuses nothing.

use crate::agent::log::error;
use crate::slurm::reign;
use crate::slurm::wire::Text;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Jobs that are remembered, at least: a controller asks again within minutes.
const KEPT: usize = 10_000;

/// What is remembered.
#[derive(Debug)]
pub struct Past {
    spool: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    jobs: HashMap<u32, Known>,
    file: File,
    lines: usize,
    epoch: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    void_until: i64,
    epilog_of: Option<i64>,
}

impl Past {
    /// Reads what was remembered.
    ///
    /// # Errors
    /// Those of the file system; an epoch that is no number.
    pub fn open(spool: &Path) -> io::Result<Past> {
        let text = missing(fs::read_to_string(spool.join("terminated")))?;
        let mut jobs: HashMap<u32, Known> = HashMap::new();
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(KEPT)..] {
            note(&mut jobs, line);
        }
        let epoch = missing(fs::read_to_string(spool.join("epoch")))?;
        let epoch = match epoch.trim() {
            "" => 0,
            text => text.parse().map_err(|_| {
                let path = spool.join("epoch").display().to_string();
                io::Error::new(io::ErrorKind::InvalidData, format!("{path} is no number"))
            })?,
        };
        let file = rewrite(spool, &jobs)?;
        let inner = Mutex::new(Inner { lines: jobs.len(), jobs, file, epoch });
        Ok(Past { spool: spool.to_owned(), inner })
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }

    /// Permissions for a job made at `time` or before are void from now on.
    pub fn terminate(&self, job_id: u32, time: i64) {
        self.write(&format!("t {job_id} {time}\n"));
    }

    /// Whether a permission made at `time` is void.
    pub fn is_void(&self, job_id: u32, time: i64) -> bool {
        self.inner().jobs.get(&job_id).is_some_and(|known| time <= known.void_until)
    }

    /// The epilog of the job that started then has run.
    pub fn epilog_ran(&self, job_id: u32, start: i64) {
        self.write(&format!("e {job_id} {start}\n"));
    }

    /// Whether it has.
    pub fn has_epilog_run(&self, job_id: u32, start: i64) -> bool {
        self.inner().jobs.get(&job_id).is_some_and(|known| known.epilog_of == Some(start))
    }

    fn write(&self, line: &str) {
        let mut inner = self.inner();
        note(&mut inner.jobs, line.trim_end());
        inner.lines += 1;
        if let Err(why) = inner.file.write_all(line.as_bytes()) {
            error!("{}/terminated: {why}", self.spool.display());
        }
        if inner.lines > 4 * KEPT {
            // The oldest are the lowest ids, or nearly so.
            let mut ids: Vec<u32> = inner.jobs.keys().copied().collect();
            ids.sort_unstable();
            for id in &ids[..ids.len().saturating_sub(KEPT)] {
                inner.jobs.remove(id);
            }
            inner.lines = inner.jobs.len();
            match rewrite(&self.spool, &inner.jobs) {
                Ok(file) => inner.file = file,
                Err(why) => error!("{}/terminated: {why}", self.spool.display()),
            }
        }
    }

    /// Whether a command with these variables may be obeyed: it names no epoch, or none that is
    /// older than the highest one so far. A higher one is remembered first.
    pub fn obeys(&self, variables: &[Text]) -> bool {
        let Some(named) = reign::named(variables) else { return true };
        let mut inner = self.inner();
        let path = self.spool.join("epoch");
        let path = path.display();
        if named > inner.epoch {
            if let Err(why) = keep(&self.spool, named) {
                error!("{path}: {why}");
                return false;
            }
            inner.epoch = named;
        }
        let highest = inner.epoch;
        if named < highest {
            error!(
                "a command of epoch {named} is refused: epoch {highest} was obeyed here; next: if \
                 that controller is gone for good (a restored state), remove {path} and restart"
            );
        }
        named == highest
    }
}

fn missing(read: io::Result<String>) -> io::Result<String> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

fn note(jobs: &mut HashMap<u32, Known>, line: &str) {
    let mut words = line.split(' ');
    let (kind, id, time) = (words.next(), words.next(), words.next());
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<i64>().ok());
    let (Some(id), Some(time)) = (number(id).and_then(|id| u32::try_from(id).ok()), number(time))
    else {
        return;
    };
    let known = jobs.entry(id).or_default();
    match kind {
        Some("t") => known.void_until = known.void_until.max(time),
        Some("e") => known.epilog_of = Some(time),
        _ => {}
    }
}

fn rewrite(spool: &Path, jobs: &HashMap<u32, Known>) -> io::Result<File> {
    let (path, new) = (spool.join("terminated"), spool.join("terminated.new"));
    let mut text = String::new();
    for (id, known) in jobs {
        if known.void_until != 0 {
            text.push_str(&format!("t {id} {}\n", known.void_until));
        }
        if let Some(start) = known.epilog_of {
            text.push_str(&format!("e {id} {start}\n"));
        }
    }
    fs::write(&new, text)?;
    fs::rename(&new, &path)?;
    File::options().append(true).open(path)
}

/// On the device when this returns.
fn keep(spool: &Path, epoch: u64) -> io::Result<()> {
    let new = spool.join("epoch.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{epoch}")?;
    file.sync_all()?;
    fs::rename(&new, spool.join("epoch"))?;
    File::open(spool)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_stays_so_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let past = Past::open(dir.path()).unwrap();
        assert!(!past.is_void(5, 100));
        past.terminate(5, 100);
        past.epilog_ran(5, 90);
        for past in [past, Past::open(dir.path()).unwrap()] {
            assert!(past.is_void(5, 100) && past.is_void(5, 99) && !past.is_void(5, 101));
            assert!(!past.is_void(6, 1));
            assert!(past.has_epilog_run(5, 90) && !past.has_epilog_run(5, 91));
        }
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let past = Past::open(dir.path()).unwrap();
        for id in 0..50_000 {
            past.terminate(id, 7);
        }
        assert!(past.is_void(49_999, 7));
        assert!(past.inner().jobs.len() <= 4 * KEPT + 1);
        let size = fs::metadata(dir.path().join("terminated")).unwrap().len();
        assert!(size < 1 << 20, "{size}");
    }

    #[test]
    fn an_older_controller_is_not_obeyed_and_one_that_names_no_epoch_is() {
        let dir = tempfile::tempdir().unwrap();
        let said = |text: &str| [Text::from("A=1"), Text::from(text)];
        let past = Past::open(dir.path()).unwrap();
        assert!(past.obeys(&said("STATEDIR_EPOCH=3")));
        assert!(past.obeys(&said("STATEDIR_EPOCH=3")));
        assert!(!past.obeys(&said("STATEDIR_EPOCH=2")));
        assert!(past.obeys(&said("B=2")) && past.obeys(&[]));
        let past = Past::open(dir.path()).unwrap();
        assert!(!past.obeys(&said("STATEDIR_EPOCH=2")));
        assert!(past.obeys(&said("STATEDIR_EPOCH=4")));
        fs::write(dir.path().join("epoch"), "x").unwrap();
        assert!(Past::open(dir.path()).is_err());
    }
}
