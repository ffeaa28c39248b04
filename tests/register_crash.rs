//! Power cuts at every moment of a shared directory's life: made, claimed, hosts admitted, claimed
//! by another over the log of a primary that goes on writing, and back. Whoever was told that he
//! reigns, that he is admitted or that a save is durable was told the truth; a reign that was told
//! of knows that it has ended once a later one was; the directory goes on.
//!
//! `STATEDIR_RANDOM` makes so many times as many random choices.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Id, Nanos};
use statedir::disk::Site;
use statedir::disk::fake::{Crash, Crashes, FakeDisk};
use statedir::format::register::END_AT;
use statedir::format::{End, FileName, Reason, Reign};
use statedir::role::{Heart, Register, Reigning};
use statedir::store::{is_shared, share_on};
use statedir::{Batch, Reader, Store, View};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a promise that was broken looked like.
type Broken = String;

const HOSTS: [&str; 2] = ["a", "b"];

fn say<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Broken {
    let what = what.to_owned();
    move |error| format!("{what}: {error}")
}

/// What was told so far.
#[derive(Clone, Debug, Default)]
struct Told {
    /// That the directory is shared.
    shared: bool,
    /// That a reign has begun, and its nonce.
    reigns: BTreeMap<Epoch, Id>,
    /// That a host may claim.
    admitted: BTreeSet<usize>,
    /// That a save is durable: by LSN, which one, in which epoch.
    acknowledged: BTreeMap<u64, (u64, u64)>,
}

/// Syncs that do nothing: from the beginning, or once the directory is shared.
#[derive(Clone, Copy, Debug)]
struct Muted {
    site: Site,
    late: bool,
}

struct Life {
    disk: FakeDisk,
    doors: Vec<Register>,
    /// The moment from which crashes count.
    from: usize,
    told: Told,
    /// What was told at each mark.
    marks: Vec<Told>,
    saves: u64,
}

fn doors(disk: &FakeDisk) -> Vec<Register> {
    let door = |host: &&str| Register::new(shared(disk), host, &format!("{host}:6817")).unwrap();
    HOSTS.iter().map(door).collect()
}

fn share(disk: &FakeDisk, door: &Register) -> Result<(), Broken> {
    let mut make = |cluster, epoch| {
        let made = door.make(cluster, epoch);
        made.map(drop).map_err(|error| io::Error::other(error.to_string()))
    };
    share_on(disk, &mut make).map_err(say("share"))
}

fn value(save: u64, epoch: u64) -> Vec<u8> {
    let mut value = epoch.to_be_bytes().to_vec();
    value.resize(8 + usize::try_from(save % 4).unwrap() * 2500, 7);
    value
}

impl Life {
    fn new(unit: usize) -> Life {
        let disk = fake_disk(unit);
        Store::create_on(&disk).unwrap();
        let from = disk.crash_points() - 1;
        let doors = doors(&disk);
        Life { disk, doors, from, told: Told::default(), marks: Vec::new(), saves: 0 }
    }

    fn mute(&self, muted: Option<Muted>, late: bool) {
        let due = muted.filter(|muted| muted.late == late);
        due.into_iter().for_each(|muted| self.disk.mute(muted.site));
    }

    /// What is known now was told to somebody.
    fn keep(&mut self) {
        self.disk.mark(self.marks.len() as u64);
        self.marks.push(self.told.clone());
    }

    fn claim(&mut self, host: usize) -> Result<Reigning, Broken> {
        let reigning = self.doors[host].claim(Reason::Silent).map_err(say("claim"))?;
        let reign = reigning.reign();
        self.told.reigns.insert(reign.epoch, reign.nonce);
        self.keep();
        Ok(reigning)
    }

    fn open(&mut self, reigning: Reigning) -> Result<(Store, Heart), Broken> {
        let heart = Heart::start(&reigning).map_err(say("heart"))?;
        let options = tiny(&self.disk).without_history();
        let store = Store::open_on(shared(&self.disk), options, Arc::new(reigning));
        Ok((store.map_err(say("open"))?, heart))
    }

