//! Judges what a crash left: the store opens, holds what was acknowledged, whole batches and
//! nothing else, and works on.

use crate::common::model::{Model, batch, changes, dump};
use crate::common::{shared, tiny};
use crate::stage::{Broken, Life};
use statedir::base::Local;
use statedir::disk::fake::{Crash, FakeDisk};
use statedir::store::{Level, OpenError, Report, verify_on};
use statedir::{Reader, Store, View};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What `crash` must leave of `life`; `Err`: which promise is broken.
pub fn check(life: &Life, crash: &Crash, ordinal: u64) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(|| judge(life, crash, ordinal))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn judge(life: &Life, crash: &Crash, ordinal: u64) -> Result<(), Broken> {
    let disk = FakeDisk::from_image(&crash.image);
    let least = crash.acknowledged.max(life.floor);
    let saves = match Reader::open_on(shared(&disk)) {
        Err(OpenError::NotAStore) if least.is_none() => {
            Store::create_on(&disk).map_err(|error| format!("create once more: {error}"))?;
            0
        }
        Err(error) => return Err(format!("read, {least:?} acknowledged: {error}")),
        Ok(reader) => {
            unharmed(reader.report())?;
            let most = least.unwrap_or(0) + life.in_flight;
            judge_view(reader.view(), &life.model, least.unwrap_or(0), most)?
        }
    };
    let options = tiny(&disk);
    let store = Store::open_on(shared(&disk), options, Arc::new(Local));
    let store = store.map_err(|error| format!("open, {saves} saves shown: {error}"))?;
    unharmed(store.report())?;
    judge_view(&store.view(), &life.model, saves, saves)?;
    goes_on(store, &disk, &life.model, saves, ordinal)
}

/// A crash is no damage.
fn unharmed(report: &Report) -> Result<(), Broken> {
    if report.degraded() { Err(format!("a crash is taken for damage: {report:?}")) } else { Ok(()) }
}

fn judge_view(view: &View, model: &Model, least: u64, most: u64) -> Result<u64, Broken> {
    let saves = view.lsn().0;
    if saves < least || saves > most.min(model.saves()) {
        return Err(format!("{saves} saves are there: {least} to {most} may be"));
    }
    let found = dump(view).map_err(|error| format!("dump: {error}"))?;
    if found == *model.after(saves) {
        Ok(saves)
    } else {
        Err(format!("another state than after {saves} saves"))
    }
}

/// One more save, and all is there after reopening. Some states make a snapshot, too, and some are
/// verified to the last byte.
fn goes_on(
    store: Store,
    disk: &FakeDisk,
    model: &Model,
    saves: u64,
    ordinal: u64,
) -> Result<(), Broken> {
    let mut after = model.clone();
    after.truncate(saves);
    let more = changes(1000 + saves, 100);
    after.push(&more);
    let lsn = store.save(batch(&more)).map_err(|error| format!("one more save: {error}"))?;
    if lsn.0 != saves + 1 {
        return Err(format!("one more save after {saves} is {lsn}"));
    }
    if ordinal.is_multiple_of(5) {
        store.checkpoint().map_err(|error| format!("checkpoint: {error}"))?;
    }
    if ordinal.is_multiple_of(7) {
        drop(store);
    } else {
        store.close().map_err(|error| format!("close: {error}"))?;
    }
    let reader = Reader::open_on(shared(disk)).map_err(|error| format!("once more: {error}"))?;
    unharmed(reader.report())?;
    judge_view(reader.view(), &after, saves + 1, saves + 1)?;
    if ordinal.is_multiple_of(8) {
        let verified = verify_on(shared(disk), Level::Full);
        let verified = verified.map_err(|error| format!("verify: {error}"))?;
        if !verified.findings.is_empty() {
            return Err(format!("a crash is taken for damage: {:?}", verified.findings));
        }
    }
    Ok(())
}
