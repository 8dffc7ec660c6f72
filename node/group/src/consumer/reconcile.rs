//! A member's way from what it owns to what it shall own.

use tidegate_types::{PartitionId, TopicId};

use super::member::{Member, MemberState, Owned};
use crate::response::TopicPartitions;

/// What a member says that it owns; `None` if it did not say.
pub(crate) type Reported<'a> = Option<&'a TopicPartitions>;

/// Takes the member as far as it can go now. `is_free` says whether nobody else owns a partition.
///
/// Giving up comes before the next epoch, and the next epoch before anything new: while a member
/// may still own what is not its own any longer, it keeps its epoch and is given nothing.
pub(crate) fn reconcile(
    member: &mut Member,
    target_epoch: i32,
    reported: Reported<'_>,
    is_free: impl Fn(TopicId, PartitionId) -> bool,
) {
    match member.state {
        MemberState::Stable if member.epoch == target_epoch => return,
        MemberState::Unrevoked if may_own(&member.revoking, reported) => return,
        MemberState::Stable | MemberState::Unrevoked | MemberState::Unreleased => {}
    }
    let is_wanted = |topic: TopicId, partition: PartitionId| {
        member.target.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    };
    let (kept, surplus): (Vec<_>, Vec<_>) =
        member.assigned.iter().partition(|(topic, partition, _)| is_wanted(*topic, *partition));
    let mut kept: Owned = kept.into_iter().collect();
    let surplus: Owned = surplus.into_iter().collect();
    if !surplus.is_empty() && may_own(&surplus, reported) {
        member.state = MemberState::Unrevoked;
        member.assigned = kept;
        member.revoking = surplus;
        return;
    }
    let mut waits = false;
    for (topic, partitions) in &member.target {
        for partition in partitions {
            if kept.contains(*topic, *partition) {
                continue;
            }
            if is_free(*topic, *partition) {
                kept.insert(*topic, *partition, target_epoch);
            } else {
                waits = true;
            }
        }
    }
    member.assigned = kept;
    member.revoking = Owned::default();
    member.state = if waits { MemberState::Unreleased } else { MemberState::Stable };
    if member.epoch != target_epoch {
        member.previous_epoch = member.epoch;
        member.epoch = target_epoch;
    }
}

/// Whether the member may still own any of these: one that does not say may own all.
fn may_own(partitions: &Owned, reported: Reported<'_>) -> bool {
    let Some(reported) = reported else { return true };
    reported.iter().any(|(topic, owned)| owned.iter().any(|at| partitions.contains(*topic, *at)))
}

/// Whether the member owns nothing but these.
pub(crate) fn is_subset(reported: Reported<'_>, partitions: &Owned) -> bool {
    reported.is_some_and(|reported| {
        let mut all =
            reported.iter().flat_map(|(topic, owned)| owned.iter().map(|at| (*topic, *at)));
        all.all(|(topic, at)| partitions.contains(topic, at))
    })
}
