//! Power cuts, kills, full disks and faults at every step of backup, prune and restore: the source
//! is never harmed, a backup is there whole or not at all, a target is whole or no store.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::frail::Frail;
use common::model::{Model, State, batch, changes, dump};
use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Local, Lsn, Nanos};
use statedir::disk::fake::{Crashes, FakeDisk, Fault, FaultPlan, Image};
use statedir::disk::{Disk, Site};
use statedir::export::{
    Backup, BackupId, ExportError, Hold, Opened, Repository, backup_on, restore_on, verify_backup,
    verify_repository,
};
use statedir::store::At;
use statedir::{Reader, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a promise that was broken looked like.
type Broken = String;

/// The backups that are there, and up to which LSN each goes.
type Offered = BTreeMap<BackupId, Lsn>;

fn say(what: &str) -> impl Fn(ExportError) -> Broken {
    let what = what.to_owned();
    move |error| format!("{what}: {error}")
}

/// A store that grows between backups.
struct Source {
    disk: FakeDisk,
    store: Option<Store>,
    model: Model,
}

impl Source {
    fn new() -> Source {
        let disk = fake_disk(4096);
        Store::create_on(&disk).unwrap();
        let mut source = Source { disk, store: None, model: Model::new() };
        source.open();
        source
    }

    fn open(&mut self) {
        let options = tiny(&self.disk);
        self.store = Some(Store::open_on(shared(&self.disk), options, Arc::new(Local)).unwrap());
    }

    fn save(&mut self, saves: u64) {
        let store = self.store.as_ref().unwrap();
        for _ in 0..saves {
            let change = changes(self.model.saves() + 1, 700);
            store.save(batch(&change)).unwrap();
            self.model.push(&change);
        }
        store.maintain().unwrap();
    }
}

/// Makes a backup in `repository`, and sees that the source stays as it is.
fn back_up(
    source: &Source,
    repository: &Arc<dyn Disk>,
    incremental: bool,
) -> Result<(), ExportError> {
    let before = source.disk.image().digest();
    let outcome = Repository::create(Arc::clone(repository)).and_then(|repository| {
        let now = source.disk.clock();
        source.disk.set_clock(Nanos(now.0 + 1_000_000_000));
        let wanted = Backup { incremental, now, ..Backup::default() };
        backup_on(&shared(&source.disk), &repository, &wanted, &mut |_| {})
    });
    assert_eq!(source.disk.image().digest(), before, "the source was changed");
    outcome.map(|_| ())
}

/// Removes all but the newest backup.
fn prune(repository: &Arc<dyn Disk>) -> Result<(), ExportError> {
    let repository = Repository::open(Arc::clone(repository), Hold::Change)?;
    let mut ids: Vec<BackupId> = repository.list()?.into_iter().map(|listed| listed.id).collect();
    ids.pop();
    repository.remove(&ids)
}

/// What is offered, each backup of which must be whole.
fn offered(disk: &FakeDisk) -> Result<Offered, Broken> {
    let repository = match Repository::open(shared(disk), Hold::Read) {
        Err(ExportError::NotARepository) => return Ok(Offered::new()),
        outcome => outcome.map_err(say("open"))?,
    };
    let mut offered = Offered::new();
    for listed in repository.list().map_err(say("list"))? {
        let manifest = listed.manifest.map_err(say("manifest"))?;
        let checked = verify_backup(&repository, &manifest, &mut |_| {}).map_err(say("verify"))?;
        if let Some(trouble) = checked.troubles.first() {
            return Err(format!("a partial backup is offered: {}", trouble.error));
        }
        offered.insert(listed.id, manifest.end.lsn);
    }
    Ok(offered)
}

/// What one step of the workload does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Full,
    Incremental,
    Prune,
}

const STEPS: [Step; 6] =
    [Step::Full, Step::Incremental, Step::Incremental, Step::Prune, Step::Incremental, Step::Full];

fn run(step: Step, source: &Source, repository: &Arc<dyn Disk>) -> Result<(), ExportError> {
    match step {
        Step::Full => back_up(source, repository, false),
        Step::Incremental => back_up(source, repository, true),
        Step::Prune => prune(repository),
    }
}

