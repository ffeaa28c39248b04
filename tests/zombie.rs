//! A primary that is frozen before any one of its calls to the disk, while others reign, and then
//! wakes: it may have been about to acknowledge, to publish a snapshot, to rotate, to delete, or to
//! open the store. Nothing that anybody acknowledged is missing afterwards, nothing is acknowledged
//! twice at one LSN, and the directory is sound.
//!
//! `STATEDIR_ZOMBIE=seed` runs that one of the seeded runs alone.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::frozen::Frozen;
use common::model::changes;
use common::random::Random;
use common::{fake_disk, shared, tiny};
use statedir::base::Lsn;
use statedir::disk::Disk;
use statedir::disk::fake::{FakeDisk, Image};
use statedir::format::Reason;
use statedir::role::{Check, ClaimError, Heart, Register};
use statedir::store::{Level, News, OpenError, Standby, share_on, verify_on};
use statedir::{Batch, Options, Store, View};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

/// Saves of one reign.
const SAVES: u64 = 8;

/// What was acknowledged: by LSN, which save, in which epoch.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: BTreeMap<u64, (u64, u64)>,
    saves: u64,
    reigns: u64,
}

impl Ledger {
    fn acknowledge(&mut self, lsn: Lsn, save: u64, epoch: u64) {
        let before = self.acknowledged.insert(lsn.0, (save, epoch));
        assert_eq!(before, None, "S4: lsn {lsn} is acknowledged again, as save {save}");
    }
}

/// One directory, and what all hosts together have done to it.
#[derive(Clone)]
struct Scene {
    disk: FakeDisk,
    ledger: Arc<Mutex<Ledger>>,
    standby: Arc<Mutex<(Standby, BTreeSet<u64>)>>,
    check: Check,
}

/// The saves that a state holds.
fn held(view: &View) -> BTreeSet<u64> {
    let entries = view.scan("all", b"").map(|entry| entry.unwrap().0.to_vec());
    entries.map(|key| u64::from_be_bytes(key.try_into().unwrap())).collect()
}

fn door(disk: Arc<dyn Disk>, host: &str, check: Check) -> Register {
    Register::new(disk, host, "").unwrap().checking(check)
}

