//! How much of each thing one image holds. They keep a snapshot within what a node can rewrite at
//! once; none is near what a site of this class needs.

use tidegate_types::{ByteSize, limits};

/// Topics of one site, mirrors among them.
pub const MAX_TOPICS: usize = 50_000;

/// Plugins installed under different names.
pub const MAX_PLUGINS: usize = 1_000;

/// Versions kept of one plugin; older ones are to be removed by hand.
pub const MAX_PLUGIN_VERSIONS: usize = 100;

/// Plugins on one topic's way; each costs its time on every batch.
pub const MAX_ATTACHMENTS_PER_TOPIC: usize = 32;

/// Links to other sites.
pub const MAX_LINKS: usize = 1_000;

/// Topics that one link mirrors.
pub const MAX_LINK_TOPICS: usize = 10_000;

/// Longest address of a link, a DNS name of 253 bytes and a port.
pub const MAX_LINK_ADDRESS: usize = 260;

/// Longest certificate or key of a link, as PEM.
pub const MAX_PEM: ByteSize = ByteSize::kib(64);

/// Producer ids handed out at once.
pub const MAX_PRODUCER_ID_BLOCK: u32 = 100_000;

/// Smallest segment: below this a log is more files than data.
pub const MIN_SEGMENT: ByteSize = ByteSize::kib(64);

/// Largest segment: positions in it are 32 bits wide.
pub const MAX_SEGMENT: ByteSize = ByteSize::gib(2);

const _: () = assert!(MIN_SEGMENT.get() <= limits::DEFAULT_SEGMENT.get());
const _: () = assert!(MAX_SEGMENT.get() >= limits::DEFAULT_SEGMENT.get());
const _: () = assert!(MAX_SEGMENT.get() <= u32::MAX as u64);
