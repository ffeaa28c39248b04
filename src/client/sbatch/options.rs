//! The options of `sbatch`: what they are called, what they set, and what of them cannot be.
//!
//! Each is set as often as it is given, the last one counts. Values that are none are refused when
//! they are read, wherever they stand, in Slurm's words.

use super::values::{self, ANY_LAYOUT, PLANE, Warning};
use super::{WRONG, error_exit, mail_type};
use crate::client::getopt::{Long, Takes};
use crate::client::{Call, env, text, users, when};
use crate::slurm::hostlist::{compress, expand};

/// Options without a letter.
pub const USAGE: char = '\u{e000}';
/// See [`USAGE`].
pub const WRAP: char = '\u{e001}';
const COMMENT: char = '\u{e002}';
const CONTIGUOUS: char = '\u{e003}';
const CORES: char = '\u{e004}';
const DEADLINE: char = '\u{e005}';
const DELAY_BOOT: char = '\u{e006}';
const EXCLUSIVE: char = '\u{e007}';
const EXPORT: char = '\u{e008}';
const GID: char = '\u{e009}';
const IGNORE_PBS: char = '\u{e00a}';
const KILL_INVALID: char = '\u{e00b}';
const MAIL_TYPE: char = '\u{e00c}';
const MAIL_USER: char = '\u{e00d}';
const MCS: char = '\u{e00e}';
const MEM: char = '\u{e00f}';
const MEM_PER_CPU: char = '\u{e010}';
const MIN_CPUS: char = '\u{e011}';
const NETWORK: char = '\u{e012}';
const NICE: char = '\u{e013}';
const NO_REQUEUE: char = '\u{e014}';
const PER_CORE: char = '\u{e015}';
const PER_NODE: char = '\u{e016}';
const PER_SOCKET: char = '\u{e017}';
const OPEN_MODE: char = '\u{e018}';
const PARSABLE: char = '\u{e019}';
const PREFER: char = '\u{e01a}';
const PRIORITY: char = '\u{e01b}';
const PROPAGATE: char = '\u{e01c}';
const REBOOT: char = '\u{e01d}';
const REQUEUE: char = '\u{e01e}';
const RESERVATION: char = '\u{e01f}';
const SIGNAL: char = '\u{e020}';
const SOCKETS: char = '\u{e021}';
const SPREAD: char = '\u{e022}';
const SWITCHES: char = '\u{e023}';
const TEST_ONLY: char = '\u{e024}';
const THREAD_SPEC: char = '\u{e025}';
const THREADS: char = '\u{e026}';
const TIME_MIN: char = '\u{e027}';
const TMP: char = '\u{e028}';
const UID: char = '\u{e029}';
const MIN_NODES: char = '\u{e02a}';
const WAIT_ALL: char = '\u{e02b}';
const WCKEY: char = '\u{e02c}';
const GRES: char = '\u{e02d}';
const BATCH: char = '\u{e02e}';
const ACCTG: char = '\u{e02f}';
const CLUSTER_CONSTRAINT: char = '\u{e030}';
const CONTAINER: char = '\u{e031}';
/// Left to Slurm's own, with a value, and without.
const LEFT: char = '\u{e040}';

/// The letters.
pub const SHORTS: &str = "+a:A:B:b:c:C:d:D:e:F:G:hHi:J:k::L:m:M:n:N:o:Op:q:QsS:t:vVw:Wx:";

