//! An authority that refuses, or holds back: between flush and acknowledgement, and before every
//! other effect that a successor could see.

use crate::common::limited::AtEnd;
use crate::common::model::{batch, changes, dump};
use crate::common::{fake_disk, shared, tiny};
use crate::script::{Script, prepared};
use statedir::base::{Authority, Epoch, Fenced, Lsn, Point};
use statedir::disk::fake::{FakeDisk, Image};
use statedir::store::{CheckpointError, Follower, Poison, Refusal, SaveError};
use statedir::{Options, Reader, Store};
use std::io;
use std::mem::discriminant;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Refuses from the `nth` question of one kind on.
struct Refusing {
    kind: Point,
    nth: u64,
    asked: Mutex<u64>,
    /// The disk when it refused.
    then: Mutex<Option<Image>>,
    disk: FakeDisk,
}

impl Authority for Refusing {
    fn confirm(&self, epoch: Epoch, point: Point) -> Result<(), Fenced> {
        let mut asked = self.asked.lock().unwrap();
        *asked += u64::from(discriminant(&point) == discriminant(&self.kind));
        if *asked < self.nth {
            return Ok(());
        }
        self.then.lock().unwrap().get_or_insert_with(|| self.disk.image());
        Err(Fenced::new(epoch, Some(epoch.next())))
    }
}

/// Saves, snapshots and deletes until it is refused; whether it was.
fn until_refused(script: &mut Script, store: &Store) -> bool {
    for round in 0..3 {
        for _ in 0..5 {
            match script.try_save(store, 3000) {
                Ok(_) => {}
                // Flushed, but somebody else may reign: the next open decides.
                Err(SaveError::Unknown(Poison::Fenced(_))) => return true,
                Err(SaveError::Refused(Refusal::Stopped(Poison::Fenced(_)))) => {
                    script.forget_last();
                    return true;
                }
                Err(error) => panic!("{error}"),
            }
        }
        match store.checkpoint() {
            Ok(_) => {}
            Err(CheckpointError::Fenced(_) | CheckpointError::Prune(_)) => return true,
            Err(error) => panic!("{error}"),
        }
        if round == 1 && store.prune().is_err() {
            return true;
        }
    }
    false
}

#[test]
fn an_authority_that_refuses_at_any_point_ends_the_writer_and_loses_nothing() {
    let kinds =
        [Point::Acknowledge(Lsn::ZERO), Point::Publish(Lsn::ZERO), Point::Rotate, Point::Delete];
    let (start, image) = prepared();
    for kind in kinds {
        let mut refusals = 0;
        for nth in 1..100 {
            let disk = FakeDisk::from_image(&image);
            let mut script = start.on(&disk);
            let authority = Arc::new(Refusing {
                kind,
                nth,
                asked: Mutex::new(0),
                then: Mutex::new(None),
                disk: disk.clone(),
            });
            let options = tiny(&disk).without_history();
            let store = Store::open_on(shared(&disk), options, authority.clone()).unwrap();
            if !until_refused(&mut script, &store) {
                break;
            }
            refusals += 1;
            stays_refused(&script, &store, &authority);
            drop(store);
            script.judge();
        }
        assert!(refusals > 1, "{kind:?} is asked for");
    }
}

/// Nothing that a successor could see happens after the refusal.
fn stays_refused(script: &Script, store: &Store, authority: &Refusing) {
    let kind = authority.kind;
    let refused = store.save(batch(&changes(1, 10)));
    let stopped = matches!(refused, Err(SaveError::Refused(Refusal::Stopped(Poison::Fenced(_)))));
    assert!(stopped, "{kind:?}: {refused:?}");
    assert_eq!(store.view().lsn().0, script.acknowledged, "{kind:?}");
    let known = script.model.after(script.acknowledged);
    assert_eq!(dump(&store.view()).unwrap(), *known, "{kind:?}");
    let published = store.checkpoint();
    assert!(matches!(published, Ok(None) | Err(_)), "{kind:?}: {published:?} is published");
    let pruned = store.prune();
    assert!(pruned.is_err() || pruned.is_ok_and(|gone| gone.is_empty()), "{kind:?}");
    let then = authority.then.lock().unwrap().take().expect("it has refused");
    let now = authority.disk.image();
    for name in then.names() {
        // A snapshot that may not be published goes.
        let given_up = name.starts_with("snap-") && then.sector(&name, 0) == [0; 512];
        assert!(given_up || now.contains(&name), "{kind:?}: {name} is deleted");
    }
    let fresh = now.names().into_iter().filter(|name| !then.contains(name));
    assert_eq!(fresh.count(), 0, "{kind:?}: nothing new is there");
}

/// Holds acknowledgements back until it is told.
#[derive(Default)]
struct Holding {
    /// The greatest LSN that waits, and whether to hold.
    state: Mutex<(Lsn, bool)>,
    changed: Condvar,
}

impl Holding {
    fn hold(&self, hold: bool) {
        self.state.lock().unwrap().1 = hold;
        self.changed.notify_all();
    }

    /// Returns when the acknowledgement of `lsn` is asked for.
    fn await_asked(&self, lsn: Lsn) {
        let state = self.state.lock().unwrap();
        let patience = Duration::from_secs(60);
        let waited =
            self.changed.wait_timeout_while(state, patience, |(asked, _)| *asked < lsn).unwrap();
        assert!(!waited.1.timed_out(), "lsn {lsn} never comes to the gate");
    }
}

