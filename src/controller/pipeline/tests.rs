//! What the pipeline promises, with changes of nodes, on the fake disk.

use super::*;
use crate::base::{Authority, Epoch, Fenced, Local, Point};
use crate::controller::core::Who;
use crate::disk::Disk;
use crate::disk::fake::{Call, FakeDisk, Fault, FaultPlan};
use crate::slurm::wire::constants::{node, rc};
use crate::slurm::wire::tables::UpdateNode;
use crate::slurm::wire::{Text, Unset};
use crate::store::Options;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use tokio::runtime::Runtime;

/// An authority that lets acknowledgements wait.
#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn shut(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }
}

impl Authority for Gate {
    fn confirm(&self, epoch: Epoch, point: Point) -> Result<(), Fenced> {
        let mut shut = self.shut.lock().unwrap();
        while *shut && matches!(point, Point::Acknowledge(_)) {
            shut = self.opened.wait(shut).unwrap();
        }
        drop(shut);
        Local.confirm(epoch, point)
    }

    fn may_wait(&self) -> bool {
        false
    }
}

struct Lab {
    runtime: Runtime,
    disk: FakeDisk,
    gate: Arc<Gate>,
    pipeline: Arc<Pipeline>,
    _effects: mpsc::UnboundedReceiver<Effect>,
}

fn lab() -> Lab {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let text =
        "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n[0-99]\nPartitionName=p Nodes=ALL\n";
    let conf = Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap();
    let disk = FakeDisk::new(512);
    Store::create_on(&disk).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let gate: Arc<Gate> = Arc::default();
    let store = Store::open_on(shared, Options::default(), Arc::clone(&gate) as _).unwrap();
    let (conf, bell) = (Arc::new(conf), Bell::default());
    let (pipeline, _effects) = Pipeline::start(conf, store, State::default(), 1, bell).unwrap();
    Lab { runtime, disk, gate, pipeline: Arc::new(pipeline), _effects }
}

fn drain(name: &str, reason: &str) -> Command {
    let update = UpdateNode {
        node_names: name.into(),
        node_state: node::DRAIN,
        reason: reason.into(),
        weight: u32::UNSET,
        ..UpdateNode::default()
    };
    let who = Who { admin: true, ..Who::default() };
    Command::UpdateNodes { update: Box::new(update), who }
}

type Reply = tokio::task::JoinHandle<Option<Message>>;

impl Lab {
    fn send(&self, command: Command) -> Reply {
        let pipeline = Arc::clone(&self.pipeline);
        self.runtime.spawn(async move { pipeline.command(command).await })
    }

    /// Both, in this order, at once.
    fn send_both(&self, first: Command, second: Command) -> (Reply, Reply) {
        let (pipeline, runtime) = (Arc::clone(&self.pipeline), self.runtime.handle().clone());
        let (to, replies) = (oneshot::channel(), oneshot::channel());
        self.runtime.spawn(async move {
            let (first, second) = tokio::join!(pipeline.command(first), pipeline.command(second));
            let _ = (to.0.send(first), replies.0.send(second));
        });
        let later = |reply: oneshot::Receiver<Option<Message>>| {
            runtime.spawn(async move { reply.await.unwrap() })
        };
        (later(to.1), later(replies.1))
    }

    fn reply(&self, reply: Reply) -> Option<u32> {
        match self.runtime.block_on(reply).unwrap()? {
            Message::ReturnCode(code) => Some(code.return_code),
            other => panic!("{other:?}"),
        }
    }

    fn does(&self, command: Command) -> Option<u32> {
        self.reply(self.send(command))
    }

    fn reason(&self, name: &str) -> Text {
        let live = self.pipeline.durable();
        live.state.nodes.get(name).map(|record| record.reason.clone()).unwrap_or_default()
    }

    fn until(&self, what: impl Fn(&Lab) -> bool) {
        while !what(self) {
            std::thread::yield_now();
        }
    }

    fn agree(&self) -> State {
        let (memory, store) = self.runtime.block_on(self.pipeline.compare()).unwrap().unwrap();
        assert_eq!(memory, store, "memory and store");
        assert_eq!(self.pipeline.working().1, store, "nothing is under way");
        store
    }

    fn close(self) {
        Arc::into_inner(self.pipeline).expect("the only owner").close().unwrap();
    }
}

/// The beginning of a controller is a change as any other: it may be refused.
#[test]
fn what_follows_from_a_restore_is_saved_with_the_first_change_that_there_is_room_for() {
    let lab = lab();
    lab.disk.set_room(Some(0));
    let long = "x".repeat(100_000);
    assert_eq!(lab.does(drain("n[0-99]", &long)), Some(AGAIN));
    assert_eq!(lab.agree().origin, None);
    lab.disk.set_room(None);
    lab.until(|lab| lab.does(drain("n1", "x")) == Some(rc::OK));
    let live = lab.pipeline.durable();
    let store = lab.pipeline.store().incarnation().0;
    assert_eq!(live.state.origin.unwrap().incarnation, store);
}

