//! docs/slurm-protocol.md says what the code does: its list of messages, its records field by
//! field, and the tables of the module docs.
#![cfg(feature = "slurm")]

use statedir::slurm::wire::message::MESSAGES;
use statedir::slurm::wire::{Column, tables};

const DOC: &str = include_str!("../docs/slurm-protocol.md");

/// Where the entries of the controller's tables are described.
#[cfg(feature = "controller")]
const FORMAT: &str = include_str!("../docs/format.md");

/// One field, as the document has it.
fn entry(number: usize, column: &Column) -> String {
    let Column { name, kind, of, .. } = column;
    if of.is_empty() {
        format!("{number} {name}:{kind}")
    } else {
        format!("{number} {name}:{kind}({of})")
    }
}

/// A record, as the document has it.
fn block(name: &str, columns: &[Column]) -> String {
    let mut lines = vec![String::new()];
    for (at, column) in columns.iter().enumerate() {
        let entry = entry(at + 1, column);
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            *line = entry;
        } else if line.len() + 2 + entry.len() <= 100 {
            *line = format!("{line}  {entry}");
        } else {
            lines.push(entry);
        }
    }
    format!("### {name}\n```\n{}\n```\n", lines.join("\n"))
}

#[test]
fn every_record_stands_in_the_document_field_by_field() {
    let blocks: Vec<String> =
        tables::all().iter().map(|(name, columns)| block(name, columns)).collect();
    let missing: Vec<&String> = blocks.iter().filter(|block| !DOC.contains(*block)).collect();
    let text = missing.iter().map(|block| format!("{block}\n")).collect::<String>();
    assert!(missing.is_empty(), "not in docs/slurm-protocol.md:\n{text}");
    assert!(blocks.len() > 50);
}

#[cfg(feature = "controller")]
#[test]
fn every_record_of_the_controllers_tables_stands_in_the_format_field_by_field() {
    use statedir::controller::job::{Course, Entry, Payload, Share, TaskRun};
    use statedir::controller::node::NodeRecord;
    use statedir::controller::state::{Number, Origin, PartitionRecord, Range};
    use statedir::slurm::wire::Record;

    fn text<R: Record>() -> String {
        block(R::NAME, R::COLUMNS)
    }
    let blocks = [
        text::<NodeRecord>(),
        text::<PartitionRecord>(),
        text::<Entry>(),
        text::<Course>(),
        text::<Share>(),
        text::<TaskRun>(),
        text::<Payload>(),
        text::<Number>(),
        text::<Range>(),
        text::<Origin>(),
    ];
    let missing: String =
        blocks.iter().filter(|block| !FORMAT.contains(*block)).map(|b| format!("{b}\n")).collect();
    assert!(missing.is_empty(), "not in docs/format.md:\n{missing}");
}

#[test]
fn every_message_stands_in_the_document() {
    let mut missing = String::new();
    for row in MESSAGES {
        let since = row.since.edition().unwrap().release;
        let body = if row.body.is_empty() { "–" } else { row.body };
        let line =
            format!("| {} | {} | {body} | {} | {since} |\n", row.kind, row.name, row.body_max);
        if !DOC.contains(&line) {
            missing += &line;
        }
    }
    assert!(missing.is_empty(), "not in docs/slurm-protocol.md:\n{missing}");
}

#[test]
fn every_table_of_the_module_docs_stands_in_the_document() {
    let mut rows = 0;
    for module in ["wire/frame", "wire/version", "auth/key/mod"] {
        let path = format!("{}/src/slurm/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        for line in source.lines().take_while(|line| line.starts_with("//!")) {
            let line = line.trim_start_matches("//!").trim();
            if line.starts_with('|') {
                assert!(DOC.lines().any(|doc| doc == line), "{module}: not there: {line}");
                rows += 1;
            }
        }
    }
    assert!(rows > 20, "only {rows} rows were compared");
}
