//! Tables of fields. [`record!`](crate::slurm::wire::record!) makes of one table a type, how it
//! packs, how it unpacks, and the table itself as data.

use crate::slurm::wire::Version;

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The field's name.
    pub name: &'static str,
    /// Its kind, as in docs/slurm-protocol.md.
    pub kind: &'static str,
    /// The kind of its elements, where it has some.
    pub of: &'static str,
    /// The first version that has it.
    pub since: Version,
    /// The first version that has it no more.
    pub until: Version,
}

impl Column {
    /// Whether the field travels in `version`.
    #[must_use]
    pub const fn is_in(&self, version: Version) -> bool {
        self.since.0 <= version.0 && version.0 < self.until.0
    }
}

/// A value that is a table of fields.
pub trait Record: crate::slurm::wire::Field {
    /// Its name, as in docs/slurm-protocol.md.
    const NAME: &'static str;
    /// Its fields, in the order in which they travel.
    const COLUMNS: &'static [Column];
}

/// Declares a table. Each line is `name: Type;`, `name: Type, since V23_02;` or
/// `name: Type, until V23_02;`.
macro_rules! record {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[$about:meta])* $field:ident : $kind:ty
                $(, since $since:ident)? $(, until $until:ident)? ; )*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $( $(#[$about])* pub $field: $kind, )*
        }

        impl $crate::slurm::wire::Record for $name {
            const NAME: &'static str = stringify!($name);
            const COLUMNS: &'static [$crate::slurm::wire::Column] = &[
                $( $crate::slurm::wire::Column {
                    name: stringify!($field),
                    kind: <$kind as $crate::slurm::wire::Field>::KIND,
                    of: <$kind as $crate::slurm::wire::Field>::OF,
                    since: [
                        $( $crate::slurm::wire::Version::$since, )?
                        $crate::slurm::wire::Version(0),
                    ][0],
                    until: [
                        $( $crate::slurm::wire::Version::$until, )?
                        $crate::slurm::wire::Version(u16::MAX),
                    ][0],
                }, )*
            ];
        }

        impl $crate::slurm::wire::Field for $name {
            const KIND: &'static str = stringify!($name);
            const LEAST: usize = {
                let columns = <$name as $crate::slurm::wire::Record>::COLUMNS;
                let least = [$( <$kind as $crate::slurm::wire::Field>::LEAST, )*];
                $crate::slurm::wire::record::least(columns, &least)
            };

            fn pack(&self, out: &mut $crate::slurm::wire::Writer) {
                let mut columns = <$name as $crate::slurm::wire::Record>::COLUMNS.iter();
                $( if columns.next().is_some_and(|column| column.is_in(out.version())) {
                    self.$field.pack(out);
                } )*
            }

            fn unpack(
                input: &mut $crate::slurm::wire::Reader<'_>,
            ) -> Result<Self, $crate::slurm::wire::WireError> {
                let mut columns = <$name as $crate::slurm::wire::Record>::COLUMNS.iter();
                Ok($name {
                    $( $field: $crate::slurm::wire::record::field(
                        input,
                        stringify!($name),
                        columns.next(),
                    )?, )*
                })
            }

            fn unset() -> Self {
                $name { $( $field: <$kind as $crate::slurm::wire::Field>::unset(), )* }
            }

            fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
                $name { $( $field: <$kind as $crate::slurm::wire::Field>::sample(choose), )* }
            }
        }
    )*};
}
pub(crate) use record;

/// Reads the field of `column`, if this version has it.
pub(crate) fn field<T: crate::slurm::wire::Field>(
    input: &mut crate::slurm::wire::Reader<'_>,
    record: &'static str,
    column: Option<&'static Column>,
) -> Result<T, crate::slurm::wire::WireError> {
    let Some(column) = column.filter(|column| column.is_in(input.version())) else {
        return Ok(T::unset());
    };
    let outer = input.enter(record, column.name);
    let value = T::unpack(input)?;
    input.leave(outer);
    Ok(value)
}

/// The fewest bytes of a table: the fields that every version has.
pub(crate) const fn least(columns: &[Column], least: &[usize]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < columns.len() {
        if columns[at].since.0 == 0 && columns[at].until.0 == u16::MAX {
            sum += least[at];
        }
        at += 1;
    }
    sum
}
