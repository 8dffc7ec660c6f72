//! A topic's settings in Kafka's form: milliseconds and bytes as plain numbers, -1 for no limit.
//!
//! `flush` is `flush.messages` here: 1 is its `always`, the largest number its `os`. What lies on
//! other machines in a tiered Kafka can only be as it is: nowhere.
//!
//! Whether a setting was made or has its default is told by its value: one that was set to what is
//! the default anyway counts as not made.

use std::collections::HashMap;

use tidegate_broker::Broker;
use tidegate_types::{Flush, TopicConfig, parse_duration};

use super::setting::{BYGONE, Kind, SETTINGS, Setting, find};

/// A number that stands for no limit.
const NO_LIMIT: &str = "9223372036854775807";

/// The setting that is `flush` elsewhere.
const FLUSH_MESSAGES: &str = "flush.messages";

/// Settings of tiered storage, which can only be what they are.
const FIXED: [(&str, &str); 5] = [
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("remote.log.copy.disable", "false"),
    ("remote.log.delete.on.disable", "false"),
    ("remote.storage.enable", "false"),
];

/// A setting with its value.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) setting: &'static Setting,
    pub(super) value: String,
    /// What topics have that do not say otherwise.
    pub(super) default: String,
}

impl Value {
    /// Whether the topic itself says so.
    pub(super) fn is_set(&self) -> bool {
        self.value != self.default
    }
}

/// All settings of a topic, by name.
pub(super) fn values(config: &TopicConfig) -> Vec<Value> {
    let (mut now, mut defaults) = (told(config), told(&TopicConfig::default()));
    let bygone = config.noted.contains_key(BYGONE.name).then_some(&BYGONE);
    let mut values: Vec<_> = SETTINGS
        .iter()
        .chain(bygone)
        .map(|setting| Value {
            setting,
            value: now.remove(setting.name).unwrap_or_default(),
            default: defaults.remove(setting.name).unwrap_or_default(),
        })
        .collect();
    values.sort_by_key(|value| value.setting.name);
    values
}

/// What one setting is.
pub(super) fn value(config: &TopicConfig, name: &str) -> Option<String> {
    told(config).remove(name)
}

/// Every setting, in Kafka's form.
fn told(config: &TopicConfig) -> HashMap<&'static str, String> {
    let flush = match config.flush {
        Flush::Always => "1",
        Flush::Os => NO_LIMIT,
    };
    let fixed = FIXED.into_iter().chain([(FLUSH_MESSAGES, flush)]).chain(config.noted());
    let mut told: HashMap<_, _> = fixed.map(|(name, value)| (name, value.to_owned())).collect();
    told.extend(config.settings().filter_map(|(name, value)| {
        let setting = find(name)?;
        Some((name, plain(setting.kind, value)))
    }));
    told
}

/// `7d` as milliseconds, `0.50` as Java prints it.
fn plain(kind: Kind, value: String) -> String {
    match kind {
        Kind::Long => match parse_duration(&value) {
            Ok(duration) => duration.as_millis().to_string(),
            Err(_) => value,
        },
        Kind::Double => match value.parse::<f64>() {
            Ok(number) => format!("{number:?}"),
            Err(_) => value,
        },
        _ => value,
    }
}

/// Makes one setting; otherwise says why not.
pub(crate) fn set(config: &mut TopicConfig, name: &str, value: &str) -> Result<(), String> {
    let Some(setting) = find(name) else {
        return Err(format!("Unknown topic config name: {name}"));
    };
    let value = value.trim();
    let refused = |why: &str| Err(format!("Invalid value {value} for configuration {name}: {why}"));
    if let Err(why) = setting.kind.check(value) {
        return refused(why);
    }
    if let Some((_, fixed)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
        if value.eq_ignore_ascii_case(fixed) {
            return Ok(());
        }
        return refused(&format!("it can only be {fixed}, since nothing is stored elsewhere"));
    }
    if name == FLUSH_MESSAGES {
        config.flush = match value {
            "1" => Flush::Always,
            NO_LIMIT => Flush::Os,
            _ => {
                return refused(&format!(
                    "batches are synced each (1) or when the operating system likes ({NO_LIMIT})"
                ));
            }
        };
        return Ok(());
    }
    let value = match setting.kind {
        Kind::List => list(value).join(","),
        Kind::Boolean => value.to_ascii_lowercase(),
        _ => value.to_owned(),
    };
    let mut changed = config.clone();
    changed.set(name, &value).map_err(|error| error.to_string())?;
    let possible = Broker::SEGMENT_SIZES;
    if !possible.contains(&changed.segment) {
        let (least, most) = (possible.start().get(), possible.end().get());
        return refused(&format!("it must be from {least} to {most}"));
    }
    *config = changed;
    Ok(())
}

/// Gives one setting its default. One that does not exist has it already.
pub(super) fn reset(config: &mut TopicConfig, name: &str) {
    if name == FLUSH_MESSAGES {
        config.flush = TopicConfig::default().flush;
    } else if find(name).is_some() {
        config.reset(name);
    }
}

