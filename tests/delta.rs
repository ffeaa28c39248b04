//! Deltas of archives: with Debian's rdiff, with each other, and against whoever wishes us ill.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;
mod programs;

use common::fake_disk;
use common::limited;
use common::random::Random;
use statedir::disk::fake::FakeDisk;
use statedir::disk::{Access, Disk, Real};
use statedir::export::ExportError;
use statedir::export::delta::{DeltaSum, Place, apply, make, parse_signature, sign};
use std::path::Path;
use std::process::Command;

/// Two files of which one came out of the other: something new, something gone, something moved.
fn pair(seed: u64, len: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(seed);
    let base: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
    let mut new = base.clone();
    for _ in 0..random.below(6) {
        let at = random.index(new.len() + 1);
        match random.below(3) {
            0 => {
                let more: Vec<u8> = (0..random.below(5000)).map(|_| random.next() as u8).collect();
                new.splice(at..at, more);
            }
            1 => {
                let end = (at + random.index(5000)).min(new.len());
                new.drain(at..end);
            }
            _ => new.rotate_left(at),
        }
    }
    (base, new)
}

fn put(disk: &FakeDisk, name: &str, bytes: &[u8]) {
    let file = disk.open(name, Access::Create).unwrap();
    file.write_at(bytes, 0).unwrap();
}

fn at<'a>(disk: &'a FakeDisk, name: &'a str) -> Place<'a> {
    Place { disk, name }
}

#[test]
fn a_delta_makes_the_new_file_out_of_the_old_one() {
    for seed in 0..200 {
        let (base, new) = pair(seed, 1 + (seed as usize * 397) % 60_000);
        let disk = fake_disk(4096);
        put(&disk, "base", &base);
        put(&disk, "new", &new);
        sign(at(&disk, "base"), at(&disk, "sig")).unwrap();
        // Against the file, and against its signature.
        for from in ["base", "sig"] {
            let sum = make(at(&disk, from), at(&disk, "new"), at(&disk, "delta")).unwrap();
            assert_eq!(sum.base.is_some(), from == "base");
            let (made, proved) =
                apply(at(&disk, "base"), at(&disk, "delta"), at(&disk, "out"), 0).unwrap();
            assert!(proved && made == sum.result);
            assert!(disk.image().read("out") == new, "seed {seed}");
        }
    }
}

#[test]
fn a_delta_to_another_base_or_a_damaged_one_makes_nothing() {
    let (base, new) = pair(3, 50_000);
    let disk = fake_disk(4096);
    put(&disk, "base", &base);
    put(&disk, "new", &new);
    put(&disk, "other", &pair(4, 50_000).0);
    make(at(&disk, "base"), at(&disk, "new"), at(&disk, "delta")).unwrap();
    let refused = |disk: &FakeDisk, base: &str| {
        let error = apply(at(disk, base), at(disk, "delta"), at(disk, "out"), 0).unwrap_err();
        assert!(error.is_damage(), "{error}");
        assert!(!disk.image().names().iter().any(|name| name.contains("out")));
    };
    refused(&disk, "other");
    let mut random = Random::new(1);
    for name in ["delta", "delta.b3", "base"] {
        for _ in 0..300 {
            let mut image = disk.image();
            let bit = random.below(image.len(name) * 8);
            image.flip_bit(name, bit);
            refused(&FakeDisk::from_image(&image), "base");
        }
    }
}

#[test]
fn a_delta_bomb_is_an_error_that_writes_no_more_than_its_limit() {
    // 34 KB that ask for 5 GB: a copy of all of the base, again and again.
    let base = vec![7; 1 << 20];
    let mut bomb = 0x7273_0236_u32.to_be_bytes().to_vec();
    for _ in 0..5000 {
        // Copy from offset 0 (one byte) a length of four bytes.
        bomb.push(0x45 + 2);
        bomb.push(0);
        bomb.extend_from_slice(&(1_u32 << 20).to_be_bytes());
    }
    bomb.push(0);
    let disk = fake_disk(4096);
    put(&disk, "base", &base);
    put(&disk, "bomb", &bomb);
    let limit = 4 << 20;
    let error = apply(at(&disk, "base"), at(&disk, "bomb"), at(&disk, "out"), limit).unwrap_err();
    assert!(matches!(error, ExportError::Hostile { .. }), "{error}");
    assert_eq!(disk.image().names(), ["base", "bomb"]);
    // One whose sum lies is stopped by the sum, before it is stopped by the disk.
    let digest = blake3_of(&bomb);
    let result = blake3_of(b"");
    let text = format!("statedir-delta 1\nresult 4 {result}\ndelta {} {digest}\n", bomb.len());
    let own = blake3_of(text.as_bytes());
    put(&disk, "bomb.b3", format!("{text}digest {own}\n").as_bytes());
    let error =
        apply(at(&disk, "base"), at(&disk, "bomb"), at(&disk, "out"), u64::MAX).unwrap_err();
    assert!(matches!(error, ExportError::Hostile { .. }), "{error}");
}

