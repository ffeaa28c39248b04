//! Deltas, signatures and sums: nothing panics, nothing comes out beyond the limit, and a delta
//! made against any signature that is taken can be applied or is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::disk::fake::FakeDisk;
use statedir::disk::{Access, Disk};
use statedir::export::delta::{DeltaSum, Place, apply, make, parse_signature};

const LIMIT: u64 = 1 << 20;

fn put(disk: &FakeDisk, name: &str, bytes: &[u8]) {
    let file = disk.open(name, Access::Create).expect("a disk in memory");
    file.write_at(bytes, 0).expect("a disk in memory");
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let disk = FakeDisk::new(4096);
    let at = |name: &'static str| Place { disk: &disk, name };
    let base: Vec<u8> = (0..5000_u32).map(|i| (i * i / 7) as u8).collect();
    put(&disk, "base", &base);
    match kind % 3 {
        0 => {
            put(&disk, "delta", rest);
            if let Ok((sum, proved)) = apply(at("base"), at("delta"), at("out"), LIMIT) {
                assert!(!proved && sum.bytes <= LIMIT);
                assert_eq!(disk.image().len("out"), sum.bytes);
            }
        }
        1 => {
            if parse_signature("sig", rest).is_ok() {
                put(&disk, "sig", rest);
                put(&disk, "new", &base[..3000]);
                make(at("sig"), at("new"), at("delta")).expect("a signature that was taken");
                let _ = apply(at("base"), at("delta"), at("out"), LIMIT);
            }
        }
        _ => {
            if let Ok(sum) = DeltaSum::decode("x", rest) {
                assert_eq!(DeltaSum::decode("x", &sum.encode()).expect("its own text"), sum);
            }
        }
    }
});