/// The members of a list.
pub(super) fn list(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(config: &TopicConfig, name: &str) -> String {
        value(config, name).unwrap()
    }

    #[test]
    fn defaults_are_those_of_kafka_but_for_the_meant_ones() {
        // As Kafka 4.3.1 describes a topic of which nothing was set.
        let kafka = [
            ("cleanup.policy", "delete"),
            ("compression.gzip.level", "-1"),
            ("compression.lz4.level", "9"),
            ("compression.type", "producer"),
            ("compression.zstd.level", "3"),
            ("delete.retention.ms", "86400000"),
            ("file.delete.delay.ms", "60000"),
            ("flush.messages", "9223372036854775807"),
            ("flush.ms", "9223372036854775807"),
            ("follower.replication.throttled.replicas", ""),
            ("index.interval.bytes", "4096"),
            ("leader.replication.throttled.replicas", ""),
            ("local.retention.bytes", "-2"),
            ("local.retention.ms", "-2"),
            ("max.compaction.lag.ms", "9223372036854775807"),
            ("max.message.bytes", "1048588"),
            ("message.timestamp.after.max.ms", "3600000"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
            ("message.timestamp.type", "CreateTime"),
            ("min.cleanable.dirty.ratio", "0.5"),
            ("min.compaction.lag.ms", "0"),
            ("min.insync.replicas", "1"),
            ("preallocate", "false"),
            ("remote.log.copy.disable", "false"),
            ("remote.log.delete.on.disable", "false"),
            ("remote.storage.enable", "false"),
            ("retention.bytes", "-1"),
            ("retention.ms", "604800000"),
            ("segment.bytes", "1073741824"),
            ("segment.index.bytes", "10485760"),
            ("segment.jitter.ms", "0"),
            ("segment.ms", "604800000"),
            ("unclean.leader.election.enable", "false"),
        ];
        let meant = [
            ("disk.full", "reject"),
            ("flush.messages", "1"),
            ("message.timestamp.after.max.ms", NO_LIMIT),
            ("segment.bytes", "67108864"),
        ];
        let values = values(&TopicConfig::default());
        assert!(values.is_sorted_by(|a, b| a.setting.name < b.setting.name));
        assert!(values.iter().all(|value| !value.is_set()));
        for Value { setting, value, .. } in &values {
            let find = |list: &[(&str, &'static str)]| {
                list.iter().find(|(name, _)| *name == setting.name).map(|(_, value)| *value)
            };
            let expected = find(&meant).or_else(|| find(&kafka));
            assert_eq!(Some(value.as_str()), expected, "{}", setting.name);
        }
        assert_eq!(values.len(), kafka.len() + 1);
    }

    #[test]
    fn what_is_set_is_told_in_kafkas_form() {
        let mut config = TopicConfig::default();
        for (name, given, told) in [
            ("cleanup.policy", " compact , delete ", "compact,delete"),
            ("delete.retention.ms", "100", "100"),
            ("disk.full", "drop-oldest", "drop-oldest"),
            ("flush.messages", NO_LIMIT, NO_LIMIT),
            ("max.message.bytes", "2000", "2000"),
            ("message.timestamp.after.max.ms", "3600000", "3600000"),
            ("message.timestamp.type", "LogAppendTime", "LogAppendTime"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("min.insync.replicas", "2", "2"),
            ("preallocate", "TRUE", "true"),
            ("retention.bytes", "1048576", "1048576"),
            ("retention.ms", "-1", "-1"),
            ("segment.bytes", "1048576", "1048576"),
            ("segment.ms", "60000", "60000"),
            ("message.downconversion.enable", "false", "false"),
        ] {
            set(&mut config, name, given).unwrap();
            assert_eq!(shown(&config, name), told, "{name}");
            let values = values(&config);
            let value = values.iter().find(|value| value.setting.name == name).unwrap();
            assert!(value.is_set(), "{name}");
        }
        assert_eq!(values(&config).len(), SETTINGS.len() + 1);
        let names: Vec<_> = values(&config).iter().map(|value| value.setting.name).collect();
        for name in names {
            reset(&mut config, name);
        }
        assert_eq!(config, TopicConfig::default());
        reset(&mut config, "nope");
        reset(&mut config, "partitions");
        assert_eq!(config, TopicConfig::default());
    }

    #[test]
    fn what_cannot_be_is_told_as_kafka_tells_it() {
        let mut config = TopicConfig::default();
        for (name, value, told) in [
            ("nope", "1", "Unknown topic config name: nope"),
            ("flush", "os", "Unknown topic config name: flush"),
            ("partitions", "2", "Unknown topic config name: partitions"),
            (
                "retention.ms",
                "x",
                "Invalid value x for configuration retention.ms: Not a number of type LONG",
            ),
            (
                "retention.ms",
                "7d",
                "Invalid value 7d for configuration retention.ms: Not a number of type LONG",
            ),
            (
                "max.message.bytes",
                "9999999999",
                "Invalid value 9999999999 for configuration max.message.bytes: Not a number of type INT",
            ),
            ("retention.ms", "-2", "retention.ms"),
            ("flush.messages", "100", "flush.messages"),
            ("segment.bytes", "14", "65536"),
            ("remote.storage.enable", "true", "remote.storage.enable"),
            ("local.retention.ms", "1000", "-2"),
            ("compression.type", "zstd", "producer"),
            ("cleanup.policy", "shred", "shred"),
            ("cleanup.policy", "", "cleanup.policy"),
            ("min.cleanable.dirty.ratio", "NaN", "0 to 1"),
            ("preallocate", "yes", "true or false"),
        ] {
            let error = set(&mut config, name, value).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        assert_eq!(config, TopicConfig::default());
        assert_eq!(set(&mut config, "remote.storage.enable", "false"), Ok(()));
    }
}