/// The words.
pub const LONGS: &[Long] = &[
    ("account", Takes::Value, 'A'),
    ("acctg-freq", Takes::Value, ACCTG),
    ("array", Takes::Value, 'a'),
    ("batch", Takes::Value, BATCH),
    ("bb", Takes::Value, LEFT),
    ("bbf", Takes::Value, LEFT),
    ("begin", Takes::Value, 'b'),
    ("cluster-constraint", Takes::Value, CLUSTER_CONSTRAINT),
    ("chdir", Takes::Value, 'D'),
    ("clusters", Takes::Value, 'M'),
    ("cluster", Takes::Value, 'M'),
    ("comment", Takes::Value, COMMENT),
    ("constraint", Takes::Value, 'C'),
    ("container", Takes::Value, CONTAINER),
    ("contiguous", Takes::Nothing, CONTIGUOUS),
    ("core-spec", Takes::Value, 'S'),
    ("cores-per-socket", Takes::Value, CORES),
    ("cpu-freq", Takes::Value, LEFT),
    ("cpus-per-gpu", Takes::Value, LEFT),
    ("cpus-per-task", Takes::Value, 'c'),
    ("deadline", Takes::Value, DEADLINE),
    ("delay-boot", Takes::Value, DELAY_BOOT),
    ("dependency", Takes::Value, 'd'),
    ("distribution", Takes::Value, 'm'),
    ("error", Takes::Value, 'e'),
    ("exclude", Takes::Value, 'x'),
    ("exclusive", Takes::Maybe, EXCLUSIVE),
    ("export", Takes::Value, EXPORT),
    ("export-file", Takes::Value, LEFT),
    ("extra-node-info", Takes::Value, 'B'),
    ("get-user-env", Takes::Maybe, LEFT),
    ("gid", Takes::Value, GID),
    ("gpu-bind", Takes::Value, LEFT),
    ("gpu-freq", Takes::Value, LEFT),
    ("gpus", Takes::Value, 'G'),
    ("gpus-per-node", Takes::Value, LEFT),
    ("gpus-per-socket", Takes::Value, LEFT),
    ("gpus-per-task", Takes::Value, LEFT),
    ("gres", Takes::Value, GRES),
    ("gres-flags", Takes::Value, LEFT),
    ("help", Takes::Nothing, 'h'),
    ("hint", Takes::Value, LEFT),
    ("hold", Takes::Nothing, 'H'),
    ("ignore-pbs", Takes::Nothing, IGNORE_PBS),
    ("input", Takes::Value, 'i'),
    ("job-name", Takes::Value, 'J'),
    ("kill-on-invalid-dep", Takes::Value, KILL_INVALID),
    ("licenses", Takes::Value, 'L'),
    ("mail-type", Takes::Value, MAIL_TYPE),
    ("mail-user", Takes::Value, MAIL_USER),
    ("mcs-label", Takes::Value, MCS),
    ("mem", Takes::Value, MEM),
    ("mem-bind", Takes::Value, LEFT),
    ("mem-per-cpu", Takes::Value, MEM_PER_CPU),
    ("mem-per-gpu", Takes::Value, LEFT),
    ("mincpus", Takes::Value, MIN_CPUS),
    ("network", Takes::Value, NETWORK),
    ("nice", Takes::Maybe, NICE),
    ("no-kill", Takes::Maybe, 'k'),
    ("no-requeue", Takes::Nothing, NO_REQUEUE),
    ("nodefile", Takes::Value, 'F'),
    ("nodelist", Takes::Value, 'w'),
    ("nodes", Takes::Value, 'N'),
    ("ntasks", Takes::Value, 'n'),
    ("ntasks-per-core", Takes::Value, PER_CORE),
    ("ntasks-per-gpu", Takes::Value, LEFT),
    ("ntasks-per-node", Takes::Value, PER_NODE),
    ("ntasks-per-socket", Takes::Value, PER_SOCKET),
    ("open-mode", Takes::Value, OPEN_MODE),
    ("output", Takes::Value, 'o'),
    ("overcommit", Takes::Nothing, 'O'),
    ("oversubscribe", Takes::Nothing, 's'),
    ("parsable", Takes::Nothing, PARSABLE),
    ("partition", Takes::Value, 'p'),
    ("power", Takes::Value, LEFT),
    ("prefer", Takes::Value, PREFER),
    ("priority", Takes::Value, PRIORITY),
    ("profile", Takes::Value, LEFT),
    ("propagate", Takes::Maybe, PROPAGATE),
    ("qos", Takes::Value, 'q'),
    ("quiet", Takes::Nothing, 'Q'),
    ("reboot", Takes::Nothing, REBOOT),
    ("requeue", Takes::Nothing, REQUEUE),
    ("reservation", Takes::Value, RESERVATION),
    ("signal", Takes::Value, SIGNAL),
    ("sockets-per-node", Takes::Value, SOCKETS),
    ("spread-job", Takes::Nothing, SPREAD),
    ("switches", Takes::Value, SWITCHES),
    ("tasks-per-node", Takes::Value, PER_NODE),
    ("test-only", Takes::Nothing, TEST_ONLY),
    ("thread-spec", Takes::Value, THREAD_SPEC),
    ("threads-per-core", Takes::Value, THREADS),
    ("time", Takes::Value, 't'),
    ("time-min", Takes::Value, TIME_MIN),
    ("tmp", Takes::Value, TMP),
    ("uid", Takes::Value, UID),
    ("usage", Takes::Nothing, USAGE),
    ("use-min-nodes", Takes::Nothing, MIN_NODES),
    ("verbose", Takes::Nothing, 'v'),
    ("version", Takes::Nothing, 'V'),
    ("wait", Takes::Nothing, 'W'),
    ("wait-all-nodes", Takes::Value, WAIT_ALL),
    ("wckey", Takes::Value, WCKEY),
    ("wrap", Takes::Value, WRAP),
];

