//! The controllers of slurm.conf, asked how they stand.
//!
//! Invariants: every wait has an end; a controller that does not answer is a fact like any other,
//! never a failure of the command; an answer counts only if root or SlurmUser gave it.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::session::Session;
use crate::ctl::slurm_conf;
use crate::ctl::text;
use crate::slurm::auth::configured::uid_of;
use crate::slurm::auth::{Auth, To};
use crate::slurm::conf::Conf;
use crate::slurm::conf::own::{Mode, Own};
use crate::slurm::link::{self, LinkError, Times};
use crate::slurm::wire::Message;
use crate::slurm::wire::tables::Standing;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a controller may take to say how it stands: it waits for nothing.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a directory may take before it is said to hang.
pub const HUNG: Duration = Duration::from_secs(3);

/// All controllers of a cluster.
pub struct Controllers {
    /// slurm.conf.
    pub conf: Conf,
    /// statedir.conf.
    pub own: Own,
    auth: Auth,
    slurm_user: u32,
}

/// A controller, and what it says.
pub struct Told {
    /// Its name in slurm.conf.
    pub host: String,
    /// How it stands, or why that is not known.
    pub standing: Result<Standing, String>,
    /// By so much its clock is ahead of this one's, at most half the answer's time off; ms.
    pub ahead_ms: i64,
}

impl Controllers {
    /// Those of `$SLURM_CONF`, else of /etc/slurm/slurm.conf.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn load() -> Result<Controllers, Failure> {
        let path = slurm_conf::path();
        let next = format!("ls -l {}; echo $SLURM_CONF", text::shell(path.as_os_str()));
        let wrong = |why: String| Failure::new(Exit::Failed, why, next.clone());
        let conf = Conf::load(&path).map_err(|error| wrong(error.to_string()))?;
        let own = Own::load_beside(&path).map_err(|error| wrong(error.to_string()))?;
        let slurm_user = uid_of(&conf, "SlurmUser").map_err(&wrong)?;
        let auth = Auth::configured(&conf, &own).map_err(&wrong)?;
        Ok(Controllers { conf, own, auth, slurm_user })
    }

    /// Those whose StateSaveLocation the session's directory is, if there are several that share
    /// it. Nothing is looked for at the directory itself, which may hang.
    #[must_use]
    pub fn of(session: &Session) -> Option<Controllers> {
        let dir = session.dir().ok()?.to_owned();
        let controllers = Controllers::load().ok()?;
        let shared = controllers.own.mode(controllers.conf.controllers.len()) == Mode::Shared;
        (shared && controllers.is_home(&dir)).then_some(controllers)
    }

    /// StateSaveLocation.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        PathBuf::from(self.conf.text("StateSaveLocation").unwrap_or_default())
    }

    fn is_home(&self, dir: &Path) -> bool {
        let home = self.home();
        let (dir, path) = (dir.to_owned(), home.clone());
        home == dir
            || within(HUNG, move || {
                let real = |path: &Path| std::fs::canonicalize(path).ok();
                real(&dir).is_some() && real(&dir) == real(&path)
            })
            .unwrap_or(false)
    }

    /// The place of the controller of this host: of that name, else as the machine is called.
    #[must_use]
    pub fn here(&self, named: Option<&str>) -> Option<usize> {
        let nodename = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = named.map_or(nodename, str::to_owned);
        let short = name.split('.').next().unwrap_or(&name).to_owned();
        let is_it = |host: &str| host == name || host == short || host == "localhost";
        self.conf.controllers.iter().position(|host| is_it(&host.name))
    }

    /// As [`Controllers::here`], where there must be one.
    ///
    /// # Errors
    /// [`Exit::Usage`].
    pub fn must_be_here(&self, named: Option<&str>) -> Result<usize, Failure> {
        self.here(named).ok_or_else(|| {
            let hosts = self.conf.controllers.iter().map(|host| host.name.as_str());
            let hosts = hosts.collect::<Vec<_>>().join(", ");
            let who = named.unwrap_or("this machine");
            let message = format!("{who} is no SlurmctldHost (they are {hosts})");
            Failure::new(Exit::Usage, message, "scontrol show config | grep SlurmctldHost")
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, at: usize) -> &str {
        &self.conf.controllers[at].name
    }

    /// It does not answer, for that reason.
    #[must_use]
    pub fn silent(&self, at: usize, why: &str) -> Failure {
        let message = format!("slurmctld on {}: {why}", self.name(at));
        Failure::new(Exit::Unreachable, message, "systemctl status slurmctld")
    }

    /// Asks one of them.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn ask(
        &self,
        at: usize,
        message: &Message,
        answer: Duration,
    ) -> Result<Message, LinkError> {
        let seconds = self.conf.number("TCPTimeout").clamp(1, 10);
        let times = Times { connect: Duration::from_secs(seconds), answer };
        let place = (self.conf.controllers[at].address.as_str(), self.conf.ports().0);
        let may = |uid| uid == 0 || uid == self.slurm_user;
        link::ask(&self.auth, place, message, To::Anybody, times, may)
    }

    /// How one of them stands.
    #[must_use]
    pub fn told(&self, at: usize) -> Told {
        let began = (Instant::now(), crate::base::Nanos::now().0);
        let standing = match self.ask(at, &Message::StandingRequest, ANSWER) {
            Ok(Message::Standing(standing)) => match standing.host.lossy() {
                host if host == self.name(at) => Ok(*standing),
                host => Err(elsewhere(&self.conf.controllers[at].address, &host)),
            },
            Ok(_) => Err("answers, but is no controller of a pair of this make".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let ahead_ms = standing.as_ref().map_or(0, |standing| {
            let half = u64::try_from(began.0.elapsed().as_nanos() / 2).unwrap_or(0);
            (i128::from(standing.now) - i128::from(began.1 + half)) / 1_000_000
        });
        let ahead_ms = i64::try_from(ahead_ms).unwrap_or(i64::MAX);
        Told { host: self.name(at).to_owned(), standing, ahead_ms }
    }

    /// How all of them stand, asked at the same time.
    #[must_use]
    pub fn all(&self) -> Vec<Told> {
        thread::scope(|scope| {
            let count = self.conf.controllers.len();
            let asked: Vec<_> = (0..count).map(|at| scope.spawn(move || self.told(at))).collect();
            asked.into_iter().map(|of| of.join().expect("it does not panic")).collect()
        })
    }
}

/// A controller's address is another one's: that one's answer says nothing of it.
fn elsewhere(address: &str, host: &str) -> String {
    format!("at {address} it is {host} that answers: is the address in slurm.conf right?")
}

/// What `look` finds, unless it takes longer: then its thread is left to itself.
pub fn within<T: Send + 'static>(
    span: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (found, wanted) = mpsc::channel();
    let looks = move || drop(found.send(look()));
    thread::Builder::new().spawn(looks).ok()?;
    wanted.recv_timeout(span).ok()
}
