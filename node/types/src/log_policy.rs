//! What becomes of a log's old records, and of new ones when the disk is full.
//!
//! Settings bear Kafka's names where Kafka has them, and read what Kafka reads (`604800000`, `-1`)
//! as well as `7d` and `1 GiB`.

use std::time::Duration;

use crate::keyword::keyword;
use crate::{ByteSize, TopicConfig, format_duration, limits, parse_duration};

keyword! {
    /// How old records leave a log.
    Cleanup("cleanup policy") {
        /// By age and size, whole segments at a time. The default.
        Delete = "delete",
        /// Those whose key has a later record; the rest stay for ever.
        Compact = "compact",
        /// Both.
        CompactDelete = "compact,delete",
    }
}

impl Cleanup {
    /// Whether records leave by age and size.
    #[must_use]
    pub fn deletes(self) -> bool {
        self != Cleanup::Compact
    }

    /// Whether records leave once their key has a later one.
    #[must_use]
    pub fn compacts(self) -> bool {
        self != Cleanup::Delete
    }
}

keyword! {
    /// What a log does when the disk is full.
    WhenFull("disk full policy") {
        /// Producers are refused, with an error that may be retried. The default.
        Reject = "reject",
        /// The oldest segments are dropped to make room: an explicit gap, counted and told.
        DropOldest = "drop-oldest",
    }
}

/// A log's settings for its old records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPolicy {
    /// `cleanup.policy`. Default `delete`.
    pub cleanup: Cleanup,
    /// `retention.ms`: records older than this may be deleted. `None` (`-1`): never. Default 7 days.
    pub retention: Option<Duration>,
    /// `retention.bytes`, per partition: the oldest segments beyond this are deleted. `None`
    /// (`-1`), the default: no limit.
    pub retention_bytes: Option<ByteSize>,
    /// `segment.ms`: a segment older than this is closed although it is not full, so that retention
    /// and compaction reach it. Default 7 days.
    pub segment_age: Duration,
    /// `min.compaction.lag.ms`: a record stays at least this long before compaction may remove it.
    /// Default 0.
    pub min_compaction_lag: Duration,
    /// `min.cleanable.dirty.ratio`, in percent: compaction waits until this part of the log was
    /// not compacted yet. Default 50.
    pub min_dirty_percent: u8,
    /// `delete.retention.ms`: how long a tombstone outlives the compaction that first met it, so
    /// that slow consumers see it. Default 1 day.
    pub delete_retention: Duration,
    /// `disk.full`. Default `reject`.
    pub when_full: WhenFull,
}

impl Default for LogPolicy {
    fn default() -> LogPolicy {
        LogPolicy {
            cleanup: Cleanup::Delete,
            retention: Some(limits::DEFAULT_RETENTION),
            retention_bytes: None,
            segment_age: limits::DEFAULT_SEGMENT_AGE,
            min_compaction_lag: Duration::ZERO,
            min_dirty_percent: 50,
            delete_retention: limits::DEFAULT_DELETE_RETENTION,
            when_full: WhenFull::Reject,
        }
    }
}

/// A setting that cannot be made so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no such setting.
    #[error("there is no topic setting {name:?}: use one of {}", TopicConfig::SETTINGS.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The value is not one.
    #[error("{name} cannot be {value:?}: {reason}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        value: String,
        /// Why not.
        reason: String,
    },
}

impl LogPolicy {
    /// All settings by name.
    pub const NAMES: [&str; 8] = [
        "cleanup.policy",
        "retention.ms",
        "retention.bytes",
        "segment.ms",
        "min.compaction.lag.ms",
        "min.cleanable.dirty.ratio",
        "delete.retention.ms",
        "disk.full",
    ];

