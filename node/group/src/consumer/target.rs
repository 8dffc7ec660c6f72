//! Making the target of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignor::{Input, Reader};
use super::{ConsumerGroup, Member};
use crate::config::Config;
use crate::limits::{MAX_ASSIGNED_PARTITIONS, SMALL_GROUP};
use crate::time::Now;
use crate::topics::Topic;

impl ConsumerGroup {
    /// Makes the target for the present epoch if it is missing and due.
    pub(crate) fn retarget(&mut self, config: &Config, now: Now) {
        if self.epoch <= self.target_epoch {
            return;
        }
        let waits = self
            .target_made
            .is_some_and(|made| now.monotonic.saturating_sub(made) < config.assignment_interval);
        if waits && self.members.len() > SMALL_GROUP {
            return;
        }
        self.target_made = Some(now.monotonic);
        self.target_epoch = self.epoch;
        let targets = self.assignor().assign(&self.input());
        for (member, target) in self.members.values_mut().zip(targets) {
            member.target = target;
        }
    }

    /// What the assignor goes by.
    fn input(&self) -> Input {
        // Members mostly subscribe to the same: what that is is looked up once.
        let mut known: BTreeMap<(&BTreeSet<String>, &str), Arc<[Topic]>> = BTreeMap::new();
        let mut left = MAX_ASSIGNED_PARTITIONS;
        let mut taken: BTreeMap<_, bool> = BTreeMap::new();
        let mut fits = |topic: &Topic| {
            *taken.entry(topic.id).or_insert_with(|| {
                let partitions = topic.partitions as usize;
                let fits = partitions <= left;
                left -= if fits { partitions } else { 0 };
                fits
            })
        };
        let mut reader = |member: &Member| -> Arc<[Topic]> {
            let mut topics = self.subscriptions.of(&member.topics, &member.regex);
            topics.retain(&mut fits);
            topics.into()
        };
        let mut readers = Vec::with_capacity(self.members.len());
        for member in self.members.values() {
            let topics =
                known.entry((&member.topics, &member.regex)).or_insert_with(|| reader(member));
            readers.push(Reader {
                id: Arc::clone(&member.id),
                instance_id: member.instance_id.clone(),
                topics: Arc::clone(topics),
                before: member.target.clone(),
            });
        }
        let is_uniform = known.len() <= 1;
        Input { readers, is_uniform }
    }
}
