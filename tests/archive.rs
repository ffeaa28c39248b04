//! Archives: whole or not at all, equal for equal backups, and nothing but ours is ever unpacked.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::{batch, changes};
use common::random::Random;
use common::{fake_disk, shared, tiny};
use statedir::Store;
use statedir::base::Local;
use statedir::disk::fake::{Crashes, FakeDisk};
use statedir::disk::{Access, Disk, Site};
use statedir::export::tar::{BLOCK, header};
use statedir::export::{
    Backup, ExportError, Hold, Manifest, Reading, Repository, backup_on, read_archive,
    verify_repository, write_archive,
};
use std::sync::{Arc, OnceLock};

const NAME: &str = "state.tar";

/// A repository with one backup of a snapshot and a part.
fn repository() -> (FakeDisk, Manifest) {
    let source = fake_disk(4096);
    Store::create_on(&source).unwrap();
    let options = tiny(&source).without_history();
    let store = Store::open_on(shared(&source), options, Arc::new(Local)).unwrap();
    for number in 1..=20 {
        store.save(batch(&changes(number, 700))).unwrap();
        if number == 12 {
            store.maintain().unwrap();
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
    let disk = fake_disk(4096);
    let repository = Repository::create(shared(&disk)).unwrap();
    let wanted = Backup { now: source.clock(), ..Backup::default() };
    let done = backup_on(&shared(&source), &repository, &wanted, &mut |_| {}).unwrap();
    assert!(done.manifest.base.is_some() && done.manifest.parts.len() == 1);
    (disk, done.manifest)
}

fn write(
    from: &FakeDisk,
    manifest: &Manifest,
    to: &FakeDisk,
    zst: bool,
) -> Result<(), ExportError> {
    let repository = Repository::open(shared(from), Hold::Read)?;
    write_archive(&repository, manifest, to, NAME, zst, &mut |_| {}).map(|_| ())
}

/// The same archive for every test.
fn archive(zst: bool) -> (Vec<u8>, Manifest) {
    static MADE: OnceLock<(FakeDisk, Manifest)> = OnceLock::new();
    let (disk, manifest) = MADE.get_or_init(repository);
    let to = fake_disk(4096);
    write(disk, manifest, &to, zst).unwrap();
    (to.image().read(NAME), manifest.clone())
}

/// The files that come out of an archive.
fn unpacked(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let target = fake_disk(4096);
    read_archive(bytes, Some(&shared(&target)), &mut |_| {}).unwrap();
    let image = target.image();
    image.names().into_iter().map(|name| (name.clone(), image.read(&name))).collect()
}

fn read(bytes: &[u8]) -> Result<Manifest, ExportError> {
    read_archive(bytes, None, &mut |_| {})
}

#[test]
fn an_archive_unpacks_to_the_repository_that_it_was_made_of() {
    let (disk, manifest) = repository();
    for zst in [false, true] {
        let to = fake_disk(4096);
        write(&disk, &manifest, &to, zst).unwrap();
        let unpacked = fake_disk(4096);
        let file = to.open(NAME, Access::Read).unwrap();
        let into = shared(&unpacked);
        let found = read_archive(Reading { file, at: 0 }, Some(&into), &mut |_| {}).unwrap();
        assert_eq!(found, manifest);
        let repository = Repository::open(into, Hold::Read).unwrap();
        let checked = verify_repository(&repository, &mut |_| {}).unwrap();
        assert_eq!((checked.backups, checked.sound), (1, 1));
        let bytes = |disk: &FakeDisk| {
            let image = disk.image();
            image.names().into_iter().map(|n| (image.read(&n), n)).collect::<Vec<_>>()
        };
        assert!(bytes(&unpacked) == bytes(&disk));
    }
}

#[test]
fn equal_backups_are_equal_archives() {
    let (disk, manifest) = repository();
    let [one, two] = [fake_disk(4096), fake_disk(512)].map(|to| {
        write(&disk, &manifest, &to, false).unwrap();
        to.image().read(NAME)
    });
    assert!(one == two);
}

fn power_cuts(muted: Option<Site>) -> Result<usize, String> {
    let (disk, manifest) = repository();
    let (_, old) = repository();
    let to = fake_disk(512);
    to.sync_parent(Site::DirectoryName).unwrap();
    let failed = |error: ExportError| error.to_string();
    // One that is to be replaced.
    let first = write(&disk, &manifest, &to, false).map_err(failed);
    first?;
    let before = to.image().read(NAME);
    to.mark(1);
    muted.into_iter().for_each(|site| to.mute(site));
    write(&disk, &manifest, &to, true).map_err(failed)?;
    let after = to.image().read(NAME);
    to.mark(2);
    assert_ne!(old.id, manifest.id);
    let crashes = Crashes::new(100, 3);
    for crash in crashes.over(&to) {
        let there = crash.image.contains(NAME).then(|| crash.image.read(NAME));
        let fine = match crash.acknowledged {
            None => there.is_none_or(|bytes| bytes == before),
            Some(1) => there.is_some_and(|bytes| bytes == before || bytes == after),
            _ => there.is_some_and(|bytes| bytes == after),
        };
        if !fine {
            return Err(format!("at {} with {:?}", crash.point, crash.survivors));
        }
    }
    Ok(crashes.unique())
}

#[test]
fn a_power_cut_leaves_the_old_archive_or_the_new_one() {
    let states = power_cuts(None).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(states > 30, "only {states} states");
    for site in [Site::ArchiveBody, Site::ArchiveName] {
        assert!(power_cuts(Some(site)).is_err(), "nothing breaks without {site:?}");
    }
}

#[test]
fn every_damage_to_an_archive_is_found() {
    for zst in [false, true] {
        let (bytes, _) = archive(zst);
        let whole = unpacked(&bytes);
        let mut random = Random::new(5);
        let mut meaningless = 0;
        for seed in 0..2000 {
            let mut damaged = bytes.clone();
            let what = random.below(3);
            match what {
                0 => {
                    let bit = random.index(bytes.len() * 8);
                    damaged[bit / 8] ^= 1 << (bit % 8);
                }
                1 => damaged.truncate(random.index(bytes.len())),
                _ => {
                    let at = random.index(bytes.len());
                    let end = (at + 1 + random.index(700)).min(bytes.len());
                    damaged[at..end].iter_mut().for_each(|byte| *byte = !*byte);
                }
            }
            if read(&damaged).is_ok() {
                // Some bits of a compressed stream mean nothing: the same comes out without them.
                assert!(zst && unpacked(&damaged) == whole, "zst {zst}, damage {seed}");
                meaningless += 1;
            }
        }
        assert!(meaningless < 20, "{meaningless} of 2000");
    }
}

/// The archive with something else in the place of entry `number`, or behind it.
fn with_entry(number: usize, entry: &[u8; BLOCK], contents: &[u8], instead: bool) -> Vec<u8> {
    let (bytes, manifest) = archive(false);
    let mut sizes = vec![22, manifest.encode().len() as u64];
    sizes.extend(manifest.files().map(|(_, bytes, _)| bytes));
    let room = |size: &u64| BLOCK + size.next_multiple_of(BLOCK as u64) as usize;
    let start: usize = sizes[..number].iter().map(room).sum();
    let end = if instead { start + room(&sizes[number]) } else { start };
    let mut contents = contents.to_vec();
    contents.resize(contents.len().next_multiple_of(BLOCK), 0);
    [&bytes[..start], entry, &contents, &bytes[end..]].concat()
}

/// A header with some bytes changed, and its checksum right again.
fn forged(name: &str, size: u64, change: impl Fn(&mut [u8; BLOCK])) -> [u8; BLOCK] {
    let mut block = header(name, size);
    change(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn hostile_entries_are_refused_by_name_and_nothing_is_written() {
    let kind = |kind: u8| move |block: &mut [u8; BLOCK]| block[156] = kind;
    let link = |kind: u8| {
        move |block: &mut [u8; BLOCK]| {
            block[156] = kind;
            block[157..168].copy_from_slice(b"/etc/passwd");
        }
    };
    type Change = Box<dyn Fn(&mut [u8; BLOCK])>;
    let cases: Vec<(&str, Change, &str)> = vec![
        ("/etc/cron.d/evil", Box::new(|_| {}), "leads out"),
        ("../evil", Box::new(|_| {}), "leads out"),
        ("a/../../evil", Box::new(|_| {}), "leads out"),
        ("..", Box::new(|_| {}), "no file's name"),
        ("evil", Box::new(link(b'1')), "a hard link"),
        ("evil", Box::new(link(b'2')), "a symbolic link"),
        ("evil", Box::new(kind(b'3')), "a device"),
        ("evil", Box::new(kind(b'4')), "a device"),
        ("evil", Box::new(kind(b'5')), "a directory"),
        ("evil", Box::new(kind(b'6')), "a FIFO"),
        ("evil", Box::new(kind(b'x')), "an extension header"),
        ("evil", Box::new(kind(b'L')), "an extension header"),
        ("evil", Box::new(|block| block[100..108].copy_from_slice(b"0004755\0")), "setuid"),
        ("evil", Box::new(|block| block[345..349].copy_from_slice(b"/etc")), "leads out"),
        ("evil", Box::new(|_| {}), "stands where"),
        ("REPOSITORY", Box::new(|_| {}), "stands where"),
    ];
    for (name, change, expected) in cases {
        let entry = forged(name, 4, change);
        for number in [2, 3] {
            let bytes = with_entry(number, &entry, b"evil", false);
            let target = fake_disk(4096);
            let error = read_archive(bytes.as_slice(), Some(&shared(&target)), &mut |_| {});
            let error = error.unwrap_err();
            assert!(matches!(error, ExportError::Hostile { .. }), "{name}: {error}");
            assert!(error.to_string().contains(expected), "{name}: {error}");
            assert!(target.image().names().iter().all(|name| !name.contains("evil")));
            let repository = Repository::open(shared(&target), Hold::Read).unwrap();
            assert!(repository.list().unwrap().is_empty(), "nothing of it is offered");
        }
    }
}

#[test]
fn a_file_that_comes_twice_or_is_not_in_the_manifest_is_refused() {
    let (_, manifest) = archive(false);
    let base = manifest.base.as_ref().unwrap();
    let entry = header(&base.file, 4);
    let error = read(&with_entry(3, &entry, b"evil", false)).unwrap_err();
    assert!(matches!(error, ExportError::Hostile { .. }), "{error}");
    let (bytes, _) = archive(false);
    let more = [&bytes[..bytes.len() - 1024], &header("more", 0), &[0; 1024]].concat();
    assert!(read(&more).unwrap_err().to_string().contains("not in the manifest"));
    let behind = [bytes.as_slice(), b"more"].concat();
    assert!(read(&behind).unwrap_err().to_string().contains("behind its end"));
}

#[test]
fn what_is_longer_than_the_manifest_says_is_refused_before_it_is_written() {
    let (_, manifest) = archive(false);
    let part = &manifest.parts[0];
    for size in [part.bytes + 1, 1 << 40, u64::MAX] {
        let entry = header(&part.file, size);
        let target = fake_disk(4096);
        let bytes = with_entry(3, &entry, b"", true);
        let error = read_archive(bytes.as_slice(), Some(&shared(&target)), &mut |_| {});
        let error = error.unwrap_err().to_string();
        assert!(error.contains("by the manifest"), "{size}: {error}");
        assert!(!target.image().contains(&part.file));
    }
}

#[test]
fn bombs_take_neither_memory_nor_room() {
    // A terabyte of zeros behind the end, a manifest of a terabyte, a manifest that lies about the
    // room that is needed.
    let (bytes, manifest) = archive(false);
    let zeros = std::io::Read::take(std::io::repeat(0), 1 << 40);
    let endless = std::io::Read::chain(bytes.as_slice(), zeros);
    let error = read_archive(endless, None, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("behind its end"), "{error}");

    let huge = with_entry(1, &header(&format!("{}.backup", manifest.id), 1 << 40), b"", true);
    assert!(read(&huge).unwrap_err().to_string().contains("longer than any"));

    let mut liar = manifest.clone();
    liar.base.as_mut().unwrap().bytes = 1 << 50;
    let text = liar.encode();
    let entry = header(&format!("{}.backup", manifest.id), text.len() as u64);
    let target = fake_disk(4096);
    let bytes = with_entry(1, &entry, &text, true);
    let error = read_archive(bytes.as_slice(), Some(&shared(&target)), &mut |_| {}).unwrap_err();
    let ExportError::Io { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(target.image().is_empty());
}

#[test]
fn a_million_tiny_files_end_at_the_first() {
    let (bytes, _) = archive(false);
    let tiny: Vec<u8> =
        (0..1_000_000).flat_map(|number| header(&format!("f{number}"), 0)).collect();
    let start = bytes.len() - 1024;
    let error = read(&[&bytes[..start], &tiny, &[0; 1024]].concat()).unwrap_err();
    assert!(error.to_string().contains("f0"), "{error}");
    assert!(matches!(read(&tiny).unwrap_err(), ExportError::Hostile { .. }));
}

#[test]
fn anything_else_is_no_archive() {
    for bytes in [&b""[..], b"hello", &[0; 1024], &[0x28, 0xb5, 0x2f, 0xfd, 0, 0]] {
        read(bytes).unwrap_err();
    }
}
