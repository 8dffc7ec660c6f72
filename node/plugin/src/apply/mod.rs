//! From a batch and what plugins decided for it to what is to be appended.
//!
//! [`Applier::run`] takes a batch through a chain of plugins and says what comes out: nothing
//! changed, a batch to append in its stead, and batches for other partitions. It appends nothing
//! and decides no policy: records that failed are handed back with their reasons, and
//! [`dead_letter_batches`] wraps them up where the policy says so.
//!
//! What holds, so that a producer's retry writes nothing twice:
//! - The partition that the batch was sent to always gets its sequence. A batch with a producer's
//!   stamp keeps stamp and last offset delta there; records that were dropped or went elsewhere
//!   leave holes, and if none stays an empty batch does.
//! - What goes elsewhere carries an id derived from the producer's, the input partition and the
//!   purpose, with the input's base sequence; a second batch for one target has the next one. An
//!   input of `n` records has at most `n` batches a target, so these never reach the next input.
//! - A record that failed leaves nothing behind anywhere, however often it was split before.
//! - The same batch through the same plugins gives the same bytes.

mod build;
mod chain;
mod dead;
mod items;
mod route;

use std::time::Duration;

use bytes::Bytes;
use tidegate_record::{BatchError, BatchHeader, BuildError, PushError};
use tidegate_types::{PartitionId, ProducerStamp, TopicId, TopicName};

use crate::columns::{Columns, Needs};
use crate::instance::{Instance, RunContext, RunError};
use crate::outcome::Outcome;

pub use chain::{Applier, run_context};
pub use dead::{DeadLetters, DeadPlugin, dead_letter_batches};
pub use route::derived_producer;

/// One step of a chain: an [`Instance`], or something else that decides in its place.
pub trait Stage {
    /// The columns that it reads.
    fn needs(&self) -> Needs;

    /// The time that it may take for a batch.
    fn batch_time(&self) -> Duration;

    /// Decides for a batch. The outcome is for as many records as there are in it.
    ///
    /// # Errors
    /// If it cannot decide; it may be asked again, unless it is [`RunError::PutOff`], which ends the
    /// whole run.
    fn run(&mut self, columns: &mut Columns, context: &RunContext) -> Result<Outcome, RunError>;
}

impl Stage for Instance {
    fn needs(&self) -> Needs {
        Instance::needs(self)
    }

    fn batch_time(&self) -> Duration {
        self.limits().batch_time
    }

    fn run(&mut self, columns: &mut Columns, context: &RunContext) -> Result<Outcome, RunError> {
        Instance::run(self, columns, context)
    }
}

impl<S: Stage + ?Sized> Stage for &mut S {
    fn needs(&self) -> Needs {
        (**self).needs()
    }

    fn batch_time(&self) -> Duration {
        (**self).batch_time()
    }

    fn run(&mut self, columns: &mut Columns, context: &RunContext) -> Result<Outcome, RunError> {
        (**self).run(columns, context)
    }
}

/// Where a batch comes from, and what may become of it.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The topic that it was sent to.
    pub topic: &'a TopicName,
    /// That topic's id.
    pub topic_id: TopicId,
    /// The partition that it was sent to.
    pub partition: PartitionId,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// Tells this chain's outputs from those that other chains make of the same batch: the hook,
    /// and the name of the attachment where a hook has several.
    pub purpose: &'a str,
    /// Whether every record must stay at its offset, as where a copy is filtered on its way. Then
    /// nothing can go elsewhere, and batches without a stamp keep their holes as well.
    pub keep_offsets: bool,
    /// Where everything goes, if it leaves the topic anyway.
    pub derive: Option<Derive<'a>>,
    /// How many partitions another topic has; `None` if there is no such topic and none is made.
    pub partitions_of: &'a dyn Fn(&TopicName) -> Option<u32>,
}

impl Origin<'_> {
    /// Under which stamp outputs are stored that follow from the batch.
    fn stamp(&self, header: &BatchHeader) -> Option<ProducerStamp> {
        self.derive.as_ref().map(|derive| derive.stamp).or_else(|| header.stamp())
    }
}

/// What is derived from one topic for another: nothing stays, and what would, goes there.
#[derive(Clone, Copy)]
pub struct Derive<'a> {
    /// The topic that stands for the batch's own in what plugins answer.
    pub to: &'a TopicName,
    /// How many partitions it has.
    pub partitions: u32,
    /// Stands for the producer's: the id is the same for all batches of the partition, and the
    /// sequence rises with the batch's offset.
    pub stamp: ProducerStamp,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Applied {
    /// What is to be appended.
    pub change: Change,
    /// The records that failed, in rising order, each once. They are in none of the batches.
    pub failed: Vec<Failed>,
    /// How many records met which fate.
    pub counts: Counts,
}

/// What is to be appended.
#[derive(Debug)]
pub enum Change {
    /// The batch as it came.
    Unchanged,
    /// Another batch in its stead, to the same partition; `None` if nothing is left of it and it
    /// had no stamp.
    InPlace {
        /// The batch.
        batch: Option<Bytes>,
    },
    /// As before, and then others. The input is acknowledged when all of them are durable.
    Scattered {
        /// For the partition that the batch was sent to.
        in_place: Option<Bytes>,
        /// The others; those for one target are to be appended in this order.
        outputs: Vec<OutputBatch>,
    },
}

/// A batch for another partition, or made of splits for the same one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutputBatch {
    /// Its topic; `None` is that of the input.
    pub topic: Option<TopicName>,
    /// Its partition.
    pub partition: PartitionId,
    /// The batch. Its base offset and leader epoch are still to be set.
    pub batch: Bytes,
}

/// A record that a plugin could not handle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Its index among the records of the batch.
    pub record: u32,
    /// The step of the chain at which it failed.
    pub stage: usize,
    /// Why, in one line.
    pub reason: String,
}

/// How many records met which fate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Records of the batch.
    pub records: u32,
    /// Those that gave nothing, though nothing failed.
    pub dropped: u32,
    /// Those that failed.
    pub failed: u32,
    /// Outputs that stay in their partition as they were.
    pub kept: u32,
    /// Outputs that stay in their partition and are not what they were.
    pub rewritten: u32,
    /// Outputs that go to another partition or topic.
    pub moved: u32,
}

/// Why nothing of a batch is appended.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The batch cannot be read.
    #[error("the batch cannot be read")]
    Batch(#[from] BatchError),
    /// A plugin refused it.
    #[error("refused by plugin: {reason}")]
    Rejected {
        /// The step of the chain.
        stage: usize,
        /// Why, in the plugin's words.
        reason: String,
    },
    /// Plugins made more of it than one batch may become.
    #[error("plugins made too many records or bytes of a batch: {what}")]
    TooMuch {
        /// What there was too much of.
        what: String,
    },
    /// A record that came out fits no batch.
    #[error("a record that a plugin made cannot be stored")]
    Record(#[source] PushError),
    /// A batch that came out cannot be built.
    #[error("a batch that a plugin made cannot be stored")]
    Build(#[source] BuildError),
    /// Something would have moved where nothing may.
    #[error("a plugin split or moved records where it may only keep, drop and rewrite them")]
    CannotMove,
    /// A plugin was not run to the end here: the batch is to be run elsewhere, from the start.
    #[error("put off")]
    PutOff,
    /// A transaction covers the partitions that its producer named, and no others.
    #[error("a plugin split or moved records of a transaction")]
    Transactional,
}

#[cfg(test)]
mod tests;
