//! What a user finds in his environment when he logs in, for jobs that ask for it
//! (`--get-user-env`, and `--export=NONE`): `su - USER`, as Slurm's own agent has it. What the job
//! brings goes before it.
//!
//! Invariant: if it cannot be had, or not in time, the job runs with what it brings.

use crate::agent::log::error;
use crate::agent::program;
use crate::slurm::wire::Text;
use crate::slurm::wire::tables::Launch;
use std::process::Command;
use std::time::Duration;

/// How a job says that it wants this.
const WISH: &[u8] = b"SLURM_GET_USER_ENV=1";
/// Around the variables, since login scripts write, too.
const BEGIN: &str = "STATEDIR-BEGIN\n";
const END: &str = "\0STATEDIR-END";
const ASK: &str = "/bin/echo STATEDIR-BEGIN; /usr/bin/env -0; /bin/echo STATEDIR-END";
/// These are about the login itself.
const LEFT_OUT: [&str; 3] = ["DISPLAY", "ENVIRONMENT", "HOSTNAME"];

/// Puts the user's variables before the job's own, if it asks for them.
/// `limit_s`: how long that may take.
pub fn provide(launch: &mut Launch, user: &str, limit_s: u32) {
    if !launch.environment.iter().any(|entry| entry.bytes() == WISH) {
        return;
    }
    match ask(user, Duration::from_secs(limit_s.into())) {
        Ok(mut all) => {
            all.append(&mut launch.environment);
            launch.environment = all;
        }
        Err(why) => error!("{user}'s environment cannot be had, the job's own must do: {why}"),
    }
}

fn ask(user: &str, limit: Duration) -> Result<Vec<Text>, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can log in as others".to_owned());
    }
    let mut command = Command::new("/bin/su");
    command.args(["-", user, "-c", ASK]);
    let done = program::run_command(command, &[], Some(limit)).map_err(|why| why.to_string())?;
    let found = done.well().then(|| variables(&done.output)).flatten();
    found.ok_or_else(|| format!("su ended with {:?}", done.status))
}

/// The variables in what `su` wrote. One that is not UTF-8 is left out.
fn variables(output: &str) -> Option<Vec<Text>> {
    let (_, rest) = output.split_once(BEGIN)?;
    let (all, _) = rest.rsplit_once(END)?;
    let good = |entry: &&str| {
        let name = entry.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| !LEFT_OUT.contains(&name))
            && !entry.contains(char::REPLACEMENT_CHARACTER)
    };
    Some(all.split('\0').filter(good).map(Text::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_login_scripts_write_is_no_variable() {
        let output = "Welcome\nX=1\nSTATEDIR-BEGIN\nA=b\nc=d\0HOSTNAME=h\0B=\0STATEDIR-END\nbye\n";
        let wanted = vec![Text::from("A=b\nc=d"), Text::from("B=")];
        assert_eq!(variables(output), Some(wanted));
        assert_eq!(variables("STATEDIR-BEGIN\nA=b\0"), None);
        assert_eq!(variables("su: no such user"), None);
    }
}