#[test]
fn a_reply_waits_for_the_flush_and_nothing_of_the_change_is_told_before() {
    let lab = lab();
    assert_eq!(lab.does(drain("n1", "a")), Some(rc::OK));
    lab.gate.shut(true);
    let change = lab.send(drain("n1", "b"));
    lab.until(|lab| {
        let (_, working) = lab.pipeline.working();
        working.nodes["n1"].reason.bytes() == b"b"
    });
    // A refusal, decided by what is not durable yet.
    let (refusal, second) = lab.send_both(drain("nobody", "c"), drain("n2", "d"));
    lab.until(|lab| lab.pipeline.working().1.nodes.contains_key("n2"));
    let later: Vec<_> = (3..50).map(|at| lab.send(drain(&format!("n{at}"), "d"))).collect();
    lab.until(|lab| lab.pipeline.working().1.nodes.len() == 49);
    assert_eq!(lab.reason("n1").bytes(), b"a");
    assert!(!change.is_finished() && !refusal.is_finished());
    lab.gate.shut(false);
    assert_eq!(lab.reply(change), Some(rc::OK));
    assert_eq!(lab.reason("n1").bytes(), b"b");
    assert_eq!(lab.reply(refusal), Some(rc::NODE));
    for reply in later.into_iter().chain([second]) {
        assert_eq!(lab.reply(reply), Some(rc::OK));
    }
    assert_eq!(lab.agree().nodes.len(), 49);
    let groups = lab.pipeline.store().progress().groups;
    assert!(groups < 49, "what came meanwhile is saved together: {groups} groups");
    lab.close();
}

#[test]
fn without_room_nothing_is_done_information_goes_on_and_with_room_again_changes_do() {
    let lab = lab();
    assert_eq!(lab.does(drain("n1", "kept")), Some(rc::OK));
    lab.disk.set_room(Some(0));
    let long = "x".repeat(100_000);
    let mut refused = Vec::new();
    for round in 0..200 {
        let code = lab.does(drain(&format!("n{}", round % 9), &long));
        if code == Some(AGAIN) {
            refused.push(round);
            break;
        }
        assert_eq!(code, Some(rc::OK));
    }
    assert!(!refused.is_empty(), "the disk is full");
    assert_eq!(lab.does(drain("n50", "soon")), Some(AGAIN), "for a moment nothing is tried");
    let before = lab.agree();
    assert!(!before.nodes.contains_key("n50"));
    lab.disk.set_room(None);
    lab.until(|lab| lab.does(drain("n50", "again")) == Some(rc::OK));
    assert_eq!(lab.reason("n50").bytes(), b"again");
    let mut expected = before;
    expected.nodes.insert("n50".into(), lab.pipeline.durable().state.nodes["n50"].clone());
    assert_eq!(lab.agree(), expected);
    lab.close();
}

/// What was decided by a change that was refused is not done, and the refusals among it are not
/// told: they rest on nothing.
#[test]
fn what_stands_behind_a_refused_save_is_refused_with_it() {
    let lab = lab();
    lab.gate.shut(true);
    let first = lab.send(drain("n1", "first"));
    lab.until(|lab| lab.pipeline.working().1.nodes.contains_key("n1"));
    // While the first one waits at the gate, these collect in a round that has no room.
    lab.disk.fail(FaultPlan::nth_of(Call::Allocate, 1, Fault::Full).forever());
    lab.disk.set_room(Some(0));
    let long = "x".repeat(60_000);
    let large: Vec<_> = (2..40).map(|at| lab.send(drain(&format!("n{at}"), &long))).collect();
    lab.until(|lab| lab.pipeline.working().1.nodes.len() == 39);
    let (refusal, small) = lab.send_both(drain("nobody", "x"), drain("n60", "small"));
    lab.until(|lab| lab.pipeline.working().1.nodes.contains_key("n60"));
    lab.gate.shut(false);
    assert_eq!(lab.reply(first), Some(rc::OK));
    let large: Vec<_> = large.into_iter().map(|reply| lab.reply(reply)).collect();
    assert!(large.contains(&Some(AGAIN)), "{large:?}");
    assert_eq!(lab.reply(small), Some(AGAIN));
    assert_eq!(lab.reply(refusal), Some(AGAIN), "it may rest on what never was");
    let state = lab.agree();
    let told = large.iter().filter(|code| **code == Some(rc::OK)).count();
    assert_eq!(state.nodes.len(), 1 + told, "what was told is what is there");
    lab.close();
}

#[test]
fn a_flush_that_fails_ends_the_controller_and_nobody_in_flight_is_told_anything() {
    let lab = lab();
    assert_eq!(lab.does(drain("n1", "kept")), Some(rc::OK));
    lab.disk.fail(FaultPlan::nth_of(Call::WriteDurable, 1, Fault::Io).forever());
    let replies: Vec<_> = (2..20).map(|at| lab.send(drain(&format!("n{at}"), "lost"))).collect();
    for reply in replies {
        assert_eq!(lab.reply(reply), None);
    }
    let ending = lab.pipeline.ending().watch();
    let end = ending.borrow().clone();
    assert!(matches!(&end, Some(End::Failed(why)) if why.contains("flushed")), "{end:?}");
    assert_eq!(lab.pipeline.durable().state.nodes.len(), 1);
    lab.close();
}
