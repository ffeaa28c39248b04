//! `scontrol`: what the operator looks at, and changes.
//!
//! `show` and the files that it uses print; `jobs`, `update_job`, `update_node`,
//! `update_partition` and `daemons` have things done. Keywords may be abbreviated as Slurm lets
//! them.

mod config;
mod daemons;
mod job;
mod jobs;
mod node;
mod partition;
mod show;
mod step;
mod update_job;
mod update_node;
mod update_partition;
mod words;

use crate::client::cluster::{Cluster, Failure};
use crate::client::getopt::{Getopt, Long, Takes};
use crate::client::job::show as flags;
use crate::client::{Call, VERSION, env, errors, text};

const HELP: &str = "\
scontrol [<OPTION>] <COMMAND>
  -a, --all        also hidden partitions and their nodes and jobs
  -d, --details    more of each job
  -F, --future     also nodes in state FUTURE
  -h, --help       this
      --hide       not what is hidden
  -o, --oneliner   each record in one line
  -Q, --quiet      say nothing of what goes wrong
  -V, --version    print the version

  create partition <SPECIFICATIONS>      make a partition
  delete partitionname=<NAME>            remove one
  errnumstr <CODE>                       what a return code means
  hold <JOBLIST>                         let jobs wait (uhold: until their user lets them go)
  ping                                   which controllers answer, and which is in charge
  reconfigure                            let the daemons read slurm.conf again
  release <JOBLIST>                      let held jobs go
  requeue [incomplete] <JOBLIST>         put jobs back into the queue
  requeuehold [State=SpecialExit] <JOBLIST>   the same, and hold them
  resume <JOBLIST>                       let suspended jobs go on
  show <ENTITY> [<ID>]                   config, daemons, hostlist, hostlistsorted, hostnames,
                                         job, licenses, node, partition, reservation, step,
                                         topology
  shutdown [slurmctld]                   end all daemons, or the controllers
  suspend <JOBLIST>                      stop jobs for a while
  takeover [<INDEX>]                     let a backup controller take over
  top <JOB>                              let a job be the first of its user
  update <SPECIFICATIONS>                change a job, a node, a partition
  version                                print the version
  write batch_script <JOB> [<FILE>|-]    the script of a job
";

const LONGS: &[Long] = &[
    ("all", Takes::Nothing, 'a'),
    ("cluster", Takes::Value, 'M'),
    ("clusters", Takes::Value, 'M'),
    ("details", Takes::Nothing, 'd'),
    ("federation", Takes::Nothing, 'f'),
    ("future", Takes::Nothing, 'F'),
    ("help", Takes::Nothing, 'h'),
    ("hide", Takes::Nothing, '1'),
    ("local", Takes::Nothing, 'f'),
    ("oneliner", Takes::Nothing, 'o'),
    ("quiet", Takes::Nothing, 'Q'),
    ("sibling", Takes::Nothing, 'f'),
    ("uid", Takes::Value, 'u'),
    ("usage", Takes::Nothing, 'h'),
    ("verbose", Takes::Nothing, 'v'),
    ("version", Takes::Nothing, 'V'),
];

/// What a command needs.
struct Desk<'a> {
    call: &'a Call,
    cluster: &'a Cluster,
    all: bool,
    details: bool,
    future: bool,
    one_line: bool,
    quiet: bool,
    uid: Option<u32>,
}

impl Desk<'_> {
    fn flags(&self) -> u16 {
        let flag = |asked: bool, flag: u16| if asked { flag } else { 0 };
        flag(self.all, flags::ALL) | flag(self.details, flags::DETAIL)
    }

    /// What separates the lines of a record.
    fn line_end(&self) -> &'static str {
        if self.one_line { " " } else { "\n   " }
    }

    /// What ends a record.
    fn record_end(&self) -> &'static str {
        if self.one_line { "\n" } else { "\n\n" }
    }

    /// Says that something went wrong. The exit code is 1.
    fn wrong(&self, what: &str) -> u8 {
        if !self.quiet {
            text::complain(&format!("{what}\n"));
        }
        1
    }

    /// The same, of a failure.
    fn failed(&self, what: &str, failure: &Failure) -> u8 {
        if !self.quiet {
            failure.tell(what);
        }
        1
    }

    /// The same, as an error of the program.
    fn error(&self, what: &str) -> u8 {
        Call { name: "scontrol".to_owned(), ..self.call.clone() }.error(what);
        1
    }
}

