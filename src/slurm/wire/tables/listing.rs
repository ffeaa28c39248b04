//! A reply that lists records: `u32` how many, what is said about all of them, the records.

use crate::slurm::wire::Column;
use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Record;
use crate::slurm::wire::Version;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;

/// Records of one kind, and `head`, which is said about all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing<H, T> {
    /// When they changed last.
    pub head: H,
    /// The records.
    pub records: Vec<T>,
}

impl<H: Field, T: Field> Record for Listing<H, T> {
    const NAME: &'static str = "Listing";
    const COLUMNS: &'static [Column] =
        &[column("count", "u32"), column("head", H::KIND), column("records", T::KIND)];
}

const fn column(name: &'static str, kind: &'static str) -> Column {
    Column { name, kind, of: "", since: Version(0), until: Version(u16::MAX) }
}

impl<H: Field, T: Field> Field for Listing<H, T> {
    const KIND: &'static str = "listing";
    const OF: &'static str = T::KIND;
    const LEAST: usize = 4 + H::LEAST;

    fn pack(&self, out: &mut Writer) {
        out.put_count(self.records.len());
        self.head.pack(out);
        self.records.iter().for_each(|record| record.pack(out));
    }

    fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = input.count(T::LEAST)?;
        let head = H::unpack(input)?;
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(T::unpack(input)?);
        }
        Ok(Listing { head, records })
    }

    fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
        let head = H::sample(choose);
        Listing { head, records: (0..choose() % 3).map(|_| T::sample(choose)).collect() }
    }
}
