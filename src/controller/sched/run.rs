//! When passes happen: soon after something changed, when a begin time comes, and every
//! `sched_interval` (60 s) anyway.
//!
//! Invariants: no request waits for a pass; however fast things change, passes take at most a tenth
//! of the time, or have a second between them, and in the first second after a start at most half
//! of it: who has waited for a controller does not wait once more; what rings during a pass is not
//! forgotten; no job is started before the controller's beginning is saved ([`Service::begin`]).

use crate::controller::core::Command;
use crate::controller::core::restored;
use crate::controller::core::review::{Due, due};
pub use crate::controller::sched::bell::Bell;
use crate::controller::sched::layout::Layout;
use crate::controller::sched::pass::{Found, pass};
use crate::controller::service::{End, Service, now};
use crate::controller::state::State;
use crate::slurm::conf::Conf;
use crate::slurm::wire::Message;
use crate::slurm::wire::constants::rc;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// After a pass, nothing happens for so many times as long as it took,
const REST: u32 = 9;
/// and no longer than this: jobs that could start wait for it.
const REST_MAX: Duration = Duration::from_secs(1);

/// Where a controller's beginning could not be saved, how long until it is tried again.
const ROOM: Duration = Duration::from_secs(1);

/// How many starts are under way at once: others who want something come in between.
const AT_ONCE: usize = 64;

/// The value of `name=number` in SchedulerParameters.
fn parameter(conf: &Conf, name: &str) -> Option<u64> {
    let text = conf.text("SchedulerParameters")?;
    let mut pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    found.1.trim().parse().ok()
}

/// Runs passes until it is aborted.
pub async fn run(service: Arc<Service>, bell: Bell) {
    while !service.begin().await {
        sleep(ROOM).await;
    }
    let started = Instant::now();
    loop {
        let begun = Instant::now();
        let Some((conf, found)) = one(&service).await else {
            return service.stop(End::Failed("the scheduler has failed: a panic".to_owned()));
        };
        let took = begun.elapsed();
        let interval = Duration::from_secs(parameter(&conf, "sched_interval").unwrap_or(60).max(1));
        let gap = Duration::from_micros(parameter(&conf, "sched_min_interval").unwrap_or(2));
        sleep(gap.max(rest(took, started.elapsed()))).await;
        let time = found.next.map_or(interval, |time| until(time).min(interval));
        tokio::select! {
            () = bell.rung() => {}
            () = sleep(time) => {}
        }
    }
}

/// How long nothing happens after a pass that `took` so long, by a scheduler that has run for
/// `age`.
fn rest(took: Duration, age: Duration) -> Duration {
    (took * REST).min(REST_MAX).min(age)
}

/// How long it is to a time.
fn until(time: i64) -> Duration {
    Duration::from_secs(u64::try_from(time - now()).unwrap_or(0)) + Duration::from_millis(10)
}

/// One review and one pass; `None`: a panic.
async fn one(service: &Arc<Service>) -> Option<(Arc<Conf>, Found)> {
    let (conf, state) = service.working();
    let awaited = restored::awaited(&conf, &state).len();
    if awaited > 0 {
        tracing::debug!("{awaited} nodes have not registered since the store was restored");
        return Some((conf, Found { next: Some(now() + 1), ..Found::default() }));
    }
    let next = review(service).await?;
    let looking = Arc::clone(service);
    let done = spawn_blocking(move || {
        let (conf, state): (Arc<Conf>, State) = looking.working();
        let layout = Layout::of(&conf, &state);
        let mut found = pass(&conf, &state, &layout, now());
        looking.board().write(std::mem::take(&mut found.forecasts), now());
        (conf, found)
    });
    let (conf, mut found) = done.await.ok()?;
    found.next = [found.next, next].into_iter().flatten().min();
    let mut starts = std::mem::take(&mut found.starts).into_iter().peekable();
    while starts.peek().is_some() {
        let some = starts.by_ref().take(AT_ONCE);
        let commands = some.map(|start| service.command(Command::Start { start: Box::new(start) }));
        if in_order(commands.map(Box::pin).collect()).await > 0 {
            // Something was faster, or saves do not get through: another look, not at once.
            found.next = Some(now() + 1);
        }
    }
    Some((conf, found))
}

/// Writes down what has come of what jobs wait for; when time alone makes the next one due. `None`:
/// a panic.
async fn review(service: &Arc<Service>) -> Option<Option<i64>> {
    let looking = Arc::clone(service);
    let found = spawn_blocking(move || due(&looking.working().1, now())).await;
    let Due { jobs, next } = found.ok()?;
    for jobs in jobs.chunks(AT_ONCE) {
        service.command(Command::Review { jobs: jobs.to_vec() }).await;
    }
    Some(next)
}

/// Commands in the order in which they are given, several under way: what one finds, those before
/// it have done. How many were refused.
async fn in_order<F: Future<Output = Message> + Unpin>(mut commands: Vec<F>) -> usize {
    let mut refused = 0;
    poll_fn(|context| {
        // Done ones go; the others are asked in their order, so that they are sent in it.
        commands.retain_mut(|command| match Pin::new(command).poll(context) {
            Poll::Ready(reply) => {
                refused += usize::from(reply != Message::code(rc::OK));
                false
            }
            Poll::Pending => true,
        });
        if commands.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_take_a_tenth_of_the_time_and_half_of_it_just_after_a_start() {
        let ms = Duration::from_millis;
        assert_eq!(rest(ms(20), ms(60_000)), ms(180));
        assert_eq!(rest(ms(200), ms(60_000)), REST_MAX);
        assert_eq!(rest(ms(100), ms(100)), ms(100), "the first one");
        assert_eq!(rest(ms(100), ms(300)), ms(300));
    }
}
