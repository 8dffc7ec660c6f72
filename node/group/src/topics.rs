//! What the coordinator knows of topics: what its driver tells it.

use tidegate_types::TopicId;

/// A topic as a group sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has, numbered from 0.
    pub partitions: u32,
}

/// The topics that clients may read, as of now.
///
/// The answers stay the same while one call into the coordinator lasts. When they change, the
/// driver calls [`Coordinator::handle_topics_changed`](crate::Coordinator::handle_topics_changed).
pub trait Topics {
    /// The topic of this name; `None` if there is none.
    fn topic(&self, name: &str) -> Option<Topic>;

    /// Shows every topic, in any order. Internal topics are left out: nobody subscribes to them by
    /// a regular expression.
    fn each(&self, see: &mut dyn FnMut(&str, Topic));
}
