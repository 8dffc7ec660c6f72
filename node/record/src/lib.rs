//! Record batch v2: read, build, verify, compress.
//!
//! The batch is Kafka's, byte for byte, on disk, on every wire and on every replica. This crate
//! is its only reader and its only writer; [`layout`] is the only place that knows where a field
//! of the header lies.
//!
//! What it holds true:
//! - Nothing is copied while reading: a [`Batch`] borrows the bytes it was found in, a [`Record`]
//!   borrows them too, or the scratch buffer that a compressed body was unpacked into.
//! - Every length is checked before it is used, and a body never unpacks beyond
//!   [`MAX_BATCH_UNCOMPRESSED`](tidegate_types::limits::MAX_BATCH_UNCOMPRESSED), whatever its
//!   sender claims. No input makes it panic.
//! - Header order, repeated header names and names that are not UTF-8 survive a round trip.
//! - Base offset and leader epoch lie outside the CRC and are patched in place; nothing is ever
//!   encoded anew for them.
//!
//! What it does not do: no IO, no clock, no deduplication, no older message formats.
//!
//! ```
//! use tidegate_record::{Batch, BatchBuilder, BuildOptions, Compression};
//! use tidegate_types::Timestamp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder =
//!     BatchBuilder::new(BuildOptions { compression: Compression::Lz4, ..Default::default() });
//! builder.push(Timestamp(1_700_000_000_000), Some(b"key"), Some(b"value"), [])?;
//! let bytes = builder.build()?;
//!
//! let (batch, rest) = Batch::parse(&bytes)?;
//! assert!(rest.is_empty());
//! let mut scratch = Vec::new();
//! for record in batch.body(&mut scratch)? {
//!     assert_eq!(record?.key, Some(&b"key"[..]));
//! }
//! # Ok(())
//! # }
//! ```

mod batch;
mod builder;
mod codec;
mod compression;
mod error;
mod header;
pub mod layout;
mod patch;
mod produced;
mod records;
mod varint;

pub use batch::{Batch, Batches};
pub use builder::{BatchBuilder, BuildError, BuildOptions, PushError};
pub use codec::{CompressError, DecompressError, Lz4FrameError, SnappyFrameError};
pub use compression::{Compression, ParseCompressionError};
pub use error::{BatchError, RecordError};
pub use header::{Attributes, BatchHeader, TimestampType, peek_len};
pub use layout::HEADER_LEN;
pub use patch::{set_append_time, set_base_offset, set_leader_epoch, set_max_timestamp};
pub use produced::{ProducedError, validate_produced};
pub use records::{Headers, HeadersIter, Record, Records};