/// The repository before and after each step, and what was offered then.
struct Life {
    source: Source,
    disk: FakeDisk,
    images: Vec<Image>,
    offered: Vec<Offered>,
}

fn life(muted: Option<Site>) -> Result<Life, Broken> {
    let mut source = Source::new();
    let disk = fake_disk(512);
    muted.into_iter().for_each(|site| disk.mute(site));
    let mut images = vec![disk.image()];
    let mut all = vec![Offered::new()];
    for (number, step) in STEPS.into_iter().enumerate() {
        source.save(7);
        if number == 3 {
            source.store.as_ref().unwrap().checkpoint().unwrap();
        }
        run(step, &source, &shared(&disk)).map_err(say("step"))?;
        disk.mark(number as u64 + 1);
        images.push(disk.image());
        all.push(offered(&disk)?);
    }
    Ok(Life { source, disk, images, offered: all })
}

/// Whether what is offered lies between two moments; and whether a backup can be made again.
fn check(life: &Life, disk: &FakeDisk, step: usize) -> Result<(), Broken> {
    let there = offered(disk)?;
    let before = &life.offered[step];
    let after = life.offered.get(step + 1).unwrap_or(before);
    for (id, lsn) in before {
        if after.get(id) == Some(lsn) && there.get(id) != Some(lsn) {
            return Err(format!("backup {id} is gone"));
        }
    }
    for (id, lsn) in &there {
        if before.get(id) != Some(lsn) && after.get(id) != Some(lsn) {
            return Err(format!("backup {id} at lsn {lsn} was never made"));
        }
    }
    Ok(())
}

/// Goes on after a crash: the next backup works, and cleans up what is left over.
fn go_on(life: &Life, disk: &FakeDisk) -> Result<(), Broken> {
    let before = offered(disk)?;
    back_up(&life.source, &shared(disk), true).map_err(say("the next backup"))?;
    let after = offered(disk)?;
    if !before.iter().all(|(id, lsn)| after.get(id) == Some(lsn)) || after.len() <= before.len() {
        return Err("the next backup took others away".to_owned());
    }
    let repository = Repository::open(shared(disk), Hold::Read).map_err(say("open"))?;
    match repository.leftovers().map_err(say("leftovers"))?.first() {
        Some(name) => Err(format!("{name} is left over")),
        None => Ok(()),
    }
}

fn power_cuts(muted: Option<Site>, random: u64) -> Result<usize, Broken> {
    let life = life(muted)?;
    let crashes = Crashes::new(random, 7);
    for crash in crashes.over(&life.disk) {
        let step = usize::try_from(crash.acknowledged.unwrap_or(0)).unwrap();
        let disk = FakeDisk::from_image(&crash.image);
        disk.set_clock(Nanos(life.source.disk.clock().0 + 1));
        check(&life, &disk, step)
            .and_then(|()| go_on(&life, &disk))
            .map_err(|what| format!("{what} at {} with {:?}", crash.point, crash.survivors))?;
    }
    Ok(crashes.unique())
}

#[test]
fn a_power_cut_at_any_moment_leaves_whole_backups_only() {
    let states = power_cuts(None, 400).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{states} states");
    assert!(states > 100, "only {states} states were walked");
}

/// Whether a promise breaks when the syncs of `site` do nothing.
fn breaks_without(site: Site) -> bool {
    power_cuts(Some(site), 10).is_err() || restore_power_cuts(u64::MAX, Some(site), 10).is_err()
}

#[test]
fn every_sync_of_backup_prune_and_restore_is_needed() {
    for site in Site::EXPORT {
        // What a restore leaves behind may be there or not: nothing rests on it. Archives have
        // their own test.
        if matches!(site, Site::Scratch | Site::ArchiveBody | Site::ArchiveName) {
            continue;
        }
        assert!(breaks_without(site), "nothing breaks without {site:?}");
    }
}

