//! What is there, as clients show it and as jobs wrote it.

use crate::drill::judge::{Evidence, Shown, Told};
use crate::drill::place::Place;
use crate::drill::{End, cluster, stop};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many clients ask at a time.
const ASKERS: usize = 4;

/// Asks for everything; for the scripts of these.
///
/// # Errors
/// Jobs cannot be asked for.
pub fn collect(place: &Place, told: &[Told]) -> Result<Evidence, End> {
    let jobs = jobs(place)?;
    let scripts = scripts(place, told)?;
    Ok(Evidence { jobs, scripts, outputs: outputs(place) })
}

fn jobs(place: &Place) -> Result<BTreeMap<u32, Shown>, End> {
    let ran = cluster::client(place, "scontrol").args(["-o", "show", "job"]).output();
    let ran = ran.map_err(|error| End::unable(format!("scontrol: {error}"), "try again"))?;
    if !ran.status.success() {
        let why = String::from_utf8_lossy(&ran.stderr);
        return Err(End::unable(format!("scontrol show job: {}", why.trim()), "look with --keep"));
    }
    Ok(shown(&String::from_utf8_lossy(&ran.stdout)))
}

/// Reads the answer of `scontrol -o show job`.
fn shown(text: &str) -> BTreeMap<u32, Shown> {
    let job = |line: &str| {
        let value = |key: &str| {
            let found = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            found.map(str::to_owned)
        };
        let requeued = value("Restarts")?.parse().ok()?;
        Some((value("JobId")?.parse().ok()?, Shown { name: value("JobName")?, requeued }))
    };
    text.lines().filter_map(job).collect()
}

fn scripts(place: &Place, told: &[Told]) -> Result<BTreeMap<u32, String>, End> {
    let (found, next) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    let ask = || {
        while let Some(job) = told.get(next.fetch_add(1, Ordering::Relaxed)) {
            stop::asked()?;
            let id = job.id.to_string();
            let ran = cluster::client(place, "scontrol")
                .args(["write", "batch_script", &id, "-"])
                .output()
                .map_err(|error| End::unable(format!("scontrol: {error}"), "try again"))?;
            if ran.status.success() {
                let text = String::from_utf8_lossy(&ran.stdout).into_owned();
                found.lock().expect("nobody panics with it").insert(job.id, text);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let askers = [(); ASKERS].map(|()| scope.spawn(ask));
        askers.into_iter().try_for_each(|asker| asker.join().expect("it does not panic"))
    })?;
    Ok(found.into_inner().expect("nobody panics with it"))
}

/// Output files of every round, by the id that names them.
pub fn outputs(place: &Place) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for round in fs::read_dir(place.dir.join("out")).into_iter().flatten().flatten() {
        for entry in fs::read_dir(round.path()).into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Some(id), Ok(text)) = (id, fs::read(entry.path())) {
                found.insert(id, String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scontrol_shows_in_one_line_is_read() {
        let text = "JobId=7 JobName=drill-3 UserId=a(1) Restarts=2 BatchFlag=1\n\
                    JobId=x JobName=drill-4 Restarts=0\nNo jobs in the system\n";
        let jobs = shown(text);
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[&7], Shown { name: "drill-3".into(), requeued: 2 });
    }
}
