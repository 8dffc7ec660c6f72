//! The derive hook: plugins from one topic into another, each record exactly once.
//!
//! Attachments of one topic with the same target are a *pipeline*. Each partition of the topic has
//! a task, which takes it forward in steps: some batches run through the chain, what comes out is
//! appended where it goes, and then one batch in the topic `__derive` says up to where the input was
//! read and how the plugins' state changed. That batch is the step: before it, nothing happened.
//!
//! A step that a crash interrupts is run again from the same offset, with the same state and the
//! same versions of the plugins, and so comes to the same outputs. Those that are in their logs
//! already are recognised there: they carry a producer id of the pipeline's own and sequences that
//! follow from the input's offsets.
//!
//! | module | what it does |
//! | --- | --- |
//! | `registry` | pipelines come, change and go with the metadata |
//! | `runner` | the task of one partition |
//! | `step` | runs batches through the chain; blocks |
//! | `state` | the state that plugins see in a step |
//! | `table` | takes up the records of a topic that plugins look up |
//! | `progress`, `key` | how a pipeline's records lie in `__derive` |
//! | `store` | the latest of those records: a view in a database, and what it lacks |
//! | `driver` | puts steps into the log in order, and keeps the view |

mod driver;
mod key;
mod progress;
mod registry;
mod runner;
mod state;
mod step;
mod store;
mod table;

use tidegate_types::{ByteSize, limits};

pub(crate) use driver::Driver;
pub(crate) use registry::{Derive, Inbox};

use crate::internal::InternalTopic;

/// The internal topic that holds what pipelines have done.
pub const DERIVE_TOPIC: &str = "__derive";

const INTERNAL: InternalTopic = InternalTopic {
    name: DERIVE_TOPIC,
    view: "derive.redb",
    segment: ByteSize::mib(32),
    max_batch: limits::MAX_BATCH,
};