/// A directory that three hosts share, with a snapshot, and a log behind it.
fn prepared() -> (Image, u64) {
    let disk = fake_disk(4096);
    Store::create_on(&disk).unwrap();
    let doors = ["a", "b", "c"].map(|host| door(shared(&disk), host, Check::Name));
    let mut make = |cluster, epoch| {
        doors[0].make(cluster, epoch).map(drop).map_err(|error| io::Error::other(error.to_string()))
    };
    share_on(&disk, &mut make).unwrap();
    let reigning = doors[0].claim(Reason::Start).unwrap();
    let mut heart = Heart::start(&reigning).unwrap();
    doors.iter().for_each(|door| drop(door.join().unwrap()));
    heart.beat(0, false).unwrap();
    assert_eq!(heart.members().len(), 3);
    let store = Store::open_on(shared(&disk), options(&disk), Arc::new(reigning)).unwrap();
    for save in 1..=6 {
        store.save(batch(save)).unwrap();
        if save == 4 {
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
    (disk.image(), 6)
}

fn options(disk: &FakeDisk) -> Options {
    tiny(disk).without_history()
}

fn batch(save: u64) -> Batch {
    let mut batch = common::model::batch(&changes(save, 500));
    batch.put("all", &save.to_be_bytes(), b"").unwrap();
    batch
}

impl Scene {
    fn new(image: &Image, saves: u64, check: Check) -> Scene {
        let disk = FakeDisk::from_image(image);
        let mut ledger = Ledger { saves, ..Ledger::default() };
        (1..=saves).for_each(|save| ledger.acknowledge(Lsn(save), save, 1));
        let standby = Standby::open_on(shared(&disk)).unwrap();
        let seen = held(&standby.view());
        let standby = Arc::new(Mutex::new((standby, seen)));
        Scene { disk, ledger: Arc::new(Mutex::new(ledger)), standby, check }
    }

    /// The standby hears what there is.
    fn hear(&self) {
        let mut standby = self.standby.lock().unwrap();
        let (standby, seen) = &mut *standby;
        while let Some(news) = standby.poll().unwrap() {
            match news {
                News::Saves(saves) => {
                    let told = saves.len();
                    let now = held(&standby.view());
                    assert!(now.is_superset(seen), "the past changes");
                    assert_eq!(now.len(), seen.len() + told, "all of it is told, once");
                    *seen = now;
                }
                News::Again => *seen = held(&standby.view()),
            }
        }
    }

    /// One reign, as seen by a host through `disk`: claims, opens, saves, makes snapshots, deletes,
    /// until it is done or deposed.
    fn reign(&self, disk: Arc<dyn Disk>, host: &str) {
        let door = door(Arc::clone(&disk), host, self.check);
        let reigning = match door.claim(Reason::Silent) {
            Ok(reigning) => Arc::new(reigning),
            Err(ClaimError::Lost { .. }) => return,
            Err(error) => panic!("{host}: {error}"),
        };
        // Without a heart nobody is admitted; and a zombie's may not find room for its own.
        drop(Heart::start(&reigning));
        let known = self.ledger.lock().unwrap().acknowledged.clone();
        let epoch = reigning.reign().epoch.0;
        let store = match Store::open_on(disk, options(&self.disk), reigning) {
            Ok(store) => store,
            Err(OpenError::Fenced(_) | OpenError::Epoch { .. }) => return,
            Err(error) => panic!("{host} in epoch {epoch}: {error}"),
        };
        self.ledger.lock().unwrap().reigns += 1;
        let state = held(&store.view());
        for (lsn, (save, by)) in &known {
            assert!(state.contains(save), "S2: save {save} at {lsn}, of epoch {by}, is lost");
        }
        for turn in 0..SAVES {
            let save = {
                let mut ledger = self.ledger.lock().unwrap();
                ledger.saves += 1;
                ledger.saves
            };
            let Ok(lsn) = store.save(batch(save)) else { return };
            self.ledger.lock().unwrap().acknowledge(lsn, save, epoch);
            if turn % 3 == 2 && (store.checkpoint().is_err() || store.maintain().is_err()) {
                return;
            }
        }
        drop(store.prune());
    }

    /// Everybody is awake, and one more reigns.
    fn judge(&self, host: &str) {
        self.hear();
        self.reign(shared(&self.disk), host);
        self.hear();
        let reader = statedir::Reader::open_on(shared(&self.disk)).unwrap();
        let state = held(reader.view());
        let ledger = self.ledger.lock().unwrap();
        for (lsn, (save, epoch)) in &ledger.acknowledged {
            assert!(state.contains(save), "S2: save {save} at {lsn}, of epoch {epoch}, is lost");
        }
        let (_, seen) = &*self.standby.lock().unwrap();
        assert!(seen.is_subset(&state), "I10: the standby was told what never was");
        assert_eq!(seen, &state, "and hears everything in the end");
        let verified = verify_on(shared(&self.disk), Level::Full).unwrap();
        assert!(verified.findings.is_empty(), "{:?}", verified.findings);
    }
}

/// `host` is frozen before its `at`th call, and then `world` happens. Calls that it made.
fn frozen(scene: &Scene, host: &str, at: u64, world: impl FnOnce() + Send + 'static) -> u64 {
    let disk = Frozen::new(shared(&scene.disk), at, world);
    scene.reign(Arc::new(disk.clone()), host);
    disk.calls()
}

#[test]
fn a_zombie_may_wake_before_any_call_and_harms_nobody() {
    let (image, saves) = prepared();
    let whole = Scene::new(&image, saves, Check::Name);
    let calls = frozen(&whole, "a", u64::MAX, || ());
    whole.judge("b");
    assert!(calls > 300, "{calls}: it rotates, snapshots and deletes");
    let mut reigns = 0;
    for at in 1..=calls {
        let check = if at % 16 == 0 { Check::Mark } else { Check::Name };
        let scene = Scene::new(&image, saves, check);
        let world = scene.clone();
        frozen(&scene, "a", at, move || {
            world.hear();
            world.reign(shared(&world.disk), "b");
            world.hear();
        });
        scene.judge(if at % 2 == 0 { "a" } else { "c" });
        reigns += scene.ledger.lock().unwrap().reigns;
    }
    println!("{calls} calls, {reigns} reigns");
}

#[test]
fn zombies_among_zombies_harm_nobody() {
    let (image, saves) = prepared();
    let asked = std::env::var("STATEDIR_ZOMBIE").ok().map(|seed| seed.parse().unwrap());
    let count = std::env::var("STATEDIR_ZOMBIES").map_or(1500, |count| count.parse().unwrap());
    let seeds = asked.map_or(1..=count, |seed: u64| seed..=seed);
    let mut reigns = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let scene = Scene::new(&image, saves, Check::Name);
        let mut at = || 1 + random.below(500);
        let (first, second, third) = (at(), at(), at());
        let (world, nested, inner) = (scene.clone(), scene.clone(), scene.clone());
        println!("seed {seed}: {first} {second} {third}");
        frozen(&scene, "a", first, move || {
            frozen(&world, "b", second, move || {
                frozen(&nested, "c", third, move || {
                    inner.hear();
                    inner.reign(shared(&inner.disk), "a");
                });
                nested.hear();
            });
            world.hear();
        });
        scene.judge("b");
        reigns += scene.ledger.lock().unwrap().reigns;
    }
    println!("{reigns} reigns");
}
