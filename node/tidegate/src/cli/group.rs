//! Shape of `group`.

use clap::{Args, Subcommand};
use tidegate_types::{StartPosition, TopicName};

/// What to do with consumer groups.
#[derive(Subcommand, Debug)]
pub enum GroupCommand {
    /// List all groups
    List,
    /// Describe a group: its members, and how far it is in each partition
    Describe {
        /// The group
        group: String,
    },
    /// Move a group without members to another place in a topic
    Seek(GroupSeek),
    /// Delete a group without members, and its offsets
    Delete {
        /// The group
        group: String,
    },
}

/// Options of `group seek`.
#[derive(Args, Debug)]
pub struct GroupSeek {
    /// The group
    pub group: String,
    /// The topic
    pub topic: TopicName,
    /// The partition [default: all]
    #[arg(short, long, value_name = "N")]
    pub partition: Option<u32>,
    /// The next record that it reads: start, end, an offset, +N after the start, -N before the end,
    /// or @TIME in ms since 1970
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    pub to: StartPosition,
}