    fn batch(&mut self, epoch: u64) -> (u64, Batch) {
        self.saves += 1;
        let mut batch = Batch::new();
        batch.put("all", &self.saves.to_be_bytes(), &value(self.saves, epoch)).unwrap();
        (self.saves, batch)
    }

    fn save(&mut self, store: &Store) -> Result<(), Broken> {
        let epoch = store.epoch().0;
        let (save, batch) = self.batch(epoch);
        let lsn = store.save(batch).map_err(say("save"))?;
        self.told.acknowledged.insert(lsn.0, (save, epoch));
        self.keep();
        Ok(())
    }

    fn admit(&mut self, heart: &mut Heart, host: usize) -> Result<(), Broken> {
        self.doors[host].join().map_err(say("join"))?;
        heart.beat(3, false).map_err(say("beat"))?;
        self.told.admitted.insert(host);
        self.keep();
        Ok(())
    }

    /// Whoever was deposed writes once more, flushes it, and is told.
    fn writes_on(&mut self, zombie: Option<Store>) -> Result<(), Broken> {
        let Some(zombie) = zombie else { return Ok(()) };
        let (_, batch) = self.batch(zombie.epoch().0);
        if zombie.save(batch).is_ok() {
            return Err("a deposed primary acknowledges".to_owned());
        }
        std::mem::forget(zombie);
        Ok(())
    }

    /// Shared, and reigned over by a, b, b, a, b, each of which is deposed while it writes.
    fn play(&mut self, muted: Option<Muted>) -> Result<(), Broken> {
        self.mute(muted, false);
        share(&self.disk, &self.doors[0])?;
        self.told.shared = true;
        self.told.admitted.insert(0);
        self.keep();
        self.mute(muted, true);
        let mut before: Option<Store> = None;
        for (reign, host) in [0, 1, 1, 0, 1].into_iter().enumerate() {
            let reigning = self.claim(host)?;
            // What the one before flushes now is found; behind the seal, it is not.
            let early = before.take_if(|_| reign % 2 == 1);
            self.writes_on(early)?;
            let (store, mut heart) = self.open(reigning)?;
            let late = before.take();
            self.writes_on(late)?;
            self.save(&store)?;
            self.admit(&mut heart, 1 - host)?;
            for _ in 0..2 + reign {
                self.save(&store)?;
            }
            if reign % 2 == 1 {
                store.checkpoint().map_err(say("checkpoint"))?;
            }
            self.save(&store)?;
            before = Some(store);
        }
        std::mem::forget(before);
        Ok(())
    }
}

/// What the crash must have left.
fn check(life: &Life, crash: &Crash, ordinal: usize) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(|| judge(life, crash, ordinal))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn judge(life: &Life, crash: &Crash, ordinal: usize) -> Result<(), Broken> {
    let disk = FakeDisk::from_image(&crash.image);
    disk.set_clock(Nanos(life.disk.clock().0 + 1_000_000_000));
    let told = match crash.acknowledged {
        Some(mark) => life.marks[usize::try_from(mark).unwrap()].clone(),
        None => Told::default(),
    };
    let doors = doors(&disk);
    if !is_shared(&disk) {
        if told.shared {
            return Err("the directory is not shared any more".to_owned());
        }
        share(&disk, &doors[0])?;
    }
    register_holds(&told, crash)?;
    let host = if told.admitted.contains(&1) && ordinal % 2 == 1 { 1 } else { 0 };
    let reigning = doors[host].claim(Reason::Dead).map_err(say("who was admitted claims"))?;
    let epoch = reigning.reign().epoch;
    if told.reigns.keys().next_back().is_some_and(|newest| epoch <= *newest) {
        return Err(format!("epoch {epoch} begins once more"));
    }
    let store = Store::open_on(shared(&disk), tiny(&disk), Arc::new(reigning));
    let store = store.map_err(say("open"))?;
    let lsn = state_holds(&told, &store.view())?;
    let mut batch = Batch::new();
    batch.put("all", &0_u64.to_be_bytes(), &value(0, epoch.0)).unwrap();
    let saved = store.save(batch).map_err(say("one more save"))?;
    if saved.0 != lsn + 1 {
        return Err(format!("one more save after {lsn} is {saved}"));
    }
    store.close().map_err(say("close"))?;
    let reader = Reader::open_on(shared(&disk)).map_err(say("read"))?;
    if reader.view().lsn() != saved || reader.report().degraded() {
        return Err(format!("{:?}, at lsn {}", reader.report(), reader.view().lsn()));
    }
    Ok(())
}