/// Environment variables that are options, in the order in which they are read.
pub const VARIABLES: &[(&str, char)] = &[
    ("SBATCH_ACCOUNT", 'A'),
    ("SBATCH_ARRAY_INX", 'a'),
    ("SBATCH_ACCTG_FREQ", ACCTG),
    ("SBATCH_BATCH", BATCH),
    ("SBATCH_CLUSTER_CONSTRAINT", CLUSTER_CONSTRAINT),
    ("SBATCH_CLUSTERS", 'M'),
    ("SLURM_CLUSTERS", 'M'),
    ("SBATCH_CONTAINER", CONTAINER),
    ("SBATCH_CONSTRAINT", 'C'),
    ("SBATCH_CORE_SPEC", 'S'),
    ("SBATCH_DEBUG", 'v'),
    ("SBATCH_DELAY_BOOT", DELAY_BOOT),
    ("SBATCH_DISTRIBUTION", 'm'),
    ("SBATCH_EXCLUSIVE", EXCLUSIVE),
    ("SBATCH_EXPORT", EXPORT),
    ("SBATCH_GRES", GRES),
    ("SBATCH_GPUS", 'G'),
    ("SBATCH_JOB_NAME", 'J'),
    ("SBATCH_MEM_PER_CPU", MEM_PER_CPU),
    ("SBATCH_MEM_PER_NODE", MEM),
    ("SBATCH_NETWORK", NETWORK),
    ("SBATCH_NO_KILL", 'k'),
    ("SBATCH_NO_REQUEUE", NO_REQUEUE),
    ("SBATCH_OPEN_MODE", OPEN_MODE),
    ("SBATCH_OVERCOMMIT", 'O'),
    ("SBATCH_PARTITION", 'p'),
    ("SBATCH_QOS", 'q'),
    ("SBATCH_REQUEUE", REQUEUE),
    ("SBATCH_RESERVATION", RESERVATION),
    ("SBATCH_SIGNAL", SIGNAL),
    ("SBATCH_SPREAD_JOB", SPREAD),
    ("SBATCH_THREAD_SPEC", THREAD_SPEC),
    ("SBATCH_THREADS_PER_CORE", THREADS),
    ("SBATCH_TIMELIMIT", 't'),
    ("SBATCH_USE_MIN_NODES", MIN_NODES),
    ("SBATCH_WAIT", 'W'),
    ("SBATCH_WAIT_ALL_NODES", WAIT_ALL),
    ("SBATCH_WCKEY", WCKEY),
    ("SBATCH_ERROR", 'e'),
    ("SBATCH_INPUT", 'i'),
    ("SBATCH_OUTPUT", 'o'),
];

/// Flags of a job.
mod bit {
    pub const KILL_INVALID: u64 = 1;
    pub const KEEP_INVALID: u64 = 1 << 1;
    pub const SPREAD: u64 = 1 << 8;
    pub const MIN_NODES: u64 = 1 << 9;
}

