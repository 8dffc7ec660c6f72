//! Workload harness: Tidegate beside its baselines, in one run on one machine.
//!
//! Machines differ and are noisy, so every figure is a ratio of medians over rounds in which the
//! two sides take turns. The baseline for ingest and fetch is [`toy`]; for plugins it is the same
//! ingest without a plugin, and the same code native; for neighbours of plugins that misbehave it is
//! the same topic alone.

pub mod fetch;
pub mod ingest;
pub mod load;
pub mod neighbours;
pub mod node;
pub mod plugin;
pub mod stranger;
pub mod toy;

pub use tidegate_bench_common::Failure;
