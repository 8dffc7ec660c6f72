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
//! <root>/lock                                     held by whoever has the store open, or checks it
//! <root>/reserve                                  blocks to give up when the disk is full; no content
//! <root>/index.redb                               see below
//! <root>/index.redb.damaged                       one that could not be used, moved aside
//! <root>/topics/<topic uuid>/doomed               the topic's logs are to go; empty
//! <root>/topics/<topic uuid>/<partition>/         one log; uuid hyphenated, partition decimal
//!     incarnation                                 tells this life of the log from others
//!     incarnation.new                             one that is not synced yet
//!     <base offset, 20 digits>.log                a segment
//!     <base>.log.cleaned                          one that compaction is writing; of no meaning
//!     <base>.log.repaired                         one that a repair is writing; of no meaning
//!     <base>.log.damaged-<position>               bytes that a repair took out of it there; ignored
//!     <base>.log.damaged-<position>-<n>           the same, where that name was taken; n from 2
//! <root>/topics/<topic uuid>/<partition>.deleted/ a log being removed
//! ```
//!
//! Other files and folders in `<root>` are not the store's. A file in a log's folder with any other
//! name is ignored, and goes with the log.
//!
//! **A segment** is record batches (Kafka's v2, see `tidegate-record`) end to end, from byte 0. Base
//! offsets rise, from the file's own at the lowest; where one is greater than the end of the batch
//! before, the offsets between are a hole, as compaction, a follower's append or a repair makes
//! them. Between batches lie other bytes only where records were damaged. Only the last segment may
//! be followed by anything: zeros that were written ahead, up to the log's segment size (a batch's
//! length field is never zero there), or, after a crash, a torn tail.
//!
//! **`incarnation`** is text, 32 bytes: the line `tidegate log 1`, then 16 lower-case hexadecimal
//! digits and a newline. It is written beside and renamed into place when a log is opened that has
//! none.
//!
//! **`index.redb`** is a redb database with seven tables of byte keys and values. Keys are the
//! topic's 16 uuid bytes and the partition (u32, big-endian); those of `segments` and `sparse` go on
//! with the base offset (i64, big-endian). The one row of `uptime` has an empty key. Each value ends
//! with a CRC-32C (4 bytes, little-endian) over the table's name, the key and the value's content;
//! a row that fails it or does not decode counts as missing.
//!
//! Content is encoded as postcard does. In the table **u** is an unsigned number in groups of 7
//! bits, the lowest first, all but the last with the top bit set; **i** a signed one, zigzagged
//! (0, -1, 1, -2 as 0, 1, 2, 3), then as u; **duration** is seconds (u) and nanoseconds (u); **list
//! of** is a count (u) and the entries; **maybe** is a byte 0, or a byte 1 and the rest. Times are
//! milliseconds since 1970, -1 for none.
//!
//! | table | content, in order |
//! | --- | --- |
//! | `logs` | incarnation u; log start offset i; list of leader epoch i, its start i; list of damage: first offset i, end i |
//! | `segments` | length in the file u; next offset i; latest timestamp i |
//! | `sparse` | list of a batch's base offset u, position u, latest timestamp of all before it i; each less that of the entry before, the first less the segment's base, 0, 0 |
//! | `producers` | the offset it was taken at, 8 bytes, i64 big-endian; list, who is silent for longest first, of producer id i, epoch i, list of its last 1 to 5 batches (first sequence i, last sequence i, base offset i, next offset i), sequences in its unbroken run i |
//! | `durable` | the offset up to which the log is known to be synced, 8 bytes, i64 big-endian |
//! | `cleaning` | list of closed segments: base offset i, uptime since which it is held so, duration; maybe the active one that has records: base offset i, uptime since which it has, duration; end of what was compacted i; tombstones in there u; end of where they were removed i; list of horizons: offset i, uptime since which all before it is clean, duration |
//! | `uptime` | how long the store was open, over all its lives, in milliseconds, 8 bytes, u64 big-endian |
//!
//! | rows are written | which |
//! | --- | --- |
//! | when a segment is closed | its `segments` and `sparse`; `logs`, `producers`, `durable` |
//! | each second | `durable` of logs that were synced; for some (see `checkpoint`), the rows above for what is synced of the active segment; `uptime` |
//! | when the store is closed | of each log what closing its last segment would write; `cleaning` where it changed; `uptime` |
//! | when a log is opened | what was found to be otherwise |
//! | when a log's start moves | `logs`, `cleaning`, `uptime`; the removed segments' rows go |
//! | when damage is met | `logs` |
//! | when damage is repaired | `logs`, and all of the log's `segments` and `sparse` go |
//! | when a group of segments is compacted | `cleaning`, `uptime`, and the group's rows go; then those of the new file |
//! | when a pass ends; every ten minutes | `cleaning` where it changed, `uptime` |
//! | when a log is deleted | all of its rows go |
//!
//! On a full disk rows are written later, in the same order; nothing waits for that but what removes
//! segments.
//!
//! # What goes when
//!
//! | what | goes |
//! | --- | --- |
//! | a segment before the log's start | when trim, retention or a full disk moved the start, oldest first; else at the cleaner's next look, or when the log is opened |
//! | a segment merged into another | after the other's row was stored, in rising order; else when the log is opened |
//! | `.cleaned` | if its pass fails; else when the log is opened |
//! | `.repaired`, `incarnation.new` | when the log is opened |
//! | zeros written ahead | when the segment or the store is closed, or a round is undone; after a crash when the log is opened, and a torn tail with them |
//! | bytes that were durable and are damaged | by a repair alone, which keeps a copy; else with their segment |
//! | `.damaged-`, `index.redb.damaged` | by hand; the one with its log, the other when another takes its place |
//! | a log | when it is deleted: renamed to `.deleted`, durably, then removed; what a crash left of that when the store is opened |
//! | a topic's folder | with its topic, or with the last log if nothing else is in it; an empty one when the store is opened; `doomed` also when the topic is spared |
//! | the reserve's blocks | when half of the low-water mark is taken too, or the index finds no room |
//!
//! # What holds
//!
//! 1. The segments are the truth; the index can be rebuilt from them. What it alone knows is lost
//!    with it: a start inside a file (the log starts at the file again), offsets that a repair took
//!    out (they read as a hole), that synced batches are gone from its very end, how long segments
//!    were held and what was compacted (that begins anew).
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
//! 11. What a repair takes out of a file is copied and recorded as damage first, durably. Damage
//!     that is recorded is told to whoever reads there, until the log starts after it.
//!
//! `tests/golden` has a folder of this format, and `index/format_tests` every row of it in bytes: a
//! change that these do not pass is another format.
//!
//! # What it does not do
//!
//! No replication; no decoding of records except to find a timestamp, and to compact. CRCs are
//! verified by whoever appends, and again where recovery and `check` read; readers verify their own.

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
mod telling;
mod writer;

pub use clean::{CleanStats, Dropped, MaintenanceStep};
pub use config::{LogConfig, LogOffsets, MAX_SEGMENT, OnAdvance, StoreConfig};
pub use error::{
    AppendError, ConfigError, DamageRange, DeleteError, OpenError, ReadError, TrimError,
};
pub use index::{DiskBackend, IndexError};
pub use log::{AppendMode, AppendRequest, Appended, Done, LogHandle, When};
pub use producers::ActiveProducer;
pub use read::{FileRange, LogChunk, LogReader};
pub use stats::StoreStats;
pub use store::{LogStore, WriterStep};
pub use tidegate_types::Flush;

use sparse::SparseIndex;
