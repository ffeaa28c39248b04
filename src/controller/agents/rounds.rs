//! What is done again and again: pings, registrations, health checks, the clock.
//!
//! Invariants:
//! - A round begins when the one before is over, and no sooner than SlurmdTimeout/3 after it began.
//! - A node is lost only if it was silent for SlurmdTimeout before the last round began, so that it
//!   was asked at least once meanwhile; after a start nobody is lost before he was asked.
//! - At the start every node is asked to register: what jobs it has is compared, whatever happened
//!   while there was no controller.

use crate::controller::agents::Agents;
use crate::controller::agents::carry::patience;
use crate::controller::core::agents::patience_of_launch;
use crate::controller::core::{Command, Effect, Ending, known};
use crate::controller::service::now;
use crate::controller::state::State;
use crate::slurm::conf::{Conf, Node};
use crate::slurm::wire::Text;
use crate::slurm::wire::constants::node;
use crate::slurm::wire::{Message, Unset};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Every node is asked to register once in so many rounds.
const ROUNDS: usize = 20;
/// Seconds between rounds, where SlurmdTimeout is 0.
const WITHOUT_TIMEOUT: i64 = 100;
/// Seconds between two registrations asked for because of the same launch.
const ASK_AGAIN: i64 = 5;

fn timeout(conf: &Conf) -> i64 {
    i64::try_from(conf.number("SlurmdTimeout")).unwrap_or(0)
}

fn period(conf: &Conf) -> i64 {
    match timeout(conf) {
        0 => WITHOUT_TIMEOUT,
        seconds => (seconds / 3).max(1),
    }
}

/// What a node is asked in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// Nothing.
    None,
    /// Nothing any more: it is lost.
    Lost,
    /// Whether it is there.
    Ping,
    /// What it is, and what jobs it has.
    Register,
}

/// What is known of a node, as far as rounds are concerned.
#[derive(Clone, Copy, Debug)]
struct Sight {
    state: u32,
    /// When it was heard of; for one that registered before this controller began, the beginning.
    heard: i64,
    has_booted: bool,
    has_load: bool,
    /// Whether it is its turn to register.
    turn: bool,
}

/// When a round begins.
#[derive(Clone, Copy, Debug)]
struct Round {
    now: i64,
    /// When the round before began; 0: there was none.
    before: i64,
    timeout: i64,
}

fn question(round: Round, sight: Sight) -> Question {
    let Round { now, before, timeout } = round;
    let (base, silent) = (sight.state & node::BASE, sight.state & node::NO_RESPOND != 0);
    let dead = before != 0 && timeout != 0 && sight.heard != 0 && sight.heard <= before - timeout;
    if base == node::FUTURE || sight.state & node::INVALID_REGISTRATION != 0 {
        Question::None
    } else if before == 0 {
        Question::Register
    } else if timeout == 0 && base != node::UNKNOWN && !silent {
        Question::None
    } else if dead && base != node::DOWN {
        Question::Lost
    } else if base == node::UNKNOWN
        || !sight.has_booted
        || sight.turn && !(silent && base == node::DOWN)
    {
        Question::Register
    } else if !silent && sight.heard >= now - timeout / 3 && sight.has_load
        || silent && base == node::DOWN
    {
        Question::None
    } else {
        Question::Ping
    }
}

/// Nodes whose health is checked in a second, at least, where checks are spread.
const CHECKS_LEAST: usize = 10;

/// Whether health checks are spread over HealthCheckInterval.
fn is_spread(conf: &Conf) -> bool {
    let states = conf.text("HealthCheckNodeState").unwrap_or("ANY");
    states.split(',').any(|state| state.trim().eq_ignore_ascii_case("CYCLE"))
}

/// Whose health is checked when: all nodes once in each interval, at once or spread over it.
struct Checks {
    /// When this interval began.
    began: i64,
    /// The next node; beyond the last: all have been checked.
    next: usize,
    /// When some were checked last.
    last: i64,
}

impl Checks {
    fn begin(now: i64) -> Checks {
        Checks { began: now, next: usize::MAX, last: now }
    }

    /// Places of the nodes to check now. As Slurm: spread, twice as many in a second as it takes,
    /// so that a second that was missed does not matter.
    fn due(&mut self, now: i64, interval: i64, nodes: usize, spread: bool) -> Range<usize> {
        if self.next >= nodes {
            if now < self.began + interval {
                return 0..0;
            }
            (self.began, self.next) = (now, 0);
        } else if now <= self.last {
            return 0..0;
        }
        self.last = now;
        let seconds = usize::try_from(interval).unwrap_or(1).max(1);
        let some = if spread { (2 * nodes / seconds).max(CHECKS_LEAST) } else { nodes };
        let from = self.next;
        self.next = (from + some).min(nodes);
        from..self.next
    }
}