/// By way of an archive's own code: the test needs no hash of its own.
fn blake3_of(bytes: &[u8]) -> String {
    let disk = fake_disk(4096);
    put(&disk, "new", bytes);
    put(&disk, "base", b"");
    let sum = make(at(&disk, "base"), at(&disk, "new"), at(&disk, "delta")).unwrap();
    sum.result.digest.to_string()
}

#[test]
fn signatures_that_would_panic_or_never_end_are_refused() {
    let header =
        |block: u32, strong: u32| [0x7273_0136_u32, block, strong].map(u32::to_be_bytes).concat();
    for (what, bytes) in [
        ("no block size", header(0, 16)),
        ("a huge block", header(u32::MAX, 16)),
        ("a strong sum of 17 bytes", header(2048, 17)),
        ("a strong sum of no bytes", header(2048, 0)),
        ("half a block", [header(2048, 16), vec![1, 2, 3]].concat()),
        ("half a header", header(2048, 16)[..11].to_vec()),
        ("BLAKE2", [0x7273_0137_u32, 2048, 16].map(u32::to_be_bytes).concat()),
        ("nothing", Vec::new()),
    ] {
        let error = parse_signature("sig", &bytes).err();
        assert!(matches!(error, Some(ExportError::Hostile { .. })), "{what}: {error:?}");
    }
    parse_signature("sig", &header(2048, 16)).unwrap();
}

#[test]
fn a_sum_reads_back_in_one_spelling_only() {
    let disk = fake_disk(4096);
    put(&disk, "base", b"one");
    put(&disk, "new", b"two");
    let sum = make(at(&disk, "base"), at(&disk, "new"), at(&disk, "delta")).unwrap();
    let text = sum.encode();
    assert_eq!(DeltaSum::decode("x", &text).unwrap(), sum);
    for at in 0..text.len() {
        let mut other = text.clone();
        other[at] ^= 1;
        assert!(DeltaSum::decode("x", &other).is_err(), "byte {at}");
        assert!(DeltaSum::decode("x", &text[..at]).is_err(), "cut at {at}");
    }
}

fn rdiff(program: &Path, dir: &Path, args: &[&str]) {
    let output = limited::output(Command::new(program).args(args).current_dir(dir));
    assert!(output.status.success(), "rdiff {args:?}: {output:?}");
}

#[test]
fn rdiff_applies_our_deltas_and_makes_deltas_from_our_signatures() {
    let name = "rdiff_applies_our_deltas_and_makes_deltas_from_our_signatures";
    let Some(program) = programs::find("rdiff", name) else { return };
    for seed in 0..30 {
        let (base, new) = pair(seed, 1 + (seed as usize * 7919) % 200_000);
        let home = tempfile::TempDir::new().unwrap();
        let (path, read) = (home.path(), |name: &str| std::fs::read(home.path().join(name)));
        std::fs::write(path.join("base"), &base).unwrap();
        std::fs::write(path.join("new"), &new).unwrap();
        let disk = Real::open(path).unwrap();
        let place = |name: &'static str| Place { disk: &disk, name };
        make(place("base"), place("new"), place("ours.delta")).unwrap();
        rdiff(&program, path, &["patch", "base", "ours.delta", "theirs.out"]);
        assert!(read("theirs.out").unwrap() == new, "seed {seed}");

        sign(place("base"), place("ours.sig")).unwrap();
        rdiff(&program, path, &["delta", "ours.sig", "new", "theirs.delta"]);
        let limit = new.len() as u64;
        let (_, proved) =
            apply(place("base"), place("theirs.delta"), place("ours.out"), limit).unwrap();
        assert!(!proved, "nobody has said what comes out");
        assert!(read("ours.out").unwrap() == new, "seed {seed}");

        let theirs = ["-R", "rollsum", "-H", "md4", "signature", "base", "theirs.sig"];
        rdiff(&program, path, &theirs);
        make(place("theirs.sig"), place("new"), place("mixed.delta")).unwrap();
        rdiff(&program, path, &["patch", "base", "mixed.delta", "mixed.out"]);
        assert!(read("mixed.out").unwrap() == new, "seed {seed}");
    }
}
