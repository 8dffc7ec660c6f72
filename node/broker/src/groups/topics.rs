//! Topics as the coordinator sees them.
//!
//! It is shown a copy, which stays the same while it works, and is taken anew when topics change.

use std::collections::HashMap;

use tidegate_group::{Topic, Topics as Seen};
use tidegate_types::TopicId;

use crate::internal::is_internal;
use crate::topic::Topics;

/// The topics of one moment.
#[derive(Default)]
pub(super) struct Known {
    by_name: HashMap<String, Topic>,
}

impl Known {
    pub(super) fn take(topics: &Topics) -> Known {
        let by_name = topics.all().into_iter().map(|topic| {
            let seen = Topic { id: topic.id, partitions: topic.config().partitions };
            (topic.name.as_str().to_owned(), seen)
        });
        let mut by_name: HashMap<_, _> = by_name.collect();
        // Groups read through plugins as well, and remember how far.
        by_name.extend(topics.aliases().into_iter().map(|alias| {
            let partitions = alias.topic().config().partitions;
            (alias.to_string(), Topic { id: alias.id(), partitions })
        }));
        Known { by_name }
    }

    /// Topics of this moment that are not in a later one, those made anew under the same name
    /// among them.
    pub(super) fn gone_by(&self, later: &Known) -> Vec<(String, TopicId)> {
        let still = |name: &str, id| later.by_name.get(name).is_some_and(|topic| topic.id == id);
        let gone = self.by_name.iter().filter(|(name, topic)| !still(name, topic.id));
        gone.map(|(name, topic)| (name.clone(), topic.id)).collect()
    }
}

impl Seen for Known {
    fn topic(&self, name: &str) -> Option<Topic> {
        self.by_name.get(name).copied()
    }

    fn each(&self, see: &mut dyn FnMut(&str, Topic)) {
        for (name, topic) in self.by_name.iter().filter(|(name, _)| !is_internal(name)) {
            see(name, *topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(topics: &[(&str, TopicId)]) -> Known {
        let topics =
            topics.iter().map(|(name, id)| ((*name).to_owned(), Topic { id: *id, partitions: 1 }));
        Known { by_name: topics.collect() }
    }

    #[test]
    fn a_topic_made_anew_is_gone_as_well() {
        let ids = [TopicId::random(), TopicId::random(), TopicId::random(), TopicId::random()];
        let before = known(&[("stays", ids[0]), ("goes", ids[1]), ("anew", ids[2])]);
        let after = known(&[("stays", ids[0]), ("anew", ids[3])]);
        let mut gone = before.gone_by(&after);
        gone.sort();
        assert_eq!(gone, [("anew".to_owned(), ids[2]), ("goes".to_owned(), ids[1])]);
        assert_eq!(after.gone_by(&after), []);
    }

    #[test]
    fn internal_topics_are_found_by_name_and_not_shown() {
        let known = known(&[("a", TopicId::random()), ("__groups", TopicId::random())]);
        let mut seen = Vec::new();
        known.each(&mut |name, _| seen.push(name.to_owned()));
        assert_eq!(seen, ["a"]);
        assert!(known.topic("__groups").is_some());
    }
}
