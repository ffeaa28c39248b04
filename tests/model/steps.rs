//! What can be done to a store, and how cases are drawn. Keys and tables are few, so that steps
//! meet the same ones again.

use crate::common::model::Change;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

/// How a store is opened, on which disk.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The disk writes 4,096 bytes at once, not 512.
    pub large_unit: bool,
    /// Superseded files are kept as by default; else they go at once.
    pub history: bool,
    /// Segments are of 64 KiB, not 16.
    pub roomy: bool,
    /// The disk is one on which zeros are written beforehand.
    pub prewrite: bool,
}

/// Parts of 256, of something whose length the case does not know yet.
pub type Part = u8;

/// A change, printed short: a value is given by its length and its first byte.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub table: String,
    pub key: Vec<u8>,
    pub value: Option<(usize, u8)>,
}

impl Drawn {
    pub fn change(&self) -> Change {
        let value = self.value.map(|(len, first)| {
            let byte = |at: usize| (at / 97) as u8 ^ (at as u8).wrapping_mul(7) ^ first;
            (0..len).map(byte).collect()
        });
        Change { table: self.table.clone(), key: self.key.clone(), value }
    }
}

#[derive(Clone, Debug)]
pub enum Step {
    /// One batch, saved.
    Save(Vec<Drawn>),
    /// Batches that are submitted, all but the first while that one is flushed.
    Submit(Vec<Vec<Drawn>>),
    Get(String, Vec<u8>),
    Scan(String, Vec<u8>),
    /// Everything, by `load`.
    Load,
    /// Keeps the present view, and looks at the one that was kept before.
    Keep,
    Checkpoint,
    Maintain,
    /// Time passes, in minutes, and superseded files are deleted.
    Prune(u16),
    /// The state at an earlier LSN, or at its time.
    At(Part, bool),
    /// Every save from an LSN on, inside this process.
    Follow(Part),
    /// A look from another process, which also follows from an LSN on.
    Read(Part),
    /// Closed, and opened in another manner.
    Reopen(Manner),
    /// Power is cut within the last step, at this part of it; the seed says what survives.
    Crash(Part, u64),
}

const KEYS: [&[u8]; 10] =
    [b"\0", b"a", b"a\0", b"ab", b"abc", b"ac", b"b", b"\xfe\xff", b"\xff", b"\xff\xff"];
const TABLES: [&str; 4] = ["jobs", "jobs-old", "meta", "z"];
const PREFIXES: [&[u8]; 7] = [b"", b"\0", b"a", b"ab", b"abcd", b"\xfe", b"\xff"];

fn key() -> impl Strategy<Value = Vec<u8>> {
    select(&KEYS[..]).prop_map(<[u8]>::to_vec)
}

fn table() -> impl Strategy<Value = String> {
    select(&TABLES[..]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = (usize, u8)> {
    let len = prop_oneof![
        1 => Just(0_usize),
        8 => 1_usize..40,
        4 => 2000_usize..6000,
        1 => 15_000_usize..40_000,
    ];
    (len, any::<u8>())
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let value = prop_oneof![1 => Just(None), 3 => value().prop_map(Some)];
    (table(), key(), value).prop_map(|(table, key, value)| Drawn { table, key, value })
}

fn save() -> impl Strategy<Value = Vec<Drawn>> {
    vec(drawn(), 0..4)
}

pub fn manner() -> impl Strategy<Value = Manner> {
    any::<(bool, bool, bool, bool)>().prop_map(|(large_unit, history, roomy, prewrite)| Manner {
        large_unit,
        history,
        roomy,
        prewrite,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => save().prop_map(Step::Save),
        4 => vec(save(), 1..6).prop_map(Step::Submit),
        2 => (table(), key()).prop_map(|(table, key)| Step::Get(table, key)),
        2 => (table(), select(&PREFIXES[..]))
            .prop_map(|(table, prefix)| Step::Scan(table, prefix.to_vec())),
        1 => Just(Step::Load),
        1 => Just(Step::Keep),
        3 => Just(Step::Checkpoint),
        3 => Just(Step::Maintain),
        2 => (0_u16..3000).prop_map(Step::Prune),
        3 => any::<(Part, bool)>().prop_map(|(part, time)| Step::At(part, time)),
        2 => any::<Part>().prop_map(Step::Follow),
        3 => any::<Part>().prop_map(Step::Read),
        2 => manner().prop_map(Step::Reopen),
        4 => any::<(Part, u64)>().prop_map(|(part, seed)| Step::Crash(part, seed)),
    ]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..40)
}
