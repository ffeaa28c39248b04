//! Copies by the real rsync while a store is written: each is a valid store, and holds at least
//! what was acknowledged before rsync began.
//!
//! Repeating rsync onto the same copy is the harder half: rsync skips a file whose length and
//! whole-second time are as in the copy. `the_listing_changes_with_every_save` states what the
//! engine does about that, without rsync.

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/limited.rs"]
mod limited;
#[path = "rsync/live.rs"]
#[allow(dead_code, reason = "two test binaries use it")]
mod live;
mod programs;

use limited::until;
use live::{
    Ended, Ledger, RETAIN, batch, check, dump, fresh, listing, load, model, names, random, rsync,
    save_until, small,
};
use statedir::base::{Local, Lsn};
use statedir::store::{Found, OpenError};
use statedir::{Batch, Options, Reader, Store};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Live copies under load, in series onto the same directory. A slow machine needs more until
/// enough of them overlap what they should.
const COPIES: usize = 100;
const COPIES_MAX: usize = 500;
const SERIES: usize = 5;
/// How many copies overlapped what.
#[derive(Debug, Default)]
struct Overlaps {
    copies: usize,
    rotation: usize,
    publication: usize,
    deletion: usize,
    /// Of these, copies for which rsync listed a file just before it was deleted.
    vanished: usize,
}

impl Overlaps {
    fn enough(&self) -> bool {
        self.rotation >= 50 && self.publication >= 20 && self.deletion >= 10
    }
}

#[test]
fn backed_up_regularly_by_rsync_a_hundred_live_copies_under_full_load_are_valid() {
    let test = "backed_up_regularly_by_rsync_a_hundred_live_copies_under_full_load_are_valid";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&small());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let mut overlaps = Overlaps::default();
    load(&store, &ledger, &stop, || {
        // Deletions begin when the first superseded files are old enough.
        std::thread::sleep(RETAIN);
        for number in 0..COPIES_MAX {
            if number >= COPIES && overlaps.enough() {
                break;
            }
            overlaps.copies += 1;
            let copy = home.path().join(format!("copy-{}", number / SERIES));
            let before = (ledger.acknowledged(), names(&path), store.progress().checkpoints);
            // With and without the removal of what the source no longer has.
            let more: &[&str] =
                if (number / SERIES).is_multiple_of(2) { &[] } else { &["--delete"] };
            let ended = rsync(&program, &path, &copy, more);
            let after = (names(&path), store.progress().checkpoints);
            let made = after.0.difference(&before.1);
            overlaps.rotation += usize::from(made.into_iter().any(|n| n.starts_with("log-")));
            overlaps.publication += usize::from(after.1 > before.2);
            overlaps.deletion += usize::from(before.1.difference(&after.0).next().is_some());
            // What vanishes was superseded long before the listing: the copy does without.
            overlaps.vanished += usize::from(ended == Ended::Vanished);
            check(&copy, &ledger, before.0);
            if number % SERIES == SERIES - 1 {
                std::fs::remove_dir_all(&copy).unwrap();
            }
        }
    });
    let progress = store.progress();
    store.close().unwrap();
    println!("all copies valid: {overlaps:?}, {progress:?}");
    assert!(overlaps.enough(), "{overlaps:?}");
}

