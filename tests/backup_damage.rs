//! Damage to a repository: verification finds every one, and nothing damaged is ever restored.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;

use common::model::{State, batch, changes, dump};
use common::random::Random;
use common::{fake_disk, shared, tiny};
use statedir::base::{Epoch, Local, Nanos};
use statedir::disk::fake::{FakeDisk, Image, SECTOR};
use statedir::export::{
    Backup, ExportError, Hold, Opened, Repository, backup_on, choose, restore_on, verify_repository,
};
use statedir::{Reader, Store};
use std::sync::Arc;

/// A repository with a full backup and two incremental ones; what the newest holds.
fn repository() -> (Image, State) {
    let source = fake_disk(4096);
    Store::create_on(&source).unwrap();
    let store = Store::open_on(shared(&source), tiny(&source), Arc::new(Local)).unwrap();
    let disk = fake_disk(4096);
    let mut number = 0;
    for _ in 0..3 {
        for _ in 0..20 {
            number += 1;
            store.save(batch(&changes(number, 600))).unwrap();
        }
        store.maintain().unwrap();
        if number == 20 {
            store.checkpoint().unwrap();
        }
        let repository = Repository::create(shared(&disk)).unwrap();
        source.set_clock(Nanos(source.clock().0 + 1_000_000_000));
        let wanted = Backup { incremental: true, now: source.clock(), ..Backup::default() };
        backup_on(&shared(&source), &repository, &wanted, &mut |_| {}).unwrap();
    }
    let state = dump(&store.view()).unwrap();
    (disk.image(), state)
}

/// Whether verification says that all is well.
fn sound(image: &Image) -> bool {
    let disk = shared(&FakeDisk::from_image(image));
    let Ok(repository) = Repository::open(disk, Hold::Read) else { return false };
    let Ok(checked) = verify_repository(&repository, &mut |_| {}) else { return false };
    let names = checked.troubles.iter().all(|trouble| !trouble.error.to_string().is_empty());
    assert!(names, "a trouble says what it is");
    checked.troubles.is_empty() && checked.backups == 3
}

/// What comes back as the newest state, if anything does.
fn newest(image: &Image) -> Result<State, ExportError> {
    let disk = shared(&FakeDisk::from_image(image));
    let repository = Repository::open(Arc::clone(&disk), Hold::Read)?;
    let manifest = choose(repository.list()?, None, None)?;
    let opened = Opened::open(disk.as_ref(), manifest, &mut |_| {})?;
    let target = fake_disk(4096);
    restore_on(&opened, &shared(&target), None, Epoch(0), Nanos::now(), &mut |_| {})?;
    Ok(dump(Reader::open_on(shared(&target)).unwrap().view()).unwrap())
}

/// Does one of the things that disks and people do to files; says what.
fn damage(image: &mut Image, random: &mut Random) -> String {
    let names = image.names();
    let name = names[random.index(names.len())].clone();
    let len = image.len(&name);
    let before = image.digest();
    let what = match random.below(7) {
        0 => {
            let bit = random.below(len * 8);
            image.flip_bit(&name, bit);
            format!("bit {bit} of {name}")
        }
        1 => {
            let cut = random.below(len);
            image.truncate(&name, cut);
            format!("{name} cut to {cut}")
        }
        2 => {
            let more = 1 + random.below(8192);
            image.truncate(&name, len + more);
            format!("{name} grown by {more}")
        }
        3 => {
            let at = random.below(len);
            let end = (at + 1 + random.below(4096)).min(len);
            image.zero(&name, at..end);
            format!("zeros in {name} at {at}")
        }
        4 => {
            let at = random.below(len);
            let bytes: Vec<u8> = (0..=random.below(64)).map(|_| random.next() as u8).collect();
            image.write(&name, at, &bytes);
            format!("noise in {name} at {at}")
        }
        5 => {
            let sectors = len / SECTOR as u64;
            if sectors > 1 {
                image.swap_sectors(&name, random.below(sectors), random.below(sectors));
            }
            format!("sectors of {name} swapped")
        }
        _ => {
            let other = names[random.index(names.len())].clone();
            if other != name {
                let bytes = image.read(&other);
                let modified = image.modified(&name);
                image.put(&name, &bytes, modified);
            }
            format!("{name} with the bytes of {other}")
        }
    };
    // Zeros over zeros, or two equal sectors, are no damage.
    if image.digest() == before { damage(image, random) } else { what }
}

#[test]
fn every_one_of_ten_thousand_damages_is_found_and_none_comes_back() {
    let (image, state) = repository();
    assert!(sound(&image));
    assert!(newest(&image).unwrap() == state);
    let count = std::env::var("STATEDIR_DAMAGE").ok().and_then(|n| n.parse().ok());
    for seed in 0..count.unwrap_or(10_000) {
        let mut random = Random::new(seed);
        let mut damaged = image.clone();
        let what = damage(&mut damaged, &mut random);
        assert!(!sound(&damaged), "seed {seed}: not found: {what}");
        if seed % 10 == 0
            && let Ok(back) = newest(&damaged)
        {
            assert!(back == state, "seed {seed}: another state came back after {what}");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_manifest_is_found() {
    let (image, _) = repository();
    let names = image.names();
    let name = names.iter().find(|name| name.ends_with(".backup")).unwrap();
    for bit in 0..image.len(name) * 8 {
        let mut damaged = image.clone();
        damaged.flip_bit(name, bit);
        assert!(!sound(&damaged), "bit {bit}");
    }
}

#[test]
fn a_missing_file_is_named_and_what_survives_is_said() {
    let (image, _) = repository();
    let names = image.names();
    let mut parts: Vec<&String> = names.iter().filter(|name| name.ends_with(".part")).collect();
    parts.sort();
    let mut damaged = image.clone();
    damaged.remove(parts[1]);
    let disk = shared(&FakeDisk::from_image(&damaged));
    let repository = Repository::open(disk, Hold::Read).unwrap();
    let checked = verify_repository(&repository, &mut |_| {}).unwrap();
    // The first backup does not need it, the two later ones do.
    assert_eq!((checked.backups, checked.sound, checked.troubles.len()), (3, 1, 2));
    for trouble in &checked.troubles {
        assert!(trouble.error.to_string().contains(parts[1].as_str()));
        assert_eq!(trouble.survives.unwrap().0, 20);
    }
}

#[test]
fn a_damaged_newest_manifest_is_not_passed_over_in_silence() {
    let (image, _) = repository();
    let mut damaged = image.clone();
    let names = image.names();
    let newest_manifest = names.iter().rfind(|name| name.ends_with(".backup")).unwrap();
    damaged.flip_bit(newest_manifest, 1000);
    assert!(newest(&damaged).unwrap_err().is_damage());
    // And nothing is removed of which it may be the owner.
    let disk = shared(&FakeDisk::from_image(&damaged));
    let repository = Repository::open(disk, Hold::Change).unwrap();
    assert_eq!(repository.clean().unwrap(), 0);
}
