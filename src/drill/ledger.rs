//! What happened, and when: events come in, in the order in which they were seen; who was told what
//! and how many seconds passed are read from it.
//!
//! | seconds from the fault until | the first event that counts |
//! |---|---|
//! | one reigns | `Reigns` |
//! | the next id | `Told` of a submission that began after `Struck`: an answer that was on its way proves nothing |
//! | the next job starts | `Started` after `Reigns`: what was launched before the fault proves nothing |

use crate::drill::judge::{HEAVY, Told};
use std::time::Duration;

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A submission began.
    Sent { number: u32 },
    /// Its client printed an id.
    Told { number: u32, id: u32 },
    /// Its client said that it failed.
    Refused { number: u32, why: String },
    /// A job wrote its first line.
    Started,
    /// The worst begins.
    Fault,
    /// It has happened.
    Struck,
    /// A controller says that it is in charge.
    Reigns,
}

/// Everything that was seen in a round.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    events: Vec<(Duration, Event)>,
}

/// Seconds from the fault; `None`: it was not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Until a controller reigns.
    pub reigns: Option<Duration>,
    /// Until a submission that began afterwards is told its id.
    pub told: Option<Duration>,
    /// Until a job starts that was not launched before.
    pub started: Option<Duration>,
}

impl Ledger {
    /// Notes what was seen at a time since the round began.
    pub fn note(&mut self, at: Duration, event: Event) {
        self.events.push((at, event));
    }

    /// Who was told what.
    pub fn told(&self) -> Vec<Told> {
        let told = |(_, event): &(Duration, Event)| match event {
            Event::Told { number, id } => Some(Told { number: *number, id: *id }),
            _ => None,
        };
        self.events.iter().filter_map(told).collect()
    }

    /// How many were told an id, those not counted that only take room.
    pub fn told_count(&self) -> usize {
        let counts = |event: &Event| matches!(event, Event::Told { number, .. } if *number < HEAVY);
        self.events.iter().filter(|(_, event)| counts(event)).count()
    }

    /// What was submitted.
    pub fn sent(&self) -> Vec<u32> {
        let sent = |(_, event): &(Duration, Event)| match event {
            Event::Sent { number } => Some(*number),
            _ => None,
        };
        self.events.iter().filter_map(sent).collect()
    }

    /// When a submission was last told anything, and what the last refusal was, if none came since.
    pub fn refused_since(&self) -> Option<(Duration, &str)> {
        let last = self.events.iter().rposition(|(_, event)| matches!(event, Event::Told { .. }));
        let after = &self.events[last.map_or(0, |at| at + 1)..];
        after.iter().find_map(|(at, event)| match event {
            Event::Refused { why, .. } => Some((*at, why.as_str())),
            _ => None,
        })
    }

    /// How long things took after the fault.
    pub fn gaps(&self) -> Gaps {
        let Some(fault) = self.events.iter().position(|(_, event)| *event == Event::Fault) else {
            return Gaps::default();
        };
        let struck = self.events.iter().position(|(_, event)| *event == Event::Struck);
        let struck = struck.unwrap_or(fault);
        let (from, before) = (self.events[fault].0, &self.events[..struck]);
        let began_before = |number: &u32| {
            before
                .iter()
                .any(|(_, event)| matches!(event, Event::Sent { number: n } if n == number))
        };
        let mut gaps = Gaps::default();
        for (at, event) in &self.events[fault..] {
            let gap = at.saturating_sub(from);
            match event {
                Event::Reigns => _ = gaps.reigns.get_or_insert(gap),
                Event::Told { number, .. } if !began_before(number) => {
                    gaps.told.get_or_insert(gap);
                }
                Event::Started if gaps.reigns.is_some() => _ = gaps.started.get_or_insert(gap),
                _ => {}
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn ledger(events: &[(u64, Event)]) -> Ledger {
        let mut ledger = Ledger::default();
        events.iter().for_each(|(at, event)| ledger.note(ms(*at), event.clone()));
        ledger
    }

    #[test]
    fn what_was_on_its_way_at_the_fault_does_not_shorten_the_gaps() {
        let ledger = ledger(&[
            (1, Event::Sent { number: 1 }),
            (2, Event::Started),
            (10, Event::Fault),
            (10, Event::Sent { number: 4 }),
            (11, Event::Told { number: 1, id: 7 }),
            (11, Event::Told { number: 4, id: 6 }),
            (11, Event::Struck),
            (12, Event::Started),
            (13, Event::Sent { number: 2 }),
            (30, Event::Reigns),
            (35, Event::Told { number: 2, id: 8 }),
            (50, Event::Started),
            (60, Event::Reigns),
            (70, Event::Told { number: 3, id: 9 }),
        ]);
        let gaps = ledger.gaps();
        assert_eq!(gaps.reigns, Some(ms(20)));
        assert_eq!(gaps.told, Some(ms(25)));
        assert_eq!(gaps.started, Some(ms(40)));
        assert_eq!(ledger.told().iter().map(|told| told.id).collect::<Vec<_>>(), [7, 6, 8, 9]);
        assert_eq!(ledger.sent(), [1, 4, 2]);
    }

    #[test]
    fn what_was_never_seen_is_no_number() {
        assert_eq!(Ledger::default().gaps(), Gaps::default());
        let silent = ledger(&[(5, Event::Fault), (9, Event::Started)]);
        assert_eq!(silent.gaps(), Gaps::default());
    }

    #[test]
    fn a_row_of_refusals_begins_after_the_last_id() {
        let no = |why: &str| Event::Refused { number: 1, why: why.into() };
        let told = Event::Told { number: 2, id: 1 };
        let events = [(1, no("a")), (2, told), (3, no("b")), (4, no("c"))];
        assert_eq!(ledger(&events).refused_since(), Some((ms(3), "b")));
        assert_eq!(ledger(&events[..2]).refused_since(), None);
    }
}
