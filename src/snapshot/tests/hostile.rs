//! Files whose checksums fit, made by a writer that lies: nothing panics, nothing is read outside
//! of a table, and `verify_deep` notices whatever contradicts itself.

use super::*;
use crate::base::limits::{CHUNK, KEY_MAX};
use crate::format::snapshot::{DATA_AT, HEADER_LEN, RECORD_HEADER};
use crate::format::{FormatError, SnapshotFooter, SnapshotHeader, checksum};

/// Lets all checksums fit what the bytes are.
fn sign(bytes: &mut [u8], header: SnapshotHeader, footer: Option<SnapshotFooter>) {
    let data = DATA_AT as usize..(DATA_AT + header.data_len) as usize;
    let at = header.footer_at() as usize;
    if let Some(mut footer) = footer {
        for (number, chunk) in (0..).zip(bytes[data].chunks(CHUNK)) {
            let SnapshotHeader { incarnation, epoch, lsn, .. } = header;
            let seed = SnapshotHeader::seed(incarnation, epoch, lsn, number);
            footer.chunks[number as usize].crc = checksum(seed, chunk);
        }
        let footer = footer.encode();
        bytes[at..at + footer.len()].copy_from_slice(&footer);
    }
    let footer = &bytes[at..at + header.footer_len as usize];
    let footer_crc = checksum(header.footer_seed(), footer);
    bytes[..HEADER_LEN].copy_from_slice(&SnapshotHeader { footer_crc, ..header }.encode());
}

/// Reads everything in every way. The result says whether `verify_deep` found nothing.
fn read_hostile(bytes: &[u8], keys: &State) -> bool {
    let disk = disk_with(bytes);
    let Ok(snapshot) = open(&disk) else { return false };
    // Whether an error or not is up to the lie: it must end, and not in a panic.
    let _ = read_all(&snapshot);
    for (table, key) in keys.keys() {
        let _ = snapshot.get(table, key);
        let _ = snapshot.scan(table, &key[1..]).count();
    }
    let _ = snapshot.verify(1);
    let _ = read_all(&snapshot);
    snapshot.verify_deep().is_ok()
}

/// Three chunks; in the middle one no record starts.
fn sparse() -> State {
    state([
        ("a", b"1", noise(20, 1)),
        ("a", b"2", vec![0; 2 * CHUNK]),
        ("a", b"3", noise(5, 2)),
        ("b", b"1", noise(5, 3)),
    ])
}

#[test]
fn lies_in_records_end_in_errors() {
    let disk = disk();
    let snapshot = publish(&disk, &sparse());
    let (header, footer) = (*snapshot.header(), snapshot.footer().clone());
    let bytes = bytes_of(&*disk);
    let mut at = DATA_AT as usize;
    for ((_, key), value) in sparse() {
        let tail = at + RECORD_HEADER + key.len() + value.len();
        // Lengths and the zeros between them; with another byte no writer has written it.
        for at in at..at + RECORD_HEADER {
            for lie in [0, 1, 2, 0x7f, 0xff].into_iter().filter(|lie| *lie != bytes[at]) {
                let mut bytes = bytes.clone();
                bytes[at] = lie;
                sign(&mut bytes, header, Some(footer.clone()));
                assert!(!read_hostile(&bytes, &sparse()), "byte {at} is {lie}");
            }
        }
        at = tail;
    }
}

/// Writes `lie` over the record bytes at `at`, and opens what comes of it.
fn with_record_bytes(state: &State, at: usize, lie: &[u8]) -> Snapshot {
    let disk = disk();
    let snapshot = publish(&disk, state);
    let mut bytes = bytes_of(&*disk);
    let at = DATA_AT as usize + at;
    bytes[at..at + lie.len()].copy_from_slice(lie);
    sign(&mut bytes, *snapshot.header(), Some(snapshot.footer().clone()));
    open(&disk_with(&bytes)).unwrap()
}

#[test]
fn overlong_record_is_an_error_on_the_way_past_it() {
    // The second record of table "a": behind a header, a key of 1 byte and a value of 20.
    let second = RECORD_HEADER + 21;
    // A key that is too long, in a record that ends where the next one starts.
    let key_len = KEY_MAX as u32 + 1;
    let too_long_a_key = [key_len, 2 * CHUNK as u32 + 1 - key_len].map(u32::to_le_bytes).concat();
    let into_next_table = (2 * CHUNK as u32 + 30).to_le_bytes();
    for (at, lie) in [(second, &too_long_a_key[..]), (second + 4, &into_next_table)] {
        let snapshot = with_record_bytes(&sparse(), at, lie);
        let is_named = |error: SnapshotError| {
            assert!(matches!(error, SnapshotError::Record { .. }), "{error}");
            error.offset() == Some(DATA_AT + second as u64)
        };
        assert!(is_named(snapshot.get("a", b"25").unwrap_err()));
        let mut scan = snapshot.scan("a", b"");
        assert_eq!(scan.next().expect("first record").unwrap().0, b"1");
        assert!(is_named(scan.next().expect("second record").unwrap_err()));
        assert!(scan.next().is_none());
        assert!(snapshot.get("b", b"1").unwrap().is_some());
    }
}

