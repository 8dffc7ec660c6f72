//! What one client may cost, and all of them together.

use std::time::Duration;

use tidegate_types::{ByteSize, limits};

/// Largest request. Kafka's own limit (`socket.request.max.bytes`).
pub(crate) const MAX_REQUEST: ByteSize = ByteSize::mib(100);

/// Bytes of requests on their way, of all connections together: who finds no room waits with
/// reading. Small requests are not counted, being bounded by the number of connections.
pub(crate) const REQUEST_MEMORY: ByteSize = ByteSize::mib(256);

/// A request of this size or less is not counted.
pub(crate) const SMALL_REQUEST: ByteSize = ByteSize::kib(16);

/// Requests of one connection that wait for their answers; then it is not read from.
pub(crate) const MAX_PIPELINED: usize = 128;

/// Connections that one gateway serves.
pub(crate) const MAX_CONNECTIONS: usize = limits::MAX_CONNECTIONS;

/// A connection on which nothing happens for so long is closed. Kafka's `connections.max.idle.ms`.
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// Time for the bytes of one request to arrive, once it has begun.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(60);

/// A client that takes nothing of its answers for so long is cut off.
pub(crate) const WRITE_STALL: Duration = Duration::from_secs(60);

/// Time for a TLS handshake.
pub(crate) const HANDSHAKE_TIME: Duration = limits::HELLO_TIMEOUT;

/// Time for the answers to a client that sends no more: it may be gone altogether.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// How often a connection looks at its clocks.
pub(crate) const LOOK: Duration = Duration::from_secs(10);

/// Longest wait of a fetch, whatever the client asks for.
pub(crate) const MAX_FETCH_WAIT: Duration = Duration::from_secs(300);

const _: () = assert!(MAX_REQUEST.get() <= REQUEST_MEMORY.get(), "the largest request finds room");
const _: () = assert!(MAX_REQUEST.get() <= u32::MAX as u64, "the length of a frame holds it");
const _: () = assert!(SMALL_REQUEST.get() * (MAX_PIPELINED as u64) <= ByteSize::mib(2).get());
