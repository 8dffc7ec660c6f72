//! The types of `wit/plugin.wit` as they cross into a component and out of it.
//!
//! They mirror the contract name by name; nothing here is checked beyond its type. What a guest
//! returns becomes an [`Outcome`](crate::Outcome) only after [`outcome`](crate::outcome) has
//! looked at every index and length.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Lower, flags};

/// The version of `tidegate:plugin` that this node speaks.
pub(crate) const WORLD_VERSION: &str = "0.1.0";

flags! {
    WantedColumns {
        #[component(name = "timestamps")]
        const TIMESTAMPS;
        #[component(name = "keys")]
        const KEYS;
        #[component(name = "values")]
        const VALUES;
        #[component(name = "headers")]
        const HEADERS;
    }
}

#[derive(ComponentType, Lower, Default, Clone, Debug)]
#[component(record)]
pub(crate) struct Batch {
    pub count: u32,
    pub timestamps: Vec<i64>,
    pub keys: Vec<u8>,
    #[component(name = "key-ends")]
    pub key_ends: Vec<u32>,
    pub values: Vec<u8>,
    #[component(name = "value-ends")]
    pub value_ends: Vec<u32>,
    pub headers: Vec<u8>,
    #[component(name = "header-ends")]
    pub header_ends: Vec<u32>,
    pub nulls: Vec<u8>,
}

#[derive(ComponentType, Lower, Clone, Debug)]
#[component(record)]
pub(crate) struct Context {
    pub topic: Arc<str>,
    pub partition: u32,
    pub partitions: u32,
    pub seed: u64,
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct Failure {
    pub record: u32,
    pub reason: String,
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct Kept {
    pub bitmap: Vec<u8>,
    pub failed: Vec<Failure>,
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(variant)]
pub(crate) enum FilterVerdict {
    #[component(name = "kept")]
    Kept(Kept),
    #[component(name = "reject")]
    Reject(String),
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct Chosen {
    pub partitions: Vec<u32>,
    pub failed: Vec<Failure>,
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(variant)]
pub(crate) enum PartitionVerdict {
    #[component(name = "chosen")]
    Chosen(Chosen),
    #[component(name = "reject")]
    Reject(String),
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(record)]
pub(crate) struct Tagged {
    pub tags: Vec<u8>,
    pub values: Vec<u8>,
    #[component(name = "value-ends")]
    pub value_ends: Vec<u32>,
    pub failed: Vec<Failure>,
}

#[derive(ComponentType, Lift, Clone, Debug, Default)]
#[component(record)]
pub(crate) struct Emitted {
    pub inputs: Vec<u32>,
    pub flags: Vec<u8>,
    pub keys: Vec<u8>,
    #[component(name = "key-ends")]
    pub key_ends: Vec<u32>,
    pub values: Vec<u8>,
    #[component(name = "value-ends")]
    pub value_ends: Vec<u32>,
    pub headers: Vec<u8>,
    #[component(name = "header-ends")]
    pub header_ends: Vec<u32>,
    pub timestamps: Vec<i64>,
    pub topics: Vec<String>,
    #[component(name = "topic-of")]
    pub topic_of: Vec<u32>,
    #[component(name = "partition-of")]
    pub partition_of: Vec<u32>,
    pub failed: Vec<Failure>,
}

#[derive(ComponentType, Lift, Clone, Debug)]
#[component(variant)]
#[expect(clippy::large_enum_variant, reason = "one a batch, and gone at once")]
pub(crate) enum TransformVerdict {
    #[component(name = "tagged")]
    Tagged(Tagged),
    #[component(name = "emitted")]
    Emitted(Emitted),
    #[component(name = "reject")]
    Reject(String),
}

/// How loud a plugin's line in the log is.
#[derive(ComponentType, Lift, Lower, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[component(enum)]
#[repr(u8)]
pub enum LogLevel {
    /// Every step.
    #[component(name = "trace")]
    Trace,
    /// For whoever writes the plugin.
    #[component(name = "debug")]
    Debug,
    /// Worth knowing.
    #[component(name = "info")]
    Info,
    /// Should be looked at.
    #[component(name = "warn")]
    Warn,
    /// Something failed.
    #[component(name = "error")]
    Error,
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        })
    }
}

/// What `filter`, `partition` and `transform` take.
pub(crate) type Arguments = (Arc<Batch>, Context);
/// What `filter` gives.
pub(crate) type FilterAnswer = (Result<FilterVerdict, String>,);
/// What `partition` gives.
pub(crate) type PartitionAnswer = (Result<PartitionVerdict, String>,);
/// What `transform` gives.
pub(crate) type TransformAnswer = (Result<TransformVerdict, String>,);
/// What `configure` takes.
pub(crate) type ConfigureArguments = (Arc<str>,);
/// What `configure` gives.
pub(crate) type ConfigureAnswer = (Result<WantedColumns, String>,);