/// What was asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// The script, where it is, and its arguments.
    pub argv: Vec<String>,
    /// A command instead.
    pub wrap: Option<String>,
    pub account: Option<String>,
    pub accounting: Option<String>,
    pub array: Option<String>,
    pub batch: Option<String>,
    pub begin: i64,
    pub bits: u64,
    pub chdir: String,
    pub cluster_constraint: Option<String>,
    pub comment: Option<String>,
    pub constraint: Option<String>,
    pub container: Option<String>,
    pub contiguous: bool,
    pub core_spec: Option<u16>,
    pub cores_per_socket: Option<u32>,
    pub cpus_per_task: Option<u32>,
    pub deadline: i64,
    pub delay_boot: Option<u32>,
    pub dependency: Option<String>,
    pub error: Option<String>,
    pub exclude: Option<String>,
    pub export: Option<String>,
    pub gid: Option<u32>,
    pub gres: Option<String>,
    pub hold: bool,
    pub input: Option<String>,
    pub layout: u32,
    pub licenses: Option<String>,
    pub mail_type: u16,
    pub mail_user: Option<String>,
    pub mcs_label: Option<String>,
    pub mem: Option<u64>,
    pub mem_per_cpu: Option<u64>,
    pub min_cpus: Option<u32>,
    pub name: Option<String>,
    pub network: Option<String>,
    pub nice: Option<i64>,
    pub no_kill: bool,
    pub nodelist: Option<String>,
    /// At least, and at most; 0: so many as at least.
    pub nodes: Option<(u32, u32)>,
    pub ntasks: Option<u32>,
    /// Tasks that are reckoned with, whether they were asked for or not.
    pub tasks: u32,
    pub open_mode: u8,
    pub output: Option<String>,
    pub overcommit: bool,
    pub parsable: bool,
    pub partition: Option<String>,
    pub per_core: Option<u32>,
    pub per_node: Option<u32>,
    pub per_socket: Option<u32>,
    pub plane: Option<u16>,
    pub prefer: Option<String>,
    pub priority: Option<u32>,
    pub propagate: Option<String>,
    pub qos: Option<String>,
    pub quiet: bool,
    pub reboot: bool,
    pub requeue: Option<u16>,
    pub reservation: Option<String>,
    pub share: Option<u16>,
    pub signal: Warning,
    pub sockets_per_node: Option<u32>,
    pub switches: Option<u32>,
    pub switches_wait: Option<u32>,
    pub test_only: bool,
    pub threads_per_core: Option<u32>,
    pub time: Option<u32>,
    pub time_min: Option<u32>,
    pub tmp: Option<u64>,
    pub uid: Option<u32>,
    pub verbose: bool,
    pub wait: bool,
    pub wait_all: Option<u16>,
    pub wckey: Option<String>,
}

/// An absolute path; nothing: the working directory.
pub fn full(path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let here = std::env::current_dir().map_or(String::new(), |dir| text::from_os(dir.as_os_str()));
    if path.is_empty() { here } else { format!("{here}/{path}") }
}

impl Options {
    /// Nothing but a script is asked for.
    pub fn new(argv: Vec<String>, wrap: Option<String>) -> Options {
        Options { argv, wrap, tasks: 1, layout: ANY_LAYOUT, chdir: full(""), ..Options::default() }
    }

