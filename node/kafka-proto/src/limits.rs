//! What a request may cost, each limit with its reason.

/// Most array elements in one request, all its arrays together. A client that commits or fetches
/// 50,000 partitions at once stays well below; an element costs up to some hundred bytes decoded.
pub const MAX_ELEMENTS: usize = 100_000;

/// Most tagged fields in one request that its layout does not know, all its structures together.
/// Clients send none; each costs up to half a kilobyte decoded, for two bytes on the wire.
pub const MAX_UNKNOWN_TAGS: usize = 512;

/// Longest string. The protocol's own limit, which its newer encoding leaves to the reader.
pub const MAX_STRING: usize = i16::MAX as usize;

/// Largest request frame unless the caller says otherwise. Kafka's `socket.request.max.bytes`.
pub const DEFAULT_MAX_FRAME: usize = 100 * 1024 * 1024;

/// Fetch sessions kept unless the caller says otherwise. Kafka's
/// `max.incremental.fetch.session.cache.slots`.
pub const DEFAULT_FETCH_SESSIONS: usize = 1_000;

/// Partitions kept in all fetch sessions together unless the caller says otherwise: some 200 bytes
/// each, so 20 MB. Kafka has no such limit.
pub const DEFAULT_FETCH_SESSION_PARTITIONS: usize = 100_000;
