//! `NodeName` lines: one of them stands for many nodes.
//!
//! Invariants: names are unique; CPUs, sockets, cores and threads agree as Slurm makes them agree.

use crate::slurm::conf::fields::Fields;
use crate::slurm::conf::include::Statement;
use crate::slurm::conf::mistake::{ConfError, Place, Problem};
use crate::slurm::conf::parameters::NODE_KEYS;
use crate::slurm::hostlist::expand;

/// What a node begins as, before it was ever heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initial {
    /// Nobody knows: the usual.
    #[default]
    Unknown,
    /// Out of service.
    Down,
    /// No new work.
    Drain,
    /// About to fail.
    Fail,
    /// Defined, not there yet.
    Future,
    /// Comes from a cloud.
    Cloud,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in Slurm.
    pub name: String,
    /// What `hostname` says there.
    pub hostname: String,
    /// Where its slurmd is reached.
    pub address: String,
    /// Where files are broadcast to, if elsewhere.
    pub bcast_address: Option<String>,
    /// slurmd's port.
    pub port: u16,
    /// CPUs: threads, cores or sockets, whichever it is told.
    pub cpus: u16,
    /// Boards.
    pub boards: u16,
    /// Sockets of all boards.
    pub sockets: u16,
    /// Cores of a socket.
    pub cores: u16,
    /// Threads of a core.
    pub threads: u16,
    /// MiB.
    pub real_memory: u64,
    /// MiB.
    pub tmp_disk: u32,
    /// Lower ones are taken first.
    pub weight: u32,
    /// Features, as written.
    pub features: Option<String>,
    /// Generic resources, as written.
    pub gres: Option<String>,
    /// Cores that jobs do not get.
    pub core_spec_count: u16,
    /// CPUs that jobs do not get.
    pub cpu_spec_list: Option<String>,
    /// MiB that jobs do not get.
    pub mem_spec_limit: u64,
    /// What it begins as.
    pub initial: Initial,
    /// Why, if anybody says.
    pub reason: Option<String>,
    /// Where it is defined.
    pub place: Place,
}

impl Node {
    /// Whether a feature is among the node's.
    #[must_use]
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.as_deref().is_some_and(|all| all.split(',').any(|one| one == feature))
    }
}

/// The nodes of one line.
///
/// # Errors
/// [`ConfError`], with the line.
pub fn nodes(
    line: &Statement,
    defaults: &Fields,
    slurmd_port: u16,
) -> Result<Vec<Node>, ConfError> {
    let at = |problem| ConfError::At { place: line.place.clone(), problem };
    let fields = defaults.with(line, NODE_KEYS)?;
    let names = hosts("NodeName", &line.pairs[0].value).map_err(at)?;
    let spread = |key: &'static str| -> Result<Option<Vec<String>>, ConfError> {
        let Some(text) = fields.text(key) else { return Ok(None) };
        let mut found = hosts(key, text).map_err(at)?;
        match found.len() {
            1 => found = vec![found[0].clone(); names.len()],
            count if count == names.len() => {}
            found => return Err(at(Problem::Count { key, found, wanted: names.len() })),
        }
        Ok(Some(found))
    };
    let hostnames = spread("NodeHostname")?.unwrap_or_else(|| names.clone());
    let addresses = spread("NodeAddr")?.unwrap_or_else(|| hostnames.clone());
    let bcast = spread("BcastAddr")?;
    let ports = spread("Port")?;
    let template = template(line, &fields, slurmd_port)?;
    let mut found = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let port = match &ports {
            None => slurmd_port,
            Some(ports) => port(&ports[index]).ok_or_else(|| {
                let (key, value) = ("Port".to_owned(), ports[index].clone());
                at(Problem::Value { key, value, wanted: "a port from 1 to 65535" })
            })?,
        };
        found.push(Node {
            name,
            hostname: hostnames[index].clone(),
            address: addresses[index].clone(),
            bcast_address: bcast.as_ref().map(|bcast| bcast[index].clone()),
            port,
            ..template.clone()
        });
    }
    Ok(found)
}

