//! Signals, with Slurm's meanings. Those that Slurm ignores are ignored.
//!
//! | signal | |
//! |---|---|
//! | SIGTERM, SIGINT | the end, in order |
//! | SIGHUP | slurm.conf is read again |
//! | SIGUSR2 | the log's levels are read again, and its file is opened anew |
//! | SIGUSR1, SIGQUIT, SIGALRM, SIGTSTP, SIGXCPU, SIGPIPE | nothing |

use crate::controller::log;
use crate::slurm::conf::Conf;
use rustix::process::Signal as Number;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The end, in order.
    End,
    /// slurm.conf is to be read again.
    Reconfigure,
    /// The log's levels are to be read again, and its file opened anew.
    LogAnew,
}

/// Those that Slurm ignores.
const IGNORED: [Number; 5] =
    [Number::USR1, Number::QUIT, Number::ALARM, Number::TSTP, Number::XCPU];

/// All that are watched.
pub struct Signals {
    term: Signal,
    int: Signal,
    hangup: Signal,
    usr2: Signal,
    _ignored: Vec<Signal>,
}

impl Signals {
    /// Watches from now on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn watch() -> io::Result<Signals> {
        let ignored = IGNORED.map(|number| signal(SignalKind::from_raw(number.as_raw())));
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            usr2: signal(SignalKind::user_defined2())?,
            _ignored: ignored.into_iter().collect::<io::Result<_>>()?,
        })
    }

    /// What the next one asks for.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::End,
            _ = self.int.recv() => Asked::End,
            _ = self.hangup.recv() => Asked::Reconfigure,
            _ = self.usr2.recv() => Asked::LogAnew,
        }
    }
}

/// The signals that a guard takes, and passes on.
#[must_use]
pub fn passed_on() -> Vec<Number> {
    let acted_on = [Number::TERM, Number::INT, Number::HUP, Number::USR2];
    [&acted_on[..], &IGNORED, &[Number::CHILD]].concat()
}

/// As Slurm: of the file, only the log counts. With a mistake in it, the file is opened anew as the
/// last one said.
pub fn follow(path: &std::path::Path) {
    match Conf::load(path) {
        Ok(conf) => log::follow(&conf),
        Err(error) => {
            log::reopen();
            tracing::error!("the log's levels stay: {error}");
        }
    }
}
