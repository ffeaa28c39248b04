//! Plays steps on a store and on the model beside it, and holds one against the other.
//!
//! Invariant: the model's saves up to the disk's greatest marker were acknowledged, or shown by a
//! reader; all others were submitted, and may be lost in a crash.

use crate::common::model::{Change, Model, State, batch, changes, dump};
use crate::common::{fake_disk, shared, tiny};
use crate::steps::{Drawn, Manner, Part, Step};
use statedir::base::{Local, Lsn, Nanos};
use statedir::disk::fake::{Crashes, FakeDisk};
use statedir::format::{FileName, Op};
use statedir::snapshot::SnapshotError;
use statedir::store::{At, Follower, Level, ReadError, Ticket, verify_on};
use statedir::{Batch, Options, Reader, Store, View};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Saves that come while another one is being flushed.
#[derive(Default)]
struct Company {
    store: Weak<Store>,
    batches: Vec<Batch>,
    tickets: Vec<Ticket>,
}

impl Company {
    /// Called by the store's clock: that is looked at when a group is put together.
    fn come(company: &Mutex<Company>) {
        let mut company = company.lock().unwrap();
        let batches = std::mem::take(&mut company.batches);
        if let Some(store) = company.store.upgrade() {
            let tickets = batches.into_iter().map(|batch| store.submit(batch).unwrap());
            company.tickets.extend(tickets.collect::<Vec<_>>());
        }
    }
}

pub struct Stage {
    disk: FakeDisk,
    manner: Manner,
    store: Option<Arc<Store>>,
    company: Arc<Mutex<Company>>,
    model: Model,
    /// What the saves changed.
    saves: Vec<Vec<Change>>,
    /// When they were saved.
    times: Vec<Nanos>,
    /// The greatest LSN that may not be lost, by acknowledgement or by being shown.
    promised: u64,
    /// The greatest LSN that another process has seen.
    shown: u64,
    /// The store's record when the last step began.
    began: usize,
    kept: Option<(View, State)>,
    /// Nothing superseded may have been deleted so far.
    all_kept: bool,
    /// A crash may have cut deletions short, which left gaps below this LSN.
    gaps_below: u64,
}

impl Stage {
    pub fn new(manner: Manner) -> Stage {
        let disk = fake_disk(if manner.large_unit { 4096 } else { 512 });
        Store::create_on(&disk).unwrap();
        disk.mark(0);
        let began = disk.crash_points() - 1;
        let mut stage = Stage {
            disk,
            manner,
            store: None,
            company: Arc::default(),
            model: Model::new(),
            saves: Vec::new(),
            times: vec![Nanos(0)],
            promised: 0,
            shown: 0,
            began,
            kept: None,
            all_kept: true,
            gaps_below: 0,
        };
        stage.open();
        stage
    }

    fn options(&self) -> Options {
        let mut options = tiny(&self.disk);
        if self.manner.roomy {
            options.segment_min = 64 << 10;
            options.segment_max = 64 << 10;
        }
        if !self.manner.history {
            options = options.without_history();
        }
        let (clock, company) = (Arc::clone(&options.clock), Arc::clone(&self.company));
        let clock = move || {
            Company::come(&company);
            clock()
        };
        Options { clock: Arc::new(clock), ..options }
    }

    fn open(&mut self) {
        self.all_kept &= self.manner.history;
        self.disk.set_prewrite_helps(self.manner.prewrite);
        let store = Store::open_on(shared(&self.disk), self.options(), Arc::new(Local));
        let store = Arc::new(store.unwrap());
        assert!(!store.report().degraded(), "{:?}", store.report());
        self.found(&store.view());
        self.company.lock().unwrap().store = Arc::downgrade(&store);
        self.store = Some(store);
    }

    /// What is shown after an open decides which of the submitted saves there were.
    fn found(&mut self, view: &View) {
        let saves = view.lsn().0;
        let submitted = self.model.saves();
        let promised = self.promised;
        assert!(
            (promised..=submitted).contains(&saves),
            "{saves} saves are there: {promised} were promised, {submitted} submitted"
        );
        assert_eq!(dump(view).unwrap(), *self.model.after(saves), "another state than at {saves}");
        self.model.truncate(saves);
        self.saves.truncate(index(saves));
        self.times.truncate(index(saves) + 1);
        self.promise(saves);
    }

    /// From now on these saves may not be lost.
    fn promise(&mut self, lsn: u64) {
        self.disk.mark(lsn);
        self.promised = self.promised.max(lsn);
    }

    fn store(&self) -> Arc<Store> {
        Arc::clone(self.store.as_ref().expect("open between steps"))
    }

    fn newest(&self) -> u64 {
        self.model.saves()
    }

    fn part(&self, part: Part) -> u64 {
        (self.newest() + 2) * u64::from(part) / 256
    }