/// Opens the snapshot of [`sparse`] with another footer.
fn with_footer(lie: impl FnOnce(&mut SnapshotFooter)) -> Result<Snapshot, SnapshotError> {
    let disk = disk();
    let snapshot = publish(&disk, &sparse());
    let mut footer = snapshot.footer().clone();
    lie(&mut footer);
    let footer_len = footer.encode().len() as u64;
    let mut bytes = bytes_of(&*disk);
    sign(&mut bytes, SnapshotHeader { footer_len, ..*snapshot.header() }, Some(footer));
    open(&disk_with(&bytes))
}

#[test]
fn index_that_contradicts_itself_is_not_opened() {
    with_footer(|_| ()).unwrap().verify_deep().unwrap();
    let field = |lie: fn(&mut SnapshotFooter)| match with_footer(lie) {
        Err(SnapshotError::Format { source: FormatError::Field(field), .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(|footer| footer.tables[0].value_bytes += 1), "table sums");
    assert_eq!(field(|footer| footer.tables[0].entries = u64::MAX), "table sums");
    assert_eq!(field(|footer| footer.chunks[0].key = (*b"4").into()), "chunk order");
    assert_eq!(field(|footer| footer.chunks[0].table = 1), "chunk order");
    assert_eq!(field(|footer| footer.chunks[2].first = CHUNK as u32 - 1), "chunk order");
}

#[test]
fn index_that_contradicts_the_records_is_noticed_by_a_deep_look() {
    // A start in a chunk that has none, and a key that became part of a value.
    let start = |footer: &mut SnapshotFooter| {
        footer.chunks[1].first = 7;
        footer.chunks[1].key = (*b"25").into();
    };
    let sums = |footer: &mut SnapshotFooter| {
        footer.tables[0].key_bytes -= 1;
        footer.tables[0].value_bytes += 1;
    };
    for (lie, field) in [(&start as &dyn Fn(&mut _), "chunks"), (&sums, "table sums")] {
        let snapshot = with_footer(lie).unwrap();
        snapshot.verify(1).unwrap();
        let error = snapshot.verify_deep().unwrap_err();
        let found = match error {
            SnapshotError::Format { source: FormatError::Field(field), .. } => field,
            other => panic!("{other}"),
        };
        assert_eq!(found, field);
    }
}

#[test]
fn keys_out_of_order_end_in_errors() {
    let disk = disk();
    let state = state([("t", b"1", vec![]), ("t", b"2", vec![]), ("t", b"3", vec![])]);
    let snapshot = publish(&disk, &state);
    let (header, footer) = (*snapshot.header(), snapshot.footer().clone());
    let second = DATA_AT as usize + RECORD_HEADER + 1 + RECORD_HEADER;
    for (lie, sound) in [(b'0', false), (b'1', false), (b'2', true), (b'3', false), (b'4', false)] {
        let mut bytes = bytes_of(&*disk);
        bytes[second] = lie;
        sign(&mut bytes, header, Some(footer.clone()));
        assert_eq!(read_hostile(&bytes, &state), sound, "{lie}");
    }
}

#[test]
fn lies_in_the_footer_end_in_errors() {
    for state in [sparse(), small(), State::new()] {
        let disk = disk();
        let snapshot = publish(&disk, &state);
        let header = *snapshot.header();
        let bytes = bytes_of(&*disk);
        let footer = header.footer_at() as usize;
        let mut at = footer + 4;
        // The names of tables stand in the footer alone: others that ascend are as good.
        let mut names = Vec::new();
        for table in snapshot.tables() {
            names.extend(at + 1..at + 1 + table.name.len());
            at += 1 + table.name.len() + 40;
        }
        for at in footer..footer + header.footer_len as usize {
            let was = bytes[at];
            for lie in [0, 1, b'x', 0x7f, 0xff, was.wrapping_add(1), was.wrapping_sub(1)] {
                let mut bytes = bytes.clone();
                bytes[at] = lie;
                sign(&mut bytes, header, None);
                let sound = read_hostile(&bytes, &state);
                assert!(!sound || lie == was || names.contains(&at), "byte {at} is {lie}");
            }
        }
    }
}

#[test]
fn lies_in_the_header_end_in_errors() {
    let disk = disk();
    let snapshot = publish(&disk, &small());
    let header = *snapshot.header();
    let bytes = bytes_of(&*disk);
    for number in [0, 1, 4096, header.data_len + 1, header.data_len - 1, 1 << 40, 1 << 62, u64::MAX]
    {
        let lies = [
            SnapshotHeader { data_len: number, ..header },
            SnapshotHeader { footer_len: number, ..header },
            SnapshotHeader { entries: number, ..header },
            SnapshotHeader { logical_bytes: number, ..header },
        ];
        for lie in lies {
            let mut bytes = bytes.clone();
            bytes[..HEADER_LEN].copy_from_slice(&lie.encode());
            assert!(!read_hostile(&bytes, &small()), "{lie:?}");
            assert!(open(&disk_with(&bytes)).unwrap_err().is_damage());
        }
    }
}
