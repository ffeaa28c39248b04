//! What a store does in its life, told once, with what must hold where one call of it fails.

use crate::common::model::{Model, batch, changes, dump};
use crate::common::{fake_disk, shared, tiny};
use statedir::base::{Local, Lsn};
use statedir::disk::fake::{Call, Crashes, FakeDisk, Fault, Image};
use statedir::store::{OpenError, Poison, Refusal, SaveError};
use statedir::{Options, Reader, Store};
use std::sync::Arc;

#[derive(Clone)]
pub struct Script {
    pub disk: FakeDisk,
    pub model: Model,
    /// Acknowledged, or shown by an open.
    pub acknowledged: u64,
    /// The call that fails, how, and the ordinal among its kind.
    pub fault: Option<(Call, Fault, u64)>,
}

/// A store with two epochs, a snapshot and some log behind it, and what it holds.
pub fn prepared() -> (Script, Image) {
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    let mut script = Script { disk, model: Model::new(), acknowledged: 0, fault: None };
    for _ in 0..2 {
        let store = script.open().unwrap();
        for _ in 0..3 {
            script.try_save(&store, 3000).unwrap();
        }
        store.checkpoint().unwrap();
        script.try_save(&store, 10).unwrap();
        store.close().unwrap();
    }
    let image = script.disk.image();
    (script, image)
}

impl Script {
    /// The same history on another disk.
    pub fn on(&self, disk: &FakeDisk) -> Script {
        disk.mark(self.acknowledged);
        Script { disk: disk.clone(), ..self.clone() }
    }

    fn options(&self) -> Options {
        tiny(&self.disk).without_history()
    }

    pub fn open(&self) -> Result<Store, OpenError> {
        Store::open_on(shared(&self.disk), self.options(), Arc::new(Local))
    }

    /// A save that counts as submitted in any case.
    pub fn try_save(&mut self, store: &Store, bytes: usize) -> Result<Lsn, SaveError> {
        let changes = changes(self.model.saves() + 1, bytes);
        self.model.push(&changes);
        let lsn = store.save(batch(&changes))?;
        assert_eq!(lsn.0, self.model.saves(), "LSNs are dense");
        self.settle(lsn.0);
        Ok(lsn)
    }

    /// A save that was refused is certainly not applied.
    pub fn forget_last(&mut self) {
        self.model.truncate(self.model.saves() - 1);
    }

    /// There are so many saves from now on.
    pub fn settle(&mut self, saves: u64) {
        self.model.truncate(saves);
        self.acknowledged = saves;
        self.disk.mark(saves);
    }

    /// Whether the fault never shows to callers.
    fn absorbed(&self) -> bool {
        self.fault.is_none_or(|(_, fault, _)| matches!(fault, Fault::Interrupted | Fault::Short))
    }

    /// Calls of the failing kind so far, and whether the fault lies behind them.
    fn is_over(&self) -> bool {
        self.fault.is_none_or(|(call, _, nth)| self.disk.calls(Some(call)) >= nth)
    }

    /// Does something; what fails must be the fault's doing, and must work the second time.
    fn twice<T, E: std::fmt::Debug>(&self, act: impl Fn() -> Result<T, E>) -> T {
        let before = self.is_over();
        match act() {
            Ok(done) => done,
            Err(error) => {
                assert!(!before && self.is_over(), "fails without a fault: {error:?}");
                assert!(!self.absorbed(), "shows: {error:?}");
                act().expect("works once the fault is gone")
            }
        }
    }

    fn reopened(&mut self) -> Store {
        let before = self.is_over();
        let opened = self.open();
        // What cannot be read may hold something that is needed.
        let call = self.fault.map(|(call, ..)| call);
        let sound = match &opened {
            Ok(_) => true,
            Err(OpenError::Io { .. }) => !before && self.is_over() && !self.absorbed(),
            Err(OpenError::Corruption(_) | OpenError::Control(_)) => {
                matches!(call, Some(Call::Read | Call::Look))
            }
            Err(_) => false,
        };
        assert!(sound, "a failing call is no damage: {opened:?}");
        if opened.is_err() && call == Some(Call::WriteDurable) {
            self.judge();
            self.reboot();
        }
        let store = opened.or_else(|_| self.open()).expect("opens once the fault is gone");
        let saves = store.view().lsn().0;
        assert!((self.acknowledged..=self.model.saves()).contains(&saves), "{saves} saves");
        self.settle(saves);
        self.holds(&store);
        store
    }

