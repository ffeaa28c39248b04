//! Opening a system and visiting every pair it holds, page cache warm; rates are of pairs.
//!
//! Invariant: every value is read to its last byte, and every key must be there exactly once.

use std::time::Instant;

use super::interleave;
use crate::data::Values;
use crate::flags::Flags;
use crate::report::Row;
use crate::scratch::Scratch;
use crate::system::{Entry, Expect, Fault, KEY, System, VALUE};

/// Puts in each of the saves that fill a system.
const PUTS: u64 = 1000;

/// Fills each system once and then opens and loads it in each round.
pub fn run(flags: &Flags, values: &Values) -> Result<Vec<Row>, Fault> {
    let keys = flags.load_keys;
    // Room for every pair with its framing, so that the bare log does not wrap.
    let expect = Expect { log_bytes: keys * (KEY + VALUE + 64) as u64 + (256 << 20) };
    let mut filled = Vec::new();
    for entry in &flags.systems {
        let scratch = Scratch::new(&flags.dir, entry.name)?;
        let system = (entry.open)(scratch.path(), expect)?;
        fill(system.as_ref(), values, keys).map_err(|e| format!("{}: {e}", entry.name))?;
        filled.push((entry.name, scratch));
    }
    interleave(flags, flags.rounds, |entry| {
        let (_, scratch) = filled
            .iter()
            .find(|(name, _)| *name == entry.name)
            .expect("every system was filled above");
        let rate = load(entry, scratch, expect, keys)?;
        Ok((rate, vec![("seconds", Some(keys as f64 / rate))]))
    })
}

fn fill(system: &dyn System, values: &Values, keys: u64) -> Result<(), Fault> {
    let mut batch = Vec::new();
    for first in (0..keys).step_by(PUTS as usize) {
        batch.clear();
        batch.extend((first..keys.min(first + PUTS)).map(|n| values.put(n, n * 31)));
        system.save(&batch)?;
    }
    Ok(())
}

fn load(entry: &Entry, scratch: &Scratch, expect: Expect, keys: u64) -> Result<f64, Fault> {
    let from = Instant::now();
    let system = (entry.open)(scratch.path(), expect)?;
    let (mut pairs, mut bytes, mut sum) = (0_u64, 0_usize, 0_u64);
    system.load(&mut |key, value| {
        pairs += 1;
        bytes += key.len() + value.len();
        let words = value.chunks_exact(8).filter_map(|word| word.first_chunk());
        sum = words.fold(sum, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    })?;
    let elapsed = from.elapsed();
    std::hint::black_box(sum);
    if pairs != keys || bytes as u64 != keys * (KEY + VALUE) as u64 {
        return Err(format!("loaded {pairs} pairs, {bytes} bytes, of {keys} pairs").into());
    }
    Ok(keys as f64 / elapsed.as_secs_f64())
}
