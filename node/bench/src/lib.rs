//! A load generator that measures the broker and not itself.
//!
//! [`Produce`], [`Fetch`] and [`Latency`] each say what to do to whom; `run` does it and gives a
//! [`Report`]. The broker is spoken to in Kafka's protocol, whoever's it is, or in the native one.
//!
//! ```no_run
//! use tidegate_bench::{Produce, Stop, Target};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::Kafka { address: "localhost:9092".to_owned() };
//! let report = Produce::new(target).run(&Stop::new()).await?;
//! for (what, how_much) in report.rows() {
//!     println!("{what}: {how_much}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it holds true:
//! - Batches are built once, before the clock starts, and sent without being copied or looked at.
//! - At a rate, a request's time counts from when it was due, not from when it was sent: a broker
//!   that stalls does not make the generator wait politely and call the rest fast. How late
//!   requests were sent is told beside it.
//! - When something is sent and what an answer means is decided without sockets and clocks; only
//!   the drivers have those.
//! - Every wait ends: by an answer, by the load's end, or by a timeout that names who did not
//!   answer.
//!
//! What it does not do: no retries, no idempotence, no batching, no checks of what is read. It is no
//! client, and its figures are the upper end of what one could see.

pub mod admin;
mod batches;
pub mod config;
mod error;
mod fetch;
mod kafka;
mod latencies;
mod latency;
mod native;
mod pace;
mod produce;
mod quota;
mod report;
mod scan;
mod session;
mod stop;
mod topic;

pub use batches::{BatchSize, Records};
pub use config::{ConfigError, End, Load, Rate, Target};
pub use error::{BenchError, ErrorKind};
pub use fetch::Fetch;
pub use latencies::{Bucket, Percentiles};
pub use latency::Latency;
pub use produce::Produce;
pub use report::{Report, Work};
pub use stop::Stop;

pub use tidegate_record::Compression;
pub use tidegate_types::{Acks, ByteSize, TopicName};

/// Runs what blocks on a thread of its own, and stops it when nobody waits for it any more.
async fn blocking<T: Send + 'static>(
    stop: &Stop,
    run: impl FnOnce(&Stop) -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    let stop = stop.below();
    let _guard = stop::StopOnDrop(stop.clone());
    match tokio::task::spawn_blocking(move || run(&stop)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(BenchError::Local(cancelled.into())),
        },
    }
}
