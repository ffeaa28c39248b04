//! Recovery: from the facts of a directory to the state that was durable, or to a refusal.
//!
//! Invariants:
//! - The state is exactly a prefix of the saves, and holds every save that anything durable vouches
//!   for; where that cannot be had, it is refused with file, offset, LSN and what survives.
//! - Nothing is written.

use crate::base::{Epoch, Id, Lsn, Nanos, SegmentId};
use crate::disk::{Disk, Site};
use crate::format::segment::FIRST_GROUP;
use crate::format::{Control, FileName, FormatError, Ops, names};
use crate::log::{Payload, Position};
use crate::snapshot::{Snapshot, SnapshotError};
use crate::store::beyond::Beyond;
use crate::store::changes::Changes;
use crate::store::decision::{self, Bound, End, Slots, Stand, Standing, Whose};
use crate::store::directory::{self, ControlFacts, Directory, SnapshotFacts};
use crate::store::doubt::{self, Doubt};
use crate::store::error::{Damage, Evidence, Found, OpenError};
use crate::store::follow::Saved;
use crate::store::state::View;
use crate::store::walk::{Seals, Walk, Walked, genesis};
use std::io;
use std::sync::Arc;

/// Threads that check a snapshot: more than this gains nothing on the disks we know.
const VERIFY_THREADS: usize = 4;

/// Below this many bytes of records, starting threads takes longer than checking.
const SMALL: u64 = 4 << 20;

/// Up to where the state is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All of it.
    End,
    /// The state at an LSN.
    Lsn(Lsn),
    /// The last save at or before a time.
    Time(Nanos),
    /// Everything before the first damage, which is then the end: for repair only.
    BeforeDamage,
}

/// Whether somebody writes the directory meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Nobody does: everything whole in the log counts, if the device holds it.
    None,
    /// Nobody does, and the caller is about to, with the lock in its hands: what the device does
    /// not hold is told, for the caller to write once more.
    Opens,
    /// Somebody does: what a watermark vouches for counts, and everything up to this LSN, which the
    /// caller knows to be committed.
    Lives(Lsn),
}

/// What recovery passed by. Everything here is normal or harmless, and worth a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The snapshot that was used.
    pub snapshot: Option<String>,
    /// Groups of the log that were applied.
    pub groups: u64,
    /// An unfinished last group: segment, offset, bytes.
    pub torn_tail: Option<(String, u64, u64)>,
    /// In a copy: what was caught of later groups: segment, offset, bytes.
    pub set_aside: Option<(String, u64, u64)>,
    /// Snapshots that are damaged and were not needed, with what is wrong.
    pub damaged_snapshots: Vec<(String, String)>,
    /// Snapshots that were never finished.
    pub unfinished: Vec<String>,
    /// Segments behind the end that were never finished, or were cut to less than a header and may
    /// have held saves that nothing vouches for: nobody can tell.
    pub unfinished_segments: Vec<String>,
    /// Groups of the log that nobody may see yet, because no writer has vouched for them.
    pub withheld: u64,
    /// One slot of the control file could not be read.
    pub one_slot: bool,
    /// Files that are not ours.
    pub strangers: Vec<String>,
    /// Whether the directory is a copy.
    pub copy: bool,
}

impl Report {
    /// Whether something is damaged, though nothing is lost.
    #[must_use]
    pub fn degraded(&self) -> bool {
        !self.damaged_snapshots.is_empty()
    }
}

/// A recovered state.
#[derive(Debug)]
pub struct Recovered {
    /// The facts.
    pub directory: Directory,
    /// The control file's newest slot.
    pub control: Control,
    /// Whose directory it is.
    pub whose: Whose,
    /// The state.
    pub view: View,
    /// Where the history ends (or the target lies).
    pub end: Position,
    /// Bytes of log behind the snapshot.
    pub log_bytes: u64,
    /// A last group that is to be written once more before anything is built on it.
    pub(crate) doubt: Option<Doubt>,
    /// The saves behind the state that recovery went on from, where it did.
    pub(crate) since: Vec<Saved>,
    /// What was passed by.
    pub report: Report,
}

