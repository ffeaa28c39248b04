//! `sinfo`: nodes and partitions at a glance.
//!
//! Nodes of a partition that look alike in the columns that are asked for make one `Row`.

use crate::client::cluster::Cluster;
use crate::client::columns::{Column, left, right};
use crate::client::getopt::{Getopt, Long, Takes};
use crate::client::job::show;
use crate::client::{Call, VERSION, again, env, node_state, partition, text, time, units, users};
use crate::slurm::hostlist::{by_prefix, compress, expand};
use crate::slurm::wire::constants::node;
use crate::slurm::wire::tables::{InfoRequest, Node, NodeRequest, Partition};
use crate::slurm::wire::{Message, Time, Unset};
use std::cmp::Reverse;
use std::collections::BTreeSet;

const USAGE: &str = "\
Usage: sinfo [-adhlNRrsvV] [-i seconds] [-n nodes] [-p partitions] [-t states]
";

const HELP: &str = "\
Usage: sinfo [OPTIONS]
  -a, --all                  show all partitions, also hidden ones
  -d, --dead                 show only nodes that do not respond
  -e, --exact                group nodes only if they are equal in size
  -h, --noheader             no headers
      --hide                 do not show hidden partitions
  -i, --iterate=seconds      again and again, each so many seconds
      --local                (the only cluster there is)
  -l, --long                 more columns
  -n, --nodes=list           only these nodes
  -N, --Node                 one line for each node and partition
  -p, --partition=list       only these partitions
  -r, --responding           show only nodes that respond
  -R, --list-reasons         why nodes are down, drained or failing
  -s, --summarize            numbers of nodes only
  -t, --states=list          only nodes in these states
  -V, --version              print the version
Formats (-o, -O, --json, --yaml) are left to Slurm's own sinfo.
";

const LONGS: &[Long] = &[
    ("all", Takes::Nothing, 'a'),
    ("dead", Takes::Nothing, 'd'),
    ("exact", Takes::Nothing, 'e'),
    ("federation", Takes::Nothing, 'F'),
    ("help", Takes::Nothing, '1'),
    ("hide", Takes::Nothing, '2'),
    ("iterate", Takes::Value, 'i'),
    ("local", Takes::Nothing, 'F'),
    ("long", Takes::Nothing, 'l'),
    ("cluster", Takes::Value, 'M'),
    ("clusters", Takes::Value, 'M'),
    ("nodes", Takes::Value, 'n'),
    ("noconvert", Takes::Nothing, '3'),
    ("noheader", Takes::Nothing, 'h'),
    ("Node", Takes::Nothing, 'N'),
    ("format", Takes::Value, 'o'),
    ("Format", Takes::Value, 'O'),
    ("partition", Takes::Value, 'p'),
    ("responding", Takes::Nothing, 'r'),
    ("list-reasons", Takes::Nothing, 'R'),
    ("summarize", Takes::Nothing, 's'),
    ("sort", Takes::Value, 'S'),
    ("states", Takes::Value, 't'),
    ("reservation", Takes::Nothing, 'T'),
    ("usage", Takes::Nothing, '4'),
    ("verbose", Takes::Nothing, 'v'),
    ("version", Takes::Nothing, 'V'),
    ("json", Takes::Nothing, 'j'),
    ("yaml", Takes::Nothing, 'y'),
];

#[derive(Debug, Default)]
struct Options {
    all: bool,
    dead: bool,
    exact: bool,
    no_header: bool,
    each_s: u64,
    long: bool,
    nodes: Option<Vec<String>>,
    by_node: bool,
    partitions: Option<Vec<String>>,
    responding: bool,
    reasons: bool,
    summary: bool,
    states: Option<Vec<u32>>,
    every_state: bool,
}

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Partition,
    Available,
    TimeLimit,
    Nodes,
    State,
    LongState,
    NodeList,
    NodesInUse,
    Cpus,
    Sockets,
    Memory,
    Disk,
    Weight,
    Features,
    Reason,
    User,
    LongUser,
    Since,
    JobSize,
    Root,
    Oversubscribe,
    Groups,
}