/// Reigns that were told of are there, and the older ones know that they have ended.
fn register_holds(told: &Told, crash: &Crash) -> Result<(), Broken> {
    let newest = told.reigns.keys().next_back();
    for (epoch, nonce) in &told.reigns {
        let name = FileName::Reign(*epoch).to_string();
        if !crash.image.contains(&name) {
            return Err(format!("epoch {epoch} is not claimed any more"));
        }
        let bytes = crash.image.read(&name);
        let record = Reign::decode(&bytes).map_err(say("record"))?;
        if record.nonce != *nonce {
            return Err(format!("epoch {epoch} is another's"));
        }
        let end = bytes.get(usize::try_from(END_AT).unwrap()..).map(End::decode);
        if Some(epoch) != newest && !matches!(end, Some(Ok(_))) {
            return Err(format!("epoch {epoch} does not know that it has ended: {end:?}"));
        }
    }
    Ok(())
}

/// Every acknowledged save is there, and nothing that nobody asked for. The last LSN.
fn state_holds(told: &Told, view: &View) -> Result<u64, Broken> {
    let lsn = view.lsn().0;
    for (at, (save, epoch)) in &told.acknowledged {
        let there = view.get("all", &save.to_be_bytes()).map_err(say("get"))?;
        if lsn < *at || there != Some(&value(*save, *epoch)[..]) {
            return Err(format!("save {save} at {at}, of epoch {epoch}, is lost"));
        }
    }
    let entries = view.scan("all", b"").count() as u64;
    // Of the saves that nobody has acknowledged, those in flight may be there.
    let most = told.acknowledged.len() as u64 + 2 + told.reigns.len() as u64;
    if entries != lsn || entries > most {
        return Err(format!("{entries} saves at lsn {lsn}: {most} were asked for"));
    }
    Ok(lsn)
}

/// Walks through all crashes; how many, or the first breach.
fn power_cuts(unit: usize, muted: Option<Muted>, random: u64) -> Result<usize, Broken> {
    let mut life = Life::new(unit);
    life.play(muted)?;
    let crashes = Crashes::new(random, 7);
    for (ordinal, crash) in crashes.within(&life.disk, life.from..usize::MAX).enumerate() {
        check(&life, &crash, ordinal)
            .map_err(|what| format!("{what}\n  at {} with {:?}", crash.point, crash.survivors))?;
    }
    Ok(crashes.unique())
}

#[test]
fn a_power_cut_at_any_moment_of_a_claim_takes_back_nothing_that_was_told() {
    let times = std::env::var("STATEDIR_RANDOM").map_or(1, |text| text.parse().unwrap());
    for unit in [512, 4096] {
        let states = power_cuts(unit, None, 4 * times);
        let states = states.unwrap_or_else(|broken| panic!("unit {unit}: {broken}"));
        println!("unit {unit}: {states} states");
        assert!(states > 1500, "only {states} states were walked");
    }
}

/// What breaks without the syncs of `sites`, each alone.
fn all_needed(sites: &[Site], late: bool) {
    for site in sites {
        let broken = power_cuts(512, Some(Muted { site: *site, late }), 0);
        let why = broken.expect_err(&format!("nothing breaks without {site:?}, late: {late}"));
        println!("without {site:?}: {}", why.lines().next().unwrap());
    }
}

#[test]
fn every_sync_of_the_register_is_needed_by_its_making_and_by_claims() {
    all_needed(&Site::REGISTER, false);
    all_needed(&Site::REGISTER, true);
}

#[test]
fn every_sync_of_the_log_and_its_seals_is_needed_between_reigns() {
    all_needed(&[Site::Group, Site::SegmentName, Site::SegmentBody], true);
}
