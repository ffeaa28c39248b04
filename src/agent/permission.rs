//! Whether a launch is permitted: the controller gave a permission, recently, and for this very
//! job on this node. A signature that is there must be SlurmUser's or root's; one that is not there
//! says nothing, since only they launch.

use crate::agent::setup::{Setup, now};
use crate::slurm::hostlist::expand;
use crate::slurm::wire::constants::step;
use crate::slurm::wire::tables::{Cred, Launch};

/// Slurm's number: the permission is not one.
pub const INVALID: u32 = 4004;
/// Slurm's number: it is too old.
pub const EXPIRED: u32 = 4007;
/// How far the controller's clock may be ahead, in seconds.
const AHEAD_S: i64 = 60;

/// The permission of a launch.
///
/// # Errors
/// Slurm's number, and why, for the log.
pub fn check(setup: &Setup, launch: &Launch) -> Result<Cred, (u32, String)> {
    let signed = &launch.cred.0;
    let invalid = |why: String| (INVALID, why);
    // Slurm's own controller leaves a batch job's permission unsigned: the message's credential,
    // which is SlurmUser's, covers it as it covers the script.
    if !signed.signature.0.is_empty() {
        let signer = setup
            .auth
            .check_permission(signed.packed(), &signed.signature.0)
            .map_err(|error| invalid(error.to_string()))?;
        if !setup.commands(signer.uid) {
            return Err(invalid(format!("it is signed by uid {}", signer.uid)));
        }
    }
    let cred = signed.cred().map_err(|error| invalid(error.to_string()))?;
    fits(launch, &cred, &setup.node.name).map_err(|why| invalid(why.to_owned()))?;
    let age = now().saturating_sub(cred.ctime.0);
    let most = setup.permission_s();
    if age > most || age < -AHEAD_S {
        let next = "compare the clocks of both hosts";
        return Err((EXPIRED, format!("it is {age} s old, at most {most} s are allowed; {next}")));
    }
    Ok(cred)
}

fn fits(launch: &Launch, cred: &Cred, node: &str) -> Result<(), &'static str> {
    if cred.step_id.job_id != launch.job_id || cred.step_id.step_id != step::BATCH {
        return Err("it is for another job or step");
    }
    if (cred.uid, cred.gid) != (launch.uid, launch.gid) {
        return Err("it is for another user or group");
    }
    if cred.gids.is_empty() {
        return Err("it names no groups");
    }
    let hosts = cred.step_hostlist.as_str().and_then(|list| expand(list).ok()).unwrap_or_default();
    if hosts.iter().any(|host| host == node) { Ok(()) } else { Err("it is for other nodes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::wire::tables::StepId;

    #[test]
    fn a_permission_is_for_one_job_of_one_user_on_its_nodes() {
        let launch = Launch { job_id: 7, uid: 5, gid: 6, ..Launch::default() };
        let good = Cred {
            step_id: StepId { job_id: 7, step_id: step::BATCH, step_het_comp: 0 },
            uid: 5,
            gid: 6,
            gids: vec![6],
            step_hostlist: "n[1-3]".into(),
            ..Cred::default()
        };
        assert_eq!(fits(&launch, &good, "n2"), Ok(()));
        assert!(fits(&launch, &good, "n4").is_err());
        let changes: [fn(&mut Cred); 6] = [
            |cred| cred.step_id.job_id = 8,
            |cred| cred.step_id.step_id = 0,
            |cred| cred.uid = 0,
            |cred| cred.gid = 0,
            |cred| cred.gids.clear(),
            |cred| cred.step_hostlist = "n[".into(),
        ];
        for change in changes {
            let mut other = good.clone();
            change(&mut other);
            assert!(fits(&launch, &other, "n2").is_err(), "{other:?}");
        }
    }
}
