//! What is done to the cluster in the middle of a round: a table. A kind of fault that is not here
//! yet is a row, and where it needs one, an act.

/// A part of the cluster, as it was when the round began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The controller that reigns: its guard and its serving process.
    Primary,
    /// The other one.
    Standby,
    /// Every slurmd. What they supervise goes on.
    Agents,
}

/// One thing that is done to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL of all its processes.
    Kill(Part),
    /// It is started (again), when it has ended.
    Start(Part),
    /// SIGTERM to the primary, as `systemctl stop` sends it.
    Stop,
    /// `scontrol takeover`, to the standby.
    TakeOver,
    /// SIGSTOP of the primary's serving process; its guard is well.
    Hang,
    /// SIGSTOP of all processes of the primary.
    Freeze,
    /// SIGCONT of them.
    Thaw,
    /// The file system of the state is filled.
    Fill,
    /// There is room again.
    Empty,
    /// The primary's network is cut.
    Cut,
    /// It is mended.
    Join,
    /// The way between the two controllers is cut; agents and clients reach both.
    Sever,
    /// It is mended.
    Meet,
}

/// What a fault needs that not everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: any user, on loopback.
    Nothing,
    /// A file system of its own.
    Disk,
    /// A network of its own.
    Net,
}

/// What is waited for before it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The other controller reigns.
    OtherReigns,
    /// One of them does.
    OneReigns,
    /// Three times SlurmctldTimeout have passed, and nobody else reigns.
    SameReigns,
    /// Submissions are put off. Seconds count from when there is room again.
    PutOff,
}

/// A fault, and how it is mended.
#[derive(Debug, PartialEq, Eq)]
pub struct Scenario {
    /// As it is asked for.
    pub name: &'static str,
    /// What happens, in words; `%` stands for the primary.
    pub says: &'static str,
    /// What must be there.
    pub needs: Needs,
    /// What is done, in order, as fast as it goes.
    pub fault: &'static [Act],
    /// What is waited for then.
    pub until: Until,
    /// What is done at once afterwards.
    pub mend: &'static [Act],
}

use Act::{Cut, Empty, Fill, Freeze, Hang, Join, Kill, Meet, Sever, Start, Stop, TakeOver, Thaw};
use Part::{Agents, Primary, Standby};

/// Everything that can happen.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "kill",
        says: "kill -9 of %",
        needs: Needs::Nothing,
        fault: &[Kill(Primary)],
        until: Until::OtherReigns,
        mend: &[Start(Primary)],
    },
    Scenario {
        name: "stop",
        says: "stop of %",
        needs: Needs::Nothing,
        fault: &[Stop],
        until: Until::OtherReigns,
        mend: &[Start(Primary)],
    },
    Scenario {
        name: "takeover",
        says: "scontrol takeover from %",
        needs: Needs::Nothing,
        fault: &[TakeOver],
        until: Until::OtherReigns,
        mend: &[],
    },
    Scenario {
        name: "hang",
        says: "SIGSTOP of what serves at %",
        needs: Needs::Nothing,
        fault: &[Hang],
        until: Until::OneReigns,
        mend: &[],
    },
    Scenario {
        name: "freeze",
        says: "SIGSTOP of all of %, then CONT",
        needs: Needs::Nothing,
        fault: &[Freeze],
        until: Until::OtherReigns,
        mend: &[Thaw],
    },
    Scenario {
        name: "all",
        says: "kill -9 of everything",
        needs: Needs::Nothing,
        fault: &[Kill(Primary), Kill(Standby), Kill(Agents)],
        until: Until::OneReigns,
        mend: &[],
    },
    Scenario {
        name: "full",
        says: "the disk was full, has room",
        needs: Needs::Disk,
        fault: &[Fill],
        until: Until::PutOff,
        mend: &[Empty],
    },
    Scenario {
        name: "cut",
        says: "network of % cut",
        needs: Needs::Net,
        fault: &[Cut],
        until: Until::OtherReigns,
        mend: &[Join],
    },
    Scenario {
        name: "link",
        says: "only the two cut from each other",
        needs: Needs::Net,
        fault: &[Sever],
        until: Until::SameReigns,
        mend: &[Meet],
    },
];

impl Scenario {
    /// What is started at once with the fault, where nobody is left.
    pub fn at_once(&self) -> &'static [Act] {
        let left = !self.fault.contains(&Kill(Standby));
        if left { &[] } else { &[Start(Primary), Start(Standby), Start(Agents)] }
    }
}

/// The ones that are asked for, by their names with commas between them.
///
/// # Errors
/// Which ones there are.
pub fn by_names(names: &str) -> Result<Vec<&'static Scenario>, String> {
    let one = |name: &str| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| {
            let names = SCENARIOS.each_ref().map(|one| format!("{}: {}", one.name, one.says));
            format!("there are: {}", names.join("; ").replace('%', "the primary"))
        })
    };
    names.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scenario_does_it_undoes() {
        for scenario in &SCENARIOS {
            let after = [scenario.at_once(), scenario.mend].concat();
            for act in scenario.fault {
                let undone = match act {
                    Kill(part) => Start(*part),
                    Stop => Start(Primary),
                    Freeze => Thaw,
                    Fill => Empty,
                    Cut => Join,
                    Sever => Meet,
                    // A role, and a process that its guard ends.
                    TakeOver | Hang => continue,
                    _ => panic!("{}: {act:?} is no fault", scenario.name),
                };
                assert!(after.contains(&undone), "{}: {act:?}", scenario.name);
            }
            assert_eq!(by_names(scenario.name), Ok(vec![scenario]));
        }
        assert!(by_names("kill,nothing").unwrap_err().contains("kill: kill -9 of the primary;"));
        assert_eq!(by_names("stop,kill").unwrap(), [&SCENARIOS[1], &SCENARIOS[0]]);
    }
}
