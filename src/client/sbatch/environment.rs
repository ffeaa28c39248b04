//! The environment that a job will have: that of who submits, or what `--export` takes of it, and
//! what the agent has to know of who submits: limits, umask, priority, where.

use super::error_exit;
use super::options::Options;
use super::values::layout_name;
use crate::client::{Call, text};
use crate::slurm::conf::Conf;
use crate::slurm::wire::Text;
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit};

const LIMITS: [(Resource, &str); 10] = [
    (Resource::Cpu, "CPU"),
    (Resource::Fsize, "FSIZE"),
    (Resource::Data, "DATA"),
    (Resource::Stack, "STACK"),
    (Resource::Core, "CORE"),
    (Resource::Rss, "RSS"),
    (Resource::Nproc, "NPROC"),
    (Resource::Nofile, "NOFILE"),
    (Resource::Memlock, "MEMLOCK"),
    (Resource::As, "AS"),
];

/// Variables in their order; one that is set again stays where it is.
#[derive(Clone, Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn of_process() -> Variables {
        let all = std::env::vars_os();
        Variables(all.map(|(name, value)| (text::from_os(&name), text::from_os(&value))).collect())
    }

    fn get(&self, name: &str) -> Option<&String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn set(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn wire(&self) -> Vec<Text> {
        self.0.iter().map(|(name, value)| text::wire(&format!("{name}={value}"))).collect()
    }
}

/// Makes it.
pub fn make(call: &Call, conf: &Conf, options: &Options) -> Result<Vec<Text>, u8> {
    let mut all = Variables::of_process();
    if let Some(name) = &options.name {
        all.set("SLURM_JOB_NAME", name);
    }
    match options.open_mode {
        1 => all.set("SLURM_OPEN_MODE", "a"),
        2 => all.set("SLURM_OPEN_MODE", "t"),
        _ => {}
    }
    let export = options.export.as_deref().filter(|list| !list.eq_ignore_ascii_case("ALL"));
    if let Some(export) = export
        && all.get("SLURM_EXPORT_ENV").is_none()
    {
        all.set("SLURM_EXPORT_ENV", export);
    }
    let optional = [
        ("SLURM_JOB_DEPENDENCY", &options.dependency),
        ("SLURM_ACCTG_FREQ", &options.accounting),
        ("SLURM_CONTAINER", &options.container),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            all.set(name, value);
        }
    }
    limits(call, conf, options, &mut all)?;
    let nice = rustix::process::getpriority_process(None).unwrap_or(0);
    all.set("SLURM_PRIO_PROCESS", nice);
    if let Ok(dir) = std::env::current_dir() {
        all.set("SLURM_SUBMIT_DIR", text::from_os(dir.as_os_str()));
    }
    let host = text::from_bytes(rustix::system::uname().nodename().to_bytes());
    all.set("SLURM_SUBMIT_HOST", host);
    if all.get("SLURM_UMASK").is_none() {
        all.set("SLURM_UMASK", format!("0{:03o}", umask()));
    }
    let mut own = match export {
        None => all,
        Some(list) => exported(&all, list),
    };
    if export.is_some() {
        own.set("SLURM_GET_USER_ENV", 1);
    }
    sizes(options, &mut own);
    Ok(own.wire())
}

fn umask() -> u32 {
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    mask.bits() & 0o777
}

/// Which limits travel: those of slurm.conf, or of `--propagate`.
fn limits(call: &Call, conf: &Conf, options: &Options, all: &mut Variables) -> Result<(), u8> {
    let wanted = options.propagate.clone();
    let (list, except) = match (&wanted, conf.text("PropagateResourceLimitsExcept")) {
        (Some(list), _) => (list.clone(), false),
        (None, Some(list)) => (list.to_owned(), true),
        (None, None) => (conf.text("PropagateResourceLimits").unwrap_or("ALL").to_owned(), false),
    };
    let words: Vec<String> = list
        .split([',', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .map(|word| text::without(word, "RLIMIT_").unwrap_or(word).to_ascii_uppercase())
        .collect();
    let known = |word: &String| {
        ["ALL", "NONE"].contains(&word.as_str()) || LIMITS.iter().any(|(_, name)| name == word)
    };
    if let (Some(asked), false) = (&wanted, words.iter().all(known)) {
        call.error(&format!("Bad rlimit name: {asked}"));
        call.error(&format!("--propagate={asked} is not valid."));
        return Err(error_exit());
    }
    for (resource, name) in LIMITS {
        let named = words.iter().any(|word| word == "ALL" || word == name);
        if named == except {
            continue;
        }
        let limit = getrlimit(resource).current.unwrap_or(u64::MAX);
        let mark = if wanted.is_some() { "U" } else { "" };
        all.set(&format!("SLURM_RLIMIT_{name}"), format!("{mark}{limit}"));
    }
    Ok(())
}

/// What a list takes of all variables; those of Slurm go always.
fn exported(all: &Variables, list: &str) -> Variables {
    let mut own = Variables::default();
    let slurms = |prefix: &'static str| {
        all.0.iter().filter(move |(name, _)| name.starts_with(prefix)).cloned()
    };
    if list.eq_ignore_ascii_case("NONE") {
        own.0.extend(slurms("SLURM"));
        return own;
    }
    for word in parts(list) {
        match word.split_once('=') {
            Some((name, value)) => own.set(name, value),
            None if word.eq_ignore_ascii_case("ALL") => {
                all.0.iter().for_each(|(name, value)| own.set(name, value));
            }
            None => {
                if let Some(value) = all.get(&word) {
                    own.set(&word, value);
                }
            }
        }
    }
    slurms("SLURM_").for_each(|(name, value)| own.set(&name, value));
    own
}

/// The parts of a list; quotes keep commas together.
fn parts(list: &str) -> Vec<String> {
    let (mut parts, mut quote) = (vec![String::new()], None);
    for c in list.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ',') => parts.push(String::new()),
            (_, c) => parts.last_mut().expect("never empty").push(c),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What `srun` within the job goes by.
fn sizes(options: &Options, own: &mut Variables) {
    let tasks = options.ntasks.filter(|tasks| *tasks > 0);
    let numbers = [
        ("SLURM_CPUS_PER_TASK", options.cpus_per_task),
        ("SLURM_NPROCS", tasks),
        ("SLURM_NTASKS", tasks),
        ("SLURM_NTASKS_PER_CORE", options.per_core),
        ("SLURM_NTASKS_PER_NODE", options.per_node),
        ("SLURM_NTASKS_PER_SOCKET", options.per_socket),
        ("SLURM_DIST_PLANESIZE", options.plane.map(u32::from)),
        ("SLURM_THREADS_PER_CORE", options.threads_per_core),
    ];
    if let Some(layout) = layout_name(options.layout) {
        own.set("SLURM_DISTRIBUTION", layout);
    }
    for (name, number) in numbers {
        if let Some(number) = number {
            own.set(name, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_what_it_names_and_what_is_slurms() {
        let all = ["A=1", "B=2", "SLURM_X=3"].map(|one| one.split_once('=').unwrap());
        let all = Variables(all.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
        let shown = |list: &str| {
            let own = exported(&all, list).0.into_iter();
            own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("NONE"), "SLURM_X=3");
        assert_eq!(shown("B,C='x,y',none"), "B=2 C=x,y SLURM_X=3");
        assert_eq!(shown("A=9,ALL"), "A=1 B=2 SLURM_X=3");
    }
}
