//! What is done to the cluster in the middle of a round: a table. A kind of fault that is not here
//! yet is a row, and where it needs one, an act.

/// A part of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// slurmctld.
    Controller,
    /// Every slurmd. What they supervise goes on.
    Agents,
}

/// One thing that is done to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL.
    Kill(Part),
    /// It is started (again).
    Start(Part),
}

/// A fault, and how it is mended.
#[derive(Debug, PartialEq, Eq)]
pub struct Scenario {
    /// As it is asked for.
    pub name: &'static str,
    /// What happens, in words.
    pub says: &'static str,
    /// What is done, in order, as fast as it goes.
    pub fault: &'static [Act],
    /// What is done at once afterwards.
    pub mend: &'static [Act],
}

use Act::{Kill, Start};
use Part::{Agents, Controller};

/// Everything that can happen.
pub const SCENARIOS: [Scenario; 2] = [
    Scenario {
        name: "controller",
        says: "kill -9 of the controller",
        fault: &[Kill(Controller)],
        mend: &[Start(Controller)],
    },
    Scenario {
        name: "all",
        says: "kill -9 of the controller and both agents",
        fault: &[Kill(Controller), Kill(Agents)],
        mend: &[Start(Controller), Start(Agents)],
    },
];

/// The one that is asked for.
///
/// # Errors
/// Which ones there are.
pub fn by_name(name: &str) -> Result<&'static Scenario, String> {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| {
        let names = SCENARIOS.each_ref().map(|one| format!("{}: {}", one.name, one.says));
        format!("there are: {}", names.join("; "))
    })
}

/// The one of a round, counted from 1: as asked, else each in turn.
pub fn of_round(asked: Option<&'static Scenario>, round: u32) -> &'static Scenario {
    asked.unwrap_or(&SCENARIOS[(round as usize - 1) % SCENARIOS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scenario_kills_it_starts_again() {
        for scenario in &SCENARIOS {
            for act in scenario.fault {
                let Kill(part) = act else { panic!("{}: a fault kills", scenario.name) };
                assert!(scenario.mend.contains(&Start(*part)), "{}", scenario.name);
            }
            assert_eq!(by_name(scenario.name), Ok(scenario));
        }
        assert!(by_name("nothing").unwrap_err().contains("controller:"));
    }

    #[test]
    fn rounds_take_each_in_turn_unless_one_is_asked_for() {
        let turn: Vec<_> = (1..=4).map(|round| of_round(None, round).name).collect();
        assert_eq!(turn, ["controller", "all", "controller", "all"]);
        assert_eq!(of_round(Some(&SCENARIOS[1]), 1).name, "all");
    }
}