impl Options {
    /// The columns of the form that is asked for; those of 0 width are measured later.
    fn columns(&self) -> Vec<(Field, Column)> {
        use Field::*;
        let list = (NodeList, left(0));
        if self.summary {
            let (limit, use_) = ((TimeLimit, right(10)), (NodesInUse, right(16)));
            return vec![(Partition, left(9)), (Available, right(5)), limit, use_, list];
        }
        if self.by_node {
            let front = [list, (Nodes, right(6)), (Partition, right(9))];
            let more = [
                (LongState, right(11)),
                (Cpus, left(4)),
                (Sockets, right(8)),
                (Memory, right(6)),
                (Disk, right(8)),
                (Weight, right(6)),
                (Features, right(8)),
                (Reason, left(20)),
            ];
            let rest = if self.long { &more[..] } else { &[(State, left(6))] };
            return [&front, rest].concat();
        }
        if self.reasons {
            let (why, since) = ((Reason, left(20)), (Since, left(19)));
            return match self.long {
                true => vec![why, (LongUser, left(12)), since, (State, left(6)), list],
                false => vec![why, (User, left(9)), since, list],
            };
        }
        let mut found = vec![(Partition, left(9)), (Available, right(5)), (TimeLimit, right(10))];
        if self.long {
            found.extend([(JobSize, right(10)), (Root, right(4)), (Oversubscribe, right(8))]);
            found.extend([(Groups, right(10)), (Nodes, right(6)), (LongState, right(11)), list]);
        } else {
            found.extend([(Nodes, right(6)), (State, right(6)), list]);
        }
        found
    }

    fn wants_node(&self, node: &Node) -> bool {
        let silent = node.node_state & node::NO_RESPOND != 0;
        if self.nodes.as_ref().is_some_and(|names| !names.contains(&text::of(&node.name))) {
            return false;
        }
        let fits = (!self.dead || silent) && (!self.responding || !silent);
        let Some(states) = &self.states else { return fits };
        let mut matches = states.iter().map(|state| is_in(node, *state));
        fits && if self.every_state { matches.all(|fits| fits) } else { matches.any(|fits| fits) }
    }
}

/// Whether a node is in a state of a filter.
fn is_in(of: &Node, state: u32) -> bool {
    let (found, base) = (of.node_state, of.node_state & node::BASE);
    let drain = found & node::DRAIN != 0;
    let busy = found & node::COMPLETING != 0 || matches!(base, node::ALLOCATED | node::MIXED);
    match state {
        node::DRAIN => drain,
        wanted if wanted == node::DRAIN | node::ALLOCATED => drain && busy,
        wanted if wanted == node::DRAIN | node::IDLE => drain && !busy,
        flags if flags & !node::BASE != 0 => found & flags != 0,
        node::ALLOCATED => of.select_nodeinfo.alloc_cpus > 0,
        wanted => base == wanted,
    }
}

/// One line.
struct Row<'a> {
    /// A place in the list of partitions.
    partition: usize,
    nodes: Vec<&'a Node>,
    names: BTreeSet<String>,
}

impl Row<'_> {
    fn list(&self) -> String {
        let mut names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        names.sort_by(|a, b| by_prefix(a, b));
        compress(names)
    }

    fn state(&self) -> u32 {
        self.nodes.first().map_or(0, |node| node.node_state)
    }

    /// The smallest value, with a plus if there are larger ones.
    fn least(&self, of: impl Fn(&Node) -> u64, show: impl Fn(u64) -> String) -> String {
        let all = self.nodes.iter().map(|node| of(node));
        let (min, max) = (all.clone().min().unwrap_or(0), all.max().unwrap_or(0));
        if min == max { show(min) } else { show(min) + "+" }
    }
}

struct Listing<'a> {
    options: &'a Options,
    columns: &'a [(Field, Column)],
    partitions: &'a [Partition],
}

impl<'a> Listing<'a> {
    fn has(&self, field: Field) -> bool {
        self.columns.iter().any(|(shown, _)| *shown == field)
    }

    /// Whether two nodes may stand in one line.
    fn alike(&self, a: &Node, b: &Node) -> bool {
        let exact = [
            (Field::Cpus, a.cpus == b.cpus),
            (Field::Sockets, (a.sockets, a.cores, a.threads) == (b.sockets, b.cores, b.threads)),
            (Field::Memory, a.real_memory == b.real_memory),
            (Field::Disk, a.tmp_disk == b.tmp_disk),
            (Field::Weight, a.weight == b.weight),
        ];
        let state = node_state::full(a.node_state) == node_state::full(b.node_state);
        let always = [
            (Field::Features, a.features == b.features),
            (Field::Reason, a.reason == b.reason),
            (Field::Since, a.reason_time == b.reason_time),
            (Field::User, a.reason_uid == b.reason_uid),
            (Field::LongUser, a.reason_uid == b.reason_uid),
            (Field::State, state),
            (Field::LongState, state),
        ];
        let differ =
            |tests: &[(Field, bool)]| tests.iter().any(|(field, equal)| self.has(*field) && !equal);
        let apart = differ(&always) || self.options.exact && differ(&exact);
        !self.options.by_node && !apart
    }

