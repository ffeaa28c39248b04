//! Damage is noticed, and named.

use super::*;
use crate::base::limits::CHUNK;
use crate::format::snapshot::DATA_AT;

#[test]
fn every_flipped_bit_is_noticed_or_changes_nothing() {
    let disk = disk();
    let snapshot = publish(&disk, &small());
    let whole = usize::try_from(snapshot.header().file_len()).unwrap();
    let file = disk.open(NAME, Access::Write).unwrap();
    let bytes = bytes_of(&*disk);
    for bit in 0..bytes.len() * 8 {
        let at = bit / 8;
        file.write_at(&[bytes[at] ^ (1 << (bit % 8))], at as u64).unwrap();
        match open_and_verify(&disk) {
            Err(e) => assert!(e.is_damage(), "bit {bit}: {e}"),
            Ok(snapshot) => {
                assert_eq!(read_all(&snapshot).unwrap(), small(), "bit {bit}");
                assert_eq!(*snapshot.header(), *self::open(&disk).unwrap().header());
                // Only the byte behind the end, which is nobody's, may be anything.
                assert_eq!(snapshot.verify_deep().is_ok(), at >= whole, "bit {bit}");
            }
        }
        file.write_at(&bytes[at..=at], at as u64).unwrap();
    }
    open_and_verify(&disk).unwrap().verify_deep().unwrap();
}

#[test]
fn every_truncation_is_noticed() {
    let disk = disk();
    let state = state([("t", b"k", noise(2 * CHUNK, 1)), ("u", b"k", noise(100, 2))]);
    let len = publish(&disk, &state).header().file_len();
    let bytes = bytes_of(&*disk);
    for cut in (0..len).step_by(512).chain([1, 100, len - 1]) {
        let disk = disk_with(&bytes[..usize::try_from(cut).unwrap()]);
        match open(&disk).unwrap_err() {
            SnapshotError::NotFinished { .. } => assert_eq!(cut, 0),
            SnapshotError::Truncated { len, expected, .. } => {
                assert_eq!((len, expected), (cut, bytes.len() as u64 - 1));
            }
            SnapshotError::Format { offset: 0, .. } => assert!(cut < 512),
            other => panic!("cut at {cut}: {other}"),
        }
    }
    let whole = disk_with(&bytes[..usize::try_from(len).unwrap()]);
    assert_eq!(read_all(&open_and_verify(&whole).unwrap()).unwrap(), state);
}

/// Twenty values that fill more than a chunk each.
fn large() -> State {
    let key = |n: u8| (("t".to_owned(), vec![n]), noise(CHUNK + 5_000, n.into()));
    (0..20).map(key).collect()
}

#[test]
fn damaged_chunk_is_named_and_the_others_are_read() {
    let disk = disk();
    publish(&disk, &large());
    let damaged = DATA_AT + 11 * CHUNK as u64;
    for at in [damaged, damaged + 12_345, damaged + CHUNK as u64 - 1] {
        let file = disk.open(NAME, Access::Write).unwrap();
        let byte = bytes_of(&*disk)[usize::try_from(at).unwrap()];
        file.write_at(&[!byte], at).unwrap();
        let snapshot = open(&disk).unwrap();
        for threads in [0, 1, 2, 7] {
            let error = snapshot.verify(threads).unwrap_err();
            assert!(error.is_damage());
            assert!(matches!(error, SnapshotError::Chunk { offset, .. } if offset == damaged));
        }
        let mut lost = 0;
        for ((table, key), value) in &large() {
            match snapshot.get(table, key) {
                Ok(found) => assert_eq!(found, Some(&**value)),
                Err(e) => {
                    assert_eq!(e.offset(), Some(damaged));
                    lost += 1;
                }
            }
        }
        assert!((1..=2).contains(&lost), "{lost} entries lie in the chunk");
        let mut scan = snapshot.scan("t", b"");
        let read = scan.by_ref().take_while(Result::is_ok).count();
        assert_eq!(read, 10);
        assert!(scan.next().is_none(), "a scan ends after its first error");
        file.write_at(&[byte], at).unwrap();
    }
}

fn flip(disk: &Arc<dyn Disk>, chunk: u64) {
    let at = DATA_AT + chunk * CHUNK as u64;
    let file = disk.open(NAME, Access::Write).unwrap();
    let mut byte = [0];
    read_exact_at(&*file, &mut byte, at).unwrap();
    file.write_at(&[!byte[0]], at).unwrap();
}

#[test]
fn every_chunk_is_verified() {
    let disk = disk();
    let chunks = publish(&disk, &large()).footer().chunks.len() as u64;
    assert!(chunks > 20);
    for chunk in 0..chunks {
        flip(&disk, chunk);
        let error = open(&disk).unwrap().verify(2).unwrap_err();
        assert_eq!(error.offset(), Some(DATA_AT + chunk * CHUNK as u64));
        flip(&disk, chunk);
    }
    open_and_verify(&disk).unwrap();
}

#[test]
fn first_of_several_damages_is_reported() {
    let disk = disk();
    publish(&disk, &large());
    // The last chunk of one thread's share and the first of another's, found sooner.
    [15, 16, 18].into_iter().for_each(|chunk| flip(&disk, chunk));
    let snapshot = open(&disk).unwrap();
    for _ in 0..200 {
        let error = snapshot.verify(2).unwrap_err();
        assert_eq!(error.offset(), Some(DATA_AT + 15 * CHUNK as u64));
    }
}

#[test]
fn damage_in_a_key_is_not_taken_for_absence() {
    let disk = disk();
    // The second record's key begins in the first chunk and ends in the second.
    let state = state([("t", b"a", noise(CHUNK - 40, 1)), ("t", &[b'k'; 99], noise(9, 2))]);
    publish(&disk, &state);
    assert!(open(&disk).unwrap().get("t", &[b'k'; 99]).unwrap().is_some());
    flip(&disk, 1);
    let error = open(&disk).unwrap().get("t", &[b'k'; 99]).unwrap_err();
    assert_eq!(error.offset(), Some(DATA_AT + CHUNK as u64));
}

#[test]
fn snapshot_under_another_name_is_refused() {
    let disk = disk();
    publish(&disk, &small());
    for name in
        ["snap-0000000003-00000000000000000010", "snap-0000000004-00000000000000000009", "x"]
    {
        disk.open(name, Access::Create).unwrap().write_at(&bytes_of(&*disk), 0).unwrap();
        let error = Snapshot::open(&*disk, name).unwrap_err();
        assert!(matches!(error, SnapshotError::Name { lsn: Lsn(9), .. }) && error.is_damage());
    }
    let absent = Snapshot::open(&*disk, "snap-0000000005-00000000000000000009").unwrap_err();
    assert!(matches!(absent, SnapshotError::Io { .. }) && !absent.is_damage());
}