    /// Sets an option.
    pub fn set(&mut self, call: &Call, option: char, given: Option<String>) -> Result<(), u8> {
        let value = given.clone().unwrap_or_default();
        let invalid = |name: &str| {
            call.error(&format!("Invalid --{name} specification"));
            WRONG
        };
        let number = |name: &str, least: u32| {
            value.trim().parse::<u32>().ok().filter(|number| *number >= least).ok_or_else(|| {
                call.error(&format!("Invalid numeric value \"{value}\" for {name}."));
                1_u8
            })
        };
        let small = |name: &str, least: u32| number(name, least).map(|number| number as u16);
        let point = |name: &str| {
            when::from_now(&value).ok_or_else(|| {
                text::complain(&format!("Invalid time specification (pos=0): {value}\n"));
                invalid(name)
            })
        };
        // A limit of 0 is none.
        let minutes = |name: &str| -> Result<u32, u8> {
            let minutes = when::minutes(&value).ok_or_else(|| invalid(name))?;
            Ok(if minutes == 0 { u32::MAX } else { minutes })
        };
        let memory = |name: &str| values::megabytes(&value).ok_or_else(|| invalid(name));
        let file = || match value.eq_ignore_ascii_case("none") {
            true => "/dev/null".to_owned(),
            false => value.clone(),
        };
        match option {
            'a' => self.array = given,
            'A' => self.account = given,
            ACCTG => self.accounting = given,
            'b' => self.begin = point("begin")?,
            BATCH => self.batch = given,
            'c' => self.cpus_per_task = Some(number("--cpus-per-task", 1)?),
            'C' => self.constraint = given,
            CLUSTER_CONSTRAINT => self.cluster_constraint = given,
            COMMENT => self.comment = given,
            CONTAINER => self.container = given,
            CONTIGUOUS => self.contiguous = true,
            CORES => self.cores_per_socket = Some(number("--cores-per-socket", 1)?),
            'd' => self.dependency = given,
            'D' => self.chdir = full(&value),
            DEADLINE => self.deadline = point("deadline")?,
            DELAY_BOOT => {
                self.delay_boot = Some(when::seconds(&value).ok_or_else(|| invalid("delay-boot"))?);
            }
            'e' => self.error = Some(file()),
            EXCLUSIVE => {
                self.share = Some(match value.to_ascii_lowercase().as_str() {
                    "" | "exclusive" => 0,
                    "oversubscribe" => 1,
                    "user" => 2,
                    "mcs" => 3,
                    _ => return Err(invalid("exclusive")),
                });
            }
            EXPORT => self.export = given,
            GID | UID if !rustix::process::getuid().is_root() => {
                let name = if option == GID { "gid" } else { "uid" };
                call.error(&format!("--{name} only permitted by root user"));
                return Err(WRONG);
            }
            GID => self.gid = Some(users::gid(&value).ok_or_else(|| invalid("gid"))?),
            GRES => self.gres = given.filter(|value| !value.eq_ignore_ascii_case("none")),
            'H' => self.hold = true,
            'i' => self.input = Some(file()),
            IGNORE_PBS => {}
            'J' => self.name = given,
            'k' => {
                self.no_kill = match value.to_ascii_lowercase().as_str() {
                    "" | "set" => true,
                    "off" | "no" => false,
                    _ => return Err(invalid("no-kill")),
                };
            }
            KILL_INVALID => {
                self.bits |= match value.to_ascii_lowercase().as_str() {
                    "yes" => bit::KILL_INVALID,
                    "no" => bit::KEEP_INVALID,
                    _ => return Err(invalid("kill-on-invalid-dep")),
                };
            }
            'L' => self.licenses = given,
            'm' => {
                (self.layout, self.plane) =
                    values::layout(&value).ok_or_else(|| invalid("distribution"))?;
            }
            MAIL_TYPE => self.mail_type |= mail_type(&value).ok_or_else(|| invalid("mail-type"))?,
            MAIL_USER => self.mail_user = given,
            MCS => self.mcs_label = given,
            MEM => self.mem = Some(memory("mem")?),
            MEM_PER_CPU => self.mem_per_cpu = Some(memory("mem-per-cpu")?),
            MIN_CPUS => self.min_cpus = Some(number("--mincpus", 1)?),
            MIN_NODES => self.bits |= bit::MIN_NODES,
            'n' => {
                self.ntasks = Some(number("--ntasks", 1)?);
                self.tasks = self.ntasks.expect("just set");
            }
            'N' => {
                self.nodes = Some(values::nodes(&value).map_err(|part| {
                    call.error(&format!("\"{part}\" is not a valid node count"));
                    WRONG
                })?);
            }
            NETWORK => self.network = given,
            NICE => {
                const MAX: i64 = 0x8000_0000 - 3;
                let nice = given.as_ref().map_or(100, |value| text::leading_number(value).0);
                if nice.abs() > MAX {
                    call.error(&format!("Invalid --nice value, out of range (+/- {MAX})"));
                    return Err(WRONG);
                }
                self.nice = Some(nice);
            }
            NO_REQUEUE => self.requeue = Some(0),
            'o' => self.output = Some(file()),
            'O' => self.overcommit = true,
            OPEN_MODE => {
                self.open_mode = match value.chars().next() {
                    Some('a' | 'A') => 1,
                    Some('t' | 'T') => 2,
                    _ => return Err(invalid("open-mode")),
                };
            }
            'p' => self.partition = given,
            PARSABLE => self.parsable = true,
            PER_CORE => self.per_core = Some(number("--ntasks-per-core", 1)?),
            PER_NODE => self.per_node = Some(number("--ntasks-per-node", 1)?),
            PER_SOCKET => self.per_socket = Some(number("--ntasks-per-socket", 1)?),
            PREFER => self.prefer = given,
            PRIORITY => self.priority = Some(priority(call, &value)?),
            PROPAGATE => self.propagate = Some(given.unwrap_or_else(|| "ALL".to_owned())),
            'q' => self.qos = given,
            'Q' => self.quiet = true,
            REBOOT => self.reboot = true,
            REQUEUE => self.requeue = Some(1),
            RESERVATION => self.reservation = given,
            's' => self.share = Some(1),
            'S' => self.core_spec = Some(small("--core-spec", 0)?),
            SIGNAL => self.signal = values::warning(&value).ok_or_else(|| invalid("signal"))?,
            SOCKETS => self.sockets_per_node = Some(number("--sockets-per-node", 1)?),
            SPREAD => self.bits |= bit::SPREAD,
            SWITCHES => {
                let (count, wait) = match value.split_once('@') {
                    Some((count, wait)) => (count, when::seconds(wait)),
                    None => (value.as_str(), None),
                };
                let count = count.parse::<u32>().ok().filter(|count| *count > 0);
                self.switches = Some(count.ok_or_else(|| {
                    call.error(&format!("Invalid numeric value \"{value}\" for --switches."));
                    1_u8
                })?);
                self.switches_wait = wait;
            }
            't' => self.time = Some(minutes("time")?),
            TEST_ONLY => self.test_only = true,
            THREAD_SPEC => self.core_spec = Some(small("--thread-spec", 1)? | 0x8000),
            THREADS => self.threads_per_core = Some(number("--threads-per-core", 1)?),
            TIME_MIN => self.time_min = Some(minutes("time-min")?),
            TMP => self.tmp = Some(memory("tmp")?),
            UID => self.uid = Some(users::uid(&value).ok_or_else(|| invalid("uid"))?),
            'v' => self.verbose = true,
            'w' => self.nodelist = given,
            'W' => self.wait = true,
            WAIT_ALL => self.wait_all = Some(small("--wait-all-nodes", 0)?),
            WCKEY => self.wckey = given,
            WRAP => {}
            'x' => self.exclude = given,
            _ => {
                let named = LONGS.iter().find(|(_, _, letter)| *letter == option && option != LEFT);
                let name = named.map_or("such an option", |(name, ..)| name);
                call.left_to_slurm(name);
                return Err(WRONG);
            }
        }
        Ok(())
    }