    fn rows(&self, nodes: &'a [Node], single: bool) -> Vec<Row<'a>> {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for (at, partition) in self.partitions.iter().enumerate() {
            let chosen = self.options.partitions.as_ref();
            if chosen.is_some_and(|names| !names.contains(&text::of(&partition.name))) {
                continue;
            }
            let first = rows.len();
            if !self.options.by_node && self.has(Field::Partition) {
                rows.push(Row { partition: at, nodes: Vec::new(), names: BTreeSet::new() });
            }
            // Where partitions are not shown, a node stands once whatever it belongs to.
            let from = if self.options.reasons { 0 } else { first };
            for node in members(partition, nodes, single) {
                if !node.name.is_empty() && self.options.wants_node(node) {
                    self.insert(&mut rows, from, at, node);
                }
            }
        }
        rows
    }

    fn insert(&self, rows: &mut Vec<Row<'a>>, from: usize, partition: usize, node: &'a Node) {
        let name = text::of(&node.name);
        let fits = |row: &&mut Row<'_>| row.nodes.first().is_none_or(|like| self.alike(like, node));
        let row = rows[from..].iter_mut().find(fits);
        match row {
            Some(row) => {
                if row.names.insert(name) {
                    row.nodes.push(node);
                }
            }
            None => {
                let names = BTreeSet::from([name]);
                rows.push(Row { partition, nodes: vec![node], names });
            }
        }
    }

    fn cell(&self, field: Field, row: &Row<'_>) -> String {
        let partition = &self.partitions[row.partition];
        let first = row.nodes.first();
        let state = |words: fn(u32) -> String| match first {
            Some(node) => words(node.node_state).to_lowercase(),
            None => "n/a".to_owned(),
        };
        match field {
            Field::Partition => partition_name(partition),
            Field::Available => {
                partition::state(partition.state_up).unwrap_or("unknown").to_lowercase()
            }
            Field::TimeLimit if partition.max_time == u32::INFINITE => "infinite".to_owned(),
            Field::TimeLimit => time::short(i64::from(partition.max_time) * 60),
            Field::Nodes => row.nodes.len().to_string(),
            Field::State => state(node_state::compact),
            Field::LongState => state(node_state::full),
            Field::NodeList => row.list(),
            Field::NodesInUse => in_use(row),
            Field::Cpus => row.least(|node| node.cpus.into(), |cpus| units::text(cpus, 0)),
            Field::Sockets => {
                let part = |of: fn(&Node) -> u16| {
                    row.least(|node| of(node).into(), |count| units::text(count, 0))
                };
                let (cores, threads) = (part(|node| node.cores), part(|node| node.threads));
                format!("{}:{cores}:{threads}", part(|node| node.sockets))
            }
            Field::Memory => row.least(|node| node.real_memory, |mb| mb.to_string()),
            Field::Disk => row.least(|node| node.tmp_disk.into(), |mb| mb.to_string()),
            Field::Weight => row.least(|node| node.weight.into(), |weight| weight.to_string()),
            Field::Features => {
                first.map_or("(null)".to_owned(), |node| text::or_null(&node.features))
            }
            Field::Reason => {
                let reason = first.map(|node| text::or_null(&node.reason));
                reason.filter(|why| !why.starts_with("(null)")).unwrap_or("none".to_owned())
            }
            Field::User | Field::LongUser => who(first, field == Field::LongUser),
            Field::Since => match first.map(|node| node.reason_time) {
                Some(Time(seconds)) if seconds != 0 => time::stamp(Time(seconds)),
                _ => "Unknown".to_owned(),
            },
            Field::JobSize => job_size(partition),
            Field::Root => {
                let only = partition.flags & partition::flag::ROOT_ONLY != 0;
                if only { "yes" } else { "no" }.to_owned()
            }
            Field::Oversubscribe => partition::oversubscribe(partition.max_share),
            Field::Groups if partition.allow_groups.is_none() => "all".to_owned(),
            Field::Groups => text::of(&partition.allow_groups),
        }
    }

    fn print(&self, rows: &[Row<'_>]) -> String {
        let name = |row: &Row<'_>| partition_name(&self.partitions[row.partition]).len();
        let partition_width = rows.iter().map(name).max().unwrap_or(0).max(9);
        let list = |row: &Row<'_>| row.list().len();
        let list_width = rows.iter().map(list).max().unwrap_or(0).max(9);
        let column = |field: Field, column: Column| match field {
            Field::Partition => Column { width: partition_width, ..column },
            Field::NodeList if self.options.by_node => Column { width: list_width, ..column },
            _ => column,
        };
        let line = |show: &dyn Fn(Field, Column) -> String| {
            let cells = self.columns.iter().map(|(field, at)| show(*field, column(*field, *at)));
            cells.collect::<Vec<_>>().join(" ") + "\n"
        };
        let mut out = String::new();
        if !self.options.no_header {
            out += &line(&|field, at| at.cell(title(field)));
        }
        for row in rows {
            out += &line(&|field, at| at.cell(&self.cell(field, row)));
        }
        out
    }
}

fn title(field: Field) -> &'static str {
    match field {
        Field::Partition => "PARTITION",
        Field::Available => "AVAIL",
        Field::TimeLimit => "TIMELIMIT",
        Field::Nodes => "NODES",
        Field::State | Field::LongState => "STATE",
        Field::NodeList => "NODELIST",
        Field::NodesInUse => "NODES(A/I/O/T)",
        Field::Cpus => "CPUS",
        Field::Sockets => "S:C:T",
        Field::Memory => "MEMORY",
        Field::Disk => "TMP_DISK",
        Field::Weight => "WEIGHT",
        Field::Features => "AVAIL_FEATURES",
        Field::Reason => "REASON",
        Field::User | Field::LongUser => "USER",
        Field::Since => "TIMESTAMP",
        Field::JobSize => "JOB_SIZE",
        Field::Root => "ROOT",
        Field::Oversubscribe => "OVERSUBSCRIBE",
        Field::Groups => "GROUPS",
    }
}

/// With a star, if jobs go there that name none.
fn partition_name(partition: &Partition) -> String {
    let star = if partition.flags & partition::flag::DEFAULT == 0 { "" } else { "*" };
    text::of(&partition.name) + star
}

/// Allocated, idle, other, all.
fn in_use(row: &Row<'_>) -> String {
    let (mut used, mut idle, mut other) = (0, 0, 0);
    for of in &row.nodes {
        let base = of.node_state & node::BASE;
        let completing = of.node_state & node::COMPLETING != 0;
        if completing || matches!(base, node::ALLOCATED | node::MIXED) {
            used += 1;
        } else if of.node_state & node::DRAIN != 0 || base == node::DOWN {
            other += 1;
        } else {
            idle += 1;
        }
    }
    format!("{used}/{idle}/{other}/{}", row.nodes.len())
}

fn who(node: Option<&&Node>, long: bool) -> String {
    match node.map(|node| node.reason_uid).filter(|uid| !uid.is_unset()) {
        None => "Unknown".to_owned(),
        Some(uid) => match users::known(uid) {
            None => format!("Unk({uid})"),
            Some(name) if long => format!("{name}({uid})"),
            Some(name) => name,
        },
    }
}

fn job_size(partition: &Partition) -> String {
    let (min, max) = (partition.min_nodes, partition.max_nodes);
    let min = if min < 1 && max > 0 { 1 } else { min };
    let shown = |count: u32| units::text(count.into(), 0);
    match max {
        max if max == min => shown(max),
        u32::MAX => shown(min) + "-infinite",
        max => shown(min) + "-" + &shown(max),
    }
}

/// The nodes of a partition. One that was asked for alone is not where bitmaps count.
fn members<'a>(partition: &Partition, nodes: &'a [Node], single: bool) -> Vec<&'a Node> {
    if single {
        let names = expand(&text::of(&partition.nodes)).unwrap_or_default();
        return nodes.iter().filter(|node| names.contains(&text::of(&node.name))).collect();
    }
    partition.node_inx.iter().filter_map(|at| nodes.get(at as usize)).collect()
}

