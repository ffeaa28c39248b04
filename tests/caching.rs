//! A shared directory behind two mounts that cache like NFS clients: names, attributes,
//! listings and pages may be stale. Who reigns stays one, nothing acknowledged is lost, and a
//! follower gets on.
#![cfg(feature = "cli")]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "caching/mount.rs"]
mod mount;
#[allow(dead_code, reason = "each test uses its part")]
#[path = "programs/mod.rs"]
mod programs;

use limited::until;
use mount::{Mounted, mount};
use statedir::base::Lsn;
use statedir::disk::{Disk, Real};
use statedir::format::Reason;
use statedir::role::{Check, ClaimError, Heart, Register};
use statedir::store::{News, Options, Standby, share_on};
use statedir::{Batch, Reader, Store};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A directory, and two hosts' mounts of it.
struct Lab {
    mounts: [Mounted; 2],
    backing: PathBuf,
    _home: tempfile::TempDir,
}

fn lab(test: &str) -> Option<Lab> {
    if !programs::root(test) {
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let backing = home.path().join("server");
    std::fs::create_dir(&backing).unwrap();
    std::fs::set_permissions(&backing, PermissionsExt::from_mode(0o700)).unwrap();
    let mounts = ["one", "two"].map(|name| mount(&backing, &home.path().join(name)));
    let [Ok(one), Ok(two)] = mounts else {
        programs::cannot(&format!("{test}: no file systems in user space here"));
        return None;
    };
    Some(Lab { mounts: [one, two], backing, _home: home })
}

fn options() -> Options {
    let options = Options {
        segment_min: 16 << 10,
        segment_max: 16 << 10,
        snapshot_min_bytes: 1,
        retain_min_age: Duration::ZERO,
        history: Duration::ZERO,
        history_ratio: 0.0,
        ..Options::default()
    };
    options.without_threads()
}

fn disk(dir: &Path) -> Arc<dyn Disk> {
    Arc::new(Real::open(dir).unwrap())
}

impl Lab {
    fn door(&self, at: usize, check: Check) -> Register {
        let door = Register::new(disk(&self.mounts[at].dir), ["a", "b"][at], "h:1").unwrap();
        door.checking(check)
    }

    /// A shared store, made by the first host; the second one is admitted, the first one reigns.
    fn begin(&self, check: Check) -> ([Register; 2], Store) {
        Store::create(&self.mounts[0].dir, &options()).unwrap();
        let doors = [0, 1].map(|at| self.door(at, check));
        let mut make = |cluster, epoch| match doors[0].make(cluster, epoch) {
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        };
        share_on(doors[0].disk().as_ref(), &mut make).unwrap();
        let reigning = doors[0].claim(Reason::Start).unwrap();
        let mut heart = Heart::start(&reigning).unwrap();
        until("the first one admits the second", || {
            // It may see the reign before this one for a while.
            doors[1].join().is_ok_and(|_| heart.beat(0, false).is_ok_and(|fresh| !fresh.is_empty()))
        });
        let store = Store::open(&self.mounts[0].dir, options(), Arc::new(reigning)).unwrap();
        (doors, store)
    }
}

fn save(store: &Store, number: u64) -> bool {
    let mut batch = Batch::new();
    batch.put("jobs", number.to_string().as_bytes(), &[7; 3000]).unwrap();
    store.save(batch).is_ok()
}

#[test]
fn names_are_stale_here_and_fs_probe_chooses_the_mark() {
    let test = "names_are_stale_here_and_fs_probe_chooses_the_mark";
    let Some(lab) = lab(test) else { return };
    let (one, two) = (&lab.mounts[0].dir, &lab.mounts[1].dir);
    let mut command = Command::new(env!("CARGO_BIN_EXE_statectl"));
    command.args(["fs-probe", "--rounds", "6", "--peer"]).arg(two).arg(one);
    let output = limited::output(&mut command);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{:?}", output.stderr);
    let line = |verdict: &str, name: &str| {
        let found = said.lines().find(|line| line.starts_with(&format!("{verdict:4} {name}")));
        assert!(found.is_some(), "{verdict} {name}: {said}");
    };
    line("ok", "claims");
    line("ok", "replacing");
    line("no", "names");
    line("ok", "marks");
    line("no", "pages");
    line("use", "mark");
}

#[test]
fn of_two_hosts_behind_stale_mounts_one_acknowledges_and_nothing_acknowledged_is_lost() {
    let test = "of_two_hosts_behind_stale_mounts_one_acknowledges_and_nothing_acknowledged_is_lost";
    let Some(lab) = lab(test) else { return };
    let (doors, mut store) = lab.begin(Check::Mark);
    let mut acknowledged = Vec::new();
    let mut number = 0;
    for reign in 1..=4 {
        for _ in 0..8 {
            number += 1;
            assert!(save(&store, number), "save {number}");
            acknowledged.push(number);
            store.maintain().unwrap();
        }
        let (next, at) = (&doors[reign % 2], reign % 2);
        let mut claimed = None;
        until("the other one claims", || match next.claim(Reason::Silent) {
            Ok(reigning) => claimed.replace(reigning).is_none(),
            // What it knows may be older than what it claims.
            Err(ClaimError::Lost { .. } | ClaimError::Register(_)) => false,
            Err(ClaimError::Denied(why)) => panic!("{why}"),
        });
        number += 1;
        assert!(!save(&store, number), "save {number} of a reign that has ended");
        let reigning = Arc::new(claimed.unwrap());
        let mut opened = None;
        until("it opens", || {
            let tried = Store::open(&lab.mounts[at].dir, options(), reigning.clone());
            opened = tried.ok();
            opened.is_some()
        });
        drop(std::mem::replace(&mut store, opened.unwrap()));
    }
    let view = store.view();
    for number in &acknowledged {
        let kept = view.get("jobs", number.to_string().as_bytes()).unwrap();
        assert!(kept.is_some(), "save {number} was acknowledged");
    }
    store.close().unwrap();
    let reader = Reader::open(&lab.backing).unwrap();
    assert_eq!(reader.view().lsn(), Lsn(acknowledged.len() as u64));
}

#[test]
fn the_check_by_name_would_acknowledge_behind_a_stale_name() {
    // The canary: why network mounts are checked by the mark.
    let test = "the_check_by_name_would_acknowledge_behind_a_stale_name";
    // A busy machine may be slower than a name is stale.
    for _ in 0..20 {
        let Some(lab) = lab(test) else { return };
        let (doors, store) = lab.begin(Check::Name);
        assert!(save(&store, 1));
        let claimed = doors[1].claim(Reason::Silent).unwrap();
        if save(&store, 2) {
            return drop(claimed);
        }
    }
    panic!("that there is no next epoch was never a stale name");
}

#[test]
fn a_follower_behind_a_stale_mount_gets_on_through_rotation_snapshots_and_deletion() {
    let test = "a_follower_behind_a_stale_mount_gets_on_through_rotation_snapshots_and_deletion";
    let Some(lab) = lab(test) else { return };
    let (_doors, store) = lab.begin(Check::Mark);
    assert!(save(&store, 1));
    store.maintain().unwrap();
    let mut standby = None;
    until("it opens", || {
        standby = Standby::open_on(disk(&lab.mounts[1].dir)).ok();
        standby.is_some()
    });
    let mut standby = standby.unwrap();
    // This one looks away, and comes back when all that it had read is gone.
    let mut away = Standby::open_on(disk(&lab.mounts[1].dir)).unwrap();
    for number in 2..=120 {
        assert!(save(&store, number));
        store.maintain().unwrap();
        if number % 10 == 0 {
            store.checkpoint().unwrap();
        }
        if number % 40 == 0 {
            let wanted = Lsn(number - 1);
            until("the follower is there", || {
                while standby.poll().is_ok_and(|news| news.is_some()) {}
                standby.lsn() >= wanted
            });
        }
    }
    let names = std::fs::read_dir(&lab.backing).unwrap().count();
    assert!(names < 60, "what is superseded is deleted: {names}");
    assert!(standby.view().get("jobs", b"1").unwrap().is_some());
    let mut again = 0;
    until("the one that looked away is there", || {
        while let Ok(Some(news)) = away.poll() {
            again += usize::from(matches!(news, News::Again));
        }
        away.lsn() >= Lsn(119)
    });
    assert!(again > 0, "it begins again from the newest snapshot");
    assert!(away.view().get("jobs", b"119").unwrap().is_some());
}

#[test]
fn a_directory_that_hangs_is_said_by_status_which_does_not_hang() {
    let test = "a_directory_that_hangs_is_said_by_status_which_does_not_hang";
    let Some(lab) = lab(test) else { return };
    let (_doors, store) = lab.begin(Check::Mark);
    let home = lab.backing.parent().unwrap();
    let key = home.join("key");
    std::fs::write(&key, [7; 64]).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(home.join("statedir.conf"), format!("AuthKeyFile={}\n", key.display())).unwrap();
    let (state, conf) = (&lab.mounts[1].dir, home.join("slurm.conf"));
    // Nobody listens at that port.
    let text = format!(
        "ClusterName=c\nSlurmctldHost=a(127.0.0.1)\nSlurmctldHost=b(127.0.0.1)\n\
         SlurmctldPort=1\nSlurmUser=root\nStateSaveLocation={}\nNodeName=n\n\
         PartitionName=p Nodes=n\n",
        state.display()
    );
    std::fs::write(&conf, text).unwrap();
    lab.mounts[1].hangs.store(true, Ordering::Release);
    let mut command = Command::new(env!("CARGO_BIN_EXE_statectl"));
    command.args(["status", "--host", "b"]).env("SLURM_CONF", &conf).stdout(Stdio::piped());
    let mut child = limited::spawn(&mut command);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<String> = lines.by_ref().take(6).map(Result::unwrap).collect();
    // Its thread that waits for the directory may keep the process until the server is back.
    lab.mounts[1].hangs.store(false, Ordering::Release);
    assert_eq!(child.wait().unwrap().code(), Some(8), "{said:?}");
    assert_eq!(said[0], "b role:Unknown disk:DUnknown", "{said:?}");
    assert_eq!(said[2], "  directory:Hung", "{said:?}");
    assert!(said[3].contains("the directory does not answer; next: findmnt"), "{said:?}");
    drop(store);
}
