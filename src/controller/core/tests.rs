//! What commands come to, and that the store holds what memory holds.

use super::*;
use crate::base::Local;
use crate::controller::node::NodeRecord;
use crate::controller::state::batch;
use crate::disk::fake::FakeDisk;
use crate::slurm::wire::Unset;
use crate::slurm::wire::constants::node;
use crate::store::{Options, Store};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn conf() -> Conf {
    let text = "ClusterName=c\nSlurmctldHost=localhost\nNodeName=n[1-4]\nNodeName=d State=DRAIN \
                Reason=fan\nNodeName=f State=FUTURE\nPartitionName=p Nodes=ALL\n";
    Conf::read(Path::new("/x"), &mut |_| Ok(text.to_owned())).unwrap()
}

fn update(names: &str, state: u32, reason: &str) -> Command {
    let update = UpdateNode {
        node_names: names.into(),
        node_state: state,
        reason: if reason.is_empty() { Text::NONE } else { reason.into() },
        weight: u32::UNSET,
        reason_uid: 99,
        ..UpdateNode::default()
    };
    let who = Who { uid: 7, admin: true, ..Who::default() };
    Command::UpdateNodes { update: Box::new(update), who }
}

fn record(conf: &Conf, state: &State, name: &str) -> NodeRecord {
    known(state, conf.nodes.iter().find(|node| node.name == name).unwrap())
}

