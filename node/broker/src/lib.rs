//! The broker: produce, fetch, topics, plugins and links over the machines below.
//!
//! [`Node::start`] opens a data folder and serves the native protocol. Gateways for other protocols
//! work on its [`Broker`]: they stage their batches through the same door, so that plugins,
//! deduplication and durability are the same for all.
//!
//! | module | what it does |
//! | --- | --- |
//! | `node`, `opening` | starts and stops everything; opens the logs |
//! | `session`, `produce_session`, `subscribe`, `mirror`, `admin` | one kind of stream each |
//! | `settings` | topics changed and trimmed while they are at work |
//! | `produce` | the way of a batch into a log |
//! | `groups` | the task of the group coordinator, and its records |
//! | `hook` | plugins at work: one attachment, a chain of them |
//! | `ingest`, `derive`, `leaving` | the hooks: before a batch is stored, from topic to topic, as records leave |
//! | `plugins`, `dry_run` | installing, attaching and trying them |
//! | `links` | copies to other sites |
//! | `status`, `storage` | how the node and its disk are doing |
//! | `topic` | topics as they run |
//!
//! What it does not do: it has no formats, no files, no sockets of its own; those are the crates
//! below.

mod admin;
mod alias;
mod config;
mod counters;
mod derive;
mod dry_run;
mod error;
mod groups;
mod hook;
mod ingest;
mod internal;
mod leaving;
mod links;
mod mirror;
mod node;
mod offline;
mod opening;
mod passing;
mod plugins;
mod produce;
mod produce_session;
mod producer_ids;
mod session;
mod settings;
mod status;
mod storage;
mod subscribe;
mod topic;
mod view;

pub use alias::ReadAlias;
pub use config::{NodeConfig, PluginConfig};
pub use derive::DERIVE_TOPIC;
pub use groups::{AskError, GROUPS_TOPIC, Groups};
pub use internal::is_internal;
pub use node::{Broker, Node, StartError};
pub use offline::topic_names;
pub use produce::{LEADER_EPOCH, MAX_REFUSED_RECORDS, Outcome, PendingAck, refused_records};
pub use tidegate_plugin::Backend;
pub use topic::{Partition, Topic, Topics};

/// Program and version, as told to the other end.
const SOFTWARE: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
