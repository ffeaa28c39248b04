//! The pairs of a `NodeName` or `PartitionName` line over those of its DEFAULT lines.

use crate::slurm::conf::include::Statement;
use crate::slurm::conf::mistake::{ConfError, Place, Problem};
use crate::slurm::conf::parameters::Kind;
use crate::slurm::conf::values;
use std::collections::BTreeMap;

/// Values by their keys in lower case; the last one counts.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    values: BTreeMap<String, (String, Place)>,
}

impl Fields {
    /// These, and over them what the line says behind its first pair.
    ///
    /// # Errors
    /// [`Problem::Unknown`] for a key that is not among `known`.
    pub fn with(&self, line: &Statement, known: &[&'static str]) -> Result<Fields, ConfError> {
        let mut fields = self.clone();
        let head = &line.pairs[0].key;
        for pair in &line.pairs[1..] {
            if !known.iter().any(|key| key.eq_ignore_ascii_case(&pair.key)) {
                let of = format!("of a {head} line");
                let problem =
                    Problem::Unknown { near: near(&pair.key, known), key: pair.key.clone(), of };
                return Err(ConfError::At { place: line.place.clone(), problem });
            }
            let value = (pair.value.clone(), line.place.clone());
            fields.values.insert(pair.key.to_ascii_lowercase(), value);
        }
        Ok(fields)
    }

    /// Whether the line, or a DEFAULT line, says anything about `key`.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(&key.to_ascii_lowercase())
    }

    /// The value of `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(&key.to_ascii_lowercase()).map(|(value, _)| value.as_str())
    }

    /// As [`Fields::text`], for lists where ALL means everybody.
    pub fn unless_all(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.eq_ignore_ascii_case("ALL")).map(str::to_owned)
    }

    /// What `read` makes of the value of `key`, or `default` where there is none.
    ///
    /// # Errors
    /// [`Problem::Value`].
    pub fn read<T>(
        &self,
        key: &str,
        default: T,
        read: impl Fn(&str) -> Result<T, values::Wanted>,
    ) -> Result<T, ConfError> {
        let Some((value, place)) = self.values.get(&key.to_ascii_lowercase()) else {
            return Ok(default);
        };
        read(value).map_err(|wanted| ConfError::At {
            place: place.clone(),
            problem: Problem::Value { key: key.to_owned(), value: value.clone(), wanted },
        })
    }

    /// A number of 16 bits.
    pub fn u16(&self, key: &str, default: u16) -> Result<u16, ConfError> {
        let read = |text: &str| values::number(Kind::U16, text);
        let found = self.read(key, u64::from(default), read)?;
        Ok(u16::try_from(found).expect("a U16 has 16 bits"))
    }

    /// A number of 32 bits.
    pub fn u32(&self, key: &str, default: u32) -> Result<u32, ConfError> {
        let read = |text: &str| values::number(Kind::U32, text);
        let found = self.read(key, u64::from(default), read)?;
        Ok(u32::try_from(found).expect("a U32 has 32 bits"))
    }

    /// A number of 64 bits.
    pub fn u64(&self, key: &str, default: u64) -> Result<u64, ConfError> {
        self.read(key, default, |text| values::number(Kind::U64, text))
    }

    /// Yes or no.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ConfError> {
        self.read(key, default, values::flag)
    }
}

/// The key that somebody may have meant: one edit away, or with another ending.
pub fn near(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    known.iter().copied().find(|known| {
        let known = known.to_ascii_lowercase();
        let short = known.len().min(key.len());
        let same = known.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
        let back = known.bytes().rev().zip(key.bytes().rev()).take_while(|(a, b)| a == b).count();
        short > 3 && known.len().abs_diff(key.len()) <= 2 && same + back + 1 >= short
    })
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_slip_of_the_pen_is_noticed() {
        let known = ["RealMemory", "Sockets", "CPUs"];
        assert_eq!(near("RealMemroy", &known), None);
        assert_eq!(near("RealMemry", &known), Some("RealMemory"));
        assert_eq!(near("Socket", &known), Some("Sockets"));
        assert_eq!(near("sockats", &known), Some("Sockets"));
        assert_eq!(near("Foo", &known), None);
    }
}