struct Flags {
    all: bool,
    details: bool,
    future: bool,
    one_line: bool,
    quiet: bool,
    uid: Option<u32>,
}

fn read(call: &Call) -> Result<(Flags, Vec<String>), u8> {
    let mut flags = Flags {
        all: env("SCONTROL_ALL").is_some(),
        details: false,
        future: env("SCONTROL_FUTURE").is_some(),
        one_line: false,
        quiet: false,
        uid: None,
    };
    let mut reader = Getopt::new(&call.zero, "adhM:FoQu:vV", LONGS, call.args.clone());
    for found in reader.by_ref() {
        let (option, value) = found.map_err(|why| {
            text::complain(&format!("{why}\nTry \"scontrol --help\" for more information\n"));
            1_u8
        })?;
        match option {
            'a' => flags.all = true,
            'd' => flags.details = true,
            'F' => flags.future = true,
            'h' => {
                text::print(HELP);
                return Err(0);
            }
            '1' => (flags.all, flags.details) = (false, false),
            'o' => flags.one_line = true,
            'Q' => flags.quiet = true,
            'u' => {
                let value = value.unwrap_or_default();
                flags.uid = crate::client::users::uid(&value);
                if flags.uid.is_none() {
                    call.error(&format!("--uid=\"{value}\" invalid"));
                    return Err(0);
                }
            }
            'V' => {
                text::print(&format!("{VERSION}\n"));
                return Err(0);
            }
            'M' => {
                call.left_to_slurm("--clusters");
                return Err(1);
            }
            _ => {}
        }
    }
    Ok((flags, reader.rest()))
}

/// Runs `scontrol`.
#[must_use]
pub fn main(call: &Call) -> u8 {
    let (flags, words) = match read(call) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let Some((verb, rest)) = words.split_first() else {
        call.error("a command is wanted: asking for one after the other is left to Slurm's own");
        text::complain("Try \"scontrol --help\" for more information\n");
        return 1;
    };
    if let Some(code) = without_cluster(verb, rest) {
        return code;
    }
    let Some(cluster) = Cluster::of(call) else { return 1 };
    let Flags { all, details, future, one_line, quiet, uid } = flags;
    let desk = Desk { call, cluster: &cluster, all, details, future, one_line, quiet, uid };
    command(&desk, verb, rest)
}

/// What needs no configuration.
fn without_cluster(verb: &str, rest: &[String]) -> Option<u8> {
    let is = |name: &str, least: usize| text::abbreviates(verb, name, least);
    if is("version", 4) {
        text::print(&format!("{VERSION}\n"));
        return Some(0);
    }
    if is("help", 2) {
        text::print(HELP);
        return Some(0);
    }
    if is("errnumstr", 2) || is("errnostr", 2) {
        let [code] = rest else {
            text::complain(&format!("one arguments required for keyword:{verb}\n"));
            return Some(1);
        };
        return Some(match code.parse::<u32>() {
            Ok(code) => {
                text::print(&format!("{}\n", errors::text(code)));
                0
            }
            Err(_) => {
                text::complain(&format!("numeric arguments required for keyword:{verb}\n"));
                1
            }
        });
    }
    None
}