/// Goes on from `view`, which stands at `from` and is confirmed, to the end of the log: what a
/// standby does that has followed so far, and is about to write.
pub(crate) fn recover_from(
    disk: &dyn Disk,
    view: View,
    from: Position,
) -> Result<Recovered, OpenError> {
    let directory = Directory::read(disk).map_err(OpenError::io("directory"))?;
    go_on(disk, directory, Target::End, Writer::Opens, Wanted::State, Some((view, from)))
}

/// Reads the state of the directory up to `target`.
///
/// # Errors
/// [`OpenError`]. The directory is never changed.
pub fn recover(disk: &dyn Disk, target: Target, writer: Writer) -> Result<Recovered, OpenError> {
    let directory = Directory::read(disk).map_err(OpenError::io("directory"))?;
    recover_in(disk, directory, target, writer, Wanted::State)
}

/// What of a state is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    State,
    /// Its LSN, its time and where the log ends: the view holds no later entries than the snapshot.
    End,
}

/// As [`recover`], from the facts of the directory.
pub(crate) fn recover_in(
    disk: &dyn Disk,
    directory: Directory,
    target: Target,
    writer: Writer,
    wanted: Wanted,
) -> Result<Recovered, OpenError> {
    go_on(disk, directory, target, writer, wanted, None)
}

fn go_on(
    disk: &dyn Disk,
    directory: Directory,
    target: Target,
    writer: Writer,
    wanted: Wanted,
    warm: Option<(View, Position)>,
) -> Result<Recovered, OpenError> {
    let (control, facts) = identify(&directory)?;
    check_files(&directory, &control)?;
    Recovery {
        disk,
        directory: &directory,
        seals: Arc::new(Seals::of(&directory)),
        whose: whose(&directory, &control, &facts),
        facts: &facts,
        target,
        writer,
        wanted,
        since: warm.is_some().then(Vec::new),
        report: Report {
            one_slot: facts.slots[1].is_err(),
            strangers: directory.strangers.clone(),
            copy: !facts.original,
            ..Report::default()
        },
    }
    .run(warm)
    .map(|outcome| Recovered {
        whose: whose(&directory, &control, &facts),
        view: outcome.view,
        end: outcome.end,
        log_bytes: outcome.log_bytes,
        doubt: outcome.doubt,
        since: outcome.since,
        report: outcome.report,
        control,
        directory,
    })
}

/// The last LSN that the control file vouches for, read anew.
pub(crate) fn published(disk: &dyn Disk) -> Result<Lsn, OpenError> {
    let facts = directory::read_control(disk).map_err(OpenError::io(names::CONTROL))?;
    let mut published = facts.watermark();
    if facts.shared() {
        for entry in disk.list().map_err(OpenError::io("directory"))? {
            let Some(FileName::ControlOf(epoch)) = FileName::parse(&entry.name) else { continue };
            let of = directory::read_control_of(disk, epoch).map_err(OpenError::io(entry.name))?;
            published = published.max(of.map_or(Lsn::ZERO, |facts| facts.watermark()));
        }
    }
    Ok(published)
}

/// What the directory is, by the table.
pub(crate) fn standing(directory: &Directory) -> Standing {
    let slots = match directory.control.as_ref().map(|facts| &facts.slots) {
        None => Slots::Absent,
        Some([Ok(_), Ok(_)]) => Slots::Both,
        Some([Ok(_), Err(_)]) => Slots::One,
        Some(slots) if slots.iter().any(|s| too_new(s).is_some()) => Slots::Newer,
        Some(_) => Slots::None,
    };
    decision::standing(slots, directory.has_data())
}

fn too_new<T>(slot: &Result<T, FormatError>) -> Option<FormatError> {
    slot.as_ref().err().copied().filter(|error| matches!(error, FormatError::TooNew { .. }))
}

/// The control file's newest slot, if the directory is a store.
pub(crate) fn identify(directory: &Directory) -> Result<(Control, ControlFacts), OpenError> {
    let facts = directory.control.as_ref();
    let mut slots = facts.iter().flat_map(|facts| &facts.slots);
    match standing(directory) {
        Standing::Store | Standing::StoreOneSlot => {
            let facts = facts.expect("a slot was read").clone();
            let mut newest = facts.slots[0].clone().expect("the newest slot was read");
            for reign in directory.controls.values() {
                let slots = reign.slots.iter().filter_map(|slot| slot.as_ref().ok());
                newest.epoch = slots.map(|slot| slot.epoch).fold(newest.epoch, Epoch::max);
                newest.watermark = newest.watermark.max(reign.watermark());
            }
            Ok((newest, facts))
        }
        Standing::NoStore => Err(OpenError::NotAStore),
        Standing::Refused => {
            let reason = slots.find_map(|slot| slot.as_ref().err().copied());
            Err(OpenError::Control(reason.unwrap_or(FormatError::Blank)))
        }
        Standing::TooNew => {
            let source = slots.find_map(too_new).expect("a slot is of a newer version");
            Err(OpenError::TooNew { file: names::CONTROL.to_owned(), source })
        }
    }
}

