//! Opens a damaged store, for reading and for writing, and says what that was.

use crate::common::model::dump;
use crate::common::shared;
use crate::store::{Subject, options};
use statedir::base::{Local, Lsn};
use statedir::disk::fake::{FakeDisk, Image};
use statedir::format::names;
use statedir::store::recovery::{Target, Writer, recover};
use statedir::store::{OpenError, Report};
use statedir::{Reader, Store, View};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What opening a damaged store came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The right state, and nothing to say.
    Right,
    /// The right state, and a word about the damage.
    Told,
    /// Refused, with what is wrong.
    Refused(String),
    /// The state after fewer saves, where nothing that is left says that there were more, with a
    /// word about the damage or without. Such a directory is, to the byte that counts, what a crash
    /// at that earlier moment leaves: nobody can tell the two apart.
    Earlier {
        told: bool,
    },
    /// Another state than the right one, as if all were well.
    SilentChange(String),
    /// Any other breach of the rules: an error that does not say what it must, for one.
    Breach(String),
    Panic(String),
}

impl Verdict {
    pub fn is_right(&self) -> bool {
        matches!(self, Verdict::Right | Verdict::Told)
    }

    pub fn is_wrong(&self) -> bool {
        matches!(self, Verdict::SilentChange(_) | Verdict::Breach(_) | Verdict::Panic(_))
    }
}

/// How closely a damaged store is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It is opened for reading.
    Reader,
    /// It is opened for writing, too, and what a refusal says is checked.
    Writer,
}

pub fn judge(subject: &Subject, damaged: &Image, depth: Depth) -> Verdict {
    caught(|| {
        let disk = FakeDisk::from_image(damaged);
        let reader = read(subject, damaged, &disk);
        if depth == Depth::Reader || reader.is_wrong() {
            return reader;
        }
        let writer = write(subject, damaged, &disk);
        if writer == reader || writer.is_wrong() {
            return writer;
        }
        Verdict::Breach(format!("for reading {reader:?}, for writing {writer:?}"))
    })
}

/// What a closure says, or the panic that ended it.
fn caught(act: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Verdict::Panic(text.unwrap_or_default())
    })
}

fn read(subject: &Subject, damaged: &Image, disk: &FakeDisk) -> Verdict {
    match Reader::open_on(shared(disk)) {
        Ok(reader) => shown(subject, damaged, reader.view(), reader.report()),
        Err(error) => refused(damaged, &error),
    }
}

fn write(subject: &Subject, damaged: &Image, disk: &FakeDisk) -> Verdict {
    let verdict = match Store::open_on(shared(disk), options(disk), Arc::new(Local)) {
        Ok(store) => return shown(subject, damaged, &store.view(), store.report()),
        Err(error) => refused(damaged, &error),
    };
    match unchanged(damaged, disk).and_then(|()| survives(subject, disk)) {
        Ok(()) => verdict,
        Err(breach) => Verdict::Breach(format!("{breach}, after {verdict:?}")),
    }
}

fn shown(subject: &Subject, damaged: &Image, view: &View, report: &Report) -> Verdict {
    let (saves, most) = (view.lsn(), subject.model.saves());
    let told = tells(report);
    let state = match dump(view) {
        Ok(state) => state,
        Err(error) => return Verdict::Breach(format!("opened, but cannot be read: {error}")),
    };
    if saves.0 > most || state != *subject.model.after(saves.0) {
        return Verdict::SilentChange(format!("not the state after {saves} saves; {report:?}"));
    }
    if saves.0 == most {
        return if told { Verdict::Told } else { Verdict::Right };
    }
    let vouched = subject.vouched_for(damaged);
    if vouched > saves || subject.is_cut_after(damaged, saves) {
        let text = format!("rolled back to {saves}, although {vouched} is vouched for; {report:?}");
        return Verdict::SilentChange(text);
    }
    Verdict::Earlier { told }
}

/// Whether recovery has something to say.
fn tells(report: &Report) -> bool {
    report.degraded()
        || report.one_slot
        || report.torn_tail.is_some()
        || report.set_aside.is_some()
        || !report.unfinished.is_empty()
        || !report.unfinished_segments.is_empty()
}

/// A refusal says what is damaged, where that is one place.
fn refused(damaged: &Image, error: &OpenError) -> Verdict {
    let text = error.to_string();
    match error {
        OpenError::Corruption(damage) => {
            let named = text.contains(&format!("{} offset {}", damage.file, damage.offset));
            if !named || damage.lsn != damage.survives.next() {
                return Verdict::Breach(format!("does not say what is damaged: {text}"));
            }
            Verdict::Refused(text)
        }
        OpenError::Control(_) | OpenError::Foreign { .. } => Verdict::Refused(text),
        OpenError::NotAStore if !holds_data(damaged) => Verdict::Refused(text),
        _ => Verdict::Breach(format!("refused for another reason: {text}")),
    }
}

/// Whether there is a segment or a snapshot: then nobody may say that no store is here.
fn holds_data(image: &Image) -> bool {
    image.names().iter().any(|name| name != names::LOCK && name != names::CONTROL)
}

/// A refusal changes nothing.
fn unchanged(damaged: &Image, disk: &FakeDisk) -> Result<(), String> {
    let without_lock = |mut image: Image| {
        if image.contains(names::LOCK) {
            image.remove(names::LOCK);
        }
        image.digest()
    };
    if without_lock(disk.image()) == without_lock(damaged.clone()) {
        Ok(())
    } else {
        Err("a refusal has changed the directory".to_owned())
    }
}

/// What is said to survive is there.
fn survives(subject: &Subject, disk: &FakeDisk) -> Result<(), String> {
    let Err(OpenError::Corruption(damage)) = recover(disk, Target::End, Writer::None) else {
        return Ok(());
    };
    let rest = recover(disk, Target::BeforeDamage, Writer::None)
        .map_err(|error| format!("what survives cannot be had: {error}"))?;
    let Lsn(saves) = rest.view.lsn();
    let state = dump(&rest.view).map_err(|error| format!("what survives: {error}"))?;
    if damage.survives.0 == saves && state == *subject.model.after(saves) {
        Ok(())
    } else {
        Err(format!("{} are said to survive, {saves} do", damage.survives))
    }
}
