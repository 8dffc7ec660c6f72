//! What must hold between limits; a change that breaks one does not compile.

use crate::limits::*;

const _: () = assert!(MAX_BATCH.get() < MAX_FRAME.get(), "a batch fits a frame");
const _: () = assert!(MAX_BATCH.get() <= MAX_BATCH_UNCOMPRESSED.get());
const _: () = assert!(MAX_PLUGIN.get() < MAX_FRAME.get(), "a plugin is installed in one frame");
const _: () = assert!(MAX_PLUGIN_CONFIG.get() < MAX_FRAME_HEADER.get());
const _: () = assert!(SUBSCRIBE_CHUNK.get() + MAX_BATCH.get() < MAX_FRAME.get());
const _: () = assert!(MAX_BATCH.get() < DEFAULT_SEGMENT.get(), "a segment holds a batch");
const _: () = assert!(MAX_FRAME.get() <= MAX_APPEND_BACKLOG.get(), "a frame fits the backlog");