fn read(call: &Call) -> Result<Options, u8> {
    let mut options = Options { all: env("SINFO_ALL").is_some(), ..Options::default() };
    if let Some(list) = env("SINFO_PARTITION") {
        if options.all {
            call.error(
                "Conflicting options, SINFO_ALL and SINFO_PARTITION, specified. Please choose one \
                 or the other.",
            );
            return Err(1);
        }
        options.partitions = Some(text::list(&list));
    }
    let (mut all, mut some) = (false, false);
    let mut reader =
        Getopt::new(&call.zero, "adehi:lM:n:No:O:p:rRsS:t:TvV", LONGS, call.args.clone());
    for found in reader.by_ref() {
        let (option, value) = found.map_err(|why| {
            text::complain(&format!("{why}\n"));
            call.hint();
            1_u8
        })?;
        let value = value.unwrap_or_default();
        match option {
            'a' => {
                all = true;
                options.partitions = None;
                options.all = true;
            }
            'd' => options.dead = true,
            'e' => options.exact = true,
            'h' => options.no_header = true,
            'i' => match value.parse() {
                Ok(seconds) if seconds > 0 => options.each_s = seconds,
                _ => {
                    call.error(&format!("Error: invalid entry for --iterate={value}"));
                    return Err(1);
                }
            },
            'l' => options.long = true,
            'n' => match expand(&value) {
                Ok(names) if !names.is_empty() => options.nodes = Some(names),
                _ => {
                    call.error(&format!("'{value}' invalid entry for --nodes"));
                    return Err(1);
                }
            },
            'N' => options.by_node = true,
            'p' => {
                some = true;
                options.partitions = Some(text::list(&value));
            }
            'r' => options.responding = true,
            'R' => options.reasons = true,
            's' => options.summary = true,
            't' => {
                options.every_state = value.contains('&');
                options.states = Some(states(call, &value)?);
            }
            'V' => {
                text::print(&format!("{VERSION}\n"));
                return Err(0);
            }
            '1' => {
                text::print(HELP);
                return Err(0);
            }
            '2' => options.all = false,
            '4' => {
                text::print(USAGE);
                return Err(0);
            }
            'F' | '3' | 'v' => {}
            'M' | 'o' | 'O' | 'S' | 'T' | 'j' | 'y' => {
                let (name, ..) = LONGS.iter().find(|(_, _, c)| *c == option).expect("in the table");
                call.left_to_slurm(&format!("--{name}"));
                return Err(1);
            }
            _ => unreachable!("every option of the table is handled"),
        }
    }
    if all && some {
        call.error("Conflicting options, -a and -p, specified. Please choose one or the other.");
        return Err(1);
    }
    if options.reasons && options.states.is_none() {
        options.states = Some(vec![node::DOWN, node::FAIL, node::DRAIN]);
    }
    if options.partitions.is_some() {
        options.all = true;
    }
    Ok(options)
}

