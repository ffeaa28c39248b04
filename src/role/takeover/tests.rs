//! Each rule of the takeover core, by name.

use super::*;

const T: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(100);

fn conf(host: &str) -> Conf {
    let hosts = ["a", "b", "c"].map(str::to_owned).to_vec();
    Conf { host: host.to_owned(), hosts, timeout: T }
}

/// A core, and its time.
struct Lab {
    core: Core,
    now: Duration,
    beats: u64,
}

impl Lab {
    fn new(host: &str) -> Lab {
        Lab { core: Core::new(conf(host), Duration::ZERO), now: Duration::ZERO, beats: 0 }
    }

    /// A standby of `primary` in epoch 3, which it has heard.
    fn standby(host: &str, primary: &str) -> Lab {
        let mut lab = Lab::new(host);
        lab.register(3, Some(primary));
        assert_eq!(lab.give(Event::Heard { epoch: Epoch(3) }), []);
        lab
    }

    /// The primary of epoch 4.
    fn primary(host: &str) -> Lab {
        let mut lab = Lab::standby(host, if host == "a" { "b" } else { "a" });
        let dead = lab.core.other.primary.clone().unwrap();
        lab.give(Event::Ended { host: dead });
        let effects = lab.give(Event::Opened { epoch: Epoch(4) });
        assert!(effects.contains(&Effect::Serve));
        lab
    }

    fn give(&mut self, event: Event) -> Vec<Effect> {
        self.core.step(self.now, event)
    }

    fn register(&mut self, epoch: u64, primary: Option<&str>) -> Vec<Effect> {
        let primary = primary.map(str::to_owned);
        self.give(Event::Register { epoch: Epoch(epoch), primary })
    }

    fn beat(&mut self, epoch: u64, agents: u32) -> Vec<Effect> {
        self.beats += 1;
        let (ordinal, epoch) = (self.beats, Epoch(epoch));
        self.give(Event::Beat { epoch, ordinal, agents, stopping: false })
    }

    /// Time passes; `each` is given again and again, too. What was claimed, and after how long.
    fn pass(
        &mut self,
        time: Duration,
        mut each: impl FnMut(&mut Lab) -> Vec<Effect>,
    ) -> Option<(Reason, Duration)> {
        let from = self.now;
        while self.now < from + time {
            self.now += TICK;
            let mut effects = each(self);
            effects.extend(self.give(Event::Tick));
            if let Some(reason) = claim_in(&effects) {
                return Some((reason, self.now - from));
            }
        }
        None
    }

    fn silence(&mut self, time: Duration) -> Option<(Reason, Duration)> {
        self.pass(time, |_| Vec::new())
    }
}

fn claim_in(effects: &[Effect]) -> Option<Reason> {
    effects.iter().find_map(|effect| match effect {
        Effect::Claim { reason, .. } => Some(*reason),
        _ => None,
    })
}

fn ended(host: &str) -> Event {
    Event::Ended { host: host.to_owned() }
}

#[test]
fn a_death_that_was_seen_is_acted_on_at_once() {
    let mut lab = Lab::standby("b", "a");
    assert_eq!(claim_in(&lab.give(ended("a"))), Some(Reason::Dead));
}

#[test]
fn a_refusal_by_a_primary_that_was_never_heard_is_silence() {
    let mut lab = Lab::new("b");
    lab.register(3, Some("a"));
    assert_eq!(lab.give(ended("a")), []);
    assert_eq!(lab.silence(2 * T), Some((Reason::Silent, T)));
    // Of an older reign, too: that another one has begun says that somebody lives.
    let mut lab = Lab::standby("b", "a");
    lab.register(4, Some("c"));
    assert_eq!(lab.give(ended("c")), []);
    assert_eq!(lab.give(ended("a")), [], "that is no longer the primary");
    assert_eq!(lab.silence(2 * T), Some((Reason::Silent, T)));
}

#[test]
fn primary_fails_to_respond_within_slurmctld_timeout_and_the_backup_assumes_the_role_not_before() {
    let mut lab = Lab::standby("b", "a");
    assert_eq!(lab.silence(2 * T), Some((Reason::Silent, T)));
    let mut lab = Lab::standby("b", "a");
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(3) });
    assert_eq!(lab.pass(20 * T, heard), None);
}

#[test]
fn a_claim_names_the_reign_that_was_found_wanting() {
    // Two standbys of a silent primary: the second one has judged a, not b, which reigns by now.
    let mut lab = Lab::standby("c", "a");
    lab.now += T / 2;
    lab.give(Event::Tick);
    lab.now += T / 2;
    let effects = lab.give(Event::Agents(10));
    assert!(effects.contains(&Effect::Claim { after: Epoch(3), reason: Reason::Silent }));
    lab.give(Event::NotOpened { why: Why::Lost });
    lab.register(4, Some("b"));
    lab.give(Event::Agents(10));
    assert_eq!(lab.pass(20 * T, |lab| lab.beat(4, 10)), None);
}

