//! What the members of a group subscribe to, and which topics that is.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::{Regex, RegexBuilder};

use super::member::Member;
use crate::GroupError;
use crate::limits::{MAX_REGEX, MAX_REGEX_COMPILED};
use crate::topics::{Topic, Topics};

/// A regular expression that members subscribe to.
#[derive(Debug)]
struct Pattern {
    members: usize,
    regex: Regex,
    /// What it matches, of the version `seen` of the topics.
    topics: BTreeSet<String>,
    seen: Option<u64>,
}

/// The subscriptions of a group.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// Topics, and how many members name each.
    names: BTreeMap<String, usize>,
    patterns: BTreeMap<String, Pattern>,
    /// The topics that there are among those subscribed to.
    resolved: BTreeMap<String, Topic>,
    /// The version of the topics that `resolved` is of; `None` if subscriptions changed since.
    seen: Option<u64>,
}

/// Reads a regular expression that must match the whole of a name.
pub(crate) fn compile(regex: &str) -> Result<Regex, GroupError> {
    let invalid = |reason: String| GroupError::InvalidRegularExpression { reason };
    if regex.len() > MAX_REGEX {
        return Err(invalid(format!("it is longer than {MAX_REGEX} bytes")));
    }
    // By itself first: wrapped, an unmatched parenthesis could find a partner.
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(usize::try_from(MAX_REGEX_COMPILED.get()).unwrap_or(usize::MAX))
            .build()
            .map_err(|error| invalid(error.to_string()))
    };
    build(regex)?;
    build(&format!("^(?:{regex})$"))
}

impl Subscriptions {
    pub(crate) fn cost(&self) -> usize {
        self.patterns.len() * 4 * 1_024 + self.resolved.len() * 256 + self.names.len() * 128
    }

    pub(crate) fn patterns(&self) -> usize {
        self.patterns.len()
    }

    pub(crate) fn has_pattern(&self, regex: &str) -> bool {
        self.patterns.contains_key(regex)
    }

    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.names.contains_key(topic)
            || self.patterns.values().any(|pattern| pattern.topics.contains(topic))
    }

    pub(crate) fn add(&mut self, member: &Member) {
        for name in &member.topics {
            if let Some(count) = self.names.get_mut(name) {
                *count += 1;
            } else {
                self.names.insert(name.clone(), 1);
                self.seen = None;
            }
        }
        if member.regex.is_empty() {
            return;
        }
        if let Some(pattern) = self.patterns.get_mut(&member.regex) {
            pattern.members += 1;
        } else if let Ok(regex) = compile(&member.regex) {
            // One that cannot be read was not taken, or comes from a record that is not ours.
            let pattern = Pattern { members: 1, regex, topics: BTreeSet::new(), seen: None };
            self.patterns.insert(member.regex.clone(), pattern);
            self.seen = None;
        }
    }

    pub(crate) fn remove(&mut self, member: &Member) {
        for name in &member.topics {
            if let Some(count) = self.names.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.names.remove(name);
                    self.seen = None;
                }
            }
        }
        if let Some(pattern) = self.patterns.get_mut(&member.regex) {
            pattern.members -= 1;
            if pattern.members == 0 {
                self.patterns.remove(&member.regex);
                self.seen = None;
            }
        }
    }

    /// Looks the topics up if they or the subscriptions changed; whether the topics that the group
    /// reads are other ones than before, or have other partitions.
    pub(crate) fn refresh(&mut self, topics: &dyn Topics, version: u64) -> bool {
        if self.seen == Some(version) {
            return false;
        }
        let stale = self.patterns.values_mut().filter(|pattern| pattern.seen != Some(version));
        let mut stale: Vec<&mut Pattern> = stale.collect();
        if !stale.is_empty() {
            stale.iter_mut().for_each(|pattern| pattern.topics.clear());
            topics.each(&mut |name, _| {
                for pattern in &mut stale {
                    if pattern.regex.is_match(name) {
                        pattern.topics.insert(name.to_owned());
                    }
                }
            });
            stale.iter_mut().for_each(|pattern| pattern.seen = Some(version));
        }
        self.seen = Some(version);
        let named = self.names.keys();
        let matched = self.patterns.values().flat_map(|pattern| &pattern.topics);
        let found = named.chain(matched).filter_map(|name| Some((name, topics.topic(name)?)));
        let resolved = found.map(|(name, topic)| (name.clone(), topic)).collect();
        let changed = self.resolved != resolved;
        self.resolved = resolved;
        changed
    }

    /// The topics that a member reads.
    pub(crate) fn of(&self, topics: &BTreeSet<String>, regex: &str) -> Vec<Topic> {
        let matched = self.patterns.get(regex).map(|pattern| &pattern.topics);
        let mut found: Vec<Topic> = topics
            .iter()
            .chain(matched.into_iter().flatten())
            .filter_map(|name| self.resolved.get(name).copied())
            .collect();
        found.sort_unstable_by_key(|topic| topic.id);
        found.dedup();
        found
    }
}
