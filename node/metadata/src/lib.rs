//! The cluster image and its commands, applied deterministically and kept in redb.
//!
//! What a site knows of itself (topics, plugins, attachments, links, producer ids) is one
//! [`Image`]. It changes only by a [`Command`], and [`Image::apply`] gives the same image for the
//! same commands everywhere: whatever is random or timed is chosen beforehand and lies in the
//! command. Where the commands come from is another matter: [`MetadataStore`] numbers them itself
//! and keeps them in one redb file; a replicated log can number them instead.
//!
//! What it holds true:
//! - A command is durable before anyone sees the image that it makes. A crash at any point leaves
//!   the image before it or the image after it.
//! - A rejected command changes nothing, and says what to do instead.
//! - What an earlier version wrote is read by later ones; what a later one wrote is refused.
//!
//! What it does not do: it neither makes nor deletes logs, compiles no plugins, dials nobody. It
//! holds what is to be; the broker makes it so.

mod apply;
mod backend;
mod command;
mod format;
mod image;
mod limits;
mod rejection;
mod store;

pub use command::{Command, Outcome};
pub use format::{
    AttachmentV1, Entry, FormatError, decode_entry, decode_snapshot, encode_entry, encode_snapshot,
};
pub use image::{Image, InconsistentImage, Topic};
pub use limits::{
    MAX_ATTACHMENTS_PER_TOPIC, MAX_LINK_ADDRESS, MAX_LINK_TOPICS, MAX_LINKS, MAX_PEM,
    MAX_PLUGIN_VERSIONS, MAX_PLUGINS, MAX_PRODUCER_ID_BLOCK, MAX_SEGMENT, MAX_TOPICS, MIN_SEGMENT,
};
pub use rejection::Rejection;
pub use store::{DatabaseSource, MetadataStore, NodeRecord, OpenError, StoreOptions, SubmitError};
