//! The real file system does what the contract of the disk says.

use super::*;
use crate::disk::AlignedBuf;
use rustix::process::umask;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::Ordering;

fn directory() -> (tempfile::TempDir, Real) {
    let parent = tempfile::tempdir().unwrap();
    let real = Real::create(parent.path().join("state")).unwrap();
    (parent, real)
}

fn blocks(byte: u8, count: usize) -> AlignedBuf {
    AlignedBuf::from(vec![byte; count * 4096].as_slice())
}

fn check_reads_back(real: &Real) {
    let file = real.open("f", Access::Create).unwrap();
    file.write_at(b"hello", 3).unwrap();
    file.write_durable(&blocks(1, 2), 4096, Site::Group).unwrap();
    file.write_around(&blocks(2, 1), 12288).unwrap();
    file.sync(Site::SegmentBody).unwrap();
    let mut bytes = vec![9; 20_000];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 16384);
    assert_eq!(&bytes[..9], b"\0\0\0hello\0");
    assert!(bytes[4096..12288].iter().all(|byte| *byte == 1));
    assert!(bytes[12288..16384].iter().all(|byte| *byte == 2));
    let mut around = blocks(9, 5);
    file.write_at(b"hello", 8192).unwrap();
    if file.read_around(&mut around, 4096).unwrap() {
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(around[..12288], bytes[4096..16384]);
        assert!(around[12288..].iter().all(|byte| *byte == 0), "behind the end");
    }
    file.write_durable(&blocks(1, 1), 8192, Site::Group).unwrap();
    file.read_at(&mut bytes, 0).unwrap();
    let mapping = file.map(16384).unwrap();
    assert_eq!(&*mapping, &bytes[..16384]);
    let eof = file.map(16385).unwrap_err();
    assert_eq!(eof.kind(), io::ErrorKind::UnexpectedEof);
    assert!(file.map(0).unwrap().is_empty());
    real.sync_names(Site::SegmentName).unwrap();
    real.sync_parent(Site::DirectoryName).unwrap();
}

#[test]
fn bytes_written_in_any_way_read_back() {
    let (_parent, real) = directory();
    check_reads_back(&real);
}

#[test]
fn bytes_read_back_where_there_are_no_direct_writes() {
    let (_parent, real) = directory();
    real.direct.store(false, Ordering::Relaxed);
    check_reads_back(&real);
}

#[test]
fn bytes_read_back_in_memory() {
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() {
        eprintln!("skipped: no tmpfs at {}", shm.display());
        return;
    }
    let parent = tempfile::tempdir_in(shm).unwrap();
    check_reads_back(&Real::create(parent.path().join("state")).unwrap());
}

#[test]
fn durable_write_follows_a_renamed_file() {
    let (_parent, real) = directory();
    let file = real.open("a", Access::Create).unwrap();
    real.rename("a", "b").unwrap();
    let other = real.open("a", Access::Create).unwrap();
    file.write_durable(&blocks(1, 1), 0, Site::Group).unwrap();
    assert_eq!((file.len().unwrap(), other.len().unwrap()), (4096, 0));
}