fn command(desk: &Desk<'_>, verb: &str, rest: &[String]) -> u8 {
    let is = |name: &str, least: usize| text::abbreviates(verb, name, least);
    let too_many = || desk.wrong(&format!("too many arguments for keyword:{verb}"));
    let too_few = || desk.wrong(&format!("too few arguments for keyword:{verb}"));
    let few = || desk.wrong(&format!("too few arguments for {verb} keyword"));
    // The order decides what an abbreviation stands for.
    match verb {
        _ if is("create", 2) && rest.is_empty() => few(),
        _ if is("create", 2) => update_partition::create(desk, rest),
        _ if is("ping", 3) && !rest.is_empty() => too_many(),
        _ if is("ping", 3) => daemons::ping(desk),
        _ if is("reconfigure", 3) && rest.len() > 1 => too_many(),
        _ if is("reconfigure", 3) => daemons::reconfigure(desk),
        _ if (is("requeue", 3) || is("requeuehold", 11)) && rest.is_empty() => too_few(),
        _ if is("requeue", 3) => jobs::requeue(desk, rest, false),
        _ if is("requeuehold", 11) => jobs::requeue(desk, rest, true),
        _ if jobs::is_hold(verb) || is("release", 3) => match rest {
            [] => too_few(),
            lists => jobs::hold(desk, verb, lists),
        },
        _ if is("suspend", 2) || is("resume", 3) => match rest {
            [] => too_few(),
            lists => jobs::suspend(desk, is("suspend", 2), lists),
        },
        _ if is("top", 3) => match rest {
            [] => too_few(),
            [list] => jobs::top(desk, list),
            _ => too_many(),
        },
        _ if is("show", 3) => show::show(desk, verb, rest),
        _ if is("write", 5) => jobs::write(desk, verb, rest),
        _ if is("takeover", 8) => daemons::takeover(desk, verb, rest),
        _ if is("shutdown", 8) => daemons::shutdown(desk, verb, rest),
        _ if is("update", 1) && rest.is_empty() => few(),
        _ if is("update", 1) => update(desk, rest),
        _ if is("delete", 1) && rest.is_empty() => few(),
        _ if is("delete", 1) => update_partition::delete(desk, rest),
        _ if left_to_slurm(verb) => {
            desk.call.left_to_slurm(verb);
            1
        }
        _ => {
            text::complain(&format!("invalid keyword: {verb}\n"));
            1
        }
    }
}

/// Commands that Slurm's own has besides.
fn left_to_slurm(verb: &str) -> bool {
    const OTHERS: [(&str, usize); 16] = [
        ("abort", 5),
        ("cancel_reboot", 3),
        ("completing", 2),
        ("gethost", 7),
        ("hash_file", 9),
        ("pidinfo", 3),
        ("reboot_nodes", 3),
        ("token", 3),
        ("wait_job", 2),
        ("setdebugflags", 9),
        ("fsdampeningfactor", 3),
        ("setdebug", 2),
        ("schedloglevel", 3),
        ("listpids", 1),
        ("getent", 6),
        ("notify", 1),
    ];
    OTHERS.iter().any(|(name, least)| text::abbreviates(verb, name, *least))
}

/// Changes whatever the words name.
fn update(desk: &Desk<'_>, words: &[String]) -> u8 {
    let names = |name: &str, least: usize| {
        let mut tags = words.iter().map(|word| word.split('=').next().unwrap_or_default());
        tags.any(|tag| text::abbreviates(tag, name, least))
    };
    // A change of a job may name a partition, too.
    if names("JobId", 3) || names("JobName", 3) {
        update_job::update(desk, words)
    } else if names("StepId", 4) || names("ReservationName", 3) || names("FrontendName", 2) {
        desk.call.left_to_slurm("update of steps, reservations and front ends");
        1
    } else if names("NodeName", 3) {
        update_node::update(desk, words)
    } else if names("PartitionName", 3) {
        update_partition::update(desk, words)
    } else if names("SlurmctldDebug", 2) {
        desk.call.left_to_slurm("update of SlurmctldDebug");
        1
    } else {
        text::complain(
            "No valid entity in update command\nInput line must include \"NodeName\", \
             \"PartitionName\", \"Reservation\", \"JobId\", or \"SlurmctldDebug\"\n",
        );
        1
    }
}