impl Authority for Holding {
    fn confirm(&self, _: Epoch, point: Point) -> Result<(), Fenced> {
        if let Point::Acknowledge(lsn) = point {
            let mut state = self.state.lock().unwrap();
            state.0 = state.0.max(lsn);
            self.changed.notify_all();
            drop(self.changed.wait_while(state, |(_, hold)| *hold).unwrap());
        }
        Ok(())
    }
}

/// What everybody who could look at the store sees.
fn seen(store: &Store, disk: &FakeDisk, followers: &mut [Follower]) -> Vec<u64> {
    let mut seen = vec![store.view().lsn().0, store.progress().commit_lsn.0];
    let count = store.get("meta", b"count").unwrap().map(|count| String::from_utf8(count).unwrap());
    seen.push(count.map_or(0, |count| count.parse().unwrap()));
    seen.push(Reader::open_on(shared(disk)).unwrap().view().lsn().0);
    for follower in followers {
        if let Some(saved) = follower.next(Duration::ZERO).unwrap() {
            seen.push(saved.lsn.0);
        }
    }
    seen
}

#[test]
fn while_the_gate_is_shut_nothing_is_acknowledged_or_visible() -> io::Result<()> {
    let (start, image) = prepared();
    let disk = FakeDisk::from_image(&image);
    let mut script = start.on(&disk);
    let gate = Arc::new(Holding::default());
    let store = Store::open_on(shared(&disk), tiny(&disk), gate.clone()).unwrap();
    script.try_save(&store, 10).unwrap();
    store.maintain()?;
    let before = script.acknowledged;
    let mut followers = [
        store.follow(Lsn(before + 1)).unwrap(),
        Reader::open_on(shared(&disk)).unwrap().follow(Lsn(before + 1)).unwrap(),
    ];
    gate.hold(true);
    std::thread::scope(|scope| {
        let _opens = AtEnd(|| gate.hold(false));
        let saves: Vec<_> = (1..=3)
            .map(|number| {
                let changes = changes(before + number, 100);
                let store = &store;
                let save = scope.spawn(move || store.save(batch(&changes)));
                // Flushed, and at the gate; the next one is flushed meanwhile.
                gate.await_asked(Lsn(before + number));
                assert_eq!(store.progress().flush_lsn, Lsn(before + number));
                save
            })
            .collect();
        let shown = seen(&store, &disk, &mut followers);
        let published = store.maintain();
        let snapshot = store.checkpoint();
        let after = seen(&store, &disk, &mut followers);
        let done = saves.iter().any(|save| save.is_finished());
        gate.hold(false);
        assert!(!done, "a save is acknowledged");
        assert_eq!(shown, vec![before; 4], "view, progress, get, reader; and no follower");
        assert_eq!(after, vec![before; 4], "also after the store has looked after itself");
        published.unwrap();
        assert_eq!(snapshot.unwrap().map(|lsn| lsn.0), Some(before));
        let mut lsns: Vec<u64> = saves.into_iter().map(|s| s.join().unwrap().unwrap().0).collect();
        lsns.sort_unstable();
        assert_eq!(lsns, [before + 1, before + 2, before + 3]);
    });
    store.maintain()?;
    let last = before + 3;
    assert_eq!(
        seen(&store, &disk, &mut followers),
        [last, last, last, last, before + 1, before + 1]
    );
    store.close().unwrap();
    Ok(())
}

/// Confirms what lies below a limit, in its own time, and notes how far it has done so.
struct Limited {
    limit: Lsn,
    confirmed: Mutex<(Lsn, u64)>,
}

impl Authority for Limited {
    fn confirm(&self, epoch: Epoch, point: Point) -> Result<(), Fenced> {
        let Point::Acknowledge(lsn) = point else { return Ok(()) };
        std::thread::yield_now();
        if lsn >= self.limit {
            return Err(Fenced::new(epoch, None));
        }
        let mut confirmed = self.confirmed.lock().unwrap();
        *confirmed = (confirmed.0.max(lsn), confirmed.1 + 1);
        Ok(())
    }
}

/// So many that the flusher leads: acknowledged is what was confirmed, all of it and nothing else,
/// and a refusal ends the waiting of everybody, in saves and on tickets.
#[test]
fn a_crowd_at_the_gate_is_answered_for_what_was_confirmed_and_nobody_waits_on() {
    let disk = fake_disk(4096);
    Store::create_on(&disk).unwrap();
    let authority = Arc::new(Limited { limit: Lsn(6000), confirmed: Mutex::default() });
    let options = Options { background: true, ..tiny(&disk) };
    let store = Store::open_on(shared(&disk), options, authority.clone()).unwrap();
    let mut acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let savers: Vec<_> = (0..64_u64)
            .map(|saver| {
                let store = &store;
                scope.spawn(move || {
                    let save = |count: u64| {
                        let batch = batch(&changes(saver * 1_000_000 + count, 60));
                        if saver % 4 == 0 { store.submit(batch)?.wait() } else { store.save(batch) }
                    };
                    (0..).map(save).map_while(Result::ok).map(|lsn| lsn.0).collect::<Vec<u64>>()
                })
            })
            .collect();
        savers.into_iter().flat_map(|saver| saver.join().unwrap()).collect()
    });
    acknowledged.sort_unstable();
    let (last, answers) = *authority.confirmed.lock().unwrap();
    assert!(acknowledged.iter().copied().eq(1..=last.0), "confirmed up to {last}");
    assert!(answers > 1 && answers * 2 < last.0, "{answers} answers for {last} saves");
    assert_eq!(store.view().lsn(), last);
}
