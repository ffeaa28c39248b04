//! A snapshot gives back what was put into it.

use super::*;
use crate::base::limits::{CHUNK, KEY_MAX, TABLE_NAME_MAX, TABLES_MAX};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};

/// Every way to read agrees with the map.
fn assert_reads(snapshot: &Snapshot, state: &State) {
    assert_eq!(read_all(snapshot).unwrap(), *state);
    for ((table, key), value) in state {
        assert_eq!(snapshot.get(table, key).unwrap(), Some(&**value));
    }
    let bytes: usize = state.iter().map(|((_, key), value)| key.len() + value.len()).sum();
    assert_eq!(snapshot.header().entries, state.len() as u64);
    assert_eq!(snapshot.header().logical_bytes, bytes as u64);
}

fn assert_round_trip(state: &State) {
    let disk = disk();
    assert_reads(&publish(&disk, state), state);
    // Without `verify`, so that reading checks; the other way round, so that `get` comes first.
    let snapshot = open(&disk).unwrap();
    for ((table, key), value) in state.iter().rev() {
        assert_eq!(snapshot.get(table, key).unwrap(), Some(&**value));
    }
    assert_reads(&snapshot, state);
    snapshot.verify_deep().unwrap();
}

#[test]
fn small_state_reads_back() {
    assert_round_trip(&small());
}

#[test]
fn empty_state_reads_back() {
    let disk = disk();
    let snapshot = publish(&disk, &State::new());
    assert_eq!(snapshot.tables().count(), 0);
    assert_eq!(snapshot.get("jobs", b"1").unwrap(), None);
    assert!(snapshot.scan("jobs", b"").next().is_none());
    assert_round_trip(&State::new());
}

#[test]
fn values_over_many_chunks_read_back() {
    let state = state([
        ("blobs", b"a", noise(5 * CHUNK + 17, 1)),
        ("blobs", b"b", Vec::new()),
        ("blobs", b"c", noise(40 * CHUNK, 2)),
        ("blobs", b"d", noise(1, 3)),
        ("jobs", b"x", noise(CHUNK, 4)),
        ("zero", b"x", vec![0; 3 * CHUNK]),
    ]);
    assert_round_trip(&state);
    let disk = disk();
    let snapshot = publish(&disk, &state);
    for (from, first) in
        [(b"bb".as_slice(), Some(b"c".as_slice())), (b"c\0", Some(b"d")), (b"e", None)]
    {
        let found = snapshot.scan("blobs", from).next().map(|entry| entry.unwrap().0);
        assert_eq!(found, first);
        assert_eq!(snapshot.get("blobs", from).unwrap(), None);
    }
}

#[test]
fn records_on_the_edges_of_chunks_read_back() {
    // Lets a record, its header, its key and its value end around the edge of the first chunk.
    for short in 0..40 {
        let state = state([
            ("t", b"a", noise(CHUNK - 9 - short, 1)),
            ("t", b"key", b"value".to_vec()),
            ("t", b"z", noise(20, 2)),
            ("u", b"z", noise(20, 3)),
        ]);
        assert_round_trip(&state);
    }
}

#[test]
fn most_tables_and_longest_keys_read_back() {
    let name = |n: usize| format!("{n:0width$}", width = TABLE_NAME_MAX);
    let tables = (0..TABLES_MAX).map(|n| ((name(n), vec![7; KEY_MAX]), noise(n % 7, n as u64)));
    let state: State = tables.collect();
    assert_round_trip(&state);
    let disk = disk();
    assert_eq!(publish(&disk, &state).table(&name(77)), Some(77));
}

#[test]
fn many_tiny_records_are_found_by_key() {
    let keys = (0_u32..40_000).map(|n| n * 2);
    let state: State =
        keys.map(|n| (("t".to_owned(), n.to_be_bytes().to_vec()), Vec::new())).collect();
    let disk = disk();
    publish(&disk, &state);
    let snapshot = open(&disk).unwrap();
    for n in (0_u32..80_000).step_by(7) {
        let even = n % 2 == 0;
        assert_eq!(snapshot.get("t", &n.to_be_bytes()).unwrap().is_some(), even, "{n}");
        let next = snapshot.scan("t", &n.to_be_bytes()).next().map(|entry| entry.unwrap().0);
        let expected = n.next_multiple_of(2);
        assert_eq!(
            next,
            (expected < 80_000).then(|| expected.to_be_bytes()).as_ref().map(|k| &k[..])
        );
    }
    snapshot.verify_deep().unwrap();
}

fn states() -> impl Strategy<Value = State> {
    let table = prop_oneof!["[ab]", "[a-c]{1,3}"];
    let key = prop_oneof![vec(0_u8..3, 1..5), vec(any::<u8>(), 1..80)];
    let len = prop_oneof![8 => 0_usize..40, 4 => 0_usize..9_000, 1 => 0_usize..3 * CHUNK];
    let value = (len, any::<u64>()).prop_map(|(len, seed)| noise(len, seed));
    btree_map((table, key), value, 0..60)
}

proptest! {
    #[test]
    fn get_and_scan_agree_with_a_map(
        state in states(),
        table in "[a-c]",
        probes in vec(vec(0_u8..3, 0..5), 0..20),
        verified in any::<bool>(),
    ) {
        let disk = disk();
        publish(&disk, &state);
        let snapshot = open(&disk).unwrap();
        if verified {
            snapshot.verify(2).unwrap();
        }
        for probe in probes {
            let from = (table.clone(), probe);
            let found = snapshot.get(&table, &from.1).unwrap();
            prop_assert_eq!(found, state.get(&from).map(|value| &**value));
            let scanned: Vec<_> = snapshot.scan(&table, &from.1).map(Result::unwrap).collect();
            let range = state.range(from..).take_while(|((name, _), _)| *name == table);
            let expected: Vec<_> = range.map(|((_, key), value)| (&**key, &**value)).collect();
            prop_assert_eq!(scanned, expected);
        }
        prop_assert_eq!(read_all(&snapshot).unwrap(), state);
        snapshot.verify_deep().unwrap();
    }
}
