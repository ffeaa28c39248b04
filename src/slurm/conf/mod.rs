//! slurm.conf as values, and [`own`]: statedir.conf beside it.
//!
//! Everything here is pure but [`Conf::load`], which reads the files. Invariants: any text gives a
//! configuration or an error with file, line and what to do; what real Slurm programs refuse is
//! refused (they read the same file), what they take is taken, except what a controller cannot use:
//! nodes or partitions that are there twice, partitions of nodes that are not, unpaired quotes.

mod fields;
mod include;
pub mod level;
mod lines;
mod mistake;
mod nodes;
pub mod own;
pub mod parameters;
mod partitions;
mod values;
mod words;

pub use mistake::{ConfError, Place, Problem};
pub use nodes::{Initial, Node};
pub use partitions::{Memory, Partition, PartitionState, preempt_mode, select_parameters};
pub use values::minutes;

use crate::slurm::conf::fields::{Fields, near};
use crate::slurm::conf::include::{Statement, collect};
use crate::slurm::conf::parameters::{ACTED_ON, Kind, LINES, PARAMETERS, parameter};
use crate::slurm::hostlist::{HostlistError, expand, natural};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// A host that may run the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerHost {
    /// What `hostname` says there.
    pub name: String,
    /// Where it is reached.
    pub address: String,
}

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Conf {
    /// The file that was read.
    pub path: PathBuf,
    /// Slurm's checksum of the file and of what it includes.
    pub hash: u32,
    /// The uid of SlurmUser: whoever knows users fills it in, the file only names him.
    pub slurm_user: u32,
    settings: BTreeMap<&'static str, String>,
    /// The controllers, in the order of their priority.
    pub controllers: Vec<ControllerHost>,
    /// The nodes, in the natural order of their names, as in Slurm. Bitmaps count in it.
    pub nodes: Vec<Node>,
    /// The partitions, in the order of the file.
    pub partitions: Vec<Partition>,
    members: Vec<Vec<usize>>,
    sets: Vec<(String, Fields)>,
}

impl Conf {
    /// Reads a slurm.conf and what it includes.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn load(path: &Path) -> Result<Conf, ConfError> {
        Conf::read(path, &mut |path| std::fs::read_to_string(path))
    }

    /// As [`Conf::load`], where `read` gives the files' text.
    ///
    /// # Errors
    /// [`ConfError`].
    pub fn read(
        path: &Path,
        read: &mut dyn FnMut(&Path) -> io::Result<String>,
    ) -> Result<Conf, ConfError> {
        let (statements, hash) = collect(path, read)?;
        Ok(Conf { hash, ..Builder::default().build(path, statements)? })
    }

    /// The value of a parameter: the file's, or Slurm's default; `None` for an empty one.
    ///
    /// # Panics
    /// If there is no such parameter: the caller's mistake.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let known = parameter(name).expect("a parameter of slurm.conf");
        let set = self.settings.get(known.name).map(String::as_str);
        Some(set.unwrap_or(known.default)).filter(|text| !text.is_empty())
    }

    /// The value of a parameter that is a number; all bits of its kind for INFINITE.
    ///
    /// # Panics
    /// If it is none: the caller's mistake.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        let kind = parameter(name).expect("a parameter of slurm.conf").kind;
        let text = self.text(name).expect("numbers have defaults");
        values::number(kind, text).expect("values were checked when the file was read")
    }

    /// The value of a parameter that is yes or no.
    ///
    /// # Panics
    /// If it is none: the caller's mistake.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        let text = self.text(name).expect("flags have defaults");
        values::flag(text).expect("values were checked when the file was read")
    }

    /// The bits that a parameter's words stand for.
    #[must_use]
    pub fn bits(&self, name: &str) -> u64 {
        let text = self.text(name).unwrap_or("");
        words::bits(name, text).expect("values were checked when the file was read")
    }

    /// Whether the file says anything about a parameter.
    #[must_use]
    pub fn says(&self, name: &str) -> bool {
        self.settings.contains_key(parameter(name).expect("a parameter of slurm.conf").name)
    }

    /// The controller's first port, and how many there are.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        let text = self.text("SlurmctldPort").expect("it has a default");
        ports(text).expect("values were checked when the file was read")
    }

    /// The nodes of a partition, as places in [`Conf::nodes`], in that order.
    #[must_use]
    pub fn members(&self, partition: usize) -> &[usize] {
        &self.members[partition]
    }

    /// The nodes of a list in which ALL and names of sets may stand, as places in [`Conf::nodes`],
    /// ascending; and the names of those that there are not.
    ///
    /// # Errors
    /// It is no list.
    pub fn listed(&self, list: &str) -> Result<(Vec<usize>, Vec<String>), HostlistError> {
        if list.eq_ignore_ascii_case("ALL") {
            return Ok(((0..self.nodes.len()).collect(), Vec::new()));
        }
        let (mut found, mut missing, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let parts: Vec<&str> = list.split(',').collect();
        for part in parts {
            match self.sets.iter().find(|(name, _)| name == part) {
                Some((_, fields)) => found.extend(self.of_set(fields)),
                None => rest.push(part),
            }
        }
        let places: HashMap<&str, usize> =
            self.nodes.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
        for name in expand(&rest.join(","))? {
            match places.get(name.as_str()) {
                Some(at) => found.push(*at),
                None => missing.push(name),
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok((found, missing))
    }

    /// The nodes of a set; its list was checked when the file was read.
    fn of_set(&self, fields: &Fields) -> Vec<usize> {
        let names = fields.text("Nodes").and_then(|list| expand(list).ok()).unwrap_or_default();
        let feature = fields.text("Feature");
        let is_in = |node: &Node| {
            names.contains(&node.name) || feature.is_some_and(|feature| node.has_feature(feature))
        };
        (0..self.nodes.len()).filter(|at| is_in(&self.nodes[*at])).collect()
    }

    /// Parameters that the file sets and the controller does not act on.
    pub fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        self.settings.keys().copied().filter(|name| !ACTED_ON.contains(name))
    }
}

fn ports(text: &str) -> Result<(u16, u16), &'static str> {
    const WANTED: &str = "a port, or first-last,";
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(WANTED);
    let (first, last) = (port(first)?, port(last)?);
    if last < first { Err(WANTED) } else { Ok((first, last - first + 1)) }
}