/// Round after round.
pub async fn pings(agents: Arc<Agents>) {
    let began = now();
    let (mut before, mut count, mut checks) = (0, 0, Checks::begin(began));
    loop {
        let (conf, state) = agents.service.durable();
        let round = Round { now: now(), before, timeout: timeout(&conf) };
        if before == 0 || round.now >= before + period(&conf) {
            agents.round(&conf, &state, round, began, count).await;
            (before, count) = (round.now, count + 1);
        }
        let interval = i64::try_from(conf.number("HealthCheckInterval")).unwrap_or(0);
        if interval > 0 {
            let due = checks.due(now(), interval, conf.nodes.len(), is_spread(&conf));
            agents.check_health(&conf, &state, due).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

impl Agents {
    async fn round(
        self: &Arc<Self>,
        conf: &Arc<Conf>,
        state: &State,
        round: Round,
        began: i64,
        count: usize,
    ) {
        let width = usize::try_from(conf.number("TreeWidth")).unwrap_or(50).max(1);
        let per_round = width.max(conf.nodes.len().div_ceil(ROUNDS));
        let turns = ROUNDS.max(conf.nodes.len().div_ceil(per_round));
        let turn = count % turns;
        let mut lost = Vec::new();
        let mut asking = JoinSet::new();
        for (at, of) in conf.nodes.iter().enumerate() {
            let (record, beat) = (known(state, of), self.service.pulse().of(&of.name));
            let since = if record.registered.0 == 0 { 0 } else { began };
            let sight = Sight {
                state: record.state,
                heard: if beat.heard == 0 { since } else { beat.heard },
                has_booted: record.boot_time.0 != 0,
                has_load: !beat.cpu_load.is_unset(),
                turn: at / per_round == turn,
            };
            let message = match question(round, sight) {
                Question::None => continue,
                Question::Lost => {
                    lost.push(of.name.clone());
                    continue;
                }
                Question::Ping => Message::Ping,
                Question::Register => Message::Register,
            };
            self.asks(&mut asking, conf, of, message);
        }
        if !lost.is_empty() {
            self.command(Command::Silent { nodes: lost, down: true }).await;
        }
        asking.join_all().await;
    }

    fn asks(
        self: &Arc<Self>,
        asking: &mut JoinSet<()>,
        conf: &Arc<Conf>,
        of: &Node,
        message: Message,
    ) {
        let (agents, conf, of) = (Arc::clone(self), Arc::clone(conf), of.clone());
        asking.spawn(async move {
            agents.ask(&conf, &of, message).await;
        });
    }

    /// Health checks of all nodes in the states of HealthCheckNodeState. What they find is for the
    /// program to say: agents only log it.
    async fn check_health(self: &Arc<Self>, conf: &Arc<Conf>, state: &State, due: Range<usize>) {
        if conf.text("HealthCheckProgram").is_none() {
            return;
        }
        let states = conf.text("HealthCheckNodeState").unwrap_or("ANY");
        let mut asking = JoinSet::new();
        for of in &conf.nodes[due] {
            let record = known(state, of);
            let base = record.state & node::BASE;
            if base == node::FUTURE || record.state & node::NO_RESPOND != 0 {
                continue;
            }
            let busy = (state.load_of(&of.name).cpus, u32::from(of.cpus));
            if is_checked(states, base, busy) {
                self.asks(&mut asking, conf, of, Message::HealthCheck);
            }
        }
        asking.join_all().await;
    }

    /// Ends that have not come in time are asked for again.
    fn ends_again(
        self: &Arc<Self>,
        state: &State,
        sent: &mut HashMap<(u32, Text), i64>,
        patience: i64,
    ) {
        let now = now();
        let mut still = HashMap::new();
        for job in
            state.busy.iter().filter_map(|id| state.job(*id)).filter(|job| job.is_completing())
        {
            let mut nodes = Vec::new();
            for node in &job.course.completing {
                let key = (job.id, node.clone());
                let first = sent.get(&key).copied();
                let last = first.unwrap_or(sent_at(job.course.end_time.0, self.began, now));
                let due = now >= last + patience;
                still.insert(key, if due { now } else { last });
                if due {
                    nodes.push(node.clone());
                }
            }
            if !nodes.is_empty() {
                let uid = job.spec.user_id;
                let how = Ending::Terminate;
                self.stand(job.id, Effect::End { job: job.id, uid, nodes, how });
            }
        }
        *sent = still;
    }

    /// Nodes that may or may not have got a launch are asked what they have.
    fn unconfirmed(self: &Arc<Self>, conf: &Conf, state: &State, asked: &mut HashMap<String, i64>) {
        let now = now();
        asked.retain(|_, at| *at + ASK_AGAIN > now);
        let mut nodes = Vec::new();
        for job in state.busy.iter().filter_map(|id| state.job(*id)).filter(|job| job.is_active()) {
            let course = &job.course;
            let old = course.start_time.0 < now - patience_of_launch(conf);
            let host = course.batch_host.lossy();
            if old && course.confirmed != course.launches && !asked.contains_key(host.as_ref()) {
                asked.insert(host.clone().into_owned(), now);
                nodes.push(host.into_owned());
            }
        }
        if !nodes.is_empty() {
            self.take(Effect::Register { nodes });
        }
    }
}

/// Whether HealthCheckNodeState means a node of that base state, which has so many of so many CPUs
/// in use.
fn is_checked(states: &str, base: u32, busy: (u32, u32)) -> bool {
    let states = states.to_ascii_uppercase();
    let wanted = |name: &str| states.split(',').any(|state| state.trim() == name);
    if wanted("ANY") || states.trim() == "CYCLE" {
        return true;
    }
    match busy {
        (0, _) => wanted("IDLE") && base == node::IDLE,
        (used, all) if used < all => wanted("MIXED"),
        _ => wanted("ALLOC"),
    }
}

/// When a node was told that a job ends, as far as this controller knows: now, if it ended under
/// it. Before it began nobody knows what was sent, and seconds do not part the one it began in.
fn sent_at(end_time: i64, began: i64, now: i64) -> i64 {
    if end_time > began { now } else { 0 }
}

/// Second after second.
pub async fn clock(agents: Arc<Agents>) {
    let (mut sent, mut asked) = (HashMap::new(), HashMap::new());
    loop {
        agents.command(Command::Tick).await;
        let (conf, state) = agents.service.durable();
        agents.ends_again(&state, &mut sent, patience(&conf));
        agents.unconfirmed(&conf, &state, &mut asked);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Checks, is_checked, node, sent_at};
    use std::ops::Range;

    #[test]
    fn ends_of_before_the_start_and_of_its_second_are_asked_for_at_once() {
        let began = 100;
        assert_eq!([99, 100].map(|end| sent_at(end, began, 105)), [0, 0]);
        assert_eq!(sent_at(101, began, 105), 105, "it was sent by this controller");
    }

    /// Which nodes are checked in which second.
    fn checks(nodes: usize, interval: i64, spread: bool, seconds: i64) -> Vec<(i64, Range<usize>)> {
        let mut checks = Checks::begin(0);
        // Twice a second, as the loop looks.
        let looks = (0..2 * seconds).map(|half| half / 2);
        let due = looks.map(|now| (now, checks.due(now, interval, nodes, spread)));
        due.filter(|(_, due)| !due.is_empty()).collect()
    }

    #[test]
    fn health_check_node_state_any_is_every_node_and_the_other_words_those_of_that_state() {
        // Idle, down, in use in part, in use altogether.
        let nodes =
            [(node::IDLE, 0, 4), (node::DOWN, 0, 4), (node::IDLE, 1, 4), (node::IDLE, 4, 4)];
        let of =
            |states: &str| nodes.map(|(base, used, all)| is_checked(states, base, (used, all)));
        for (states, wanted) in [
            ("ANY", [true; 4]),
            ("any", [true; 4]),
            ("CYCLE", [true; 4]),
            ("IDLE", [true, false, false, false]),
            ("MIXED", [false, false, true, false]),
            ("ALLOC, IDLE", [true, false, false, true]),
        ] {
            assert_eq!(of(states), wanted, "{states}");
        }
    }

    #[test]
    fn health_check_interval_checks_come_once_in_each_at_once_or_spread() {
        assert_eq!(checks(25, 10, false, 30), [(10, 0..25), (20, 0..25)]);
        let spread = checks(25, 10, true, 24);
        let once = [0..10, 10..20, 20..25];
        let wanted = [(10, 0), (11, 1), (12, 2), (20, 0), (21, 1), (22, 2)];
        assert_eq!(spread, wanted.map(|(now, at)| (now, once[at].clone())));
        let many = checks(1000, 100, true, 199);
        assert!(many.iter().all(|(_, due)| due.len() == 20), "{many:?}");
        assert_eq!(many.len(), 50, "done within half of the interval");
    }
}
