//! The cores of one node: which of them are meant.
//!
//! Invariant: bits above the number of cores are 0.

use crate::slurm::wire::Bits;

const WORD: u32 = u64::BITS;

/// A set of cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cores(Box<[u64]>);

impl Cores {
    /// None of `len`.
    #[must_use]
    pub fn none(len: u32) -> Cores {
        Cores(vec![0; len.div_ceil(WORD) as usize].into())
    }

    /// All of `len`.
    #[must_use]
    pub fn all(len: u32) -> Cores {
        let mut cores = Cores::none(len);
        (0..len).for_each(|core| cores.put(core));
        cores
    }

    /// Those that a bitmap has, of `len`.
    #[must_use]
    pub fn of(bits: &Bits, len: u32) -> Cores {
        let mut cores = Cores::none(len);
        bits.iter().filter(|core| *core < len).for_each(|core| cores.put(core));
        cores
    }

    /// As a bitmap of `len` bits.
    #[must_use]
    pub fn bits(&self, len: u32) -> Bits {
        Bits::from_set(len, self.iter())
    }

    /// Puts one in; it is one of them.
    pub fn put(&mut self, core: u32) {
        self.0[(core / WORD) as usize] |= 1 << (core % WORD);
    }

    /// Takes one out.
    pub fn cut(&mut self, core: u32) {
        self.0[(core / WORD) as usize] &= !(1 << (core % WORD));
    }

    /// Whether one is in.
    #[must_use]
    pub fn has(&self, core: u32) -> bool {
        self.0.get((core / WORD) as usize).is_some_and(|word| word >> (core % WORD) & 1 == 1)
    }

    /// How many are in.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Takes those of another set out.
    pub fn remove(&mut self, other: &Cores) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= !other);
    }

    /// Puts those of another set in.
    pub fn add(&mut self, other: &Cores) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    /// Keeps those that are in another set, too.
    pub fn keep(&mut self, other: &Cores) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= other);
    }

    /// Whether one of them is in another set, too.
    #[must_use]
    pub fn meets(&self, other: &Cores) -> bool {
        self.0.iter().zip(&other.0).any(|(own, other)| own & other != 0)
    }

    /// Those that are in, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().zip(0_u32..).flat_map(|(word, at)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    at * WORD + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn they_are_a_set_and_come_back_from_a_bitmap(
            a in prop::collection::btree_set(0..150_u32, 0..40),
            b in prop::collection::btree_set(0..150_u32, 0..40),
        ) {
            let bits = |set: &BTreeSet<u32>| Bits::from_set(150, set.iter().copied());
            let of = |set: &BTreeSet<u32>| Cores::of(&bits(set), 150);
            let (mut left, right) = (of(&a), of(&b));
            prop_assert_eq!(left.iter().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(left.count() as usize, a.len());
            prop_assert_eq!(left.meets(&right), !a.is_disjoint(&b));
            prop_assert_eq!(&Cores::of(&left.bits(150), 150), &left);
            left.remove(&right);
            prop_assert_eq!(left.iter().collect::<BTreeSet<_>>(), &a - &b);
            left.add(&right);
            left.keep(&of(&a));
            prop_assert_eq!(left, of(&a));
        }
    }
}