fn controller(text: &str) -> Option<ControllerHost> {
    let (name, address) = match text.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (text, text),
    };
    let fine = !name.is_empty() && !address.is_empty() && !address.contains(['(', ')']);
    fine.then(|| ControllerHost { name: name.to_owned(), address: address.to_owned() })
}

/// Checks a value by its parameter's kind.
fn check(name: &str, kind: Kind, value: &str) -> Result<(), Problem> {
    let wrong = |wanted| Problem::Value { key: name.to_owned(), value: value.to_owned(), wanted };
    match kind {
        Kind::Removed => Err(Problem::Removed(name.to_owned())),
        Kind::Text if name == "SlurmctldPort" => ports(value).map(drop).map_err(wrong),
        Kind::Text if name == "SlurmctldHost" => {
            let wanted = "a host's name, or name(address),";
            controller(value).map(drop).ok_or_else(|| wrong(wanted))
        }
        Kind::Text => words::bits(name, value).map(drop).map_err(wrong),
        Kind::Flag => values::flag(value).map(drop).map_err(wrong),
        number => values::number(number, value).map(drop).map_err(wrong),
    }
}

#[derive(Default)]
struct Builder {
    settings: BTreeMap<&'static str, String>,
    controllers: Vec<ControllerHost>,
    node_lines: Vec<(Statement, Fields)>,
    node_defaults: Fields,
    partitions: Vec<Partition>,
    partition_defaults: Fields,
    down: Vec<Statement>,
    sets: Vec<(String, Fields)>,
}

impl Builder {
    fn build(mut self, path: &Path, statements: Vec<Statement>) -> Result<Conf, ConfError> {
        for statement in statements {
            self.statement(statement)?;
        }
        let whole = |problem| ConfError::Whole { file: path.to_owned(), problem };
        if self.controllers.is_empty() {
            self.old_controllers();
        }
        if !self.settings.contains_key("ClusterName") {
            return Err(whole(Problem::Missing("ClusterName")));
        }
        if self.controllers.is_empty() {
            return Err(whole(Problem::Missing("SlurmctldHost")));
        }
        let nodes = self.nodes()?;
        let members = self.members(&nodes)?;
        if self.partitions.is_empty() {
            return Err(whole(Problem::Missing("a PartitionName line")));
        }
        let (settings, controllers) = (self.settings, self.controllers);
        let (partitions, sets) = (self.partitions, self.sets);
        let (path, hash) = (path.to_owned(), 0);
        let slurm_user = 0;
        Ok(Conf { path, hash, slurm_user, settings, controllers, nodes, partitions, members, sets })
    }

    fn statement(&mut self, line: Statement) -> Result<(), ConfError> {
        let head = &line.pairs[0];
        let place = line.place.clone();
        let at = |problem| ConfError::At { place: place.clone(), problem };
        let several = LINES.iter().find(|(key, _)| key.eq_ignore_ascii_case(&head.key));
        if let Some((key, known)) = several {
            return self.line_of_several(key, known, line);
        }
        let Some(known) = parameter(&head.key) else {
            let names: Vec<&'static str> = PARAMETERS.iter().map(|row| row.name).collect();
            let near = near(&head.key, &names);
            let of = "of slurm.conf".to_owned();
            return Err(at(Problem::Unknown { key: head.key.clone(), of, near }));
        };
        if let Some(more) = line.pairs.get(1) {
            let text = format!("{}={} behind another one", more.key, more.value);
            return Err(at(Problem::Syntax(text)));
        }
        check(known.name, known.kind, &head.value).map_err(at)?;
        match known.name {
            "SlurmctldHost" => self.controllers.extend(controller(&head.value)),
            name => drop(self.settings.insert(name, head.value.clone())),
        }
        Ok(())
    }