    fn holds(&self, store: &Store) {
        assert_eq!(store.view().lsn().0, self.acknowledged);
        let known = self.model.after(self.acknowledged);
        assert_eq!(dump(&store.view()).unwrap(), *known, "the state is the acknowledged one");
    }

    /// One save, whatever comes of it; the store goes on, another one if need be.
    fn save(&mut self, store: Store, bytes: usize) -> Store {
        let before = self.is_over();
        let outcome = self.try_save(&store, bytes);
        let hit = !before && self.is_over();
        let flush = hit && self.fault.is_some_and(|(call, ..)| call == Call::WriteDurable);
        match outcome {
            Ok(_) => {
                assert!(!flush || self.absorbed(), "a failed flush is acknowledged");
                store
            }
            Err(error) if self.absorbed() => panic!("shows: {error}"),
            Err(SaveError::Refused(Refusal::NoRoom(_))) => {
                assert!(hit && !flush, "refused without a fault, or after a failed flush");
                self.forget_last();
                self.holds(&store);
                self.try_save(&store, bytes).expect("there is room again");
                store
            }
            Err(SaveError::Unknown(Poison::Flush(_))) => {
                assert!(flush, "poisoned by something else");
                self.stopped(store)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A writer that is poisoned: takes nothing, flushes nothing, and loses nothing.
    fn stopped(&mut self, store: Store) -> Store {
        self.holds(&store);
        let flushes = || self.disk.calls(Some(Call::WriteDurable));
        let (before, room) = (flushes(), self.disk.calls(Some(Call::Allocate)));
        for bytes in [10, 20_000, 10] {
            let refused = store.save(batch(&changes(0, bytes)));
            let stopped =
                matches!(refused, Err(SaveError::Refused(Refusal::Stopped(Poison::Flush(_)))));
            assert!(stopped, "{refused:?}");
        }
        assert_eq!(room, self.disk.calls(Some(Call::Allocate)), "it makes no room either");
        self.holds(&store);
        store.close().unwrap();
        assert_eq!(flushes(), before, "a failed flush is not tried again");
        self.judge();
        // With the power on, the page cache still shows what the failed flush may have lost.
        if self.fault.is_some_and(|(.., nth)| nth % 3 != 0) {
            self.reboot();
        }
        self.reopened()
    }

    /// Power is cut: what the page cache holds of the failed flush may be gone.
    fn reboot(&mut self) {
        let end = self.disk.crash_points() - 1;
        let crashes: Vec<_> =
            Crashes::new(2, 6).within(&self.disk, end..end + 1).map(|crash| crash.image).collect();
        let (_, _, nth) = self.fault.take().expect("a fault has stopped the writer");
        let chosen = usize::try_from(nth).expect("few calls") % crashes.len();
        *self = self.on(&FakeDisk::from_image(&crashes[chosen]));
    }

    /// Saves, rotations with and without a prepared segment, snapshots, deletions, closing,
    /// opening.
    pub fn run(&mut self) {
        let mut store = self.reopened();
        for round in 0..2 {
            for number in 0..5 {
                store = self.save(store, if number == 3 { 9000 } else { 3000 });
                if (number + round) % 2 == 0 {
                    self.twice(|| store.maintain());
                }
            }
            self.twice(|| store.checkpoint());
            self.holds(&store);
            store = self.save(store, 10);
            self.twice(|| store.prune());
            let read = self.twice(|| Reader::open_on(shared(&self.disk)));
            assert!(read.view().lsn().0 <= self.acknowledged, "more than is acknowledged");
            store = self.save(store, 10);
            // Closing twice is not possible: what it could not do, the next open does.
            let (before, closed) = (self.is_over(), store.close());
            assert!(closed.is_ok() || (!before && !self.absorbed()), "{closed:?}");
            store = self.reopened();
        }
        let before = self.is_over();
        let closed = store.close();
        assert!(closed.is_ok() || (!before && !self.absorbed()), "{closed:?}");
    }

    /// What the disk holds now, and what a power cut at this moment leaves of it.
    pub fn judge(&self) {
        let end = self.disk.crash_points() - 1;
        for crash in Crashes::new(2, 5).within(&self.disk, end..end + 1) {
            self.judge_image(&crash.image);
        }
        self.judge_image(&self.disk.image());
    }

    pub fn judge_image(&self, image: &Image) {
        let disk = FakeDisk::from_image(image);
        let mut script = self.on(&disk);
        script.fault = None;
        let mut store = script.reopened();
        store = script.save(store, 100);
        store.close().unwrap();
        drop(script.reopened());
    }
}
