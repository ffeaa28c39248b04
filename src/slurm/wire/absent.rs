//! Parts that may be there or not, and parts that belong to plugins we do not have: those are read
//! as long as they are empty, and refused by name where they are not.

use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Unset;
use crate::slurm::wire::Version;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;
use crate::slurm::wire::constants::select;

/// A byte, 1 or 0, and after a 1 the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maybe<T>(pub Option<Box<T>>);

impl<T: Field> Field for Maybe<T> {
    const KIND: &'static str = "maybe";
    const OF: &'static str = T::KIND;
    const LEAST: usize = 1;

    fn pack(&self, out: &mut Writer) {
        u8::from(self.0.is_some()).pack(out);
        if let Some(value) = &self.0 {
            value.pack(out);
        }
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        match u8::unpack(input)? {
            0 => Ok(Maybe(None)),
            1 => T::unpack(input).map(|value| Maybe(Some(Box::new(value)))),
            other => Err(input.fails(Why::Undefined { value: other.into() })),
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        Maybe((choose() % 2 == 1).then(|| Box::new(T::sample(choose))))
    }
}

macro_rules! always_absent {
    ($( $(#[$about:meta])* $name:ident, $kind:literal, $number:ty, $what:literal; )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name;

        impl Field for $name {
            const KIND: &'static str = $kind;
            const LEAST: usize = size_of::<$number>();

            fn pack(&self, out: &mut Writer) {
                <$number>::default().pack(out);
            }

            fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
                match <$number>::unpack(input)? {
                    0 => Ok($name),
                    _ => Err(input.fails(Why::Unsupported($what))),
                }
            }

            fn sample(_: &mut dyn FnMut() -> u64) -> Self {
                $name
            }
        }
    )*};
}

always_absent! {
    /// GRES of a job: a `u16` number of records, 0.
    JobGres, "gresjob", u16, "generic resources of a job";
    /// GRES of a step: a `u16` number of records, 0.
    StepGres, "gresstep", u16, "generic resources of a step";
    /// GRES that a job was given: a `u16` number of records, 0.
    AllocatedGres, "gresalloc", u16, "generic resources that were given";
    /// An entry of a crontab: a byte, 0.
    CronEntry, "cron", u8, "a crontab entry";
}

/// The select plugin whose data follows. Only those that add nothing to a job, and the same to a
/// node, are read: linear, cons_res, cons_tres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectJob(pub u32);

impl Default for SelectJob {
    fn default() -> Self {
        SelectJob(select::CONS_TRES)
    }
}

impl Field for SelectJob {
    const KIND: &'static str = "seljob";
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        self.0.pack(out);
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        match u32::unpack(input)? {
            known @ (select::CONS_RES | select::LINEAR | select::CONS_TRES) => Ok(SelectJob(known)),
            _ => Err(input.fails(Why::Unsupported("another select plugin"))),
        }
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        SelectJob([select::CONS_RES, select::LINEAR, select::CONS_TRES][choose() as usize % 3])
    }
}

/// A record whose first number is 0xfffffffe, alone, where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unless<T>(pub Option<Box<T>>);

impl<T: Field> Field for Unless<T> {
    const KIND: &'static str = "unless";
    const OF: &'static str = T::KIND;
    const LEAST: usize = 4;

    fn pack(&self, out: &mut Writer) {
        match &self.0 {
            Some(value) => value.pack(out),
            None => u32::UNSET.pack(out),
        }
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        if input.rest().starts_with(&u32::UNSET.to_be_bytes()) {
            input.take(size_of::<u32>())?;
            return Ok(Unless(None));
        }
        T::unpack(input).map(|value| Unless(Some(Box::new(value))))
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        let mut probe = Writer::new(Version::NEWEST);
        let value = T::sample(choose);
        value.pack(&mut probe);
        let none = probe.into_bytes().starts_with(&u32::UNSET.to_be_bytes());
        Unless((!none).then(|| Box::new(value)))
    }
}
