//! How far one partition of a pipeline got, and with which chain.

use serde::{Deserialize, Serialize};
use tidegate_types::{Attachment, Offset, PartitionId};

/// The layout of both records.
const VERSION: u8 = 1;

/// Up to where the input was read, and what goes with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The first offset that was not read.
    pub next: Offset,
    /// The highest timestamp of any record before it; -1 without one.
    pub stream_time: i64,
    /// Bytes of state of each plugin, by name.
    pub state_bytes: Vec<(String, u64)>,
    /// Up to where each partition of the table was read.
    pub table: Vec<(PartitionId, Offset)>,
}

impl Progress {
    pub(super) fn new(next: Offset) -> Progress {
        Progress { next, stream_time: -1, state_bytes: Vec::new(), table: Vec::new() }
    }

    pub(super) fn table_next(&self, partition: PartitionId) -> Option<Offset> {
        self.table.iter().find(|(known, _)| *known == partition).map(|(_, next)| *next)
    }

    pub(super) fn set_table_next(&mut self, partition: PartitionId, next: Offset) {
        match self.table.iter_mut().find(|(known, _)| *known == partition) {
            Some((_, known)) => *known = next,
            None => self.table.push((partition, next)),
        }
    }

    pub(super) fn state_bytes(&self, plugin: &str) -> u64 {
        self.state_bytes.iter().find(|(name, _)| name == plugin).map_or(0, |(_, bytes)| *bytes)
    }

    pub(super) fn add_state_bytes(&mut self, plugin: &str, change: i64) {
        if change == 0 {
            return;
        }
        let bytes = self.state_bytes(plugin).saturating_add_signed(change);
        self.state_bytes.retain(|(name, _)| name != plugin);
        self.state_bytes.push((plugin.to_owned(), bytes));
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![VERSION])
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Progress, String> {
        decode(bytes)
    }
}

/// The versions that a partition's steps run with, in order.
pub(super) fn encode_chain(chain: &[Attachment]) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(chain, vec![VERSION])
}

/// Reads what [`encode_chain`] wrote.
pub(super) fn decode_chain(bytes: &[u8]) -> Result<Vec<Attachment>, String> {
    decode(bytes)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| e.to_string()),
        Some((version, _)) => {
            Err(format!("it has version {version}, this program knows {VERSION} only"))
        }
        None => Err("it is empty".to_owned()),
    }
}