fn states(call: &Call, list: &str) -> Result<Vec<u32>, u8> {
    if list.eq_ignore_ascii_case("all") {
        let bases = node::UNKNOWN..=node::FUTURE;
        return Ok(bases.chain([node::DRAIN, node::COMPLETING]).collect());
    }
    let found = list.split([',', '&']).filter(|name| !name.is_empty()).map(|name| {
        node_state::wanted(name).ok_or_else(|| {
            call.error(&format!("Bad state string: \"{name}\""));
            call.error(&format!("valid states: {}", node_state::LISTED));
            1
        })
    });
    found.collect()
}

fn once(cluster: &Cluster, options: &Options) -> Result<String, u8> {
    let show_flags = if options.all { show::ALL } else { 0 };
    let all = InfoRequest { last_update: Time(0), show_flags };
    let partitions = match cluster.ask(&Message::PartitionsRequest(Box::new(all.clone()))) {
        Ok(Message::Partitions(listing)) => listing.records,
        Ok(_) => return Err(1),
        Err(failure) => {
            failure.tell("slurm_load_partitions");
            return Err(1);
        }
    };
    let single = options.nodes.as_deref().filter(|names| names.len() == 1);
    let question = match single {
        Some(names) => Message::NodeRequest(Box::new(NodeRequest {
            name: text::wire(&names[0]),
            flags: show_flags,
        })),
        None => Message::NodesRequest(Box::new(all)),
    };
    let mut nodes = match cluster.ask(&question) {
        Ok(Message::Nodes(listing)) => listing.records,
        Ok(_) => return Err(1),
        Err(failure) => {
            failure.tell("slurm_load_node");
            return Err(1);
        }
    };
    nodes.iter_mut().for_each(|node| node.node_state = node_state::shown(node, false));
    let columns = options.columns();
    let listing = Listing { options, columns: &columns, partitions: &partitions };
    let mut rows = listing.rows(&nodes, single.is_some());
    if options.by_node {
        rows.sort_by(|a, b| by_prefix(&a.list(), &b.list()));
    } else {
        rows.sort_by_key(|row| (row.partition, Reverse(row.state().cast_signed())));
    }
    Ok(listing.print(&rows))
}

/// Runs `sinfo`.
#[must_use]
pub fn main(call: &Call) -> u8 {
    let options = match read(call) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let Some(cluster) = Cluster::of(call) else { return 1 };
    let dated = !options.no_header && (options.long || options.each_s > 0);
    again(options.each_s, dated, || once(&cluster, &options))
}
