//! The keys of a pipeline's records: what a record is, whose, and for which partition.
//!
//! A key is a letter, the pipeline's 16 bytes, the partition as four bytes, big endian, and for
//! some more after that: `p` is how far the partition got, `c` its chain; `s` and the plugin's name,
//! preceded by its length, and a key of the plugin's own is an entry of its state; `t` and a key is
//! a value of the table.

use tidegate_plugin::hash_of;
use tidegate_types::{PartitionId, PluginName, TopicId, TopicName};

/// Which pipeline: follows from the topic's id, the target's name, and which life it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PipelineId([u8; 16]);

impl PipelineId {
    pub(super) fn new(topic: TopicId, to: &TopicName, life: u64) -> PipelineId {
        let parts = [topic.0.as_bytes(), &life.to_be_bytes()[..], to.as_str().as_bytes()];
        let hash = hash_of(&parts.concat());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.0[..16]);
        PipelineId(id)
    }

    /// The pipeline that a key belongs to.
    pub(super) fn of_key(key: &[u8]) -> Option<PipelineId> {
        key.get(1..)?.first_chunk().copied().map(PipelineId)
    }

    /// What all keys of a kind begin with.
    pub(super) fn all(self, kind: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(64);
        key.push(kind);
        key.extend_from_slice(&self.0);
        key
    }

    fn of(self, kind: u8, partition: PartitionId) -> Vec<u8> {
        let mut key = self.all(kind);
        key.extend_from_slice(&partition.get().to_be_bytes());
        key
    }

    pub(super) fn progress(self, partition: PartitionId) -> Vec<u8> {
        self.of(b'p', partition)
    }

    pub(super) fn chain(self, partition: PartitionId) -> Vec<u8> {
        self.of(b'c', partition)
    }

    /// What the keys of one partition's state begin with, all plugins' together.
    pub(super) fn states(self, partition: PartitionId) -> Vec<u8> {
        self.of(b's', partition)
    }

    /// What the keys of one plugin's state begin with.
    pub(super) fn state(self, partition: PartitionId, plugin: &PluginName) -> Vec<u8> {
        let mut key = self.states(partition);
        let name = plugin.as_str().as_bytes();
        // Names are at most 64 bytes long.
        key.push(name.len() as u8);
        key.extend_from_slice(name);
        key
    }

    pub(super) fn table(self, partition: PartitionId) -> Vec<u8> {
        self.of(b't', partition)
    }
}

/// The kinds of records, for what concerns all of a pipeline.
pub(super) const KINDS: [u8; 4] = [b'p', b'c', b's', b't'];