#[test]
fn a_kill_at_any_step_of_backup_and_prune_leaves_whole_backups_only() {
    let life = life(None).unwrap();
    let mut kills = 0;
    for (number, step) in STEPS.into_iter().enumerate() {
        for at in 1.. {
            let disk = FakeDisk::from_image(&life.images[number]);
            let process = Frail::new(shared(&disk), at);
            // The step's own backup has another name each time.
            let before = life.offered[number].clone();
            let outcome = run(step, &life.source, &(Arc::new(process.clone()) as Arc<dyn Disk>));
            let there = offered(&disk).unwrap();
            let known = |id: &BackupId| before.contains_key(id);
            let new = there.keys().filter(|id| !known(id)).count();
            let lost = before.keys().filter(|id| !there.contains_key(*id)).count();
            let newest = before.keys().next_back();
            match step {
                Step::Prune => assert!(new == 0 && newest.is_none_or(|id| there.contains_key(id))),
                _ => assert!(new <= 1 && lost == 0, "step {at}: {new} new, {lost} lost"),
            }
            disk.set_clock(Nanos(life.source.disk.clock().0 + 1));
            if outcome.is_ok() && !process.is_dead() {
                break;
            }
            kills += 1;
            go_on(&life, &disk).unwrap_or_else(|broken| panic!("{step:?} at {at}: {broken}"));
        }
    }
    println!("{kills} kills");
    assert!(kills > 50, "only {kills} kills");
}

#[test]
fn a_full_disk_or_a_fault_at_any_call_leaves_whole_backups_only() {
    let life = life(None).unwrap();
    let mut failed = 0;
    for (number, step) in STEPS.into_iter().enumerate() {
        for fault in [Fault::Io, Fault::Full] {
            for nth in 1.. {
                let disk = FakeDisk::from_image(&life.images[number]);
                disk.fail(FaultPlan::nth(nth, fault));
                let calls = disk.calls(None);
                let outcome = run(step, &life.source, &shared(&disk));
                let over = disk.calls(None) - calls < nth;
                disk.heal();
                let there = offered(&disk).unwrap_or_else(|e| panic!("{step:?} {nth}: {e}"));
                let before = &life.offered[number];
                if !matches!(step, Step::Prune) {
                    assert!(before.keys().all(|id| there.contains_key(id)));
                    assert!(outcome.is_err() || there.len() == before.len() + 1);
                }
                if over {
                    break;
                }
                failed += usize::from(outcome.is_err());
                go_on(&life, &disk).unwrap_or_else(|e| panic!("{step:?} {nth}: {e}"));
            }
        }
    }
    assert!(failed > 100, "only {failed} failures");
}

#[test]
fn a_backup_that_finds_no_room_leaves_none_taken() {
    let mut source = Source::new();
    let disk = fake_disk(4096);
    source.save(20);
    back_up(&source, &shared(&disk), false).unwrap();
    source.save(20);
    let image = disk.image();
    let mut refused = 0;
    for blocks in 0.. {
        let disk = FakeDisk::from_image(&image);
        disk.set_room(Some(blocks * 4096));
        if back_up(&source, &shared(&disk), false).is_ok() {
            break;
        }
        refused += 1;
        assert_eq!(disk.image().names(), image.names(), "with {blocks} blocks");
        disk.set_room(None);
        back_up(&source, &shared(&disk), true).unwrap();
    }
    assert!(refused > 5);
}

/// How much of the changes a restore holds in memory: all of them; or so little that the state is
/// put down before each group.
const PORTIONS: [u64; 2] = [u64::MAX, 0];

/// A backup with a snapshot and parts, and its state at an LSN within.
fn backup(portion: u64) -> (Opened, Option<At>, State) {
    let mut source = Source::new();
    source.save(10);
    source.store.as_ref().unwrap().checkpoint().unwrap();
    let disk = fake_disk(4096);
    back_up(&source, &shared(&disk), false).unwrap();
    source.save(10);
    back_up(&source, &shared(&disk), true).unwrap();
    let repository = Repository::open(shared(&disk), Hold::Read).unwrap();
    let manifest = repository.list().unwrap().remove(1).manifest.unwrap();
    let mut opened = Opened::open(&disk, manifest, &mut |_| {}).unwrap();
    opened.set_changes_max(portion);
    (opened, Some(At::Lsn(Lsn(17))), source.model.after(17).clone())
}

