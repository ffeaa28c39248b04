//! Repair: an operator's act that may lose saves, and says which. Never part of opening.
//!
//! Invariant: no file is changed in place or deleted. What is damaged is set aside under another
//! name in the same directory, or stays where it is behind a new epoch's seal.

use crate::base::{Local, Lsn};
use crate::disk::{Disk, File, Real, Site};
use crate::format::{Ancestor, Control, FormatError, SegmentHeader, names};
use crate::store::control::ControlFile;
use crate::store::directory::Directory;
use crate::store::error::{Damage, OpenError};
use crate::store::inner;
use crate::store::open;
use crate::store::options::Options;
use crate::store::recovery::{self, Target, Writer, recover};
use std::path::Path;
use std::sync::Arc;

/// What a repair would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The control file is made anew from what the other files say.
    pub new_control: bool,
    /// Damaged snapshots to set aside.
    pub set_aside: Vec<String>,
    /// The history is cut before this damage.
    pub cut: Option<Damage>,
    /// The last save that the repaired store holds, once control file and snapshots are mended;
    /// `None` where that shows only then.
    pub survives: Option<Lsn>,
}

impl Plan {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.new_control && self.set_aside.is_empty() && self.cut.is_none()
    }

    /// One line for each step.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.new_control {
            lines.push("make a new control file from what the other files say".to_owned());
        }
        for name in &self.set_aside {
            lines.push(format!("set aside {name} as damaged-{name}"));
        }
        if let Some(damage) = &self.cut {
            lines.push(format!(
                "end the history at lsn {} ({damage}); what stands behind stays in its files",
                damage.survives
            ));
        }
        lines
    }
}

/// What repairing the store in `path` would do. Changes nothing.
///
/// # Errors
/// [`OpenError`] where no repair is known: another history's files, a newer format.
pub fn plan(path: &Path) -> Result<Plan, OpenError> {
    let disk = Real::open(path).map_err(OpenError::io(path.display().to_string()))?;
    plan_on(&disk)
}

/// As [`plan`], on any disk.
///
/// # Errors
/// As [`plan`].
pub fn plan_on(disk: &dyn Disk) -> Result<Plan, OpenError> {
    let mut plan = Plan { new_control: false, set_aside: Vec::new(), cut: None, survives: None };
    match recover(disk, Target::End, Writer::None) {
        Ok(recovered) => {
            let damaged = recovered.report.damaged_snapshots.into_iter();
            plan.set_aside = damaged.map(|(name, _)| name).collect();
            plan.survives = Some(recovered.view.lsn());
        }
        Err(OpenError::Control(_)) => plan.new_control = true,
        Err(OpenError::Corruption(damage)) => {
            plan.survives = Some(damage.survives);
            plan.cut = Some(*damage);
        }
        Err(error) => return Err(error),
    }
    Ok(plan)
}

/// Carries `plan` out, and makes the plan anew until nothing is left to do.
///
/// # Errors
/// [`OpenError::Locked`] while the store is open; those of the file system.
pub fn apply(path: &Path, plan: &Plan) -> Result<Lsn, OpenError> {
    let disk = Real::open(path).map_err(OpenError::io(path.display().to_string()))?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    apply_on(&disk, plan)
}

/// As [`apply`], on any disk.
///
/// # Errors
/// As [`apply`].
pub fn apply_on(disk: &Arc<dyn Disk>, plan: &Plan) -> Result<Lsn, OpenError> {
    let lock = open::lock_directory(disk.as_ref())?;
    let mut plan = plan.clone();
    // A new control file shows what else there is to mend: that takes few rounds.
    for _ in 0..4 {
        if plan.is_empty() {
            break;
        }
        carry_out(disk, &plan, &lock)?;
        plan = plan_on(disk.as_ref())?;
    }
    plan.survives.ok_or(OpenError::Control(FormatError::Blank))
}

fn carry_out(disk: &Arc<dyn Disk>, plan: &Plan, lock: &Arc<dyn File>) -> Result<(), OpenError> {
    for name in &plan.set_aside {
        set_aside(disk.as_ref(), name)?;
    }
    if plan.new_control {
        new_control(disk.as_ref())?;
    }
    if plan.cut.is_some() {
        cut(disk, lock)?;
    }
    Ok(())
}

fn set_aside(disk: &dyn Disk, name: &str) -> Result<(), OpenError> {
    let taken: Vec<String> = disk
        .list()
        .map_err(OpenError::io("directory"))?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let aside = (0..)
        .map(|n| if n == 0 { format!("damaged-{name}") } else { format!("damaged-{n}-{name}") })
        .find(|aside| !taken.contains(aside))
        .expect("some number is free");
    disk.rename(name, &aside).map_err(OpenError::io(name.to_owned()))?;
    disk.sync_names(Site::SnapshotName).map_err(OpenError::io("directory"))
}

/// A control file from what segments and snapshots say of themselves.
fn new_control(disk: &dyn Disk) -> Result<(), OpenError> {
    let directory = Directory::read(disk).map_err(OpenError::io("directory"))?;
    let headers = directory.segments.values().filter_map(|s| s.header.as_ref().ok());
    let newest: Option<&SegmentHeader> = headers.max_by_key(|header| header.id);
    let snapshots = directory.snapshots.iter().filter_map(|s| s.header.as_ref().ok());
    let identity = newest
        .map(|header| (header.cluster, header.incarnation))
        .or_else(|| snapshots.map(|header| (header.cluster, header.incarnation)).next_back());
    let Some((cluster, incarnation)) = identity else {
        return Err(OpenError::Control(FormatError::Blank));
    };
    if disk.list().is_ok_and(|list| list.iter().any(|entry| entry.name == names::CONTROL)) {
        set_aside(disk, names::CONTROL)?;
    }
    ControlFile::create(disk, cluster, incarnation).map_err(OpenError::io(names::CONTROL))?;
    let (control, _) =
        recovery::identify(&Directory::read(disk).map_err(OpenError::io("directory"))?)?;
    let mut file = ControlFile::open(disk, control).map_err(OpenError::io(names::CONTROL))?;
    let epoch = directory.greatest_epoch();
    file.update(|control| {
        control.epoch = epoch;
        control.ancestors = ancestors(&directory, control);
    })
    .map_err(OpenError::io(names::CONTROL))
}

/// Older incarnations that files here belong to.
fn ancestors(directory: &Directory, control: &Control) -> Vec<Ancestor> {
    let mut found: Vec<Ancestor> = Vec::new();
    let segments = directory.segments.values().filter_map(|s| s.header.as_ref().ok());
    for header in segments.filter(|header| header.incarnation != control.incarnation) {
        match found.iter_mut().find(|ancestor| ancestor.incarnation == header.incarnation) {
            Some(ancestor) => ancestor.last_epoch = ancestor.last_epoch.max(header.id.epoch),
            None => found
                .push(Ancestor { incarnation: header.incarnation, last_epoch: header.id.epoch }),
        }
    }
    found
}

/// Ends the history before the damage: a new epoch seals it there.
fn cut(disk: &Arc<dyn Disk>, lock: &Arc<dyn File>) -> Result<(), OpenError> {
    let recovered = recover(disk.as_ref(), Target::BeforeDamage, Writer::Opens)?;
    let options = Options::default().without_threads();
    let opened =
        open::start(Arc::clone(disk), options, Arc::new(Local), recovered, Some(Arc::clone(lock)))?;
    // The other slot, too, must no longer vouch for what is behind the seal.
    let mut control = inner::lock(&opened.inner.control);
    control.update(|_| ()).map_err(OpenError::io(names::CONTROL))
}
