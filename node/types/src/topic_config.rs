//! A topic's settings, as fields and by name.
//!
//! Only what differs from the defaults is stored, by name, so that a setting can be added without
//! changing a format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ByteSize, Flush, LogPolicy, NOTED, Noted, ParseKeywordError, ParseSizeError, RecordPolicy,
    SettingError, limits,
};

/// A topic's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TopicConfig {
    /// Number of partitions, 1 to [`limits::MAX_PARTITIONS_PER_TOPIC`].
    pub partitions: u32,
    /// Size at which a segment is sealed and the next one begun.
    pub segment: ByteSize,
    /// When appends are synced.
    pub flush: Flush,
    /// What becomes of old records, and of new ones on a full disk.
    pub policy: LogPolicy,
    /// What is taken from producers.
    pub records: RecordPolicy,
    /// Settings of Kafka's without a meaning here that were made all the same; see [`NOTED`].
    pub noted: BTreeMap<&'static str, String>,
}

/// How it lies in files and frames.
#[derive(Serialize, Deserialize)]
struct Stored {
    partitions: u32,
    segment: ByteSize,
    flush: Flush,
    overrides: Vec<(String, String)>,
}

impl From<TopicConfig> for Stored {
    fn from(config: TopicConfig) -> Stored {
        let TopicConfig { partitions, segment, flush, policy, records, noted } = config;
        let named = policy.overrides().into_iter().chain(records.overrides()).chain(noted);
        let overrides = named.map(|(name, value)| (name.to_owned(), value)).collect();
        Stored { partitions, segment, flush, overrides }
    }
}

impl TryFrom<Stored> for TopicConfig {
    type Error = SettingError;

    fn try_from(stored: Stored) -> Result<TopicConfig, SettingError> {
        let Stored { partitions, segment, flush, overrides } = stored;
        let mut config = TopicConfig { partitions, segment, flush, ..TopicConfig::default() };
        for (name, value) in overrides {
            config.set(&name, &value)?;
        }
        Ok(config)
    }
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            partitions: 1,
            segment: limits::DEFAULT_SEGMENT,
            flush: Flush::Always,
            policy: LogPolicy::default(),
            records: RecordPolicy::default(),
            noted: BTreeMap::new(),
        }
    }
}

impl TopicConfig {
    /// Every setting that means something, by name; the number of partitions is none.
    pub const SETTINGS: [&str; 2 + LogPolicy::NAMES.len() + RecordPolicy::NAMES.len()] = {
        let mut all = [""; 2 + LogPolicy::NAMES.len() + RecordPolicy::NAMES.len()];
        (all[0], all[1]) = ("segment.bytes", "flush");
        let mut at = 0;
        while at < LogPolicy::NAMES.len() {
            all[2 + at] = LogPolicy::NAMES[at];
            at += 1;
        }
        at = 0;
        while at < RecordPolicy::NAMES.len() {
            all[2 + LogPolicy::NAMES.len() + at] = RecordPolicy::NAMES[at];
            at += 1;
        }
        all
    };

    /// Makes one setting.
    ///
    /// # Errors
    /// If there is no such setting, or the value is none that it can have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let refused = |name, reason: String| {
            let value = value.to_owned();
            SettingError::Value { name, value, reason }
        };
        match name {
            "segment.bytes" => {
                let size = value.parse();
                self.segment =
                    size.map_err(|e: ParseSizeError| refused("segment.bytes", e.to_string()))?;
            }
            "flush" => {
                let flush = value.parse();
                self.flush =
                    flush.map_err(|e: ParseKeywordError| refused("flush", e.to_string()))?;
            }
            _ => {
                if let Some(noted) = Noted::find(name) {
                    noted.check(value).map_err(|reason| refused(noted.name, reason))?;
                    self.noted.insert(noted.name, value.to_owned());
                } else if !self.records.set(name, value)? {
                    self.policy.set(name, value)?;
                }
            }
        }
        Ok(())
    }

    /// Gives one setting its default; says whether there is such a setting.
    pub fn reset(&mut self, name: &str) -> bool {
        if self.noted.remove(name).is_some() || Noted::find(name).is_some() {
            return true;
        }
        let default = TopicConfig::default().settings().find(|(known, _)| *known == name);
        default.is_some_and(|(name, value)| self.set(name, &value).is_ok())
    }

    /// Every setting that means something with its value; reads back with
    /// [`set`](TopicConfig::set).
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let own =
            [("segment.bytes", self.segment.get().to_string()), ("flush", self.flush.to_string())];
        own.into_iter().chain(self.policy.entries()).chain(self.records.entries())
    }

    /// The settings without a meaning here, with what they are or would be in Kafka.
    pub fn noted(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let value = |noted: &'static Noted| self.noted.get(noted.name).map(String::as_str);
        NOTED.iter().map(move |noted| (noted.name, value(noted).unwrap_or(noted.default)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_settings_read_back_by_name() {
        let config = TopicConfig { flush: Flush::Os, ..TopicConfig::default() };
        let mut again = TopicConfig::default();
        for ((name, value), listed) in config.settings().zip(TopicConfig::SETTINGS) {
            assert_eq!(name, listed);
            again.set(name, &value).unwrap();
        }
        assert_eq!(again, config);
        for (name, value) in [("segment.bytes", "-1"), ("flush", "never"), ("partitions", "2")] {
            let error = again.set(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert_eq!(again, config);
    }

    #[test]
    fn what_was_set_is_stored_and_what_was_not_is_not() {
        let mut config = TopicConfig::default();
        assert!(Stored::from(config.clone()).overrides.is_empty());
        for (name, value) in
            [("retention.ms", "1d"), ("max.message.bytes", "2000"), ("preallocate", "true")]
        {
            config.set(name, value).unwrap();
        }
        let stored = Stored::from(config.clone());
        assert_eq!(stored.overrides.len(), 3);
        assert_eq!(TopicConfig::try_from(stored).unwrap(), config);
    }

    #[test]
    fn a_setting_goes_back_to_its_default() {
        let mut config = TopicConfig::default();
        for name in ["retention.ms", "flush.ms", "message.timestamp.after.max.ms"] {
            config.set(name, "5").unwrap();
            assert!(config.reset(name), "{name}");
        }
        assert_eq!(config, TopicConfig::default());
        assert!(!config.reset("partitions"));
    }
}
