//! How long a small write takes at a fixed rate.

use tidegate_record::Compression;
use tidegate_types::{Acks, ByteSize};

use crate::batches::{BatchSize, Records};
use crate::config::{Load, Rate, Target};
use crate::produce::Produce;
use crate::report::{Report, Work};
use crate::{BenchError, Stop};

/// Sends small batches at a fixed rate. Each one's time counts from when it was due: what waits
/// behind a slow one is as late as a client would find it.
#[derive(Clone, PartialEq, Debug)]
pub struct Latency {
    /// Whom to load, and for how long. 100 requests may be in flight by default, so that a stall
    /// does not keep later ones from being sent.
    pub load: Load,
    /// Size of each record's value. Default 200 B.
    pub record_size: ByteSize,
    /// Records in a request. Default 10.
    pub records: u32,
    /// How batches are packed. Default not at all.
    pub compression: Compression,
    /// When the broker acknowledges. Default once it is durable.
    pub acks: Acks,
    /// How often a request is due. Default 200 a second.
    pub rate: Rate,
}

impl Latency {
    /// With defaults.
    #[must_use]
    pub fn new(target: Target) -> Latency {
        Latency {
            load: Load { in_flight: 100, ..Load::new(target) },
            record_size: ByteSize::bytes(200),
            records: 10,
            compression: Compression::None,
            acks: Acks::default(),
            rate: Rate::Requests(200.0),
        }
    }

    /// Fails if something cannot be.
    ///
    /// # Errors
    /// Names the first setting that is out of its range.
    pub fn check(&self) -> Result<(), BenchError> {
        self.as_produce().check()
    }

    /// Runs to its end, or until it is stopped. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Produce::run`].
    pub async fn run(&self, stop: &Stop) -> Result<Report, BenchError> {
        self.as_produce().run_as(Work::Latency, stop).await
    }

    fn as_produce(&self) -> Produce {
        let &Latency { record_size, records, compression, acks, rate, .. } = self;
        let batch_size = BatchSize::Records(records);
        Produce {
            load: self.load.clone(),
            records: Records { record_size, batch_size, compression },
            acks,
            rate: Some(rate),
        }
    }
}
