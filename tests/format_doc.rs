//! docs/format.md says what the code does: its tables are the module docs' tables, and its worked
//! example decodes to what the text says.

use statedir::base::{Chain, Lsn};
use statedir::format::{Group, Op, SegmentHeader};
use std::collections::BTreeMap;

const DOC: &str = include_str!("../docs/format.md");

#[test]
fn every_table_of_the_code_stands_in_the_document() {
    let mut rows = 0;
    let formats = ["names", "control", "segment", "group", "batch", "snapshot", "register"];
    let formats = formats.map(|module| format!("format/{module}"));
    let exports = ["repository", "manifest", "part"].map(|module| format!("export/{module}"));
    let controller = ["node", "job"].map(|module| format!("controller/{module}"));
    let agent = ["past", "spool"].map(|module| format!("agent/{module}"));
    for module in formats.into_iter().chain(exports).chain(controller).chain(agent) {
        let path = format!("{}/src/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        for line in source.lines().take_while(|line| line.starts_with("//!")) {
            let line = line.trim_start_matches("//!").trim();
            if line.starts_with('|') {
                assert!(
                    DOC.lines().any(|doc| doc == line),
                    "{module}: not in the document: {line}"
                );
                rows += 1;
            }
        }
    }
    assert!(rows > 90, "only {rows} rows were compared");
}

/// The bytes of the example, by offset.
fn example() -> BTreeMap<u64, u8> {
    let (_, rest) = DOC.split_once("```hex\n").unwrap();
    let (dump, _) = rest.split_once("```").unwrap();
    let mut bytes = BTreeMap::new();
    for line in dump.lines() {
        let (offset, hex) = line.split_once(": ").unwrap();
        let offset = u64::from_str_radix(offset, 16).unwrap();
        for (i, byte) in hex.split(' ').enumerate() {
            bytes.insert(offset + i as u64, u8::from_str_radix(byte, 16).unwrap());
        }
    }
    bytes
}

#[test]
fn the_worked_example_decodes_to_what_the_text_says() {
    let bytes = example();
    let from =
        |offset: u64| -> Vec<u8> { (offset..).map_while(|at| bytes.get(&at).copied()).collect() };
    let header = SegmentHeader::decode(&from(0)).unwrap();
    assert_eq!((header.id.epoch.0, header.id.ordinal, header.prewritten), (1, 1, 0x40000));
    let (first, second) = (from(0x1000), from(0x2000));
    let first = Group::decode(header.seed(0x1000), &first).unwrap();
    assert_eq!(first.seal().unwrap().incarnation, header.incarnation);
    assert_eq!(first.header.prev, Chain::default());
    let second = Group::decode(header.seed(0x2000), &second).unwrap();
    assert_eq!(second.header.prev, first.link());
    let (lsn, mut ops) = second.saves().next().unwrap();
    assert_eq!(lsn, Lsn(1));
    let put = Op::Put { table: "jobs", key: b"17", value: b"hello" };
    assert_eq!(ops.next().unwrap().unwrap(), put);
}