#[test]
fn a_reign_that_is_heard_of_before_the_register_names_it_is_not_nobodys() {
    let mut lab = Lab::standby("a", "b");
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(4) });
    assert_eq!(lab.pass(2 * T, heard), None);
    // What is looked up late is of the reign before.
    assert_eq!(lab.register(3, Some("b")), []);
    assert_eq!(lab.pass(2 * T, heard), None);
    lab.register(4, Some("b"));
    assert_eq!(claim_in(&lab.give(ended("b"))), Some(Reason::Dead));
}

#[test]
fn a_cut_link_alone_changes_nothing_while_the_heart_beats() {
    let mut lab = Lab::standby("b", "a");
    lab.give(Event::Agents(100));
    let minute = Duration::from_secs(60);
    assert_eq!(lab.pass(minute, |lab| lab.beat(3, 100)), None, "as many agents");
    // And once more agents are reached from here, it does.
    let claimed = lab.pass(minute, |lab| lab.beat(3, 99));
    assert_eq!(claimed, Some((Reason::Silent, TICK)));
}

#[test]
fn backup_in_standby_mode_monitors_the_primary_via_heartbeat_one_that_only_stands_there_is_none() {
    let mut lab = Lab::standby("b", "a");
    let same = Event::Beat { epoch: Epoch(3), ordinal: 9, agents: 100, stopping: false };
    assert_eq!(lab.pass(2 * T, |lab| lab.give(same.clone())), Some((Reason::Silent, T)));
}

#[test]
fn who_was_deposed_does_not_claim_back_for_a_while_and_each_time_longer() {
    let mut lab = Lab::primary("a");
    let mut last = Duration::ZERO;
    for (time, epoch) in [(1, 5), (2, 7), (3, 9)] {
        let effects = lab.give(Event::Fenced);
        assert!(effects.contains(&Effect::Drop) && effects.contains(&Effect::StandBy));
        lab.register(epoch, Some("b"));
        lab.give(Event::Heard { epoch: Epoch(epoch) });
        lab.give(Event::Agents(100));
        lab.give(ended("b"));
        let claimed = lab.pass(Duration::from_secs(1000), |lab| lab.beat(epoch, 50));
        let (_, after) = claimed.expect("in the end, it does");
        assert!(
            after >= QUARANTINE_MIN && after >= (last * 2).saturating_sub(TICK),
            "{time}: {after:?}"
        );
        last = after;
        lab.give(Event::Opened { epoch: Epoch(epoch + 1) });
    }
}

#[test]
fn a_process_that_was_started_since_keeps_to_the_quarantine_that_the_register_remembers() {
    let mut lab = Lab::new("a");
    let left = Duration::from_secs(20);
    assert_eq!(lab.give(Event::Deposed { left, doublings: 1 }), []);
    lab.register(3, Some("b"));
    lab.give(Event::Heard { epoch: Epoch(3) });
    assert_eq!(lab.give(Event::Ended { host: "b".to_owned() }), [], "it may be the link");
    assert_eq!(lab.core.quarantined_until(), Some(left));
    lab.give(Event::Deposed { left: Duration::ZERO, doublings: 1 });
    assert_eq!(lab.core.quarantined_until(), None);
    lab.give(Event::Heard { epoch: Epoch(3) });
    let effects = lab.give(Event::Ended { host: "b".to_owned() });
    let claims = |effect: &Effect| matches!(effect, Effect::Claim { reason: Reason::Dead, .. });
    assert!(effects.iter().any(claims), "{effects:?}");
}

#[test]
fn who_was_deposed_claims_after_the_timeout_if_the_new_primary_is_dead() {
    let mut lab = Lab::primary("a");
    lab.give(Event::Fenced);
    lab.register(5, Some("b"));
    lab.give(Event::Heard { epoch: Epoch(5) });
    lab.beat(5, 1);
    assert_eq!(lab.give(ended("b")), [], "not at once");
    assert_eq!(lab.silence(3 * T), Some((Reason::Silent, T)));
}

#[test]
fn mutual_reject_changes_the_role_once() {
    let (mut a, mut b) = (Lab::primary("a"), Lab::standby("b", "a"));
    b.register(4, Some("a"));
    b.give(Event::Heard { epoch: Epoch(4) });
    for lab in [&mut a, &mut b] {
        lab.give(Event::Agents(100));
    }
    assert_eq!(claim_in(&b.give(ended("a"))), Some(Reason::Dead));
    b.give(Event::Opened { epoch: Epoch(5) });
    a.give(Event::Fenced);
    a.register(5, Some("b"));
    let refused = |lab: &mut Lab| {
        let mut effects = lab.give(ended("b"));
        effects.extend(lab.beat(5, 100));
        effects
    };
    assert_eq!(a.pass(Duration::from_secs(600), refused), None);
}

