//! Whose topic it is.

use std::hash::{BuildHasher, Hasher, RandomState};

use tidegate_types::TopicName;

use crate::BenchError;
use crate::config::Load;

/// The topic of a load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topic {
    pub name: TopicName,
    /// It is the load's own, and deleted afterwards.
    pub made: bool,
}

impl Topic {
    /// The one that was named, or one of its own.
    pub fn of(load: &Load) -> Topic {
        match &load.topic {
            Some(name) => Topic { name: name.clone(), made: false },
            None => Topic { name: random_name(), made: true },
        }
    }

    /// What came of the load, once its topic was deleted. A load that failed is told rather than
    /// a topic that is left.
    pub fn and_deleted<T>(
        &self,
        result: Result<T, BenchError>,
        deleted: Result<(), BenchError>,
    ) -> Result<T, BenchError> {
        let result = result?;
        deleted?;
        Ok(result)
    }
}

/// `bench-` and 64 random bits.
fn random_name() -> TopicName {
    // The standard library's own source of randomness: nobody is to guess it, only not to meet it.
    let random = RandomState::new().build_hasher().finish();
    TopicName::new(format!("bench-{random:016x}"))
        .unwrap_or_else(|_| unreachable!("letters, digits and a dash are a name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    #[test]
    fn a_named_topic_stays_and_two_unnamed_loads_do_not_meet() {
        let mut load = Load::new(Target::Kafka { address: "localhost:9092".to_owned() });
        let (one, other) = (Topic::of(&load), Topic::of(&load));
        assert!(one.made && other.made && one.name != other.name);
        assert!(one.name.as_str().starts_with("bench-"));
        load.topic = Some("sensors".parse().unwrap());
        assert!(!Topic::of(&load).made);
    }
}