fn whose(directory: &Directory, control: &Control, facts: &ControlFacts) -> Whose {
    // A copy whose adoption was cut short between control file and seal is still a copy: nothing
    // here belongs to the new history yet.
    let own = |incarnation: Id| incarnation == control.incarnation;
    let mut segments = directory.segments.values().filter(|segment| segment.first.is_some());
    let mut snapshots = directory.snapshots.iter().filter_map(|s| s.header.as_ref().ok());
    let begun = control.ancestors.is_empty()
        || segments.any(|s| s.header.as_ref().is_ok_and(|header| own(header.incarnation)))
        || snapshots.any(|header| own(header.incarnation));
    match (facts.original && begun, control.replica) {
        (false, _) => Whose::Copy,
        (true, true) => Whose::Replica,
        (true, false) => Whose::Original,
    }
}

/// Whether every file can be read by this build, and belongs to this history.
pub(crate) fn check_files(directory: &Directory, control: &Control) -> Result<(), OpenError> {
    check_versions(directory)?;
    check_lineage(directory, control)
}

fn check_versions(directory: &Directory) -> Result<(), OpenError> {
    let segments = directory.segments.values().map(|s| (s.name(), s.header.as_ref().err()));
    let snapshots = directory.snapshots.iter().map(|s| (s.name(), s.header.as_ref().err()));
    for (file, error) in segments.chain(snapshots) {
        if let Some(source @ FormatError::TooNew { .. }) = error {
            return Err(OpenError::TooNew { file, source: *source });
        }
    }
    Ok(())
}

/// Every file belongs to this history, or to one that this one continues.
fn check_lineage(directory: &Directory, control: &Control) -> Result<(), OpenError> {
    let belongs = |incarnation: Id, epoch| {
        incarnation == control.incarnation
            || control
                .ancestors
                .iter()
                .any(|a| a.incarnation == incarnation && epoch <= a.last_epoch)
    };
    let segments = directory.segments.values().filter_map(|segment| {
        let header = segment.header.as_ref().ok()?;
        Some((segment.name(), header.incarnation, header.id.epoch))
    });
    let snapshots = directory.snapshots.iter().filter_map(|snapshot| {
        let header = snapshot.header.as_ref().ok()?;
        Some((snapshot.name(), header.incarnation, header.epoch))
    });
    for (file, incarnation, epoch) in segments.chain(snapshots) {
        if !belongs(incarnation, epoch) {
            return Err(OpenError::Foreign { file, incarnation });
        }
    }
    Ok(())
}

struct Outcome {
    view: View,
    end: Position,
    log_bytes: u64,
    doubt: Option<Doubt>,
    since: Vec<Saved>,
    report: Report,
}

#[derive(Clone)]
struct Recovery<'a> {
    disk: &'a dyn Disk,
    directory: &'a Directory,
    seals: Arc<Seals>,
    whose: Whose,
    facts: &'a ControlFacts,
    target: Target,
    writer: Writer,
    wanted: Wanted,
    /// Every save that is read, where they are wanted.
    since: Option<Vec<Saved>>,
    report: Report,
}

/// A group that is read but not yet vouched for.
struct Held {
    /// Its saves, where they are wanted.
    payload: Option<Arc<Payload>>,
    after: Position,
}

