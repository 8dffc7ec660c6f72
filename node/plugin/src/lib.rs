//! The wasmtime host: install, compile, limit, run.
//!
//! A plugin is a WASM component against `wit/plugin.wit`. [`PluginHost`] takes it in and keeps its
//! machine code; [`Plugin`] is one that is loaded; [`Instance`] runs it over [`Columns`] and gives
//! an [`Outcome`] in which every index and length is checked.
//!
//! What holds: nothing that a plugin does can cost more than its limits, and whatever it does, the
//! caller learns in words. A plugin has no files, network, clock or randomness. What this crate
//! does not do: it decides no policy and appends nothing.

mod abi;
pub mod apply;
mod cache;
mod columns;
mod deadline;
mod fate;
mod guest;
mod hash;
mod host;
mod inspect;
mod instance;
mod outcome;
mod plugin;
mod signature;
mod state;
mod ticker;

pub use abi::LogLevel;
pub use columns::{Columns, Needs, PackedHeaders, PushError};
pub use deadline::Grant;
pub use fate::{Fate, FateKind, put_bytes, run_for_fates};
pub use guest::{Journal, LogLine};
pub use hash::hash_of;
pub use host::{Backend, HostConfig, HostError, InstallError, Installed, LoadError, PluginHost};
pub use inspect::InspectError;
pub use instance::{Instance, RunContext, RunError};
pub use outcome::{Column, Emitted, Failure, Kept, Outcome, Output, Part, Tag, Tags, Verdict};
pub use plugin::{InstantiateError, Limits, Plugin};
pub use signature::{SignatureError, SigningKey, generate_key, signer};
pub use state::{Lookup, MemoryState, State, StateEntry};
