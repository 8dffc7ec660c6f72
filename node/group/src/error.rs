//! What a request is refused with.

/// Why a request was refused, by the names that Kafka's clients know.
///
/// None of these leaves anything half done. Where [`GroupError::is_retriable`] holds, the same
/// request may be sent again as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupError {
    /// The records of the coordinator are still being read.
    #[error("the coordinator is still loading its groups")]
    CoordinatorLoadInProgress,
    /// What the request changed could not be stored, or too much waits to be stored.
    #[error("the coordinator could not store what was asked for; try again")]
    CoordinatorNotAvailable,
    /// Empty, or too long.
    #[error("the group id is empty or too long")]
    InvalidGroupId,
    /// No such group, or one of another kind.
    #[error("the group does not exist, or is not of the kind that was asked for")]
    GroupIdNotFound,
    /// Not a member of the group (any longer).
    #[error("the member is not known in this group")]
    UnknownMemberId,
    /// Another generation than the group's present one.
    #[error("the generation is not the group's present one")]
    IllegalGeneration,
    /// Members must join anew.
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    /// No protocol in common with the group's other members.
    #[error("the member shares no protocol with the group")]
    InconsistentGroupProtocol,
    /// Outside of what the coordinator allows.
    #[error("the session timeout lies outside of what is allowed")]
    InvalidSessionTimeout,
    /// Join again, with the member id given in the answer.
    #[error("join again with the member id given")]
    MemberIdRequired,
    /// Another member uses the same instance id since.
    #[error("another member took over this instance id")]
    FencedInstanceId,
    /// The instance id belongs to a member that has not left.
    #[error("the instance id is still in use by another member")]
    UnreleasedInstanceId,
    /// The group, or the coordinator, takes no more members.
    #[error("the group takes no more members")]
    GroupMaxSizeReached,
    /// The member's epoch is not the one that the coordinator knows: give up all and join again.
    #[error("the member epoch is not the present one: give up all partitions and join again")]
    FencedMemberEpoch,
    /// The member's epoch has moved on: take up the new one and try again.
    #[error("the member epoch is stale")]
    StaleMemberEpoch,
    /// No such assignor.
    #[error("the assignor is not supported: use \"uniform\" or \"range\"")]
    UnsupportedAssignor,
    /// A subscription that is no regular expression.
    #[error("the regular expression is not valid: {reason}")]
    InvalidRegularExpression {
        /// What is wrong with it.
        reason: String,
    },
    /// Members of the consumer protocol commit with a version of the request that knows of epochs.
    #[error("members of the consumer protocol need a newer version of this request")]
    UnsupportedVersion,
    /// A request that makes no sense.
    #[error("invalid request: {reason}")]
    InvalidRequest {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text that goes with an offset is too long.
    #[error("the metadata of the offset is too long")]
    OffsetMetadataTooLarge,
    /// More offsets than can be stored at once, or in all.
    #[error("too many offsets for one commit, or for this group")]
    InvalidCommitOffsetSize,
    /// A commit of this offset is not decided yet.
    #[error("a commit of this offset is still under way")]
    UnstableOffsetCommit,
    /// The group still reads the topic.
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    /// The group still has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// Assignments that do not fit what can be stored at once.
    #[error("the assignments are larger than what can be stored at once")]
    RecordTooLarge,
}

impl GroupError {
    /// Whether the same request may be sent again as it is.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(
            self,
            GroupError::CoordinatorLoadInProgress
                | GroupError::CoordinatorNotAvailable
                | GroupError::UnstableOffsetCommit
        )
    }
}
