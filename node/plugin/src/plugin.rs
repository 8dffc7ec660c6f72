//! A plugin that is loaded, and the limits under which instances of it run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_types::ByteSize;
use tidegate_types::limits::{MAX_BATCH_UNCOMPRESSED, MAX_PLUGIN_CONFIG};
use wasmtime::component::InstancePre;

use crate::guest::Guest;
use crate::inspect::Inspected;
use crate::instance::{Instance, RunError};
use crate::ticker::Ticker;
use tidegate_types::{PluginHash, PluginKind, PluginLimits};

/// What one instance of a plugin may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Processor time for one batch, to the next 10 ms, and four times as much by the clock. Default
    /// 500 ms: 100,000 records of 5 us each. `configure` gets as much.
    pub batch_time: Duration,
    /// All memory of an instance. Default 64 MiB.
    pub memory: ByteSize,
    /// What it may return for one batch. Default 32 MiB, twice the largest batch uncompressed.
    pub output: ByteSize,
    /// Time for each record of a batch on average, where that is less. Default: none of its own.
    pub record_time: Option<Duration>,
    /// Records that it may put out for one of the input. Default 1,000.
    pub fan_out: u32,
    /// Log lines kept of one batch. Default 256.
    pub log_lines: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            batch_time: Duration::from_millis(500),
            memory: ByteSize::mib(64),
            output: ByteSize::bytes(2 * MAX_BATCH_UNCOMPRESSED.get()),
            record_time: None,
            fan_out: 1_000,
            log_lines: 256,
        }
    }
}

/// What an attachment is granted, as far as the host enforces it.
impl From<&PluginLimits> for Limits {
    fn from(granted: &PluginLimits) -> Limits {
        let PluginLimits { batch_time, memory, output, record_time, fan_out, log_lines, .. } =
            *granted;
        Limits { batch_time, memory, output, record_time, fan_out, log_lines }
    }
}

impl Limits {
    /// What a batch of so many records may take.
    #[must_use]
    pub fn time_for(&self, records: u32) -> Duration {
        let by_record = self.record_time.map(|time| time.saturating_mul(records));
        by_record.map_or(self.batch_time, |time| time.min(self.batch_time))
    }
}

/// Why no instance could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstantiateError {
    /// The configuration is longer than one may be.
    #[error("configuration is {size}, at most {max} are allowed", max = MAX_PLUGIN_CONFIG)]
    ConfigTooLong {
        /// Its size.
        size: ByteSize,
    },
    /// The plugin does not take this configuration.
    #[error("configuration refused: {reason}")]
    ConfigRefused {
        /// Why, in the plugin's words.
        reason: String,
    },
    /// The plugin failed before it could answer.
    #[error("plugin failed while it was configured: {0}")]
    Failed(#[source] RunError),
}

/// A plugin that is loaded and can be instantiated any number of times.
pub struct Plugin {
    hash: PluginHash,
    inspected: Inspected,
    size: ByteSize,
    pre: InstancePre<Guest>,
    ticker: Arc<Ticker>,
}

impl Plugin {
    pub(crate) fn new(
        hash: PluginHash,
        inspected: Inspected,
        size: usize,
        pre: InstancePre<Guest>,
        ticker: Arc<Ticker>,
    ) -> Plugin {
        Plugin { hash, inspected, size: ByteSize::bytes(size as u64), pre, ticker }
    }

    /// The hash of its component.
    #[must_use]
    pub fn hash(&self) -> PluginHash {
        self.hash
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> PluginKind {
        self.inspected.kind
    }

    /// The version of `tidegate:plugin` that it was built against.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.inspected.version
    }

    /// The size of its component.
    #[must_use]
    pub fn size(&self) -> ByteSize {
        self.size
    }

    /// Makes an instance and gives it its configuration, which is JSON text.
    ///
    /// # Errors
    /// If the plugin refuses the configuration, or fails over it.
    pub fn instantiate(
        self: &Arc<Self>,
        config: &str,
        limits: Limits,
    ) -> Result<Instance, InstantiateError> {
        let size = ByteSize::bytes(config.len() as u64);
        if size > MAX_PLUGIN_CONFIG {
            return Err(InstantiateError::ConfigTooLong { size });
        }
        Instance::new(Arc::clone(self), config.into(), limits)
    }

    pub(crate) fn pre(&self) -> &InstancePre<Guest> {
        &self.pre
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.ticker
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("hash", &self.hash).field("kind", &self.kind()).finish()
    }
}
