//! Why a load came to nothing.

use std::io;
use std::time::Duration;

use tidegate_client::RequestError;
use tidegate_record::{BuildError, PushError};
use tidegate_types::TopicName;
use tidegate_wire::ErrorCode;

use crate::config::ConfigError;

/// What a failure means to who asked for the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The broker was not reached, went away, or did not answer in time.
    Unreachable,
    /// The broker said no.
    Refused,
    /// The topic does not exist, or has nothing to read.
    NotFound,
    /// What was asked for cannot be.
    Invalid,
    /// The broker's answers are not understood.
    Failed,
}

/// Why a load came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The records do not make a batch.
    #[error("the record does not fit a batch")]
    Push(#[from] PushError),
    /// The records do not make a batch.
    #[error("the batch cannot be built")]
    Build(#[from] BuildError),
    /// Nothing answers at the address.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// The broker's address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to {address} broke after {answered} answers, with {waiting} due")]
    Broken {
        /// The broker's address.
        address: String,
        /// Answers that came before.
        answered: u64,
        /// Requests that were not answered.
        waiting: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The broker closed the connection.
    #[error("{address} closed the connection after {answered} answers, with {waiting} due")]
    Closed {
        /// The broker's address.
        address: String,
        /// Answers that came before.
        answered: u64,
        /// Requests that were not answered.
        waiting: usize,
    },
    /// An answer did not come.
    #[error("{address} was asked {what}, and gave no answer within {} ms", .waited.as_millis())]
    TimedOut {
        /// The broker's address.
        address: String,
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The broker said no.
    #[error("{address} was asked {what}, and refused: {error}")]
    Refused {
        /// The broker's address.
        address: String,
        /// What was asked.
        what: &'static str,
        /// The error's name, and what the broker adds to it.
        error: String,
    },
    /// The topic is not there.
    #[error("{address} has no topic {topic}")]
    UnknownTopic {
        /// The broker's address.
        address: String,
        /// The topic.
        topic: TopicName,
    },
    /// The topic is there, and empty.
    #[error("topic {topic} at {address} has no records to read: fill it, or name no topic")]
    Empty {
        /// The broker's address.
        address: String,
        /// The topic.
        topic: TopicName,
    },
    /// Each connection goes to one broker, and there are more brokers than connections.
    #[error("the topic's partitions lie on {brokers} brokers: use at least that many connections")]
    TooFewConnections {
        /// Brokers that lead a partition.
        brokers: usize,
    },
    /// What came is not what Kafka's protocol allows.
    #[error("{address} does not keep to the protocol: {reason}")]
    Protocol {
        /// The broker's address.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The client's certificates are of no use.
    #[error("no identity to connect to {address} with")]
    Identity {
        /// The node's address.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A node's native listener was not reached, or does not want this client.
    #[error("{address} cannot be reached")]
    Connect {
        /// The node's address.
        address: String,
        /// Why not.
        #[source]
        source: tidegate_client::ConnectError,
    },
    /// A request over the native protocol failed.
    #[error("{address} was asked {what}, in vain")]
    Native {
        /// The node's address.
        address: String,
        /// What was asked.
        what: &'static str,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// The machine has no thread or file left, or no socket.
    #[error("the load cannot be driven from here")]
    Local(#[source] io::Error),
}

impl BenchError {
    /// What it means to who asked for the load.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            BenchError::Config(_)
            | BenchError::Push(_)
            | BenchError::Build(_)
            | BenchError::TooFewConnections { .. }
            | BenchError::Identity { .. } => ErrorKind::Invalid,
            BenchError::Unreachable { .. }
            | BenchError::Broken { .. }
            | BenchError::Closed { .. }
            | BenchError::TimedOut { .. }
            | BenchError::Connect { .. } => ErrorKind::Unreachable,
            BenchError::Refused { .. } => ErrorKind::Refused,
            BenchError::UnknownTopic { .. } | BenchError::Empty { .. } => ErrorKind::NotFound,
            BenchError::Protocol { .. } | BenchError::Local(_) => ErrorKind::Failed,
            BenchError::Native { source, .. } => match source {
                RequestError::Refused(body) if body.code == ErrorCode::UnknownTopic => {
                    ErrorKind::NotFound
                }
                RequestError::Refused(_) => ErrorKind::Refused,
                RequestError::Unreachable(_)
                | RequestError::Lost(_)
                | RequestError::TimedOut { .. } => ErrorKind::Unreachable,
                RequestError::Invalid(_) => ErrorKind::Invalid,
                RequestError::Protocol(_) => ErrorKind::Failed,
            },
        }
    }
}
