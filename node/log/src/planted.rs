//! Mistakes that the crate's own tests plant, to see that the simulation finds them.
//!
//! Outside those tests [`Shared::planted`] is false for all of them, and costs nothing.

use crate::store::Shared;

/// A mistake at one place of the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Planted {
    /// Appends are acknowledged as durable without a sync.
    NoSync,
    /// Appends are acknowledged as durable once they are written, and synced afterwards.
    AckBeforeSync,
    /// Appends are acknowledged as written before they are.
    AckBeforeWrite,
    /// A sync that failed is tried again, and believed.
    SyncRetried,
    /// A new segment's name is not made durable.
    FolderNotSynced,
    /// A segment is neither cut nor synced before the next one exists.
    RollUnsynced,
    /// What the index says of a segment is believed, whatever its length.
    RowTrusted,
    /// Recovery does not verify CRCs.
    NoCrc,
    /// Recovery cuts bad bytes off as a torn tail, though they were durable.
    DurableCut,
    /// Recovery does not write what the page cache holds once more.
    TailNotRewritten,
    /// The index is told of more than was synced.
    CheckpointUnsynced,
    /// The index is given the producers as they are, not as of what is synced.
    ProducersUnsynced,
    /// Files are removed before the start that explains it is durable.
    RemovedBeforeStart,
    /// Retention goes by the time of day alone.
    HeldTimeIgnored,
    /// Compaction takes the last record of a key too.
    LastOfKeyDropped,
    /// Tombstones go with the first pass that meets them alone.
    TombstonesNotHeld,
    /// Files are compacted as soon as they are closed.
    LagIgnored,
    /// Transactions count as committed before they are decided.
    UndecidedCompacted,
    /// Records of aborted transactions supersede others.
    AbortedSupersede,
    /// What is left of a batch moves up to its base offset.
    OffsetsRenumbered,
    /// A batch without records goes though it is its producer's last.
    ProducersDropped,
    /// A compacted file takes its name before it is synced.
    CleanedUnsynced,
    /// The folder is not synced once a compacted file has its name.
    SwapUnsynced,
    /// Files that were merged are removed before the one they were merged into has its name.
    MergedRemovedFirst,
    /// A start takes in files that were merged into another.
    SupersededKept,
    /// The sparse index of the file that was replaced is used for the new one.
    OldIndexKept,
}

impl Planted {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Planted; 26] = [
        Planted::NoSync,
        Planted::AckBeforeSync,
        Planted::AckBeforeWrite,
        Planted::SyncRetried,
        Planted::FolderNotSynced,
        Planted::RollUnsynced,
        Planted::RowTrusted,
        Planted::NoCrc,
        Planted::DurableCut,
        Planted::TailNotRewritten,
        Planted::CheckpointUnsynced,
        Planted::ProducersUnsynced,
        Planted::RemovedBeforeStart,
        Planted::HeldTimeIgnored,
        Planted::LastOfKeyDropped,
        Planted::TombstonesNotHeld,
        Planted::LagIgnored,
        Planted::UndecidedCompacted,
        Planted::AbortedSupersede,
        Planted::OffsetsRenumbered,
        Planted::ProducersDropped,
        Planted::CleanedUnsynced,
        Planted::SwapUnsynced,
        Planted::MergedRemovedFirst,
        Planted::SupersededKept,
        Planted::OldIndexKept,
    ];
}

impl Shared {
    /// Whether the mistake is to be made.
    #[cfg(test)]
    pub(crate) fn planted(&self, fault: Planted) -> bool {
        self.config.planted == Some(fault)
    }

    /// Whether the mistake is to be made: never.
    #[cfg(not(test))]
    pub(crate) const fn planted(&self, _fault: Planted) -> bool {
        false
    }
}
