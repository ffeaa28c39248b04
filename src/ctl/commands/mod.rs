//! One file per command, or per family of commands.

pub mod apply;
pub mod backup;
pub mod backups;
pub mod compact;
pub mod delta;
pub mod diff;
pub mod doctor;
pub mod du;
pub mod dump;
pub mod events;
pub mod export;
pub mod fence;
pub mod fs_probe;
pub mod get;
pub mod health;
pub mod import;
pub mod init;
pub mod log;
pub mod ls;
pub mod orphans;
pub mod pages;
pub mod prune;
pub mod put;
pub mod repair;
pub mod restore;
pub mod role;
pub mod rsync;
pub mod snapshot;
pub mod status;
pub mod takeover;
pub mod top;
pub mod verify;

use crate::ctl::args::Command;
use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;

/// Runs a command.
///
/// # Errors
/// Why it ended early.
pub fn run(command: Command, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
    match command {
        Command::Init(init) => init.run(session, output),
        Command::Status(status) => status.run(session, output),
        Command::Put(put) => put.run(session, output),
        Command::Get(get) => get.run(session, output),
        Command::Delete(delete) => delete.run(session, output),
        Command::Apply(apply) => apply.run(session, output),
        Command::Ls(ls) => ls.run(session, output),
        Command::Cat(cat) => cat.run(session, output),
        Command::Log(log) => log.run(session, output),
        Command::Dump(dump) => dump.run(session, output),
        Command::Diff(diff) => diff.run(session, output),
        Command::Export(export) => export.run(session, output),
        Command::Import(import) => import.run(session, output),
        Command::Rsync(rsync) => rsync.run(session),
        Command::Top(top) => top.run(session, output),
        Command::Health(health) => health.run(session, output),
        Command::Doctor(doctor) => doctor.run(session, output),
        Command::Du(du) => du.run(session, output),
        Command::Verify(verify) => verify.run(session, output),
        Command::Snapshots(snapshots) => snapshots.run(session, output),
        Command::Snapshot(snapshot) => snapshot.run(session, output),
        Command::Prune(prune) => prune.run(session, output),
        Command::Compact(compact) => compact.run(session, output),
        Command::Backup(backup) => backup.run(session, output),
        Command::Backups(backups) => backups.run(session, output),
        Command::Delta(delta) => delta.run(session, output),
        Command::Restore(restore) => restore.run(session, output),
        Command::Role(role) => role.run(session, output),
        Command::Events(events) => events.run(session, output),
        Command::Takeover(takeover) => takeover.run(session, output),
        Command::Fence(fence) => fence.run(session, output),
        Command::FsProbe(probe) => probe.run(session, output),
        Command::Orphans(orphans) => orphans.run(session, output),
        Command::Repair(repair) => repair.run(session, output),
        Command::Completion(completion) => completion.run(output),
        Command::Man(man) => man.run(output),
    }
}
