//! The guests that tests run, built as components.

/// A filter: see `tests/guests/keep`.
pub const KEEP: &[u8] = include_bytes!(env!("GUEST_KEEP"));

/// A partitioner: see `tests/guests/spread`.
pub const SPREAD: &[u8] = include_bytes!(env!("GUEST_SPREAD"));

/// A transform that does what no plugin should: see `tests/guests/hostile`.
pub const HOSTILE: &[u8] = include_bytes!(env!("GUEST_HOSTILE"));

/// A transform with a state: see `tests/guests/tally`.
pub const TALLY: &[u8] = include_bytes!(env!("GUEST_TALLY"));