fn does(conf: &Conf, state: &mut State, command: &Command) -> u32 {
    let outcome = apply(World { conf, state, now: 100 }, command);
    outcome.changes.into_iter().for_each(|change| state.take(change));
    match outcome.reply {
        Message::ReturnCode(code) => code.return_code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_is_drained_and_comes_back() {
    let (conf, mut state) = (conf(), State::default());
    assert_eq!(does(&conf, &mut state, &update("n[1-2]", node::DRAIN, "disk bad")), rc::OK);
    let drained = record(&conf, &state, "n2");
    assert_eq!(drained.state, node::UNKNOWN | node::DRAIN);
    let by = (drained.reason.bytes(), drained.reason_uid, drained.reason_time.0);
    assert_eq!(by, (&b"disk bad"[..], 7, 100), "who asks is what the credential says");
    assert_eq!(record(&conf, &state, "n3").state, node::UNKNOWN);
    assert_eq!(does(&conf, &mut state, &update("n2", node::RESUME, "")), rc::OK);
    let back = record(&conf, &state, "n2");
    assert_eq!((back.state, back.reason.bytes()), (node::NO_RESPOND, &b""[..]));
    let again = does(&conf, &mut state, &update("n2", node::RESUME, ""));
    assert_eq!(again, INVALID_NODE_STATE);
}

/// Rows as the real controller answered them.
#[test]
fn states_follow_each_other_as_in_slurm() {
    let no = None;
    for (before, wish, after) in [
        (node::UNKNOWN, node::DOWN, Some(node::DOWN)),
        (node::IDLE | node::NO_RESPOND, node::DOWN, Some(node::DOWN | node::NO_RESPOND)),
        (node::DOWN, node::IDLE, Some(node::IDLE)),
        (node::IDLE | node::DRAIN, node::IDLE, Some(node::IDLE)),
        (node::DOWN | node::INVALID_REGISTRATION, node::RESUME, no),
        (node::DOWN | node::INVALID_REGISTRATION, node::DOWN, Some(node::DOWN | 0x40_0000)),
        (node::DOWN, node::RESUME, Some(node::IDLE | node::NO_RESPOND)),
        (node::UNKNOWN, node::RESUME, no),
        (node::UNKNOWN, node::IDLE, no),
        (node::UNKNOWN | node::FAIL, node::IDLE, no),
        (node::UNKNOWN | node::FAIL, node::UNDRAIN, no),
        (node::UNKNOWN, node::FAIL, Some(node::FAIL)),
        (node::FAIL, node::RESUME, Some(node::NO_RESPOND)),
        (node::IDLE | node::DRAIN, node::UNDRAIN, Some(node::IDLE)),
        (node::UNKNOWN, node::NO_RESPOND, Some(node::NO_RESPOND)),
        (node::FUTURE, node::RESUME, Some(node::IDLE | node::NO_RESPOND)),
        (node::UNKNOWN, node::FUTURE, no),
        (node::UNKNOWN, 0x80_0000, no),
    ] {
        assert_eq!(wished(before, wish), after, "{before:#x} {wish:#x}");
    }
}

#[test]
fn a_refused_command_changes_nothing_even_if_a_part_of_it_could_be_done() {
    let (conf, mut state) = (conf(), State::default());
    for (command, code) in [
        (update("n1,n9", node::DRAIN, "x"), rc::NODE),
        (update("n[1", node::DRAIN, "x"), rc::NODE),
        (update("", node::DRAIN, "x"), rc::NODE),
        (update("d,n1", node::UNDRAIN, ""), INVALID_NODE_STATE),
    ] {
        assert_eq!(does(&conf, &mut state, &command), code);
        assert_eq!(state, State::default());
    }
    let mut with_address = update("n1", u32::UNSET, "");
    let Command::UpdateNodes { update: fields, .. } = &mut with_address else { unreachable!() };
    fields.node_addr = "a".into();
    assert_eq!(does(&conf, &mut state, &with_address), rc::UNSUPPORTED);
    assert_eq!(state, State::default());
}

#[test]
fn what_slurm_conf_says_of_a_node_counts_until_somebody_says_otherwise() {
    let (conf, mut state) = (conf(), State::default());
    let before = record(&conf, &state, "d");
    assert_eq!((before.state, before.reason.bytes()), (node::DRAIN, &b"fan"[..]));
    assert_eq!(record(&conf, &state, "f").state, node::FUTURE);
    assert_eq!(does(&conf, &mut state, &update("d", node::UNDRAIN, "")), rc::OK);
    assert_eq!(record(&conf, &state, "d").state, node::UNKNOWN);
}

#[test]
fn features_and_weight_of_a_node_are_changed_over_slurm_conf() {
    let (conf, mut state) = (conf(), State::default());
    let of = conf.nodes.iter().find(|node| node.name == "n1").unwrap();
    let set = |features: Option<&str>, active: Option<&str>, weight: u32| {
        let mut command = update("n1", u32::UNSET, "");
        let Command::UpdateNodes { update: fields, .. } = &mut command else { unreachable!() };
        fields.features = features.into();
        fields.features_act = active.into();
        fields.weight = weight;
        command
    };
    for (command, code, shown) in [
        (set(Some("a,b"), None, u32::UNSET), rc::OK, ("a,b", "a,b", 1)),
        (set(None, Some("b"), 7), rc::OK, ("a,b", "b", 7)),
        (set(None, Some("c"), 8), rc::FEATURE_SUBSET, ("a,b", "b", 7)),
        (set(Some("c"), None, u32::UNSET), rc::OK, ("c", "c", 7)),
        (set(Some(""), None, u32::UNSET), rc::OK, ("", "", 7)),
    ] {
        assert_eq!(does(&conf, &mut state, &command), code);
        let record = record(&conf, &state, "n1");
        let (available, active) = node_features(of, &record);
        let now = (available.lossy(), active.lossy(), node_weight(of, &record));
        assert_eq!((now.0.as_ref(), now.1.as_ref(), now.2), shown);
    }
}

const NAMES: [&str; 6] = ["n1", "n[1-3]", "n4,d", "f", "n9", "n[2-4],n2"];
const WISHES: [u32; 9] = [
    node::DOWN,
    node::DRAIN,
    node::FAIL,
    node::RESUME,
    node::UNDRAIN,
    node::IDLE,
    node::NO_RESPOND,
    u32::UNSET,
    node::ALLOCATED,
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Through a real store on the fake disk, opened again at times.
    #[test]
    fn state_rebuilt_from_the_store_is_the_state_in_memory_after_every_step(
        steps in prop::collection::vec(
            (0..NAMES.len(), 0..WISHES.len(), "[a-c]{0,2}", 0..8_u8),
            1..25,
        ),
    ) {
        let (conf, mut state) = (conf(), State::default());
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(FakeDisk::new(512));
        Store::create_on(disk.as_ref()).unwrap();
        let open = || {
            let options = Options::default().without_threads();
            Store::open_on(Arc::clone(&disk), options, Arc::new(Local)).unwrap()
        };
        let mut store = open();
        for (names, wish, reason, reopened) in steps {
            let command = update(NAMES[names], WISHES[wish], &reason);
            let outcome = apply(World { conf: &conf, state: &state, now: 100 }, &command);
            let again = apply(World { conf: &conf, state: &state, now: 100 }, &command);
            prop_assert_eq!(&outcome, &again, "it is pure");
            prop_assert_eq!(outcome.reply == Message::code(rc::OK), !outcome.changes.is_empty());
            if !outcome.changes.is_empty() {
                store.save(batch(&outcome.changes).unwrap()).unwrap();
                outcome.changes.into_iter().for_each(|change| state.take(change));
            }
            if reopened == 0 {
                store.close().unwrap();
                store = open();
            }
            prop_assert_eq!(&State::load(&store.view()).unwrap(), &state);
        }
    }
}