fn hosts(key: &str, text: &str) -> Result<Vec<String>, Problem> {
    expand(text).map_err(|error| Problem::Hosts { key: key.to_owned(), error })
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// What all nodes of the line share.
fn template(line: &Statement, fields: &Fields, port: u16) -> Result<Node, ConfError> {
    let shape = shape(fields)?;
    let features = fields.text("Features").or_else(|| fields.text("Feature"));
    Ok(Node {
        name: String::new(),
        hostname: String::new(),
        address: String::new(),
        bcast_address: None,
        port,
        cpus: shape.cpus,
        boards: shape.boards,
        sockets: shape.sockets,
        cores: shape.cores,
        threads: shape.threads,
        real_memory: fields.u64("RealMemory", 1)?.max(1),
        tmp_disk: fields.u32("TmpDisk", 0)?,
        weight: fields.u32("Weight", 1)?,
        features: features.map(str::to_owned),
        gres: fields.text("Gres").map(str::to_owned),
        core_spec_count: fields.u16("CoreSpecCount", 0)?,
        cpu_spec_list: fields.text("CPUSpecList").map(str::to_owned),
        mem_spec_limit: fields.u64("MemSpecLimit", 0)?,
        initial: fields.read("State", Initial::Unknown, initial)?,
        reason: fields.text("Reason").map(str::to_owned),
        place: line.place.clone(),
    })
}

/// A state that a node may begin with.
pub fn initial(text: &str) -> Result<Initial, &'static str> {
    match text.to_ascii_uppercase().as_str() {
        "UNKNOWN" => Ok(Initial::Unknown),
        "DOWN" => Ok(Initial::Down),
        "DRAIN" => Ok(Initial::Drain),
        "FAIL" | "FAILING" => Ok(Initial::Fail),
        "FUTURE" => Ok(Initial::Future),
        "CLOUD" => Ok(Initial::Cloud),
        _ => Err("CLOUD, DOWN, DRAIN, FAIL, FAILING, FUTURE or UNKNOWN"),
    }
}

struct Shape {
    cpus: u16,
    boards: u16,
    sockets: u16,
    cores: u16,
    threads: u16,
}

/// What is told decides, what is not told follows; 0 counts as 1.
fn shape(fields: &Fields) -> Result<Shape, ConfError> {
    let one = |key: &str| fields.u16(key, 1).map(|number| number.max(1));
    let (boards, cores, threads) = (one("Boards")?, one("CoresPerSocket")?, one("ThreadsPerCore")?);
    let told = if fields.has("CPUs") { Some("CPUs") } else { None };
    let told = told.or(fields.has("Procs").then_some("Procs"));
    let sockets = if fields.has("SocketsPerBoard") {
        Some(boards.saturating_mul(one("SocketsPerBoard")?))
    } else if fields.has("Sockets") {
        Some(one("Sockets")?)
    } else {
        None
    };
    let per_socket = u32::from(cores) * u32::from(threads);
    let (cpus, sockets) = match (told, sockets) {
        (None, sockets) => {
            let sockets = sockets.unwrap_or(boards);
            (per_socket.saturating_mul(u32::from(sockets)), sockets)
        }
        (Some(key), None) => {
            let cpus = u32::from(one(key)?);
            // Few enough: the quotient of a 16-bit number.
            let sockets = u16::try_from((cpus / per_socket).max(1)).expect("at most 65535");
            (fitting(cpus, sockets, cores, threads), sockets.max(boards))
        }
        (Some(key), Some(sockets)) => {
            (fitting(u32::from(one(key)?), sockets, cores, threads), sockets)
        }
    };
    let cpus = u16::try_from(cpus).unwrap_or(u16::MAX);
    Ok(Shape { cpus, boards, sockets, cores, threads })
}

/// CPUs are the sockets, the cores or the threads; a number that is none of them is corrected to
/// the threads, as Slurm does.
fn fitting(cpus: u32, sockets: u16, cores: u16, threads: u16) -> u32 {
    let sockets = u32::from(sockets);
    let all_cores = sockets.saturating_mul(u32::from(cores));
    let all_threads = all_cores.saturating_mul(u32::from(threads));
    if [sockets, all_cores, all_threads].contains(&cpus) { cpus } else { all_threads }
}