    pub fn play(&mut self, step: &Step) {
        let began = self.disk.crash_points() - 1;
        match step {
            Step::Save(save) => self.save(changes_of(save)),
            Step::Submit(saves) => self.submit(saves),
            Step::Get(table, key) => {
                let known = self.model.newest().get(&(table.clone(), key.clone()));
                assert_eq!(self.store().get(table, key).unwrap().as_ref(), known);
            }
            Step::Scan(table, prefix) => self.scan(table, prefix),
            Step::Load => self.load(),
            Step::Keep => self.keep(),
            Step::Checkpoint => self.checkpoint(),
            Step::Maintain => {
                self.store().maintain().unwrap();
                let reader = self.read();
                assert_eq!(reader.view().lsn().0, self.newest(), "all of it is published");
            }
            Step::Prune(minutes) => self.prune(*minutes),
            Step::At(part, by_time) => self.at(self.part(*part), *by_time),
            Step::Follow(part) => self.follow(self.part(*part)),
            Step::Read(part) => self.read_beside(self.part(*part)),
            Step::Reopen(manner) => self.reopen(*manner),
            Step::Crash(part, seed) => self.crash(*part, *seed),
        }
        // A look changes nothing: a crash is to be within a step that does.
        if self.disk.crash_points() - 1 > began && !matches!(step, Step::Read(_) | Step::Crash(..))
        {
            self.began = began;
        }
        let view = self.store().view();
        assert_eq!(view.lsn().0, self.newest());
        let progress = self.store().progress();
        assert_eq!((progress.commit_lsn, progress.flush_lsn), (view.lsn(), view.lsn()));
    }

    /// The submission of a save, known to the model before it can be on the disk.
    fn submitted(&mut self, changes: Vec<Change>) -> Batch {
        self.model.push(&changes);
        let batch = batch(&changes);
        self.saves.push(changes);
        batch
    }

    fn acknowledged(&mut self, lsn: Lsn, expected: u64) {
        assert_eq!(lsn.0, expected, "LSNs are dense");
        self.promise(lsn.0);
    }

    fn save(&mut self, changes: Vec<Change>) {
        let batch = self.submitted(changes);
        let lsn = self.store().save(batch).unwrap();
        self.acknowledged(lsn, self.newest());
        self.times.push(self.store().view().time());
    }

    fn submit(&mut self, saves: &[Vec<Drawn>]) {
        let before = self.newest();
        let mut batches: Vec<Batch> =
            saves.iter().map(|save| self.submitted(changes_of(save))).collect();
        let first = batches.remove(0);
        self.company.lock().unwrap().batches = batches;
        let groups = self.store().progress().groups;
        let mut tickets = vec![self.store().submit(first).unwrap()];
        tickets.append(&mut self.company.lock().unwrap().tickets);
        assert_eq!(tickets.len(), saves.len());
        // At once: without threads, nobody else would flush them.
        for (number, ticket) in tickets.into_iter().enumerate() {
            let lsn = ticket.poll_now().expect("flushed when submit returns").unwrap();
            self.acknowledged(lsn, before + 1 + number as u64);
        }
        let groups = self.store().progress().groups - groups;
        assert_eq!(groups, saves.len().min(2) as u64, "all but the first share a flush");
        self.learn_times(before + 1);
    }

    /// The times of the saves from `from` on.
    fn learn_times(&mut self, from: u64) {
        let mut follower = self.store().follow(Lsn(from)).unwrap();
        while let Some(saved) = follower.next(Duration::ZERO).unwrap() {
            assert_eq!(saved.lsn.0, self.times.len() as u64);
            self.times.push(saved.time);
        }
    }

    fn scan(&self, table: &str, prefix: &[u8]) {
        let view = self.store().view();
        let found = view.scan(table, prefix).map(|entry| {
            let (key, value) = entry.unwrap();
            (key.to_vec(), value.to_vec())
        });
        let known = self.model.newest().iter();
        let known = known.filter(|((name, key), _)| name == table && key.starts_with(prefix));
        let known = known.map(|((_, key), value)| (key.clone(), value.clone()));
        assert_eq!(found.collect::<Vec<_>>(), known.collect::<Vec<_>>());
    }

    fn load(&self) {
        let mut all = Vec::new();
        let loaded = self.store().load(|table, key, value| {
            all.push(((table.to_owned(), key.to_vec()), value.to_vec()));
            Ok::<(), SnapshotError>(())
        });
        loaded.unwrap();
        let known: Vec<_> = self.model.newest().clone().into_iter().collect();
        assert_eq!(all, known, "in order, and nothing else");
        let view = self.store().view();
        let mut tables: Vec<&str> = known.iter().map(|((table, _), _)| table.as_str()).collect();
        tables.dedup();
        assert_eq!(view.tables().unwrap(), tables);
    }