    /// At least so many nodes.
    pub fn min_nodes(&self) -> u32 {
        self.nodes.map_or(1, |(least, _)| least)
    }

    /// At most so many; 0 where that is open.
    fn max_nodes(&self) -> u32 {
        self.nodes.map_or(0, |(_, most)| most)
    }

    /// What follows from all of them together.
    pub fn verify(&mut self, call: &Call) -> Result<(), u8> {
        if self.mem.is_some() && self.mem_per_cpu.is_some() {
            let name = &call.name;
            text::complain(&format!(
                "{name}: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.\n"
            ));
            return Err(1);
        }
        let dir = self.chdir.clone();
        let absolute = |file: &mut Option<String>| {
            if let Some(path) = file.as_mut().filter(|path| !path.starts_with('/')) {
                *path = format!("{dir}/{path}");
            }
        };
        self.input.get_or_insert_with(|| "/dev/null".to_owned());
        [&mut self.error, &mut self.input, &mut self.output].into_iter().for_each(absolute);
        self.named_nodes(call)?;
        let exact = self.max_nodes() == 0 || self.min_nodes() == self.max_nodes();
        if let (Some(each), None, true) = (self.per_node, self.ntasks, exact) {
            self.tasks = self.min_nodes() * each;
            self.ntasks = Some(self.tasks);
        }
        if let Some(cpus) = self.cpus_per_task {
            self.min_cpus = Some(self.min_cpus.unwrap_or(0).max(cpus));
        }
        if self.name.is_none() {
            let script = self.argv.first().and_then(|path| path.rsplit('/').next());
            let wrap = self.wrap.as_ref().map(|_| "wrap");
            self.name = wrap.or(script).map(str::to_owned);
        }
        if let Some((least, most)) = self.nodes
            && most != 0
            && least > most
        {
            call.error(&format!("invalid number of nodes (-N {least}-{most})"));
            return Err(error_exit());
        }
        self.reckon(call);
        if let (PLANE, Some(plane)) = (self.layout, self.plane) {
            let (plane, nodes) = (u32::from(plane), self.min_nodes());
            if self.tasks / plane < nodes && (nodes - 1) * plane >= self.tasks {
                call.error("Too few processes for the requested {plane,node} distribution");
                return Err(error_exit());
            }
        }
        if self.deadline != 0 && self.begin != 0 && self.deadline < self.begin {
            call.error("Incompatible begin and deadline time specification");
            return Err(error_exit());
        }
        Ok(())
    }

