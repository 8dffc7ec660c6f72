//! Changes to a topic's settings, one after the other.

use tidegate_kafka_proto::ErrorCode;
use tidegate_types::TopicConfig;

use super::setting::{Kind, find};
use super::topic;
use crate::topics::Refusal;

/// What is to become of one setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    /// It gets a value.
    Set,
    /// It gets its default.
    Delete,
    /// It gets more members.
    Append,
    /// It loses members.
    Subtract,
}

impl Operation {
    /// The operation with that number.
    pub(super) fn from_code(code: i8) -> Option<Operation> {
        Some(match code {
            0 => Operation::Set,
            1 => Operation::Delete,
            2 => Operation::Append,
            3 => Operation::Subtract,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Operation::Set => "SET",
            Operation::Delete => "DELETE",
            Operation::Append => "APPEND",
            Operation::Subtract => "SUBTRACT",
        }
    }
}

/// Makes the change. One that fails may leave the settings half changed.
pub(super) fn apply(
    config: &mut TopicConfig,
    operation: Operation,
    name: &str,
    value: Option<&str>,
) -> Result<(), Refusal> {
    let invalid = |why: String| Refusal::new(ErrorCode::InvalidConfig, why);
    let value = match (operation, value) {
        (Operation::Delete, _) => {
            topic::reset(config, name);
            return Ok(());
        }
        (_, Some(value)) => value,
        (_, None) => {
            let why = format!("Null value not supported for : {name}");
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
    };
    if operation == Operation::Set {
        return topic::set(config, name, value).map_err(invalid);
    }
    let Some(setting) = find(name) else {
        return Err(invalid(format!("Unknown topic config name: {name}")));
    };
    if setting.kind != Kind::List {
        let operation = operation.name();
        let why = format!("Can't {operation} to key {name} because its type is not LIST.");
        return Err(invalid(why));
    }
    let now = topic::value(config, name).unwrap_or_default();
    let changed = members(operation, &now, value);
    topic::set(config, name, &changed).map_err(invalid)
}

/// A list with members more or fewer.
fn members(operation: Operation, now: &str, change: &str) -> String {
    let change = topic::list(change);
    let mut members = topic::list(now);
    if operation == Operation::Subtract {
        members.retain(|member| !change.contains(member));
    } else {
        for member in change {
            if !members.contains(&member) {
                members.push(member);
            }
        }
    }
    members.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleanup(config: &TopicConfig) -> String {
        topic::value(config, "cleanup.policy").unwrap()
    }

    #[test]
    fn lists_get_members_and_lose_them() {
        let mut config = TopicConfig::default();
        for (operation, value, told) in [
            (Operation::Append, "compact", "compact,delete"),
            (Operation::Append, "compact,delete", "compact,delete"),
            (Operation::Subtract, "delete", "compact"),
            (Operation::Append, "delete", "compact,delete"),
            (Operation::Subtract, " compact ", "delete"),
        ] {
            apply(&mut config, operation, "cleanup.policy", Some(value)).unwrap();
            assert_eq!(cleanup(&config), told, "{operation:?} {value}");
        }
        let last = apply(&mut config, Operation::Subtract, "cleanup.policy", Some("delete"));
        assert_eq!(last.unwrap_err().code, ErrorCode::InvalidConfig);
        let throttled = "leader.replication.throttled.replicas";
        for (operation, value, told) in [
            (Operation::Append, "0:1,1:1", "0:1,1:1"),
            (Operation::Append, "2:1", "0:1,1:1,2:1"),
            (Operation::Subtract, "1:1,9:9", "0:1,2:1"),
            (Operation::Subtract, "0:1,2:1", ""),
        ] {
            apply(&mut config, operation, throttled, Some(value)).unwrap();
            assert_eq!(topic::value(&config, throttled).unwrap(), told);
        }
    }

    #[test]
    fn settings_are_set_and_go_back() {
        let mut config = TopicConfig::default();
        apply(&mut config, Operation::Set, "retention.ms", Some("5")).unwrap();
        apply(&mut config, Operation::Set, "flush.messages", Some("9223372036854775807")).unwrap();
        assert_ne!(config, TopicConfig::default());
        for name in ["retention.ms", "flush.messages", "segment.ms", "nope"] {
            apply(&mut config, Operation::Delete, name, None).unwrap();
        }
        assert_eq!(config, TopicConfig::default());
    }

    #[test]
    fn what_cannot_be_done_is_told_as_kafka_tells_it() {
        let mut config = TopicConfig::default();
        for (operation, name, value, code) in [
            (Operation::Set, "retention.ms", None, ErrorCode::InvalidRequest),
            (Operation::Append, "cleanup.policy", None, ErrorCode::InvalidRequest),
            (Operation::Set, "retention.ms", Some("x"), ErrorCode::InvalidConfig),
            (Operation::Set, "nope", Some("1"), ErrorCode::InvalidConfig),
            (Operation::Append, "nope", Some("1"), ErrorCode::InvalidConfig),
            (Operation::Append, "retention.ms", Some("1"), ErrorCode::InvalidConfig),
            (Operation::Subtract, "compression.type", Some("gzip"), ErrorCode::InvalidConfig),
            (Operation::Append, "cleanup.policy", Some("shred"), ErrorCode::InvalidConfig),
        ] {
            let refused = apply(&mut config, operation, name, value).unwrap_err();
            assert_eq!(refused.code, code, "{operation:?} {name}: {}", refused.message);
        }
        assert_eq!(config, TopicConfig::default());
        assert_eq!(Operation::from_code(4), None);
        assert_eq!(Operation::from_code(-1), None);
    }
}
