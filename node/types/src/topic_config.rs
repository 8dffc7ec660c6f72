//! A topic's settings, as fields and by name.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Flush, LogPolicy, ParseKeywordError, ParseSizeError, SettingError, limits};

/// A topic's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicConfig {
    /// Number of partitions, 1 to [`limits::MAX_PARTITIONS_PER_TOPIC`].
    pub partitions: u32,
    /// Size at which a segment is sealed and the next one begun.
    pub segment: ByteSize,
    /// When appends are synced.
    pub flush: Flush,
    /// What becomes of old records, and of new ones on a full disk.
    pub policy: LogPolicy,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            partitions: 1,
            segment: limits::DEFAULT_SEGMENT,
            flush: Flush::Always,
            policy: LogPolicy::default(),
        }
    }
}

impl TopicConfig {
    /// Every setting that can be made by name; the number of partitions is none.
    pub const SETTINGS: [&str; 10] = {
        let mut all = ["segment.bytes", "flush", "", "", "", "", "", "", "", ""];
        let mut at = 0;
        while at < LogPolicy::NAMES.len() {
            all[at + 2] = LogPolicy::NAMES[at];
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
            _ => self.policy.set(name, value)?,
        }
        Ok(())
    }

    /// Every setting with its value; reads back with [`set`](TopicConfig::set).
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let own =
            [("segment.bytes", self.segment.get().to_string()), ("flush", self.flush.to_string())];
        own.into_iter().chain(self.policy.entries())
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
}