    fn keep(&mut self) {
        let now = (self.store().view(), self.model.newest().clone());
        if let Some((view, state)) = self.kept.replace(now) {
            assert_eq!(dump(&view).unwrap(), state, "a view does not change");
        }
    }

    fn checkpoint(&mut self) {
        let lsn = self.store().checkpoint().unwrap();
        assert!(lsn.is_none_or(|lsn| lsn.0 == self.newest()));
        if lsn.is_some() && !self.manner.history {
            let names = self.disk.image().names();
            let older = names.iter().filter(|name| match FileName::parse(name) {
                Some(FileName::Snapshot { lsn, .. }) => lsn.0 < self.newest(),
                _ => false,
            });
            assert_eq!(older.count(), 0, "what is superseded goes at once: {names:?}");
        }
        let again = self.store().checkpoint();
        assert!(matches!(again, Ok(None)), "nothing has changed since: {again:?}");
    }

    fn prune(&mut self, minutes: u16) {
        let passed = u64::from(minutes) * 60_000_000_000;
        self.disk.set_clock(Nanos(self.disk.clock().0 + passed));
        self.all_kept &= passed == 0;
        let before = self.disk.image().names();
        let deleted = self.store().prune().unwrap();
        let after = self.disk.image().names();
        let gone = before.iter().filter(|name| !after.contains(name));
        let mut named: Vec<&String> = deleted.iter().map(|file| &file.name).collect();
        named.sort_unstable();
        assert_eq!(gone.collect::<Vec<_>>(), named);
    }

    fn at(&self, lsn: u64, by_time: bool) {
        let store = self.store();
        let history = store.history().unwrap();
        assert_eq!(history.newest_lsn.0, self.newest());
        assert!(!self.all_kept || history.oldest_lsn == Lsn::ZERO, "{history:?}");
        self.readable(&store.at(At::Lsn(history.oldest_lsn)).unwrap(), history.oldest_lsn);
        let known = self.times.get(index(lsn)).filter(|_| by_time);
        let at = known.map_or(At::Lsn(Lsn(lsn)), |time| At::Time(*time));
        // Of a time, the last save that is not later.
        let wanted = known.map_or(lsn, |time| {
            self.times.iter().rposition(|other| other <= time).expect("its own") as u64
        });
        match store.at(at) {
            Ok(view) => {
                assert_eq!(view.lsn().0, wanted, "{at:?}");
                assert_eq!(dump(&view).unwrap(), *self.model.after(wanted), "{at:?}");
            }
            Err(ReadError::OutOfRange { oldest, newest }) => {
                assert_eq!(newest, history.newest_lsn, "{at:?}");
                assert!(wanted < oldest.0 || wanted > newest.0, "{at:?} of {history:?}");
                self.readable(&store.at(At::Lsn(oldest)).unwrap(), oldest);
                assert!(
                    oldest.0 <= history.oldest_lsn.0.max(self.gaps_below),
                    "{oldest} {} {history:?}",
                    self.gaps_below
                );
            }
            Err(ReadError::TooEarly { oldest }) => {
                assert!(oldest == history.oldest_time || self.gaps_below > 0, "{history:?}");
                assert!(known.is_some_and(|time| *time < oldest), "{at:?} of {history:?}");
                let first = store.at(At::Time(oldest)).unwrap();
                self.readable(&first, first.lsn());
            }
            Err(error) => panic!("{at:?} of {history:?}: {error}"),
        }
    }

    /// What was said to be the oldest that can be read.
    fn readable(&self, view: &View, lsn: Lsn) {
        assert_eq!(view.lsn(), lsn);
        assert_eq!(dump(view).unwrap(), *self.model.after(lsn.0), "lsn {lsn}");
    }

    fn follow(&self, from: u64) {
        let store = self.store();
        let oldest = store.history().unwrap().oldest_lsn.0.max(self.gaps_below);
        self.follows(&|lsn| store.follow(lsn), from, self.newest(), oldest);
    }

