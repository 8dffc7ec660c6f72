//! Consumers: the node pushes, this end decodes, remembers positions and comes back after a loss.

mod config;
mod consumer;
mod decode;
mod positions;
mod raw;

pub use config::{ConsumeError, ConsumerConfig};
pub use consumer::{Consumer, Event};
pub use decode::{ConsumedRecord, Header};
pub use raw::RawSubscription;
