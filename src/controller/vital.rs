//! Threads and tasks that nobody waits for, and what becomes of the controller when one panics.
//!
//! Invariants:
//! - The controller does not outlive what it cannot do without. A heartbeat, a follower or a look
//!   at the register that is gone without a word would leave a primary that is not seen to live, or
//!   a standby that never takes over. The process is aborted, as if it had been killed: its guard
//!   starts it anew, a few times; another controller takes over; what was acknowledged is durable.
//! - What serves somebody outside, or what one job waits for, ends alone: who sends what makes it
//!   panic must not end controllers. The log says so.
//! - Nothing else in the controller begins a thread or a task without waiting for it (`tests/tidy`
//!   looks).

use crate::controller::log;
use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Context;
use tokio::task::JoinHandle;

thread_local! {
    /// Where this thread has panicked last.
    static AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does on this thread what the controller cannot do without: its panic ends the process at once,
/// not after all that unwinding would wait for.
pub fn here<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    note_places();
    panics(work).unwrap_or_else(|why| end(name, &why))
}

/// Begins a thread that the controller cannot do without; its panic ends the process.
///
/// # Errors
/// There are no threads to be had.
pub fn thread(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let run = move || here(name, work);
    let begun = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    begun.map(drop).map_err(|error| format!("threads: {error}"))
}

/// Begins a task that the controller cannot do without; its panic ends the process. It may be
/// aborted.
pub fn task<T: Send + 'static>(
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    note_places();
    tokio::spawn(async move {
        let mut work = pin!(work);
        let mut poll = |context: &mut Context<'_>| panics(|| work.as_mut().poll(context));
        poll_fn(|context| poll(context).unwrap_or_else(|why| end(name, &why))).await
    })
}

/// Begins a task that serves one who asks; its panic ends it alone.
pub fn request(work: impl Future<Output = ()> + Send + 'static) {
    note_places();
    tokio::spawn(async move {
        let mut work = pin!(work);
        let mut poll = |context: &mut Context<'_>| panics(|| work.as_mut().poll(context));
        poll_fn(|context| {
            poll(context).unwrap_or_else(|why| {
                tracing::error!("what was done for one request has panicked: {why}");
                ().into()
            })
        })
        .await;
    });
}

/// What `work` comes to; or what its panic has said, and where.
fn panics<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("{}{}", AT.take(), text(&*panic)))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Panics note down where they happen, from now on: in the background nobody reads stderr. Nothing
/// is logged there: the log itself may be what has panicked, and is free again afterwards.
fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let at = panic.location().map(|at| format!("{at}: ")).unwrap_or_default();
            let _ = AT.try_with(|place| place.replace(at));
            before(panic);
        }));
    });
}

fn end(name: &str, why: &str) -> ! {
    tracing::error!(target: log::FATAL, "{name} has panicked, and is needed: {why}");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::log::Wish;
    use crate::slurm::conf::Conf;
    use rustix::process::{Resource, Rlimit, setrlimit};
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Command, ExitStatus};
    use std::time::Duration;

    const KIND: &str = "STATEDIR_TEST_PANICS";
    /// Nothing is measured by it.
    const LONG: Duration = Duration::from_secs(120);
    /// How a process ends that went on.
    const WENT_ON: i32 = 77;

    /// In a process of its own: begins what panics, and waits.
    fn panicking(kind: &str) -> ! {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, none).unwrap();
        let text = "ClusterName=c\nSlurmctldHost=h\nNodeName=n\nPartitionName=p Nodes=n\n";
        let conf = Conf::read(Path::new("/slurm.conf"), &mut |_| Ok(text.to_owned())).unwrap();
        log::start(&Wish { foreground: true, ..Wish::default() }, &conf, None).unwrap();
        // One thread: what is said is said before anybody goes on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let (begun, ended) = tokio::sync::oneshot::channel::<()>();
            match kind {
                "thread" => thread("heart", || panic!("on {}", "purpose")).unwrap(),
                "task" => drop(task("link", async {
                    tokio::task::yield_now().await;
                    panic!("on purpose");
                })),
                _ => request(async move {
                    let _begun = begun;
                    tokio::task::yield_now().await;
                    panic!("on purpose");
                }),
            }
            // What it held is gone with it.
            let _ = tokio::time::timeout(LONG, ended).await;
        });
        std::process::exit(WENT_ON)
    }

    fn run(kind: &str) -> (ExitStatus, String) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture"]);
        command.arg("controller::vital::tests::a_panic_of_what_is_needed_ends_the_process_at_once");
        let output = command.env(KIND, kind).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn a_panic_of_what_is_needed_ends_the_process_at_once() {
        if let Ok(kind) = std::env::var(KIND) {
            panicking(&kind);
        }
        for (kind, name) in [("thread", "heart"), ("task", "link")] {
            let (status, said) = run(kind);
            assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}: {said}");
            let line = said.lines().find(|line| line.contains("fatal: ")).expect(&said);
            assert!(line.contains(&format!("{name} has panicked")), "{line}");
            assert!(line.contains("vital.rs:") && line.contains(": on purpose"), "{line}");
        }
    }

    #[test]
    fn a_panic_of_what_serves_one_request_ends_that_alone_and_is_said() {
        let (status, said) = run("request");
        assert_eq!(status.code(), Some(WENT_ON), "{status}: {said}");
        let line = said.lines().find(|line| line.contains("error: ")).expect(&said);
        assert!(line.contains("vital.rs:") && line.contains("on purpose"), "{line}");
    }

    #[test]
    fn what_a_task_comes_to_is_given_and_one_that_is_aborted_ends_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_eq!(task("sum", async { 3 + 4 }).await.unwrap(), 7);
            let waits = task("waits", std::future::pending::<()>());
            waits.abort();
            assert!(waits.await.unwrap_err().is_cancelled());
        });
    }
}