    /// A follower hands out exactly the saves `from` to `last`, or says that it cannot, because
    /// they are not all behind the `oldest` state that can be read, and from where on it can.
    fn follows(
        &self,
        follow: &dyn Fn(Lsn) -> Result<Follower, ReadError>,
        from: u64,
        last: u64,
        oldest: u64,
    ) {
        let behind = |lsn: u64, error: &ReadError| {
            let ReadError::Behind { oldest: said } = error else { panic!("save {lsn}: {error}") };
            assert!(lsn <= oldest && said.0 > lsn, "save {lsn} of {oldest} to {last}: {error}");
            let first = follow(*said).unwrap().next(Duration::ZERO).unwrap();
            let first = first.map(|saved| saved.lsn);
            assert_eq!(first, (said.0 <= last).then_some(*said), "as was said of {lsn}");
        };
        let mut follower = match follow(Lsn(from)) {
            Ok(follower) => follower,
            Err(error) => return behind(from.max(1), &error),
        };
        for lsn in from.max(1)..=last {
            let saved = match follower.next(Duration::ZERO) {
                Ok(saved) => saved,
                Err(error) => return behind(lsn, &error),
            };
            let saved = saved.unwrap_or_else(|| panic!("save {lsn} of {last} is not handed out"));
            assert_eq!((saved.lsn.0, saved.time), (lsn, self.times[index(lsn)]));
            let ops: Vec<_> = saved.ops().map(|op| op.unwrap()).collect();
            let known = &self.saves[index(lsn) - 1];
            let known: Vec<_> = known.iter().map(|change| op(change)).collect();
            assert_eq!(ops, known, "save {lsn}");
        }
        let more = follower.next(Duration::ZERO).unwrap();
        assert!(more.is_none(), "{more:?} after {last}");
    }

    /// A look from another process.
    fn read(&mut self) -> Reader {
        let reader = Reader::open_on(shared(&self.disk)).unwrap();
        let lsn = reader.view().lsn().0;
        assert!((self.shown..=self.newest()).contains(&lsn), "{lsn} after {}", self.shown);
        assert_eq!(dump(reader.view()).unwrap(), *self.model.after(lsn));
        assert!(!reader.report().degraded(), "{:?}", reader.report());
        self.shown = lsn;
        // What was seen is durable.
        self.promise(lsn);
        reader
    }

    fn read_beside(&mut self, from: u64) {
        let reader = self.read();
        assert!(reader.writer_lives());
        let shown = reader.view().lsn().0;
        let oldest = reader.history().oldest_lsn.0.max(self.gaps_below);
        self.follows(&|lsn| reader.follow(lsn), from, shown, oldest);
        match reader.at(At::Lsn(Lsn(from))) {
            Ok(view) => assert_eq!(dump(&view).unwrap(), *self.model.after(from)),
            Err(ReadError::OutOfRange { oldest, newest }) => {
                assert!(from < oldest.0 || (from > shown && newest.0 == shown));
                assert!(oldest.0 <= reader.history().oldest_lsn.0.max(self.gaps_below));
            }
            Err(error) => panic!("{from} from outside: {error}"),
        }
    }

    fn close(&mut self) {
        self.company.lock().unwrap().store = Weak::new();
        let store = Arc::into_inner(self.store.take().expect("open")).expect("the only owner");
        store.close().unwrap();
        let reader = self.read();
        assert!(!reader.writer_lives());
        assert_eq!(reader.view().lsn().0, self.newest());
    }

    fn reopen(&mut self, manner: Manner) {
        self.close();
        self.manner = manner;
        self.open();
    }

    fn crash(&mut self, part: Part, seed: u64) {
        let now = self.disk.crash_points();
        let point = self.began + (now - self.began) * usize::from(part) / 256;
        let mut crashes = Crashes::new(8, seed).within(&self.disk, point..point + 1);
        // The systematic choices, and behind them the random ones.
        let wanted = (seed % 64) as usize;
        let mut chosen = crashes.next().expect("every moment leaves something");
        for crash in crashes.take(wanted) {
            chosen = crash;
        }
        self.promised = chosen.acknowledged.expect("marked since its making");
        // Its last act would be to publish its watermark: that goes to a disk that is gone.
        self.kept = None;
        self.company.lock().unwrap().store = Weak::new();
        self.store = None;
        self.disk = FakeDisk::from_image(&chosen.image);
        self.shown = self.shown.min(self.promised);
        self.disk.mark(self.promised);
        self.began = self.disk.crash_points() - 1;
        self.open();
        if !self.all_kept {
            let reader = self.read();
            let sound = reader.directory().snapshots.iter().filter(|facts| facts.header.is_ok());
            let newest = sound.map(|facts| facts.lsn.0).max();
            self.gaps_below = self.gaps_below.max(newest.unwrap_or(0));
        }
    }

    /// The end of a case: closed, read by others, verified to the last byte, and opened once more.
    pub fn end(mut self) {
        self.save(changes(7, 100));
        self.close();
        let verified = verify_on(shared(&self.disk), Level::Full).unwrap();
        assert_eq!(verified.lsn.0, self.newest());
        assert!(verified.findings.is_empty(), "{:?}", verified.findings);
        self.open();
        self.load();
    }
}

fn index(lsn: u64) -> usize {
    usize::try_from(lsn).expect("few saves")
}

fn changes_of(save: &[Drawn]) -> Vec<Change> {
    save.iter().map(Drawn::change).collect()
}

fn op(change: &Change) -> Op<'_> {
    let (table, key) = (change.table.as_str(), change.key.as_slice());
    match &change.value {
        Some(value) => Op::Put { table, key, value },
        None => Op::Delete { table, key },
    }
}