#[test]
fn both_booted_in_either_order_is_one_change() {
    // Nobody has ever reigned: the first one at once, the others after the timeout.
    let (mut a, mut b) = (Lab::new("a"), Lab::new("b"));
    assert_eq!(claim_in(&a.register(0, None)), Some(Reason::Start));
    assert_eq!(claim_in(&b.register(0, None)), None);
    a.give(Event::Opened { epoch: Epoch(1) });
    b.register(1, Some("a"));
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(1) });
    assert_eq!(b.pass(10 * T, heard), None);
    // The second one alone.
    let mut b = Lab::new("b");
    assert_eq!(claim_in(&b.register(0, None)), None);
    assert_eq!(b.silence(3 * T), Some((Reason::Start, T)));
    // Both down since b reigned: b goes on at once, a waits for it.
    let (mut a, mut b) = (Lab::new("a"), Lab::new("b"));
    assert_eq!(claim_in(&a.register(6, Some("b"))), None);
    assert_eq!(claim_in(&b.register(6, Some("b"))), Some(Reason::Start));
    b.give(Event::Opened { epoch: Epoch(7) });
    a.register(7, Some("b"));
    assert_eq!(a.pass(10 * T, |lab| lab.give(Event::Heard { epoch: Epoch(7) })), None);
}

#[test]
fn the_primary_is_repaired_and_starts_as_backup() {
    let mut lab = Lab::new("a");
    assert_eq!(lab.register(8, Some("b")), []);
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(8) });
    assert_eq!(lab.pass(20 * T, heard), None);
    assert_eq!((lab.core.role(), lab.core.primary()), (Role::Standby, Some("b")));
}

#[test]
fn it_is_left_as_is_until_the_next_maintenance_window() {
    // The first of the two is back, and nobody asks: for a day no role changes.
    let day = Duration::from_secs(86_400);
    let mut repaired = Lab::new("a");
    repaired.register(8, Some("b"));
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(8) });
    assert_eq!(repaired.pass(day, heard), None);
    let mut primary = Lab::primary("b");
    let mut said = primary.give(Event::Standby { host: "a".to_owned(), ready: true });
    let until = primary.now + day;
    while primary.now < until {
        primary.now += TICK;
        said.extend(primary.give(Event::Tick));
    }
    assert!(!said.contains(&Effect::Close), "it hands over to nobody: {said:?}");
    assert_eq!((repaired.core.role(), primary.core.role()), (Role::Standby, Role::Primary));
}

#[test]
fn on_the_primary_gracefully_step_down_hands_over_before_the_process_ends() {
    let mut lab = Lab::primary("a");
    lab.give(Event::Standby { host: "b".to_owned(), ready: true });
    assert!(lab.give(Event::Stop).contains(&Effect::Close));
    let offer = Effect::Offer { to: "b".to_owned(), epoch: Epoch(4) };
    assert_eq!(
        lab.give(Event::Closed),
        [offer],
        "closed first: all that was acknowledged is there"
    );
    assert_eq!(lab.give(Event::Taken(true)), [Effect::StandBy, Effect::Exit]);
    let mut heir = Lab::standby("b", "a");
    let effects = heir.give(Event::Offered { epoch: Epoch(4) });
    assert_eq!(claim_in(&effects), Some(Reason::Handover));
}

#[test]
fn nothing_is_handed_to_a_controller_that_is_stopping_or_not_connected() {
    let mut lab = Lab::primary("a");
    lab.give(Event::Standby { host: "b".to_owned(), ready: true });
    lab.give(Event::Standby { host: "b".to_owned(), ready: false });
    lab.give(Event::Standby { host: "c".to_owned(), ready: true });
    let effects = lab.give(Event::Stop);
    assert!(effects.contains(&Effect::Say("hands over to c".to_owned())), "{effects:?}");
    let mut stopping = Lab::standby("b", "a");
    assert_eq!(stopping.give(Event::Stop), [Effect::Exit]);
    assert_eq!(stopping.give(Event::Offered { epoch: Epoch(3) }), []);
    let mut alone = Lab::primary("a");
    assert!(alone.give(Event::Stop).contains(&Effect::Close));
    assert_eq!(alone.give(Event::Closed), [Effect::StandBy, Effect::Exit]);
}

