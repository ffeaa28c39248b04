//! Numbers: big-endian, with the value that means "not set" in each width; times; scaled doubles.

use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;

/// Numbers with Slurm's two special values at their upper end.
pub trait Unset: Copy + PartialEq {
    /// Nobody set it (`NO_VAL` of the width): 0x…fe.
    const UNSET: Self;
    /// Without bound (`INFINITE` of the width): 0x…ff.
    const INFINITE: Self;

    /// Whether nobody set it.
    fn is_unset(self) -> bool {
        self == Self::UNSET
    }

    /// The value, if somebody set it.
    fn get(self) -> Option<Self> {
        (!self.is_unset()).then_some(self)
    }
}

macro_rules! numbers {
    ($($kind:ty, $name:literal;)*) => {$(
        impl Unset for $kind {
            const UNSET: Self = <$kind>::MAX - 1;
            const INFINITE: Self = <$kind>::MAX;
        }

        impl Field for $kind {
            const KIND: &'static str = $name;
            const LEAST: usize = size_of::<$kind>();

            fn pack(&self, out: &mut Writer) {
                out.put(&self.to_be_bytes());
            }

            fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(<$kind>::from_be_bytes(input.array()?))
            }

            fn unset() -> Self {
                Self::UNSET
            }

            fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
                let number = choose();
                // The cast takes the low bits on purpose.
                match choose() % 4 {
                    0 => Self::UNSET,
                    1 => number as $kind % 16,
                    _ => number as $kind,
                }
            }
        }
    )*};
}

numbers! {
    u8, "u8";
    u16, "u16";
    u32, "u32";
    u64, "u64";
}

/// Seconds since 1970; 0 is "never" and "not known".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Field for Time {
    const KIND: &'static str = "time";
    const LEAST: usize = 8;

    fn pack(&self, out: &mut Writer) {
        out.put(&self.0.to_be_bytes());
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Time(i64::from_be_bytes(input.array()?)))
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        Time(choose() as i64)
    }
}

/// A double, as it travels: multiplied by a million. Held in that form, so that what was
/// unpacked packs to the same bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scaled {
    bits: u64,
}

impl Scaled {
    const SCALE: f64 = 1_000_000.0;

    /// From a value.
    #[must_use]
    pub fn new(value: f64) -> Self {
        Scaled { bits: (value * Self::SCALE).to_bits() }
    }

    /// The value.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from_bits(self.bits) / Self::SCALE
    }
}

impl std::fmt::Debug for Scaled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scaled({})", self.value())
    }
}

impl Field for Scaled {
    const KIND: &'static str = "f64";
    const LEAST: usize = 8;

    fn pack(&self, out: &mut Writer) {
        out.put(&self.bits.to_be_bytes());
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Scaled { bits: u64::from_be_bytes(input.array()?) })
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        Scaled { bits: choose() }
    }
}