    fn line_of_several(
        &mut self,
        key: &str,
        known: &'static [&'static str],
        line: Statement,
    ) -> Result<(), ConfError> {
        let default = line.pairs[0].value.eq_ignore_ascii_case("DEFAULT");
        match key {
            "NodeName" if default => self.node_defaults = self.node_defaults.with(&line, known)?,
            "NodeName" => self.node_lines.push((line, self.node_defaults.clone())),
            "PartitionName" if default => {
                self.partition_defaults = self.partition_defaults.with(&line, known)?;
            }
            "PartitionName" => {
                let found = partitions::partitions(&line, &self.partition_defaults)?;
                self.partitions.extend(found);
            }
            "NodeSet" => {
                let fields = Fields::default().with(&line, known)?;
                self.sets.push((line.pairs[0].value.clone(), fields));
            }
            _ => self.down.push(line),
        }
        Ok(())
    }

    /// The names that SlurmctldHost had before.
    fn old_controllers(&mut self) {
        for (name, address) in
            [("ControlMachine", "ControlAddr"), ("BackupController", "BackupAddr")]
        {
            let Some(name) = self.settings.get(name) else { continue };
            let address = self.settings.get(address).unwrap_or(name).clone();
            self.controllers.push(ControllerHost { name: name.clone(), address });
        }
    }

    fn nodes(&mut self) -> Result<Vec<Node>, ConfError> {
        let port = self.settings.get("SlurmdPort").map_or("6818", String::as_str);
        let port = values::number(Kind::U32, port).expect("checked when it was read");
        // Slurm has 32 bits for it, the protocol 16.
        let port = u16::try_from(port).unwrap_or(u16::MAX);
        let mut found: Vec<Node> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (line, defaults) in &self.node_lines {
            for node in nodes::nodes(line, defaults, port)? {
                if let Some(first) = places.insert(node.name.clone(), found.len()) {
                    let first = found[first].place.clone();
                    let problem = Problem::Twice { what: "node", name: node.name, first };
                    return Err(ConfError::At { place: node.place, problem });
                }
                found.push(node);
            }
        }
        for line in &self.down {
            let known = LINES.iter().find(|(key, _)| *key == "DownNodes").expect("in the table").1;
            let fields = Fields::default().with(line, known)?;
            let initial = fields.read("State", Initial::Down, nodes::initial)?;
            for at in hosts("DownNodes", &line.pairs[0].value, &line.place, &places)? {
                found[at].initial = initial;
                found[at].reason = fields.text("Reason").map(str::to_owned);
            }
        }
        found.sort_by(|a, b| natural(&a.name, &b.name));
        Ok(found)
    }

    /// Each partition's nodes.
    fn members(&self, nodes: &[Node]) -> Result<Vec<Vec<usize>>, ConfError> {
        let places: HashMap<String, usize> =
            nodes.iter().enumerate().map(|(at, node)| (node.name.clone(), at)).collect();
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        let mut found = Vec::new();
        for partition in &self.partitions {
            if let Some(first) = seen.insert(&partition.name, &partition.place) {
                let (name, first) = (partition.name.clone(), first.clone());
                let problem = Problem::Twice { what: "partition", name, first };
                return Err(ConfError::At { place: partition.place.clone(), problem });
            }
            let text = partition.nodes.as_deref().unwrap_or("");
            let mut members = self.resolve(text, &partition.place, nodes, &places)?;
            members.sort_unstable();
            members.dedup();
            found.push(members);
        }
        Ok(found)
    }

    /// A list of nodes in which ALL and names of sets may stand.
    fn resolve(
        &self,
        text: &str,
        place: &Place,
        nodes: &[Node],
        places: &HashMap<String, usize>,
    ) -> Result<Vec<usize>, ConfError> {
        if text.eq_ignore_ascii_case("ALL") {
            return Ok((0..nodes.len()).collect());
        }
        let (mut found, mut rest) = (Vec::new(), text.to_owned());
        for (name, fields) in &self.sets {
            let parts: Vec<&str> = rest.split(',').collect();
            if !parts.contains(&name.as_str()) {
                continue;
            }
            if let Some(list) = fields.text("Nodes") {
                found.extend(hosts("Nodes", list, place, places)?);
            }
            if let Some(feature) = fields.text("Feature") {
                found.extend((0..nodes.len()).filter(|at| nodes[*at].has_feature(feature)));
            }
            let parts: Vec<&str> = parts.into_iter().filter(|part| part != name).collect();
            rest = parts.join(",");
        }
        found.extend(hosts("Nodes", &rest, place, places)?);
        Ok(found)
    }
}

/// The nodes of a list by their places.
fn hosts(
    key: &'static str,
    list: &str,
    place: &Place,
    places: &HashMap<String, usize>,
) -> Result<Vec<usize>, ConfError> {
    let at = |problem| ConfError::At { place: place.clone(), problem };
    let names = expand(list).map_err(|error| at(Problem::Hosts { key: key.to_owned(), error }))?;
    let find = |name: String| {
        places.get(&name).copied().ok_or_else(|| at(Problem::NoSuchNode { key, name }))
    };
    names.into_iter().map(find).collect()
}

#[cfg(test)]
mod tests;