#[test]
fn a_shutdown_hands_to_nobody() {
    let mut lab = Lab::primary("a");
    lab.give(Event::Standby { host: "b".to_owned(), ready: true });
    assert!(lab.give(Event::Shutdown).contains(&Effect::Close));
    assert_eq!(lab.give(Event::Closed), [Effect::StandBy, Effect::Exit]);
    let mut standby = Lab::standby("b", "a");
    assert_eq!(standby.give(Event::Shutdown), [Effect::Exit]);
    assert_eq!(claim_in(&standby.give(ended("a"))), None);
}

#[test]
fn an_operator_forces_failback_to_primary_and_the_other_one_stands_by() {
    let mut heir = Lab::standby("b", "a");
    assert_eq!(heir.give(Event::TakeOver), [Effect::AskFor { host: "a".to_owned() }]);
    let mut lab = Lab::primary("a");
    let cede = Event::Cede { to: "b".to_owned() };
    lab.give(Event::Standby { host: "b".to_owned(), ready: true });
    assert!(lab.give(cede).contains(&Effect::Close));
    assert!(matches!(&lab.give(Event::Closed)[..], [Effect::Offer { .. }]));
    assert_eq!(claim_in(&heir.give(Event::Offered { epoch: Epoch(4) })), Some(Reason::Asked));
    assert_eq!(lab.give(Event::Taken(true)), [Effect::StandBy]);
    lab.register(5, Some("b"));
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(5) });
    assert_eq!(lab.pass(20 * T, heard), None);
    assert_eq!(lab.core.quarantined_until(), None, "it was not deposed");
}

#[test]
fn who_asks_before_it_is_ready_has_the_reign_once_it_is_and_not_long_after() {
    let cede = || Event::Cede { to: "b".to_owned() };
    let ready = |host: &str| Event::Standby { host: host.to_owned(), ready: true };
    let mut lab = Lab::primary("a");
    assert!(!lab.give(cede()).contains(&Effect::Close), "it is not ready");
    assert!(!lab.give(ready("c")).contains(&Effect::Close), "another one is");
    lab.now += T / 2;
    assert!(lab.give(ready("b")).contains(&Effect::Close));
    assert!(matches!(&lab.give(Event::Closed)[..], [Effect::Offer { to, .. }] if to == "b"));
    // Who asked has given up by then, or has claimed.
    let mut lab = Lab::primary("a");
    lab.give(cede());
    lab.now += T;
    assert!(!lab.give(ready("b")).contains(&Effect::Close));
    assert_eq!(lab.core.role(), Role::Primary);
}

#[test]
fn an_heir_that_vanishes_leaves_the_reign_to_whoever_claims_after_the_timeout() {
    let mut lab = Lab::primary("a");
    lab.give(Event::Standby { host: "b".to_owned(), ready: true });
    lab.give(Event::Cede { to: "b".to_owned() });
    lab.give(Event::Closed);
    assert!(lab.give(Event::Taken(false)).contains(&Effect::StandBy));
    assert_eq!(lab.silence(3 * T), Some((Reason::Start, T)));
}

#[test]
fn an_operator_who_asks_while_the_primary_is_frozen_is_obeyed_after_the_timeout() {
    let mut lab = Lab::standby("b", "a");
    lab.give(Event::TakeOver);
    let (reason, after) = lab.pass(3 * T, |lab| lab.beat(3, 9)).unwrap();
    assert_eq!((reason, after), (Reason::Asked, T));
}

#[test]
fn a_claim_that_failed_is_not_tried_again_before_the_timeout() {
    let mut lab = Lab::standby("b", "a");
    lab.give(ended("a"));
    lab.give(Event::NotOpened { why: Why::Failed });
    assert_eq!(lab.core.role(), Role::Standby);
    assert_eq!(lab.silence(3 * T), Some((Reason::Dead, T)));
    lab.give(Event::NotOpened { why: Why::Lost });
    lab.register(4, Some("c"));
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(4) });
    assert_eq!(lab.pass(9 * T, heard), None);
}

#[test]
fn a_standby_that_was_frozen_does_not_take_what_it_missed_for_silence() {
    let mut lab = Lab::standby("b", "a");
    lab.now += 10 * T;
    assert_eq!(lab.give(Event::Tick), []);
    let heard = |lab: &mut Lab| lab.give(Event::Heard { epoch: Epoch(3) });
    assert_eq!(lab.pass(2 * T, heard), None);
    assert_eq!(lab.silence(3 * T), Some((Reason::Silent, T)));
}

#[test]
fn roles_change_only_as_drawn() {
    use Role::{Ceding, Claiming, Primary, Standby, Stopped};
    let all = [Standby, Claiming, Primary, Ceding, Stopped];
    let allowed = all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to)));
    assert_eq!(allowed.filter(|(from, to)| may_become(*from, *to)).count(), 10);
    assert!(all.iter().all(|to| !may_become(Stopped, *to)));
    assert!(all.iter().all(|from| *from == Claiming || !may_become(*from, Primary)));
}