/// Not a test of its own: the umask is the whole process's, so a child tries it.
#[test]
fn umask_child() {
    let Ok(parent) = std::env::var("STATEDIR_UMASK_CHILD") else { return };
    umask(Mode::from_raw_mode(0o777));
    let real = Real::create(Path::new(&parent).join("state")).unwrap();
    real.open("f", Access::Create).unwrap();
    umask(Mode::empty());
    real.open("g", Access::Create).unwrap();
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::real::tests::umask_child"])
        .env("STATEDIR_UMASK_CHILD", parent.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let state = parent.path().join("state");
    assert_eq!(Real::open(&state).unwrap().mode().unwrap(), 0o700);
    for name in ["f", "g"] {
        let mode = std::fs::metadata(state.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
}

#[test]
fn create_takes_an_empty_directory_and_no_other() {
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("state");
    std::fs::create_dir_all(state.join("lost+found")).unwrap();
    Real::create(&state).unwrap().open("f", Access::Create).unwrap();
    let error = Real::create(&state).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::DirectoryNotEmpty);
    let missing = Real::create(parent.path().join("no/state")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let missing = Real::open(parent.path().join("no")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let file = Real::open(state.join("f")).unwrap_err();
    assert_eq!(file.kind(), io::ErrorKind::NotADirectory);
}

#[test]
fn links_and_special_files_are_refused() {
    let (_parent, real) = directory();
    std::os::unix::fs::symlink("/etc/passwd", real.path().join("link")).unwrap();
    std::fs::create_dir(real.path().join("dir")).unwrap();
    let fifo = real.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, FILE_MODE, 0).unwrap();
    for name in ["link", "dir", "fifo"] {
        for access in [Access::Read, Access::Write] {
            assert!(real.open(name, access).is_err(), "{name} {access:?}");
        }
    }
    assert!(real.list().unwrap().iter().all(|entry| !entry.regular));
}

#[test]
fn listing_tells_length_room_and_time() {
    let (_parent, real) = directory();
    let file = real.open("f", Access::Create).unwrap();
    file.allocate(0, 1 << 20).unwrap();
    std::fs::write(real.path().join("g"), "abc").unwrap();
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    std::fs::write(real.path().join(name), "").unwrap();
    let mut entries = real.list().unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(entries.len(), 2, "names that are not UTF-8 are left out");
    assert_eq!((entries[0].len, entries[1].len), (1 << 20, 3));
    assert!(entries[0].allocated >= 1 << 20 && entries[0].regular);
    assert_eq!(entries[0].modified, file.modified().unwrap());
    assert!(entries[0].modified.0.abs_diff(Nanos::now().0) < 60_000_000_000);
}

#[test]
fn punched_room_reads_as_zeros_and_is_skipped() {
    let (_parent, real) = directory();
    let file = real.open("f", Access::Create).unwrap();
    file.write_durable(&blocks(1, 64), 0, Site::Group).unwrap();
    file.punch(0, 32 * 4096).unwrap();
    assert_eq!(file.len().unwrap(), 64 * 4096);
    assert_eq!(file.next_data(0).unwrap(), Some(32 * 4096));
    file.set_len(128 * 4096).unwrap();
    assert_eq!(file.next_data(64 * 4096).unwrap(), None);
    assert_eq!(file.next_data(1 << 30).unwrap(), None);
    let mut byte = [9];
    file.read_at(&mut byte, 77).unwrap();
    assert_eq!(byte, [0]);
}

#[test]
fn locks_exclude_other_handles_until_they_close() {
    let (_parent, disk) = directory();
    let first = disk.open("f", Access::Create).unwrap();
    let second = disk.open("f", Access::Write).unwrap();
    let reader = disk.open("f", Access::Read).unwrap();
    let would_block = io::ErrorKind::WouldBlock;
    first.try_lock(true).unwrap();
    first.try_lock(true).unwrap();
    assert!(!first.is_locked().unwrap() && reader.is_locked().unwrap());
    assert_eq!(second.try_lock(true).unwrap_err().kind(), would_block);
    assert_eq!(reader.try_lock(false).unwrap_err().kind(), would_block);
    first.unlock().unwrap();
    reader.try_lock(false).unwrap();
    first.try_lock(false).unwrap();
    assert_eq!(first.try_lock(true).unwrap_err().kind(), would_block);
    assert!(reader.is_locked().unwrap(), "a lock that cannot be raised stays");
    drop(reader);
    first.try_lock(true).unwrap();
    drop(first);
    assert!(!second.is_locked().unwrap());
    let reader = disk.open("f", Access::Read).unwrap();
    let error = reader.try_lock(true).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF), "who may not write cannot exclude");
}

#[test]
fn copy_has_another_handle_and_a_renamed_file_the_same() {
    let (_parent, real) = directory();
    std::fs::write(real.path().join("a"), "x").unwrap();
    std::fs::copy(real.path().join("a"), real.path().join("b")).unwrap();
    let handle = real.handle("a").unwrap();
    if handle.is_some() {
        assert_ne!(handle, real.handle("b").unwrap());
    }
    real.rename("a", "c").unwrap();
    assert_eq!(handle, real.handle("c").unwrap());
    assert_eq!(real.handle("a").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn missing_and_existing_names_are_told_apart() {
    let (_parent, real) = directory();
    let missing = io::ErrorKind::NotFound;
    assert_eq!(real.open("f", Access::Read).unwrap_err().kind(), missing);
    assert_eq!(real.open("f", Access::Write).unwrap_err().kind(), missing);
    assert_eq!(real.remove("f").unwrap_err().kind(), missing);
    assert_eq!(real.rename("f", "g").unwrap_err().kind(), missing);
    real.open("f", Access::Create).unwrap();
    let exists = real.open("f", Access::Create).unwrap_err();
    assert_eq!(exists.kind(), io::ErrorKind::AlreadyExists);
    let space = real.space().unwrap();
    assert!(space.free <= space.total && space.total > 0);
}