#[test]
fn copies_back_to_back_onto_one_directory_miss_nothing_acknowledged() {
    let test = "copies_back_to_back_onto_one_directory_miss_nothing_acknowledged";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&Options::default());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let copy = home.path().join("copy");
    std::thread::scope(|scope| {
        let (store, ledger, stop) = (&store, &ledger, &stop);
        scope.spawn(move || {
            let mut state = 7;
            while !stop.load(Ordering::Relaxed) {
                // Bursts of single saves with pauses around the engine's own intervals.
                for _ in 0..random(&mut state) % 20 {
                    let seed = random(&mut state);
                    ledger.note(store.save(batch(seed)).unwrap(), seed);
                    std::thread::sleep(Duration::from_micros(random(&mut state) % 3000));
                }
                std::thread::sleep(Duration::from_millis(random(&mut state) % 120));
            }
        });
        let outcome = std::panic::catch_unwind(|| {
            for _ in 0..300 {
                let before = ledger.acknowledged();
                assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
                check(&copy, ledger, before);
            }
        });
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    store.close().unwrap();
}

#[test]
fn a_save_in_the_second_of_a_copy_is_in_the_next_copy_after_a_pause() {
    let test = "a_save_in_the_second_of_a_copy_is_in_the_next_copy_after_a_pause";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&Options::default());
    let ledger = Ledger::default();
    let copy = home.path().join("copy");
    let mut state = 3;
    let mut save = |store: &Store| {
        let seed = random(&mut state);
        ledger.note(store.save(batch(seed)).unwrap(), seed);
    };
    for round in 0..40 {
        save(&store);
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
        let listed = listing(&path);
        save(&store);
        soon(|| listing(&path) != listed, "rsync would not see the save");
        // Idle; then all of it within one second, or at times over two.
        std::thread::sleep(Duration::from_millis(40 + round * 5));
        let before = ledger.acknowledged();
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
        check(&copy, &ledger, before);
    }
    save(&store);
    assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
    save(&store);
    store.close().unwrap();
    assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
    assert_eq!(check(&copy, &ledger, ledger.acknowledged()), ledger.acknowledged());
}

/// The engine takes 20 ms, where the machine lets it.
fn soon(mut so: impl FnMut() -> bool, what: &str) {
    for _ in 0..2_000 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}");
}

#[test]
fn the_listing_changes_with_every_save() {
    let (_home, path, store) = fresh(&Options { segment_max: 256 << 10, ..Options::default() });
    let mut state = 11;
    for round in 0..100_u64 {
        store.save(batch(random(&mut state))).unwrap();
        let before = listing(&path);
        std::thread::sleep(Duration::from_millis(round % 20));
        store.save(batch(random(&mut state))).unwrap();
        let changed = || {
            listing(&path).iter().any(|(name, facts)| {
                name.starts_with("log-") && before.get(name).is_some_and(|old| old != facts)
            })
        };
        soon(changed, &format!("round {round}: rsync would not see the save"));
    }
    let before = listing(&path);
    store.save(batch(1)).unwrap();
    store.close().unwrap();
    assert_ne!(before, listing(&path), "rsync would not see the save before the close");
}

#[test]
fn a_copy_opened_for_writing_has_a_history_of_its_own() {
    let test = "a_copy_opened_for_writing_has_a_history_of_its_own";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&small());
    let (ledger, stop) = (Ledger::default(), AtomicBool::new(false));
    let copy = home.path().join("copy");
    load(&store, &ledger, &stop, || {
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
    });
    let (incarnation, epoch) = (store.incarnation(), store.epoch());
    let lsn = check(&copy, &ledger, 1);
    let mut expected = model(&ledger.up_to(lsn));
    for round in 1..=3 {
        let store = Store::open(&copy, Options::default(), Arc::new(Local)).unwrap();
        assert_ne!(store.incarnation(), incarnation);
        assert!(store.epoch() > epoch);
        let mut batch = Batch::new();
        batch.put("jobs", b"own", &[round]).unwrap();
        assert_eq!(store.save(batch).unwrap(), Lsn(lsn + u64::from(round)));
        if round == 2 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        expected.insert(b"own".to_vec(), vec![round]);
        let reader = Reader::open(&copy).unwrap();
        assert!(!reader.report().copy, "adopted: this is an original now");
        assert!(dump(reader.view()) == expected);
    }
    // The original never noticed.
    store.close().unwrap();
    assert_eq!(Reader::open(&path).unwrap().view().lsn().0, ledger.acknowledged());
}

