//! Pages that the device loses after they were checked: cutting the file under the mapping does
//! the same to a reader as a bad sector does.

use super::*;
use crate::base::limits::CHUNK;
use crate::disk::Real;
use tempfile::TempDir;

fn real_disk() -> (TempDir, Arc<dyn Disk>) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Real::open(directory.path()).unwrap());
    (directory, disk)
}

fn four_values() -> State {
    let key = |n: u8| (("t".to_owned(), vec![n]), noise(3 * CHUNK, n.into()));
    (0..4).map(key).collect()
}

fn cut(disk: &Arc<dyn Disk>, len: usize) {
    disk.open(NAME, Access::Write).unwrap().set_len(len as u64).unwrap();
}

fn is_lost<T>(result: Result<T, SnapshotError>) -> bool {
    result.is_err_and(|e| e.is_damage() && matches!(e, SnapshotError::Unreadable { .. }))
}

#[test]
fn page_lost_after_verification_is_noticed_and_the_rest_is_read() {
    let (_directory, disk) = real_disk();
    let state = four_values();
    let snapshot = publish(&disk, &state);
    assert_eq!(read_all(&snapshot).unwrap(), state);
    assert!(!snapshot.faulted());
    cut(&disk, 6 * CHUNK);
    // The record that lies in the hole reads as zeros, the first time unsuspected.
    assert!(is_lost(read_all(&snapshot)));
    assert!(snapshot.faulted());
    assert!(is_lost(snapshot.verify(2)));
    assert!(is_lost(snapshot.get("t", &[3])));
    assert_eq!(snapshot.get("t", &[0]).unwrap(), Some(&*noise(3 * CHUNK, 0)));
    assert_eq!(snapshot.scan("t", b"").take_while(Result::is_ok).count(), 1);
}

#[test]
fn page_lost_after_its_value_was_handed_out_is_the_last_word_of_the_scan() {
    let (_directory, disk) = real_disk();
    let snapshot = publish(&disk, &four_values());
    let mut scan = snapshot.scan("t", &[3]);
    let (_, value) = scan.next().expect("one entry").unwrap();
    cut(&disk, 11 * CHUNK);
    assert_ne!(value, noise(3 * CHUNK, 3));
    assert!(is_lost(scan.next().expect("a last word")));
    assert!(scan.next().is_none());
}
