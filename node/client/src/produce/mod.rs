//! Producers: records are gathered into batches, and batches delivered whatever happens to the
//! connection.
//!
//! [`core`] decides, without IO; `driver` does what it says; `accumulator` gathers.

mod accumulator;
mod config;
mod core;
mod delivery;
mod driver;
mod partitioner;
mod producer;
mod raw;

pub use config::{ProducerConfig, ProducerRecord, SendError};
pub use delivery::{Delivery, DeliveryError, RecordMetadata};
pub use partitioner::Partitioner;
pub use producer::Producer;
pub use raw::{RawProduce, RawProduceReceiver, RawProduceSender};
