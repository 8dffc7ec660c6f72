//! How commands and images lie on disk. Nothing else knows.
//!
//! | value | layout |
//! | --- | --- |
//! | log entry | version byte, then postcard of (term, [`Command`]); its key is the index |
//! | snapshot | version byte, then postcard of [`Snapshot`] |
//!
//! Postcard numbers enum variants by position and writes fields in order, so that these types
//! grow at the end only, under a new version where that does not do. The golden bytes in the
//! tests hold this. Snapshots have had version 2 since attachments have more to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidegate_types::{Attachment, LinkSpec, PluginVersion};

mod v1;

pub use v1::AttachmentV1;

use crate::{Command, Image, InconsistentImage, Topic};

/// Version of a log entry and of a node's record.
const VERSION: u8 = 1;
/// Version of a snapshot.
const SNAPSHOT_VERSION: u8 = 2;

/// One command with its place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its position; rises, and may leave gaps.
    pub index: u64,
    /// The leader's term in a replicated log; 0 on a node that numbers its commands itself.
    pub term: u64,
    /// The command.
    pub command: Command,
}

/// Why bytes could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// No bytes at all.
    #[error("the {what} is empty")]
    Empty {
        /// What was read.
        what: &'static str,
    },
    /// Written by a program that is newer.
    #[error(
        "the {what} has format version {found}, this program reads up to {known}: use a newer program"
    )]
    Version {
        /// What was read.
        what: &'static str,
        /// The version found.
        found: u8,
        /// The latest that is known.
        known: u8,
    },
    /// The bytes are not what they should be.
    #[error("the {what} cannot be decoded")]
    Decode {
        /// What was read.
        what: &'static str,
        /// What the decoder says.
        source: postcard::Error,
    },
    /// Bytes are left over.
    #[error("the {what} is followed by {len} more bytes")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// How many.
        len: usize,
    },
    /// The value cannot be written.
    #[error("the {what} cannot be encoded")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// What the encoder says.
        source: postcard::Error,
    },
    /// The image is no image.
    #[error(transparent)]
    Inconsistent(#[from] InconsistentImage),
}

#[derive(Serialize, Deserialize)]
struct EntryV1<C> {
    term: u64,
    command: C,
}

/// An image as plain lists. Owned when read, borrowed when written.
#[derive(Serialize, Deserialize)]
struct Snapshot<T, P, A, L> {
    applied: u64,
    topics: Vec<T>,
    /// By name, newest first within each.
    plugins: Vec<P>,
    /// By topic, in running order within each.
    attachments: Vec<A>,
    links: Vec<L>,
    next_producer_id: i64,
}

/// The bytes of an entry, less its index, which is its key.
///
/// # Errors
/// If it cannot be encoded.
pub fn encode_entry(term: u64, command: &Command) -> Result<Vec<u8>, FormatError> {
    encode("log entry", &EntryV1 { term, command })
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// If the bytes are damaged or of a later version.
pub fn decode_entry(index: u64, bytes: &[u8]) -> Result<Entry, FormatError> {
    let EntryV1 { term, command } = decode("log entry", bytes)?;
    let command = match command {
        Command::AttachV1(old) => Command::Attach(old.into()),
        command => command,
    };
    Ok(Entry { index, term, command })
}

/// The bytes of an image.
///
/// # Errors
/// If it cannot be encoded.
pub fn encode_snapshot(image: &Image) -> Result<Vec<u8>, FormatError> {
    let snapshot = Snapshot::<&Topic, &PluginVersion, &Attachment, &LinkSpec> {
        applied: image.applied,
        topics: image.topics.values().map(Arc::as_ref).collect(),
        plugins: image.plugins.values().flat_map(|versions| versions.iter()).collect(),
        attachments: image.all_attachments().collect(),
        links: image.links.values().map(Arc::as_ref).collect(),
        next_producer_id: image.next_producer_id,
    };
    encode_as(SNAPSHOT_VERSION, "snapshot", &snapshot)
}

/// Reads what [`encode_snapshot`] wrote.
///
/// # Errors
/// If the bytes are damaged, of a later version, or no image that commands could make.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Image, FormatError> {
    match bytes.first() {
        Some(1) => {
            let old: Snapshot<Topic, PluginVersion, AttachmentV1, LinkSpec> =
                decode_as(1, "snapshot", bytes)?;
            let Snapshot { applied, topics, plugins, attachments, links, next_producer_id } = old;
            let attachments = attachments.into_iter().map(Attachment::from).collect();
            image(Snapshot { applied, topics, plugins, attachments, links, next_producer_id })
        }
        _ => image(decode_as(SNAPSHOT_VERSION, "snapshot", bytes)?),
    }
}

fn image(
    snapshot: Snapshot<Topic, PluginVersion, Attachment, LinkSpec>,
) -> Result<Image, FormatError> {
    let twice = |what: &str, name: &dyn std::fmt::Display| {
        FormatError::Inconsistent(InconsistentImage { what: format!("{what} {name} comes twice") })
    };
    let mut image = Image {
        applied: snapshot.applied,
        next_producer_id: snapshot.next_producer_id,
        ..Image::default()
    };
    for topic in snapshot.topics {
        image.names.insert(topic.id, topic.name.clone());
        if let Some(other) = image.topics.insert(topic.name.clone(), Arc::new(topic)) {
            return Err(twice("topic", &other.name));
        }
    }
    image.plugins = group(snapshot.plugins, |version| version.name.clone());
    image.attachments = group(snapshot.attachments, |attachment| attachment.topic.clone());
    for link in snapshot.links {
        if let Some(other) = image.links.insert(link.name.clone(), Arc::new(link)) {
            return Err(twice("link", &other.name));
        }
    }
    image.check()?;
    Ok(image)
}

fn group<K: Ord, V: Clone>(values: Vec<V>, key: impl Fn(&V) -> K) -> BTreeMap<K, Arc<Vec<V>>> {
    let mut groups: BTreeMap<K, Vec<V>> = BTreeMap::new();
    for value in values {
        groups.entry(key(&value)).or_default().push(value);
    }
    groups.into_iter().map(|(key, values)| (key, Arc::new(values))).collect()
}

pub(crate) fn encode(what: &'static str, value: &impl Serialize) -> Result<Vec<u8>, FormatError> {
    encode_as(VERSION, what, value)
}

fn encode_as(
    version: u8,
    what: &'static str,
    value: &impl Serialize,
) -> Result<Vec<u8>, FormatError> {
    postcard::to_extend(value, vec![version]).map_err(|source| FormatError::Encode { what, source })
}

pub(crate) fn decode<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    decode_as(VERSION, what, bytes)
}

fn decode_as<T: DeserializeOwned>(
    known: u8,
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    match bytes.split_first() {
        None => Err(FormatError::Empty { what }),
        Some((&version, rest)) if version == known => {
            let (value, rest) = postcard::take_from_bytes(rest)
                .map_err(|source| FormatError::Decode { what, source })?;
            if rest.is_empty() {
                Ok(value)
            } else {
                Err(FormatError::Trailing { what, len: rest.len() })
            }
        }
        Some((&found, _)) => Err(FormatError::Version { what, found, known }),
    }
}

#[cfg(test)]
mod tests;