fn restore(opened: &Opened, target: &Arc<dyn Disk>, at: Option<At>) -> Result<(), ExportError> {
    restore_on(opened, target, at, Epoch(0), Nanos::now(), &mut |_| {}).map(|_| ())
}

/// A target after a crash: the state and nothing else, or no store, which is restored into again.
fn check_target(
    disk: &FakeDisk,
    restored: bool,
    opened: &Opened,
    at: Option<At>,
    state: &State,
) -> Result<(), Broken> {
    let whole = |disk: &FakeDisk| match Reader::open_on(shared(disk)) {
        Ok(reader) if dump(reader.view()).is_ok_and(|found| found == *state) => Ok(true),
        Ok(_) => Err("another state came back".to_owned()),
        Err(_) => Ok(false),
    };
    if !whole(disk)? {
        if restored {
            return Err("a restored store is gone".to_owned());
        }
        restore(opened, &shared(disk), at).map_err(say("restoring again"))?;
        if !whole(disk)? {
            return Err("nothing came back".to_owned());
        }
    }
    let store = Store::open_on(shared(disk), tiny(disk), Arc::new(Local));
    let store = store.map_err(|error| format!("open: {error}"))?;
    store.save(batch(&changes(1, 10))).map_err(|error| format!("save: {error}"))?;
    store.close().map_err(|error| format!("close: {error}"))
}

fn restore_power_cuts(portion: u64, muted: Option<Site>, random: u64) -> Result<usize, Broken> {
    let (opened, at, state) = backup(portion);
    let disk = fake_disk(512);
    muted.into_iter().for_each(|site| disk.mute(site));
    restore(&opened, &shared(&disk), at).map_err(say("restore"))?;
    disk.mark(1);
    let crashes = Crashes::new(random, 7);
    for crash in crashes.over(&disk) {
        let disk = FakeDisk::from_image(&crash.image);
        let restored = crash.acknowledged.is_some();
        check_target(&disk, restored, &opened, at, &state)
            .map_err(|what| format!("{what} at {} with {:?}", crash.point, crash.survivors))?;
    }
    Ok(crashes.unique())
}

#[test]
fn a_power_cut_at_any_moment_of_a_restore_leaves_all_of_it_or_no_store() {
    for (portion, random) in PORTIONS.into_iter().zip([400, 100]) {
        let states = restore_power_cuts(portion, None, random);
        let states = states.unwrap_or_else(|broken| panic!("portion {portion}: {broken}"));
        println!("{states} states");
        assert!(states > 50, "only {states} states were walked");
    }
}

#[test]
fn a_kill_at_any_step_of_a_restore_leaves_all_of_it_or_no_store() {
    let mut steps = Vec::new();
    for portion in PORTIONS {
        let (opened, at, state) = backup(portion);
        for step in 1.. {
            let disk = fake_disk(4096);
            let process = Frail::new(shared(&disk), step);
            let outcome = restore(&opened, &(Arc::new(process.clone()) as Arc<dyn Disk>), at);
            check_target(&disk, outcome.is_ok(), &opened, at, &state)
                .unwrap_or_else(|broken| panic!("killed at step {step}: {broken}"));
            if !process.is_dead() {
                steps.push(step);
                break;
            }
        }
    }
    println!("{steps:?} steps");
    assert!(steps[0] > 15 && steps[1] > steps[0] + 30, "only {steps:?} steps");
}

#[test]
fn a_repository_of_a_killed_writer_is_verified_as_it_is() {
    let life = life(None).unwrap();
    let repository = Repository::open(shared(&life.disk), Hold::Read).unwrap();
    let checked = verify_repository(&repository, &mut |_| {}).unwrap();
    assert_eq!((checked.backups, checked.sound), (3, 3));
    assert!(checked.troubles.is_empty() && checked.leftovers.is_empty());
}
