//! What the benches share: sample batches and the table of results.

pub mod sample;
pub mod table;

/// Whatever went wrong; a bench has nobody to handle it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
