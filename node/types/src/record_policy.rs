//! What a topic takes from producers.
//!
//! Settings bear Kafka's names. Only what differs from the defaults is stored, by name, beside those
//! of the [`LogPolicy`](crate::LogPolicy).

use std::time::Duration;

use crate::keyword::keyword;
use crate::log_policy::{duration, said};
use crate::{ByteSize, SettingError, format_duration, limits};

keyword! {
    /// Who sets the records' timestamps.
    MessageTime("timestamp type") {
        /// The producer. The default.
        Create = "CreateTime",
        /// The node, as it appends.
        Append = "LogAppendTime",
    }
}

/// Longest span that Kafka can say, in milliseconds: no limit.
const NO_LIMIT: &str = "9223372036854775807";

/// A topic's settings for what producers send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordPolicy {
    /// `max.message.bytes`: largest record batch, header included. Default Kafka's, 1,048,588.
    pub max_batch: ByteSize,
    /// `message.timestamp.type`. Default `CreateTime`.
    pub time: MessageTime,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie before the node's
    /// clock. `None`, the default: no limit.
    pub before: Option<Duration>,
    /// `message.timestamp.after.max.ms`: how far it may lie after it. `None`, the default: no limit.
    /// Kafka's is an hour; a gateway that starts with its clock at 1970 must not refuse its devices.
    pub after: Option<Duration>,
    /// `min.insync.replicas`: with fewer, producers that want all of them are refused. Default 1.
    pub min_insync: u32,
}

impl Default for RecordPolicy {
    fn default() -> RecordPolicy {
        RecordPolicy {
            max_batch: limits::DEFAULT_MAX_BATCH,
            time: MessageTime::Create,
            before: None,
            after: None,
            min_insync: 1,
        }
    }
}

impl RecordPolicy {
    /// All settings by name.
    pub const NAMES: [&str; 6] = [
        "max.message.bytes",
        "message.timestamp.type",
        "message.timestamp.before.max.ms",
        "message.timestamp.after.max.ms",
        "min.insync.replicas",
        "compression.type",
    ];

    /// Makes one setting; says whether it is one of these.
    ///
    /// # Errors
    /// If the value is none that it can have.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool, SettingError> {
        let Some(name) = RecordPolicy::NAMES.into_iter().find(|known| *known == name) else {
            return Ok(false);
        };
        let refused =
            |reason: String| SettingError::Value { name, value: value.to_owned(), reason };
        match name {
            "max.message.bytes" => self.max_batch = batch_size(value).map_err(refused)?,
            "message.timestamp.type" => {
                self.time = value.parse().map_err(|error| refused(said(&error)))?;
            }
            "message.timestamp.before.max.ms" => self.before = span(value).map_err(refused)?,
            "message.timestamp.after.max.ms" => self.after = span(value).map_err(refused)?,
            "min.insync.replicas" => {
                let replicas = value.parse().ok().filter(|replicas| (1..=1_000).contains(replicas));
                let wanted = || refused("it must be a number from 1 to 1000".to_owned());
                self.min_insync = replicas.ok_or_else(wanted)?;
            }
            // Batches are never packed anew.
            _ if value != "producer" => {
                let reason = "batches stay as the producer packed them: it can only be producer";
                return Err(refused(reason.to_owned()));
            }
            _ => {}
        }
        Ok(true)
    }

    /// Every setting with its value, in the order of [`NAMES`](RecordPolicy::NAMES).
    #[must_use]
    pub fn entries(&self) -> [(&'static str, String); 6] {
        let span = |span: Option<Duration>| span.map_or(NO_LIMIT.to_owned(), format_duration);
        let values = [
            self.max_batch.get().to_string(),
            self.time.to_string(),
            span(self.before),
            span(self.after),
            self.min_insync.to_string(),
            "producer".to_owned(),
        ];
        let mut values = values.into_iter();
        RecordPolicy::NAMES.map(|name| (name, values.next().unwrap_or_default()))
    }

    /// The settings that differ from the defaults.
    #[must_use]
    pub fn overrides(&self) -> Vec<(&'static str, String)> {
        let defaults = RecordPolicy::default().entries();
        let entries = self.entries().into_iter().zip(defaults);
        entries.filter(|(entry, default)| entry != default).map(|(entry, _)| entry).collect()
    }
}

fn batch_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error| said(&error))?;
    // A larger limit than the node's own is none of the topic's.
    if size > limits::MAX_BATCH {
        return Err(format!("this node takes batches of at most {}", limits::MAX_BATCH.get()));
    }
    Ok(size)
}

fn span(text: &str) -> Result<Option<Duration>, String> {
    if text == NO_LIMIT { Ok(None) } else { duration(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_back_what_it_prints() {
        let mut policy = RecordPolicy::default();
        assert!(policy.overrides().is_empty());
        for (name, value) in [
            ("max.message.bytes", "12582912"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "1d"),
            ("message.timestamp.after.max.ms", "3600000"),
            ("min.insync.replicas", "2"),
        ] {
            assert!(policy.set(name, value).unwrap(), "{name}");
        }
        assert_eq!(policy.overrides().len(), 5);
        let mut again = RecordPolicy::default();
        for (name, value) in policy.entries() {
            assert!(again.set(name, &value).unwrap());
        }
        assert_eq!(again, policy);
        assert!(!again.set("retention.ms", "1").unwrap());
    }

    #[test]
    fn a_value_that_cannot_be_is_told_with_its_setting() {
        let mut policy = RecordPolicy::default();
        for (name, value) in [
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "1 GiB"),
            ("max.message.bytes", "12582913"),
            ("message.timestamp.type", "MyTime"),
            ("message.timestamp.after.max.ms", "-1"),
            ("min.insync.replicas", "0"),
            ("compression.type", "zstd"),
        ] {
            let error = policy.set(name, value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        assert_eq!(policy, RecordPolicy::default());
    }
}
