//! Shape of `topic`.

use clap::{Args, Subcommand};
use tidegate_types::{ByteSize, Flush, TopicName, limits};

/// What to do with topics.
#[derive(Subcommand, Debug)]
pub enum TopicCommand {
    /// Make a topic
    Create(TopicCreate),
    /// List all topics
    List,
    /// Describe a topic and its partitions
    Describe {
        /// The topic
        name: TopicName,
    },
    /// Delete a topic and its records, at once and for good
    Delete {
        /// The topic
        name: TopicName,
    },
}

/// Options of `topic create`.
#[derive(Args, Debug)]
pub struct TopicCreate {
    /// Its name
    pub name: TopicName,
    /// Number of partitions
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = partitions())]
    pub partitions: u32,
    /// Size at which a segment file is sealed and the next one begun
    #[arg(long, value_name = "SIZE", default_value_t = limits::DEFAULT_SEGMENT)]
    pub segment: ByteSize,
    /// When appends are synced: always (before they are acknowledged), or os (a power cut may
    /// lose acknowledged records)
    #[arg(long, value_name = "always|os", default_value_t = Flush::Always)]
    pub flush: Flush,
    /// Succeed if the topic exists; it is left as it is
    #[arg(long)]
    pub if_not_exists: bool,
}

fn partitions() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(limits::MAX_PARTITIONS_PER_TOPIC))
}
