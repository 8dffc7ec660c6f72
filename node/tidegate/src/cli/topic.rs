//! Shape of `topic`.

use clap::{Args, Subcommand};
use tidegate_types::{ByteSize, Flush, StartPosition, TopicConfig, TopicName, limits};

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
    /// Change a topic's settings, while it is at work
    Set(TopicSet),
    /// Remove a topic's records from the start, for good
    Trim(TopicTrim),
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
    /// A setting by Kafka's name, as retention.ms=7d, retention.bytes=1GiB, cleanup.policy=compact
    /// or disk.full=drop-oldest; repeatable
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = setting)]
    pub config: Vec<(String, String)>,
    /// Succeed if the topic exists; it is left as it is
    #[arg(long)]
    pub if_not_exists: bool,
}

/// Options of `topic set`.
#[derive(Args, Debug)]
pub struct TopicSet {
    /// The topic
    pub name: TopicName,
    /// Settings by name, as `topic describe` shows them: retention.ms=7d; partitions=N adds
    /// partitions
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = change)]
    pub settings: Vec<(String, String)>,
}

/// Options of `topic trim`.
#[derive(Args, Debug)]
pub struct TopicTrim {
    /// The topic
    pub name: TopicName,
    /// The partition [default: all]
    #[arg(short, long, value_name = "N")]
    pub partition: Option<u32>,
    /// First record that stays: an offset, end, -N before the end, or @TIME in ms since 1970
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    pub to: StartPosition,
}

/// As [`setting`], for a topic that exists, which can also get more partitions.
fn change(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name @ "partitions", value)) => match value.parse::<u32>() {
            Ok(1..) => Ok((name.to_owned(), value.to_owned())),
            _ => Err("partitions are a number from 1".to_owned()),
        },
        _ => setting(text),
    }
}

/// Splits and checks a setting.
pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write it as NAME=VALUE".to_owned())?;
    TopicConfig::default().set(name, value).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn partitions() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(limits::MAX_PARTITIONS_PER_TOPIC))
}
