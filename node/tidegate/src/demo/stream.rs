//! A stream of records: its topic, the plugins on its way, and how its records are told apart.

use tidegate_types::PoisonPolicy;

use super::expect::{Identity, Made, Order};
use super::file::FileSource;
use super::fleet::Fleet;

/// A stock plugin as it is attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginUse {
    /// Its name.
    pub name: &'static str,
    /// Its configuration, JSON text.
    pub config: String,
    /// What becomes of records on which it fails.
    pub policy: PoisonPolicy,
}

impl PluginUse {
    /// A plugin that must not fail on any record.
    pub fn strict(name: &'static str, config: String) -> PluginUse {
        PluginUse { name, config, policy: PoisonPolicy::Halt }
    }
}

/// Records of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    /// The topic at the edge.
    pub topic: &'static str,
    /// Its partitions.
    pub partitions: u32,
    /// Plugins on its way, in the order in which they run.
    pub plugins: Vec<PluginUse>,
    /// Where its records carry their ids.
    pub identity: Identity,
    /// In which order they must be read.
    pub order: Order,
}

/// Where the bulk of the records comes from.
pub enum Source {
    /// Made up.
    Fleet(Fleet),
    /// Lines of a file, again and again.
    File(FileSource),
}

impl Source {
    /// What its records go to.
    pub fn streams(&self) -> Vec<Stream> {
        match self {
            Source::Fleet(fleet) => fleet.streams(),
            Source::File(file) => vec![file.stream()],
        }
    }

    /// The next record.
    pub fn next(&mut self) -> Made {
        match self {
            Source::Fleet(fleet) => fleet.next(),
            Source::File(file) => file.next(),
        }
    }

    /// What it is, for the report.
    pub fn told(&self) -> String {
        match self {
            Source::Fleet(_) => "a made-up fleet of 60 sensors and 12 gateways".to_owned(),
            Source::File(file) => file.told(),
        }
    }
}

/// Bytes of key and value.
pub fn size(record: &Made) -> u64 {
    (record.key.len() + record.value.len()) as u64
}
