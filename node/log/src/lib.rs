//! The partition log: segments, index, recovery, and the one thread per disk that writes.
//!
//! A [`LogStore`] owns all logs of one disk. A [`LogHandle`] appends to one of them through the
//! writer thread, and reads it straight from the files. Everything is synchronous, over the
//! [`Disk`](tidegate_env::Disk) and [`Clock`](tidegate_env::Clock) it is given, and so can be run on
//! a simulated disk that crashes.
//!
//! # Files
//!
//! ```text
//! <root>/lock                                     held by the process that has the store open; empty
//! <root>/reserve                                  blocks to give up when the disk is full; content unspecified
//! <root>/index.redb                               see the table below
//! <root>/index.redb.damaged                       an index that could not be opened, moved aside
//! <root>/topics/<topic uuid>/doomed                the topic's logs are to go; empty
//! <root>/topics/<topic uuid>/<partition>/         one log; uuid hyphenated, partition decimal
//!     incarnation                                 tells this life of the log from others
//!     incarnation.new                             one that is not synced yet; removed by the next start
//!     <base offset, 20 digits>.log                a segment
//!     <base offset, 20 digits>.log.cleaned        one that compaction is writing; of no meaning
//!     <base>.log.repaired                         one that a repair is writing; removed likewise
//!     <base>.log.damaged-<position>               bytes that a repair took out of it from there; ignored
//! <root>/topics/<topic uuid>/<partition>.deleted/ a log being removed; the next start finishes it
//! ```
//!
//! **A segment** is record batches (Kafka's v2, see `tidegate-record`) end to end, from byte 0. Base
//! offsets rise; where one is greater than the end of the batch before, the offsets between are a
//! hole, as compaction makes them. Only the last segment may be followed by anything: zeros that were written ahead (a batch's
//! length field is never zero there), or, after a crash, a torn tail.
//!
//! **`incarnation`** is text, 32 bytes: the line `tidegate log 1`, then 16 lower-case hexadecimal
//! digits and a newline. It is written beside and renamed into place before the first segment is
//! made.
//!
//! **`index.redb`** is a redb database with seven tables of byte keys and values. Keys start with the
//! topic's 16 uuid bytes and the partition (u32, big-endian); those of segments go on with the base
//! offset (i64, big-endian). The one row of `uptime` has an empty key.
//!
//! | table | value |
//! | --- | --- |
//! | `logs` | postcard: incarnation, log start offset, leader epochs with their starts, damage |
//! | `segments` | postcard: file length, next offset, latest timestamp |
//! | `sparse` | postcard: entries of offset, position, latest timestamp before, each less the entry before it |
//! | `producers` | the offset it was taken at (i64, big-endian), then postcard: producers with their epoch, unbroken run and last batches |
//! | `durable` | the offset up to which the log is known to be synced (i64, big-endian) |
//! | `cleaning` | postcard: closed segments and the active one by base offset, each with the uptime since which it is held so; the end of what was compacted; how many tombstones are in there, and up to where they were removed; offsets with the uptime since which all before them is clean |
//! | `uptime` | how long the store was open, over all its lives, in milliseconds (u64, big-endian) |
//!
//! Each value ends with a CRC-32C (4 bytes, little-endian) over the table's name, the key and what is
//! listed above; a row that fails it counts as missing.
//!
//! # What holds
//!
//! 1. The segments are the truth; the index can be rebuilt from them.
//! 2. Once a segment exists, all before it are synced and cut to their length.
//! 3. A row in `segments` is right if the file's length agrees with it; otherwise the file is
//!    scanned. That of the last segment holds for a prefix of the file, which was synced before the
//!    row was written, as does all that was committed with it: recovery scans what lies behind.
//! 4. `durable` never exceeds what was synced. A bad batch before it is damage, which is kept and
//!    told; one after it is a torn tail, which is cut.
//! 5. A producer snapshot holds every batch before its offset and none after it.
//! 6. Offsets are given once: a log whose durable end is lost goes on after it.
//! 7. An append is acknowledged as durable after the sync that followed its write; a failed write or
//!    sync seals the log, and no sync is tried twice. A write for which the disk is full is undone,
//!    durably, before its append is refused.
//! 8. A log's start is stored before anything before it is removed, and never moves back; files that
//!    lie wholly before it are removed when the log is opened.
//! 9. A segment that begins before the end of the one before it was merged into that one: it is
//!    removed when the log is opened.
//! 10. Within one append batches are judged together: all are staged, or none.
//!
//! # What it does not do
//!
//! No replication; no decoding of records except to find a timestamp, and to compact. CRCs are verified by whoever appends, and again by recovery; reads leave that to the
//! reader.

mod active;
mod backlog;
pub mod check;
mod checkpoint;
mod clean;
mod config;
mod doomed;
mod epochs;
mod error;
mod files;
mod handles;
mod index;
mod log;
mod opening;
mod planted;
mod producers;
mod read;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
mod simulation;
mod space;
mod sparse;
mod staged;
mod stats;
mod store;
mod tail;
mod writer;

pub use clean::{CleanStats, Dropped, MaintenanceStep};
pub use config::{LogConfig, LogOffsets, MAX_SEGMENT, OnAdvance, StoreConfig};
pub use error::{
    AppendError, ConfigError, DamageRange, DeleteError, OpenError, ReadError, TrimError,
};
pub use index::{DiskBackend, IndexError};
pub use log::{AppendMode, AppendRequest, Appended, Done, LogHandle, When};
pub use read::{FileRange, LogChunk, LogReader};
pub use stats::StoreStats;
pub use store::{LogStore, WriterStep};
pub use tidegate_types::Flush;

use sparse::SparseIndex;
