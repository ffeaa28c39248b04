//! Keys and values: random, incompressible, and the same for every system.
//!
//! Invariant: key `n` is always the same 16 bytes, and different numbers give different keys.
//! Values are windows into one pool of random bytes, so making one costs nothing while timing.

#![allow(dead_code, reason = "each target that takes this in uses another part of it")]

/// Bytes of a key.
pub const KEY: usize = 16;
/// Bytes of a value.
pub const VALUE: usize = 1024;
/// Bytes of a pair: what all sizes are measured in.
pub const PAIR: u64 = (KEY + VALUE) as u64;

/// Bytes of the pool; windows start anywhere in it.
const POOL: usize = 8 << 20;

/// The pool that values are cut from.
pub struct Values(Vec<u8>);

impl Values {
    pub fn new() -> Values {
        let mut random = Random::new(0x5eed);
        Values((0..POOL / 8).flat_map(|_| random.next().to_le_bytes()).collect())
    }

    /// The value that `salt` picks.
    pub fn value(&self, salt: u64) -> &[u8] {
        let start = (salt % (POOL - VALUE) as u64) as usize;
        &self.0[start..start + VALUE]
    }
}

/// The key with number `n`, spread over the whole key space.
pub fn key(n: u64) -> [u8; KEY] {
    let mut bytes = [0; KEY];
    bytes[..8].copy_from_slice(&mix(n).to_be_bytes());
    bytes[8..].copy_from_slice(&mix(!n).to_be_bytes());
    bytes
}

/// The `i`th of `count` numbers below `count` in an order that visits each once per pass.
pub fn shuffled(i: u64, count: u64, pass: u64) -> u64 {
    // Any step coprime to `count` visits every number; a prime above it always is.
    const STEPS: [u64; 3] = [2_147_483_647, 4_294_967_291, 2_147_483_629];
    let step = STEPS[(pass % 3) as usize];
    (i * step + pass * 7919) % count
}

/// A xorshift generator: fast, and good enough to pick keys.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(mix(seed) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The finalizer of splitmix64, a bijection.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
