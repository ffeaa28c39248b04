//! Runs of equal nodes: what each of them has, and how many there are. On the wire a count, and
//! only where it is not 0 one array for each column.

use crate::slurm::wire::Field;
use crate::slurm::wire::Reader;
use crate::slurm::wire::Why;
use crate::slurm::wire::WireError;
use crate::slurm::wire::Writer;

macro_rules! groups {
    ($(
        $(#[$about:meta])*
        $many:ident of $one:ident, $kind:literal, count $count:ty {
            $first:ident: $first_kind:ty $(, $column:ident: $column_kind:ty)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $one {
            /// In each node.
            pub $first: $first_kind,
            $(
                #[doc = concat!("As the protocol's `", stringify!($column), "`.")]
                pub $column: $column_kind,
            )*
        }

        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $many(pub Vec<$one>);

        impl Field for $many {
            const KIND: &'static str = $kind;
            const LEAST: usize = size_of::<$count>();

            fn pack(&self, out: &mut Writer) {
                // More groups than the count can say: no cluster has that, and none is lost.
                let count = <$count>::try_from(self.0.len()).expect("few groups");
                count.pack(out);
                if self.0.is_empty() {
                    return;
                }
                self.0.iter().map(|one| one.$first).collect::<Vec<_>>().pack(out);
                $( self.0.iter().map(|one| one.$column).collect::<Vec<_>>().pack(out); )*
            }

            fn unpack(input: &mut Reader<'_>) -> Result<Self, WireError> {
                let count = <$count>::unpack(input)?;
                if count == 0 {
                    return Ok($many::default());
                }
                let $first = Vec::<$first_kind>::unpack(input)?;
                $( let $column = Vec::<$column_kind>::unpack(input)?; )*
                let lens = [$first.len() $(, $column.len())*];
                if lens.iter().any(|len| *len as u64 != u64::from(count)) {
                    return Err(input.fails(Why::Undefined { value: count.into() }));
                }
                let one = |at: usize| $one { $first: $first[at] $(, $column: $column[at])* };
                Ok($many((0..$first.len()).map(one).collect()))
            }

            fn sample(choose: &mut dyn FnMut() -> u64) -> Self {
                let one = |choose: &mut dyn FnMut() -> u64| $one {
                    $first: <$first_kind>::sample(choose)
                    $(, $column: <$column_kind>::sample(choose))*
                };
                $many((0..choose() % 3).map(|_| one(choose)).collect())
            }
        }
    )*};
}

groups! {
    /// CPUs of each of a run of nodes.
    CpuGroups of CpuGroup, "u32+a16+a32", count u32 { cpus: u16, nodes: u32 }
    /// Cores and sockets of each of a run of nodes.
    CoreGroups of CoreGroup, "u16+a16+a16+a32", count u16 {
        cores_per_socket: u16, sockets_per_node: u16, nodes: u32
    }
    /// Memory, in MB, of each of a run of nodes.
    MemGroups of MemGroup, "u32+a64+a32", count u32 { memory_mb: u64, nodes: u32 }
}
