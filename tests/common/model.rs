//! What the store must hold: the state after each number of saves.

use statedir::snapshot::SnapshotError;
use statedir::{Batch, View};
use std::collections::BTreeMap;

/// Every live entry.
pub type State = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// One op of a save: a table, a key, and a value, or that the key goes.
#[derive(Clone, Debug)]
pub struct Change {
    pub table: String,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// The state after 0, 1, 2… saves.
#[derive(Clone, Debug)]
pub struct Model {
    states: Vec<State>,
}

impl Model {
    pub fn new() -> Model {
        Model { states: vec![State::new()] }
    }

    /// How many saves there were.
    pub fn saves(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    /// The state after `saves`.
    pub fn after(&self, saves: u64) -> &State {
        &self.states[usize::try_from(saves).expect("few saves")]
    }

    /// The newest state.
    pub fn newest(&self) -> &State {
        self.states.last().expect("there is always the empty one")
    }

    pub fn push(&mut self, changes: &[Change]) {
        let mut state = self.newest().clone();
        for change in changes {
            let key = (change.table.clone(), change.key.clone());
            match &change.value {
                Some(value) => state.insert(key, value.clone()),
                None => state.remove(&key),
            };
        }
        self.states.push(state);
    }

    /// Forgets the saves after the first `saves`.
    pub fn truncate(&mut self, saves: u64) {
        self.states.truncate(usize::try_from(saves).expect("few saves") + 1);
    }
}

/// The changes as a batch.
pub fn batch(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for Change { table, key, value } in changes {
        match value {
            Some(value) => batch.put(table, key, value),
            None => batch.delete(table, key),
        }
        .expect("the model keeps to the limits");
    }
    batch
}

/// The `number`th save of a stream: two tables move together, a key comes, a key goes; its values
/// take about `bytes`.
pub fn changes(number: u64, bytes: usize) -> Vec<Change> {
    let put = |table: &str, key: String, value: Vec<u8>| Change {
        table: table.to_owned(),
        key: key.into_bytes(),
        value: Some(value),
    };
    let mut body = vec![0; bytes];
    for (at, byte) in body.iter_mut().enumerate() {
        *byte = (number as usize * 31 + at * 7 + at / 251) as u8;
    }
    vec![
        put("jobs", format!("k{}", number % 7), body),
        put("meta", "count".to_owned(), number.to_string().into_bytes()),
        put("meta", format!("n{}", number % 5), number.to_le_bytes().to_vec()),
        Change {
            table: "jobs".to_owned(),
            key: format!("k{}", (number + 3) % 7).into_bytes(),
            value: None,
        },
    ]
}

/// Everything in a view.
pub fn dump(view: &View) -> Result<State, SnapshotError> {
    let mut state = State::new();
    view.for_each(|table, key, value| {
        state.insert((table.to_owned(), key.to_vec()), value.to_vec());
        Ok::<(), SnapshotError>(())
    })?;
    Ok(state)
}