    /// Nodes that are named are as many as there must be.
    fn named_nodes(&mut self, call: &Call) -> Result<(), u8> {
        if env("SLURM_HOSTFILE").is_some() && self.nodelist.is_none() {
            call.left_to_slurm("SLURM_HOSTFILE");
            return Err(error_exit());
        }
        for list in [&self.nodelist, &self.exclude].into_iter().flatten() {
            if list.contains('/') {
                call.left_to_slurm("a file of nodes");
                return Err(error_exit());
            }
        }
        let Some(list) = &self.nodelist else { return Ok(()) };
        let Ok(mut names) = expand(list) else {
            call.error(&format!("Invalid node list: {list}"));
            return Err(error_exit());
        };
        names.sort_by(|a, b| crate::slurm::hostlist::by_prefix(a, b));
        names.dedup();
        self.nodelist = Some(compress(names.iter().map(String::as_str)));
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        self.nodes = Some(match self.nodes {
            Some((least, most)) => (least.max(count), most),
            None => (count, 0),
        });
        Ok(())
    }

    /// Tasks from nodes, and nodes from tasks.
    fn reckon(&mut self, call: &Call) {
        let Some((least, most)) = self.nodes else { return };
        let exact = most == 0 || least == most;
        match self.ntasks {
            None if exact => {
                self.tasks = least.max(1);
                let parts = [self.sockets_per_node, self.cores_per_socket, self.threads_per_core];
                for part in parts.into_iter().flatten() {
                    self.tasks *= part;
                    self.ntasks = Some(self.tasks);
                }
            }
            None => {}
            Some(tasks) => {
                let mut nodes = (least, most.min(tasks));
                if tasks < least {
                    call.info(&format!(
                        "Warning: can't run {tasks} processes on {least} nodes, setting nnodes to \
                         {tasks}"
                    ));
                    nodes = (tasks, tasks);
                }
                self.nodes = Some(nodes);
            }
        }
    }
}

fn priority(call: &Call, value: &str) -> Result<u32, u8> {
    const UNSET: i64 = 0xffff_fffe;
    if value.eq_ignore_ascii_case("TOP") {
        return Ok(0xffff_fffd);
    }
    let (number, _) = text::leading_number(value);
    if number < 0 {
        call.error("Priority must be >= 0");
        return Err(WRONG);
    }
    u32::try_from(number).ok().filter(|_| number < UNSET).ok_or_else(|| {
        call.error(&format!("Priority must be < {UNSET}"));
        WRONG
    })
}
