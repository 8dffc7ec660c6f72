//! Who shall own what: pure functions from members and topics to targets.
//!
//! Both give every partition of a topic to exactly one of the members that read the topic.

mod mixed;
mod range;
#[cfg(test)]
mod tests;
mod uniform;

use std::sync::Arc;

use super::member::Target;
use crate::topics::Topic;

/// How partitions are assigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Assignor {
    /// Members differ by one partition at most, where subscriptions allow it, and keep what they
    /// have where that allows it.
    Uniform,
    /// Each topic in ranges over its members in order: the same partitions of topics with as many
    /// partitions go to the same member. Keeps nothing.
    Range,
}

impl Assignor {
    /// The assignor of this name.
    pub(crate) fn parse(name: &str) -> Option<Assignor> {
        match name {
            "uniform" => Some(Assignor::Uniform),
            "range" => Some(Assignor::Range),
            _ => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The target of each reader, in their order.
    pub(crate) fn assign(self, input: &Input) -> Vec<Target> {
        match self {
            Assignor::Range => range::assign(input),
            Assignor::Uniform if input.is_uniform => uniform::assign(input),
            Assignor::Uniform => mixed::assign(input),
        }
    }
}

/// A member, as an assignor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<String>,
    /// What it reads, by rising id.
    pub(crate) topics: Arc<[Topic]>,
    /// Its last target.
    pub(crate) before: Target,
}

/// A group, as an assignor sees it.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// By rising id.
    pub(crate) readers: Vec<Reader>,
    /// Whether all of them read the same.
    pub(crate) is_uniform: bool,
}