#[test]
fn a_copy_of_a_closed_store_is_whole_through_reopenings() {
    let test = "a_copy_of_a_closed_store_is_whole_through_reopenings";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, mut store) = fresh(&Options::default());
    let ledger = Ledger::default();
    let copy = home.path().join("copy");
    let mut state = 5;
    for round in 0..10 {
        for _ in 0..20 {
            let seed = random(&mut state);
            ledger.note(store.save(batch(seed)).unwrap(), seed);
        }
        if round % 3 == 2 {
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
        assert_eq!(rsync(&program, &path, &copy, &[]), Ended::Well);
        let lsn = check(&copy, &ledger, ledger.acknowledged());
        assert_eq!(lsn, ledger.acknowledged());
        store = Store::open(&path, Options::default(), Arc::new(Local)).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_copy_without_one_of_its_segments_is_refused_by_name() {
    let test = "a_copy_without_one_of_its_segments_is_refused_by_name";
    let Some(program) = programs::find("rsync", test) else { return };
    let options = Options { segment_max: 256 << 10, ..Options::default() };
    let (home, path, store) = fresh(&options);
    let mut state = 5;
    while store.progress().log_bytes < 1 << 20 {
        store.save(batch(random(&mut state))).unwrap();
    }
    store.close().unwrap();
    let segments: Vec<String> =
        names(&path).into_iter().filter(|name| name.starts_with("log-")).collect();
    let end = Reader::open(&path).unwrap().end().segment.ordinal;
    assert!(end >= 3, "{segments:?}");
    for (ordinal, lost) in (1..=end).zip(&segments) {
        let copy = home.path().join(format!("copy-{ordinal}"));
        assert_eq!(rsync(&program, &path, &copy, &["--exclude", lost]), Ended::Well);
        match Reader::open(&copy) {
            Err(OpenError::Corruption(damage)) => {
                // Without the first it might as well be a snapshot that led to the second.
                let first = ordinal == 1;
                assert_eq!(damage.file, if first { &segments[1] } else { lost }[..], "{damage}");
                assert_eq!(damage.found == Found::NoSnapshot, first, "{damage}");
                assert_eq!(damage.found == Found::Missing, !first, "{damage}");
            }
            other => panic!("without {lost}: {other:?}"),
        }
    }
}

/// What `rsync --stats` says that it has sent, in bytes; the names that it transferred.
fn transferred(program: &Path, from: &Path, to: &Path, more: &[&str]) -> (u64, Vec<String>) {
    let mut command = Command::new(program);
    command.args(["-a", "--stats", "--out-format=file %n"]).args(more);
    let ran = limited::output(command.arg(from.join("")).arg(to.join("")));
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let said = String::from_utf8(ran.stdout).unwrap();
    let sent = said.lines().find_map(|line| line.strip_prefix("Total bytes sent: ")).unwrap();
    let names = said.lines().filter_map(|line| line.strip_prefix("file "));
    let names = names.filter(|name| !name.ends_with('/')).map(str::to_owned).collect();
    (sent.replace(',', "").parse().unwrap(), names)
}

#[test]
fn repeated_copies_transfer_only_what_is_new() {
    let test = "repeated_copies_transfer_only_what_is_new";
    let Some(program) = programs::find("rsync", test) else { return };
    let options = Options { segment_max: 1 << 20, ..Options::default() };
    let (home, path, store) = fresh(&options);
    let (ledger, mut state) = (Ledger::default(), 21);
    save_until(&store, &ledger, &mut state, 24 << 20);
    store.checkpoint().unwrap();
    // The saves' second passes by, so that what is stamped then stays so.
    std::thread::sleep(Duration::from_millis(1100));
    let copy = home.path().join("copy");
    let (first, _) = transferred(&program, &path, &copy, &[]);
    assert!(first > 24 << 20, "{first}");
    let (idle, names) = transferred(&program, &path, &copy, &[]);
    assert_eq!(names, [""; 0], "nothing is new");
    assert!(idle < 8 << 10, "{idle} bytes for nothing");
    // Half a megabyte more: the control file, and the segments that were written to.
    let before = Reader::open(&path).unwrap().end().segment.ordinal;
    let logged = store.progress().log_bytes;
    save_until(&store, &ledger, &mut state, 512 << 10);
    std::thread::sleep(Duration::from_millis(60));
    let after = Reader::open(&path).unwrap().end().segment.ordinal;
    let new = store.progress().log_bytes - logged;
    let (sent, names) = transferred(&program, &path, &copy, &[]);
    for name in &names {
        let ordinal = name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u64>().ok());
        // One more is prepared ahead.
        let fits = ordinal.is_some_and(|ordinal| (before..=after + 1).contains(&ordinal));
        assert!(name == "CONTROL" || fits, "{name}: {names:?}, from {before} to {after}");
    }
    check(&copy, &ledger, ledger.acknowledged());
    // Over a network rsync sends what differs within a file, too.
    let logged = store.progress().log_bytes;
    save_until(&store, &ledger, &mut state, 512 << 10);
    std::thread::sleep(Duration::from_millis(60));
    let new_again = store.progress().log_bytes - logged;
    let (delta, _) = transferred(&program, &path, &copy, &["--no-whole-file", "-z"]);
    check(&copy, &ledger, ledger.acknowledged());
    assert!(delta < new_again + (64 << 10), "{delta} bytes for {new_again}");
    println!(
        "first {first}, idle {idle}, {sent} for {new} new bytes (whole files), {delta} for \
         {new_again} (-z --no-whole-file)"
    );
    store.close().unwrap();
}

#[test]
fn a_copy_that_took_longer_than_retention_is_refused_and_names_what_it_lacks() {
    let test = "a_copy_that_took_longer_than_retention_is_refused_and_names_what_it_lacks";
    let Some(program) = programs::find("rsync", test) else { return };
    let (home, path, store) = fresh(&small().without_history());
    let (ledger, mut state) = (Ledger::default(), 31);
    // A snapshot of its own, and enough log behind it that nothing more is made by itself.
    save_until(&store, &ledger, &mut state, 600 << 10);
    store.checkpoint().unwrap();
    save_until(&store, &ledger, &mut state, 600 << 10);
    let listed = names(&path);
    let copy = home.path().join("copy");
    let mut child = Command::new(program)
        .args(["-a", "--bwlimit=500k"])
        .arg(path.join(""))
        .arg(&copy)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    // It has listed everything, and reads the first segment.
    until("rsync has begun", || {
        copy.exists() && names(&copy).iter().any(|name| name.contains("log-"))
    });
    // It stands still meanwhile, however long that takes.
    let group = rustix::process::Pid::from_child(&child);
    let all = |signal| rustix::process::kill_process_group(group, signal).unwrap();
    all(rustix::process::Signal::STOP);
    save_until(&store, &ledger, &mut state, 600 << 10);
    store.checkpoint().unwrap();
    store.prune().unwrap();
    let left = names(&path);
    assert!(child.try_wait().unwrap().is_none(), "rsync was still reading");
    all(rustix::process::Signal::CONT);
    let code = limited::ended(&mut child, &"rsync").code();
    store.close().unwrap();
    assert_eq!(code, Some(24), "rsync itself says that files vanished");
    let copied = names(&copy);
    let lacking: Vec<&String> = listed.difference(&copied).collect();
    assert!(!lacking.is_empty() && lacking.iter().all(|name| !left.contains(*name)));
    match Reader::open(&copy) {
        Err(OpenError::Corruption(damage)) => {
            let named = format!("{damage}");
            // Which snapshot it was nobody can tell from what is left.
            let fits = |name: &&String| named.contains(name.as_str());
            let snapshot = lacking.iter().any(|name| name.starts_with("snap-"));
            let said = damage.found == Found::NoSnapshot && snapshot;
            assert!(said || lacking.iter().any(fits), "{named}: {lacking:?}");
        }
        other => panic!("without {lacking:?}: {other:?}"),
    }
}