impl Recovery<'_> {
    fn run(mut self, warm: Option<(View, Position)>) -> Result<Outcome, OpenError> {
        if let Some((mut view, from)) = warm {
            let nowhere = from.segment == SegmentId::default();
            let from = if nowhere { genesis(&self.seals) } else { from };
            return self.replay(&mut view, from);
        }
        let directory = self.directory;
        let mut candidates: Vec<&SnapshotFacts> = directory.snapshots.iter().collect();
        candidates.sort_by_key(|facts| (facts.epoch, facts.lsn));
        for facts in candidates.into_iter().rev() {
            if facts.header == Err(FormatError::Blank) {
                self.report.unfinished.push(facts.name());
                continue;
            }
            if !self.on_history(facts) || self.beyond_target(facts) || !self.bounded(facts.epoch) {
                continue;
            }
            match self.replay_onto(facts) {
                Ok(outcome) => return outcome,
                Err(error) if error.is_damage() => {
                    self.report.damaged_snapshots.push((facts.name(), error.to_string()));
                }
                // That says nothing about what is on disk: neither damage, nor gone.
                Err(SnapshotError::Io { name, source })
                    if source.kind() != io::ErrorKind::NotFound =>
                {
                    return Err(OpenError::io(name)(source));
                }
                // Gone meanwhile, because a writer has superseded it.
                Err(_) => {}
            }
        }
        let start = genesis(&self.seals);
        let start = if self.bounded(start.segment.epoch) { start } else { Position::default() };
        self.replay(&mut View::default(), start)
    }

    /// The outcome with the snapshot of `facts` below, if that is sound: the log is replayed while
    /// other threads still verify the snapshot.
    fn replay_onto(
        &self,
        facts: &SnapshotFacts,
    ) -> Result<Result<Outcome, OpenError>, SnapshotError> {
        let snapshot = Arc::new(Snapshot::open(self.disk, &facts.name())?);
        let header = snapshot.header();
        let start = Position {
            segment: header.resume,
            offset: header.resume_offset,
            lsn: header.lsn,
            chain: header.chain,
            time: header.time,
        };
        let threads = match header.data_len {
            0..SMALL => 1,
            _ => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let base = Some(Arc::clone(&snapshot));
        let mut view = View { lsn: start.lsn, time: start.time, base, ..View::default() };
        let mut recovery = self.clone();
        recovery.report.snapshot = Some(facts.name());
        let replay = || recovery.replay(&mut view, start);
        let (verified, outcome) = snapshot.verify_beside(threads.min(VERIFY_THREADS), replay);
        match outcome {
            // The device failed, not the snapshot alone; and no flush is done a second time.
            Err(OpenError::Io { .. }) => Ok(outcome),
            _ => verified.map(|()| outcome),
        }
    }

    fn on_history(&self, facts: &SnapshotFacts) -> bool {
        match &facts.header {
            Ok(header) => self.seals.accepts(header),
            // What is damaged says with its name only that it was.
            Err(_) => self.seals.holds(facts.epoch, facts.lsn),
        }
    }

    /// Whether what the epoch holds can be taken for the past. The newest state is held against
    /// everything that vouches for more, a past one is not.
    fn bounded(&self, epoch: Epoch) -> bool {
        matches!(self.target, Target::End | Target::BeforeDamage) || self.seals.bounds(epoch)
    }

    fn beyond_target(&self, facts: &SnapshotFacts) -> bool {
        match self.target {
            Target::End | Target::BeforeDamage => false,
            Target::Lsn(lsn) => facts.lsn > lsn,
            Target::Time(time) => facts.header.as_ref().is_ok_and(|header| header.time > time),
        }
    }

    fn replay(mut self, view: &mut View, start: Position) -> Result<Outcome, OpenError> {
        let io =
            |what: SegmentId| OpenError::io(crate::format::FileName::Segment(what).to_string());
        let seals = Arc::clone(&self.seals);
        let mut walk =
            Walk::new(self.disk, self.directory, &seals, start).map_err(io(start.segment))?;
        let mut held: Vec<Held> = Vec::new();
        let mut end = start;
        let mut log_bytes = 0;
        // Whether the last group is one that only a later group vouches for.
        let mut starts_epoch = false;
        let mut last: Option<Doubt> = None;
        // While somebody writes: a group that was seen behind the first end, up to which the log
        // must be whole by now.
        let mut whole_until: Option<(SegmentId, u64)> = None;
        let (stand, found, beyond) = loop {
            match walk.step().map_err(io(walk.position().segment))? {
                Walked::End(stand, found) => {
                    let beyond = Beyond::look(self.disk, self.directory, &end)
                        .map_err(OpenError::io("log"))?;
                    let settled = self.nobody_writes() || whole_until.is_some();
                    if settled || beyond.group.is_none() {
                        break (stand, found, beyond);
                    }
                    whole_until = beyond.group;
                    walk.refresh();
                }
                Walked::Group(header) => {
                    // A good group proves that everything before it was durable.
                    Self::apply(view, &mut held, header.watermark, self.target);
                    if self.reached(view, header.time) {
                        return Ok(self.outcome(view, end, log_bytes));
                    }
                    log_bytes += header.disk_len();
                    self.report.groups += 1;
                    let at = walk.position();
                    last = Some(Doubt {
                        segment: at.segment,
                        offset: at.offset,
                        len: header.disk_len(),
                        before: at.lsn,
                    });
                    let saves = header.saves > 0;
                    let payload = match self.wanted {
                        Wanted::State => {
                            let payload = walk.group().payload().to_vec();
                            let payload = Arc::new(Payload::Copy(payload));
                            if let Some(since) = &mut self.since {
                                let saves = Saved::of(&header, &payload);
                                since.extend(saves.expect("the group's frames were checked"));
                            }
                            Some(payload)
                        }
                        Wanted::End => {
                            walk.pass();
                            None
                        }
                    };
                    end = walk.position();
                    starts_epoch = !saves;
                    if saves {
                        held.push(Held { payload, after: end });
                    } else {
                        view.time = view.time.max(end.time);
                    }
                    if whole_until.is_some_and(|group| (end.segment, end.offset) > group) {
                        self.release(view, &mut held);
                        return Ok(self.outcome(view, end, log_bytes));
                    }
                }
            }
        };
        self.release(view, &mut held);
        if self.reached(view, Nanos(u64::MAX)) {
            return Ok(self.outcome(view, end, log_bytes));
        }
        let file = walk.groups().map(|groups| Arc::clone(groups.file()));
        self.decide_end(&end, stand, found, &beyond)?;
        let mut doubt = None;
        if self.nobody_writes() && (starts_epoch || !held.is_empty()) {
            // Nobody vouches for these yet: they may stand in the page cache only. From here on
            // they are durable, or recovery fails. That goes for a start of an epoch, too: the
            // next seal points at it, and without it the way from the older epochs is lost.
            if let Some((file, last)) = file.zip(last) {
                let stands = doubt::stands(file.as_ref(), last.offset, last.len, Site::Tail);
                let stands = stands.map_err(io(end.segment))?;
                doubt = self.doubted(last, stands);
            }
            let vouched = doubt.filter(|_| self.writer == Writer::None).map(|doubt| doubt.before);
            Self::apply(view, &mut held, vouched.unwrap_or(Lsn(u64::MAX)), self.target);
            self.report.withheld = held.len() as u64;
        }
        Ok(Outcome { doubt, ..self.outcome(view, end, log_bytes) })
    }

    /// Whether the last group is in doubt, given what its comparison with the device says. Where
    /// nobody can tell, the one who opens the store makes sure; one who only reads cannot.
    fn doubted(&self, last: Doubt, stands: Option<bool>) -> Option<Doubt> {
        let sure = stands.unwrap_or(self.writer == Writer::None);
        (!sure).then_some(last)
    }

    fn nobody_writes(&self) -> bool {
        !matches!(self.writer, Writer::Lives(_))
    }

    /// Applies what the control file, or the caller, vouches for; counts what nobody does.
    fn release(&mut self, view: &mut View, held: &mut Vec<Held>) {
        let known = match self.writer {
            Writer::None | Writer::Opens => Lsn::ZERO,
            Writer::Lives(committed) => committed,
        };
        Self::apply(view, held, self.published().max(known), self.target);
        if !self.nobody_writes() {
            self.report.withheld = held.len() as u64;
        }
    }

    fn outcome(self, view: &mut View, end: Position, log_bytes: u64) -> Outcome {
        view.active.settle();
        let (view, since) = (std::mem::take(view), self.since.unwrap_or_default());
        Outcome { view, end, log_bytes, doubt: None, since, report: self.report }
    }

    /// Applies the held groups up to `watermark`, as far as the target wants them.
    fn apply(view: &mut View, held: &mut Vec<Held>, watermark: Lsn, target: Target) {
        let ready = held.iter().take_while(|group| group.after.lsn <= watermark).count();
        for group in held.drain(..ready) {
            if matches!(target, Target::Time(time) if group.after.time > time) {
                continue;
            }
            apply_payload(view, &group, target);
        }
    }

    /// Whether the view stands at the target, so that nothing later is wanted.
    fn reached(&self, view: &View, next: Nanos) -> bool {
        match self.target {
            Target::End | Target::BeforeDamage => false,
            Target::Lsn(lsn) => view.lsn >= lsn,
            Target::Time(time) => next > time && next != Nanos(u64::MAX),
        }
    }

    /// The greatest LSN that the control file vouches for on this disk.
    fn published(&self) -> Lsn {
        let slots = self.facts.slots.iter().filter_map(|slot| slot.as_ref().ok());
        // A slot that a copier read after it had listed the files may speak of a segment that was
        // not there to be listed.
        let binding =
            slots.filter(|slot| self.whose != Whose::Copy || slot.written <= self.facts.modified);
        let own = binding.map(|slot| slot.watermark);
        // An epoch vouches only for what was confirmed: that binds in every later one.
        let epochs = self.directory.controls.values().flat_map(|facts| {
            let slots = facts.slots.iter().filter_map(|slot| slot.as_ref().ok());
            let listed = |slot: &&Control| slot.written <= facts.modified;
            slots.filter(move |slot| self.whose != Whose::Copy || listed(slot))
        });
        own.chain(epochs.map(|slot| slot.watermark)).max().unwrap_or_default()
    }

    fn decide_end(
        &mut self,
        end: &Position,
        stand: Stand,
        found: Found,
        beyond: &Beyond,
    ) -> Result<(), OpenError> {
        // An empty store has no segment that could be missing.
        let nowhere = end.segment == SegmentId::default();
        let stand = if nowhere && stand == Stand::Missing { Stand::Blank } else { stand };
        let stand =
            if beyond.written > 0 && stand == Stand::Blank { Stand::Written } else { stand };
        // A copier may have been at a segment while it was made; its owner never leaves it so.
        let headless = beyond.headless.filter(|_| self.whose != Whose::Copy);
        let cut = beyond.cut.filter(|_| self.whose != Whose::Copy);
        let vanished = self.vanished(end, beyond);
        let lost = headless.is_some() || cut.is_some() || vanished.is_some();
        let stand = if lost { Stand::Missing } else { stand };
        if self.nobody_writes() {
            let name = |id: &SegmentId| crate::format::FileName::Segment(*id).to_string();
            self.report.unfinished_segments = beyond.unfinished.iter().map(name).collect();
        }
        let (bound, evidence) = self.evidence(end, beyond);
        let file = crate::format::FileName::Segment(end.segment).to_string();
        match decision::end(stand, bound, self.whose) {
            End::Clean => Ok(()),
            End::TornTail => {
                self.report.torn_tail = Some((file, end.offset, beyond.written));
                Ok(())
            }
            End::BrokenCopy => {
                self.report.set_aside = Some((file, end.offset, beyond.written));
                Ok(())
            }
            End::Corruption if self.target == Target::BeforeDamage => Ok(()),
            End::Corruption => {
                let vanished = vanished.map(|id| {
                    let file = crate::format::FileName::Segment(id).to_string();
                    match self.directory.segments.contains_key(&id) {
                        true => (file, FIRST_GROUP, Found::NoSnapshot),
                        false => (file, FIRST_GROUP, Found::Missing),
                    }
                });
                let lost = vanished.or_else(|| self.lost_segment(end, &found, beyond));
                let (file, offset, found) = lost.unwrap_or((file, end.offset, found));
                Err(OpenError::Corruption(Box::new(Damage {
                    file,
                    offset,
                    lsn: end.lsn.next(),
                    survives: end.lsn,
                    found: self.worse(found),
                    because: evidence.unwrap_or(Evidence::Resume),
                })))
            }
        }
    }

    /// A segment that must have been there, because later ones are: a copier has listed it, and it
    /// was superseded before its turn came. Ordinals are given out one by one. The first of all is
    /// deleted only after a snapshot was published: where that is missing, the first one that is
    /// left, which nothing leads to.
    fn vanished(&self, end: &Position, beyond: &Beyond) -> Option<SegmentId> {
        let segments = &self.directory.segments;
        let there = |ordinal: u64| segments.keys().any(|id| id.ordinal == ordinal);
        if end.segment == SegmentId::default() {
            let lowest = segments.keys().min_by_key(|id| id.ordinal)?;
            return (lowest.ordinal > 1).then_some(*lowest);
        }
        // In the original, groups further on are damage in any case.
        let (later, _) = beyond.group.filter(|_| self.whose == Whose::Copy)?;
        let ordinal = end.segment.ordinal.checked_add(1)?;
        let gap = ordinal < later.ordinal && !there(ordinal);
        gap.then_some(SegmentId { ordinal, ..end.segment })
    }

    /// What to name where the log ends at the end of its segment, or in zeros or nowhere, although
    /// later segments are there: the one that cannot be read; else, as ordinals are given out one
    /// by one, the one after the end. Its epoch is that of its neighbour: a guess, for the message
    /// only.
    fn lost_segment(
        &self,
        end: &Position,
        found: &Found,
        beyond: &Beyond,
    ) -> Option<(String, u64, Found)> {
        if !matches!(found, Found::Nothing | Found::Missing) {
            return None;
        }
        let name = |id| crate::format::FileName::Segment(id).to_string();
        if let Some((id, error)) = beyond.headless {
            return Some((name(id), 0, Found::Bad(error)));
        }
        if let Some((id, len, made)) = beyond.cut {
            return Some((name(id), len, Found::Cut { len, made }));
        }
        let ordinal = end.segment.ordinal.saturating_add(1);
        let segments = &self.directory.segments;
        let later = segments.keys().filter(|id| id.ordinal >= ordinal);
        let next = later.min_by_key(|id| id.ordinal);
        let last = segments.get(&end.segment).and_then(|facts| facts.header.as_ref().ok());
        let full = last.is_some_and(|header| end.offset >= header.prewritten);
        let lost = next.map_or(full, |next| next.ordinal > ordinal);
        let epoch = match next {
            Some(next) if end.segment.ordinal == 0 => next.epoch,
            _ => end.segment.epoch,
        };
        lost.then(|| (name(SegmentId { epoch, ordinal }), FIRST_GROUP, Found::Missing))
    }

    /// What to name: a damaged snapshot explains a log that is too short by itself.
    fn worse(&self, found: Found) -> Found {
        match (&found, self.report.damaged_snapshots.first()) {
            (Found::Nothing | Found::Missing, Some((name, why))) => {
                Found::Snapshot(format!("{name} is damaged ({why}) and the log does not reach"))
            }
            _ => found,
        }
    }

    fn evidence(&self, end: &Position, beyond: &Beyond) -> (Bound, Option<Evidence>) {
        let published = self.published();
        if published > end.lsn {
            return (Bound::Durable, Some(Evidence::Watermark(published)));
        }
        let names = self.directory.snapshots.iter().filter(|facts| self.on_history(facts));
        if let Some(lsn) = names.map(|facts| facts.lsn).max().filter(|lsn| *lsn > end.lsn) {
            return (Bound::Durable, Some(Evidence::Snapshot(lsn)));
        }
        match beyond.group {
            Some((id, offset)) => {
                let evidence = Evidence::LaterGroup { ordinal: id.ordinal, offset };
                (Bound::LaterGroup, Some(evidence))
            }
            None if beyond.headless.is_some() => (Bound::LaterGroup, Some(Evidence::Written)),
            None => (Bound::None, None),
        }
    }
}

fn apply_payload(view: &mut View, group: &Held, target: Target) {
    let Some(payload) = &group.payload else {
        // Only where the log ends is wanted.
        view.lsn = match target {
            Target::Lsn(limit) => group.after.lsn.min(limit),
            _ => group.after.lsn,
        };
        view.time = group.after.time;
        return;
    };
    let mut rest: &[u8] = payload;
    let mut lsn = view.lsn;
    let mut changes: Changes = std::mem::take(&mut view.active);
    while lsn < group.after.lsn && !matches!(target, Target::Lsn(limit) if lsn >= limit) {
        let (ops, after) = Ops::split(rest).expect("the group's frames were checked");
        changes.apply_ops(payload, ops);
        rest = after;
        lsn = lsn.next();
    }
    changes.count_bytes(payload.len() as u64);
    view.active = changes;
    view.lsn = lsn;
    view.time = group.after.time;
}
