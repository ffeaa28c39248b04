//! Where a workload plays: a fake disk, the store on it, and the model beside it.
//!
//! A *life* is one disk's record from its making (or from a reboot) on, with what must be found
//! after a crash within it.

use crate::common::frail::Frail;
use crate::common::model::{Model, batch, changes, dump};
use crate::common::{fake_disk, shared, tiny};
use statedir::base::{Local, Lsn};
use statedir::disk::fake::{FakeDisk, Image};
use statedir::disk::{Access, Disk, Site};
use statedir::store::OpenError;
use statedir::{Options, Store};
use std::sync::Arc;

/// What a promise that was broken looked like.
pub type Broken = String;

/// A record to crash at every moment of, and what must be found then.
pub struct Life {
    pub disk: FakeDisk,
    /// The first moment that counts.
    pub from: usize,
    /// Acknowledged before the record begins; `None`: not even the store's making was.
    pub floor: Option<u64>,
    /// Every save submitted in this life.
    pub model: Arc<Model>,
    /// So many saves may be there that were not acknowledged.
    pub in_flight: u64,
}

pub struct Stage {
    muted: Option<Site>,
    unit: usize,
    pub disk: FakeDisk,
    pub model: Model,
    pub in_flight: u64,
    from: usize,
    floor: Option<u64>,
    acknowledged: Option<u64>,
    pub lives: Vec<Life>,
}

impl Stage {
    pub fn new(unit: usize, muted: Option<Site>) -> Stage {
        let disk = fake_disk(unit);
        muted.into_iter().for_each(|site| disk.mute(site));
        Stage {
            muted,
            unit,
            disk,
            model: Model::new(),
            in_flight: 1,
            from: 0,
            floor: None,
            acknowledged: None,
            lives: Vec::new(),
        }
    }

    /// An empty disk comes; what happened so far does not count.
    pub fn on_new_disk(&mut self) {
        let disk = fake_disk(self.unit);
        self.start_over(&disk.image(), None, &Model::new());
        self.disk.set_clock(disk.clock());
        self.in_flight = 1;
    }

    /// A stage on which a store was made.
    pub fn create(&mut self) -> Result<(), Broken> {
        Store::create_on(&self.disk).map_err(|error| format!("create: {error}"))?;
        self.acknowledge(0);
        Ok(())
    }

    pub fn acknowledge(&mut self, saves: u64) {
        self.disk.mark(saves);
        self.acknowledged = self.acknowledged.max(Some(saves));
    }

    pub fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// Opens the store; what it shows is promised from now on.
    pub fn open(&mut self) -> Result<Store, Broken> {
        let options = tiny(&self.disk);
        self.open_with(options)
    }

    pub fn open_with(&mut self, options: Options) -> Result<Store, Broken> {
        let store = Store::open_on(shared(&self.disk), options, Arc::new(Local));
        let store = store.map_err(|error| format!("open in the workload: {error}"))?;
        self.opened(&store)?;
        Ok(store)
    }

    /// Holds what `store` shows against the model.
    pub fn opened(&mut self, store: &Store) -> Result<(), Broken> {
        let saves = store.view().lsn().0;
        let least = self.acknowledged.unwrap_or(0);
        if saves < least || saves > self.model.saves() {
            return Err(format!(
                "{saves} saves, {least} acknowledged, {} submitted",
                self.model.saves()
            ));
        }
        let found = dump(&store.view()).map_err(|error| format!("dump: {error}"))?;
        if found != *self.model.after(saves) {
            return Err(format!("another state than after {saves} saves"));
        }
        self.model.truncate(saves);
        self.acknowledge(saves);
        Ok(())
    }

    /// Opens the store in a process that dies at its `step`th step.
    pub fn open_frail(&mut self, step: u64) -> (Frail, Result<Store, OpenError>) {
        let process = Frail::new(shared(&self.disk), step);
        let options = tiny(&self.disk);
        let store = Store::open_on(Arc::new(process.clone()), options, Arc::new(Local));
        (process, store)
    }

    /// One save of about `bytes`, acknowledged.
    pub fn save(&mut self, store: &Store, bytes: usize) -> Result<(), Broken> {
        match self.try_save(store, bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("save: {error}")),
        }
    }

    /// One save that need not succeed: it counts as submitted in any case.
    pub fn try_save(
        &mut self,
        store: &Store,
        bytes: usize,
    ) -> Result<Lsn, statedir::store::SaveError> {
        let changes = changes(self.model.saves() + 1, bytes);
        self.model.push(&changes);
        let lsn = store.save(batch(&changes))?;
        assert_eq!(lsn.0, self.model.saves(), "LSNs are dense");
        self.acknowledge(lsn.0);
        Ok(lsn)
    }

    /// From here on crashes count: what is before is another life's.
    pub fn counts_from_here(&mut self) {
        self.from = self.disk.crash_points().saturating_sub(1);
    }

    /// The life so far goes to the record, and another disk comes.
    pub fn reboot(&mut self, image: &Image, acknowledged: Option<u64>) {
        self.end_life();
        self.disk = FakeDisk::from_image(image);
        self.muted.into_iter().for_each(|site| self.disk.mute(site));
        self.from = 0;
        self.floor = acknowledged;
        self.acknowledged = acknowledged;
    }

    /// As [`Stage::reboot`], but what happened so far does not count.
    pub fn start_over(&mut self, image: &Image, acknowledged: Option<u64>, model: &Model) {
        let lives = self.lives.len();
        self.reboot(image, acknowledged);
        self.lives.truncate(lives);
        self.model = model.clone();
    }

    /// As [`Stage::start_over`], on a copy of `image` as a copier leaves it: written, not flushed.
    pub fn copied_unflushed(&mut self, image: &Image, acknowledged: Option<u64>) {
        let disk = fake_disk(self.unit);
        for name in image.names() {
            let file = disk.open(&name, Access::Create).expect("the directory is empty");
            file.write_at(&image.read(&name), 0).expect("there is room");
        }
        let model = self.model.clone();
        self.start_over(image, acknowledged, &model);
        self.disk = disk;
        self.muted.into_iter().for_each(|site| self.disk.mute(site));
    }

    pub fn end_life(&mut self) {
        self.lives.push(Life {
            disk: self.disk.clone(),
            from: self.from,
            floor: self.floor,
            model: Arc::new(self.model.clone()),
            in_flight: self.in_flight,
        });
    }
}
