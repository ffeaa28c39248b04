//! Every limit of the engine, with the reason for its value. Tested at the edge in
//! `tests/limits.rs`.

/// Longest table name, in bytes. Names are `[a-z0-9_.-]`, so they are safe as file names.
pub const TABLE_NAME_MAX: usize = 64;

/// Most tables in one store: a controller has a dozen; a bound keeps every index small.
pub const TABLES_MAX: usize = 1024;

/// Longest key, in bytes. Keys are held in memory by the index, values need not be.
pub const KEY_MAX: usize = 4096;

/// Longest value: 64 MiB, as Slurm bounds a batch script.
pub const VALUE_MAX: usize = 64 << 20;

/// Most bytes of one save, encoded. A group holds at least one save, so this bounds the memory
/// that a reader needs, whatever a length field claims.
pub const SAVE_MAX: usize = 256 << 20;

/// Most bytes of saves that are put together in one group, unless a single save is larger:
/// above this a flush costs more than the sharing saves.
pub const GROUP_TARGET: usize = 4 << 20;

/// Alignment of groups: a torn read-modify-write of a physical block of this size must not touch
/// an acknowledged neighbour.
pub const BLOCK: usize = 4096;

/// The first segment of an epoch; each following one doubles up to [`SEGMENT_MAX`], so that
/// a small store stays small.
pub const SEGMENT_MIN: u64 = 256 << 10;

/// A segment's usual size: rotation costs are lost in it, and recovery scans at most one.
pub const SEGMENT_MAX: u64 = 64 << 20;

/// Bytes under one checksum in a snapshot.
pub const CHUNK: usize = 64 << 10;

/// What a restore holds in memory of changes that are not in a snapshot, unless a quarter of the
/// state is more: the state is written again for each such portion of a backup's log, so that it
/// must not be small, and a controller's host always has it.
pub const RESTORE_CHANGES_MAX: u64 = 256 << 20;

/// Copiers that hold one directory still at a time: each keeps the room of what was superseded
/// since it began, for as long as it takes.
pub const PINS_MAX: usize = 8;

/// Saves that may wait in memory for the flush in progress; past this, savers wait to enqueue.
pub const QUEUE_BYTES_MAX: usize = SAVE_MAX + GROUP_TARGET;