    /// Makes one setting.
    ///
    /// # Errors
    /// If there is no such setting, or the value is none that it can have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let Some(name) = LogPolicy::NAMES.into_iter().find(|known| *known == name) else {
            return Err(SettingError::Unknown { name: name.to_owned() });
        };
        let refused =
            |reason: String| SettingError::Value { name, value: value.to_owned(), reason };
        match name {
            "cleanup.policy" => {
                let value = if value == "delete,compact" { "compact,delete" } else { value };
                self.cleanup = value.parse().map_err(|error| refused(said(&error)))?;
            }
            "retention.ms" => self.retention = duration_or_none(value).map_err(refused)?,
            "retention.bytes" => self.retention_bytes = size_or_none(value).map_err(refused)?,
            "segment.ms" => {
                let age = duration(value).map_err(refused)?;
                if age.is_zero() {
                    return Err(refused("it must be at least 1 ms".to_owned()));
                }
                self.segment_age = age;
            }
            "min.compaction.lag.ms" => {
                self.min_compaction_lag = duration(value).map_err(refused)?
            }
            "min.cleanable.dirty.ratio" => {
                self.min_dirty_percent = ratio(value).map_err(refused)?;
            }
            "delete.retention.ms" => self.delete_retention = duration(value).map_err(refused)?,
            _ => self.when_full = value.parse().map_err(|error| refused(said(&error)))?,
        }
        Ok(())
    }

    /// Every setting with its value, in the order of [`NAMES`](LogPolicy::NAMES); reads back with
    /// [`set`](LogPolicy::set).
    #[must_use]
    pub fn entries(&self) -> [(&'static str, String); 8] {
        let none = || "-1".to_owned();
        let values = [
            self.cleanup.to_string(),
            self.retention.map_or_else(none, format_duration),
            self.retention_bytes.map_or_else(none, |size| size.get().to_string()),
            format_duration(self.segment_age),
            format_duration(self.min_compaction_lag),
            format!("{}.{:02}", self.min_dirty_percent / 100, self.min_dirty_percent % 100),
            format_duration(self.delete_retention),
            self.when_full.to_string(),
        ];
        let mut values = values.into_iter();
        LogPolicy::NAMES.map(|name| (name, values.next().unwrap_or_default()))
    }

    /// The settings that differ from the defaults.
    #[must_use]
    pub fn overrides(&self) -> Vec<(&'static str, String)> {
        let defaults = LogPolicy::default().entries();
        let entries = self.entries().into_iter().zip(defaults);
        entries.filter(|(entry, default)| entry != default).map(|(entry, _)| entry).collect()
    }
}

pub(crate) fn said(error: &impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis) => Ok(Duration::from_millis(millis)),
        Err(_) => parse_duration(text).map_err(|error| said(&error)),
    }
}

fn duration_or_none(text: &str) -> Result<Option<Duration>, String> {
    if text == "-1" { Ok(None) } else { duration(text).map(Some) }
}

fn size_or_none(text: &str) -> Result<Option<ByteSize>, String> {
    if text == "-1" { Ok(None) } else { text.parse().map(Some).map_err(|error| said(&error)) }
}

fn ratio(text: &str) -> Result<u8, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok((ratio * 100.0).round() as u8),
        _ => Err("it must be a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_back_what_it_prints() {
        let mut policy = LogPolicy::default();
        assert_eq!(policy.overrides(), []);
        let values =
            ["delete,compact", "-1", "1 GiB", "3600000", "90s", "0.07", "0", "drop-oldest"];
        for (name, value) in LogPolicy::NAMES.into_iter().zip(values) {
            policy.set(name, value).unwrap();
        }
        assert_eq!(policy.retention, None);
        assert_eq!(policy.retention_bytes, Some(ByteSize::gib(1)));
        assert_eq!(policy.segment_age, Duration::from_secs(3_600));
        assert_eq!(policy.min_dirty_percent, 7);
        assert_eq!(policy.overrides().len(), 8);
        let mut again = LogPolicy::default();
        for (name, value) in policy.entries() {
            again.set(name, &value).unwrap();
        }
        assert_eq!(again, policy);
    }

    #[test]
    fn what_no_setting_can_be_is_refused_with_the_reason() {
        let mut policy = LogPolicy::default();
        let error = policy.set("retention", "1").unwrap_err().to_string();
        assert!(error.contains("retention.ms"), "{error}");
        for (name, value) in [
            ("cleanup.policy", "shred"),
            ("retention.ms", "-2"),
            ("retention.bytes", "much"),
            ("segment.ms", "0"),
            ("min.cleanable.dirty.ratio", "1.1"),
            ("min.cleanable.dirty.ratio", "NaN"),
            ("disk.full", "explode"),
        ] {
            let error = policy.set(name, value).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        assert_eq!(policy, LogPolicy::default());
    }
}
