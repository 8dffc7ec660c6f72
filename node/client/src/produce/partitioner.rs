//! Which partition a record goes to: the same one as with Kafka's clients.

/// How a record that names no partition gets one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Partitioner {
    /// With a key, by its hash ([`key_partition`](tidegate_types::key_partition)); without one, a batch at a time in turn.
    #[default]
    KeyHash,
    /// A batch at a time in turn, whatever the key.
    InTurn,
}
