//! What recovery made of a log, until its files are synced and the index is told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use tidegate_env::{Disk, DiskFile};
use tidegate_types::{Incarnation, Offset, TopicPartition};

use crate::active::Active;
use crate::clean::{CleanRow, CleanState};
use crate::config::LogConfig;
use crate::epochs::Epochs;
use crate::index::Change;
use crate::log::{Log, Segments};
use crate::opening::Unsynced;
use crate::producers::Producers;
use crate::read::ReadHints;
use crate::segment::Segment;
use crate::store::Shared;
use crate::{DamageRange, OpenError, files};

/// A log that is recovered, but for syncs and for what the index is to be told.
pub(crate) struct Recovered {
    pub(crate) id: TopicPartition,
    pub(crate) folder: PathBuf,
    /// The folder may hold names that a power cut takes back.
    pub(crate) names_unsure: bool,
    /// What the index is to be told.
    pub(crate) changes: Vec<Change>,
    /// To be synced, then named.
    pub(super) incarnation_file: Option<Box<dyn DiskFile>>,
    /// The active segment was written or cut.
    pub(super) unsynced: bool,
    pub(super) shared: Arc<Shared>,
    pub(super) incarnation: Incarnation,
    pub(super) config: LogConfig,
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) producers: Producers,
    pub(super) epochs: Epochs,
    pub(super) damage: Vec<DamageRange>,
    pub(super) cleaning: CleanRow,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) active: Active,
    /// What the index knows to be durable once it has the changes.
    pub(super) told_end: Offset,
}

impl Recovered {
    /// Files to be synced before the log is used.
    pub(crate) fn unsynced(&self) -> impl Iterator<Item = Unsynced<'_>> {
        let incarnation = self.incarnation_file.as_deref();
        let active = self.active.file.as_deref().filter(|_| self.unsynced);
        let incarnation = incarnation.map(|file| (self.folder.clone(), file));
        incarnation.into_iter().chain(active.map(|file| (self.active.segment.path.clone(), file)))
    }

    /// Gives a new `incarnation` file, which is synced by now, its name.
    pub(crate) fn name_incarnation(&mut self, disk: &dyn Disk) -> Result<(), OpenError> {
        match self.incarnation_file.take() {
            Some(_) => files::name_incarnation(disk, &self.folder)
                .map_err(OpenError::io("name the incarnation in", &self.folder)),
            None => Ok(()),
        }
    }

    /// The log, all of it synced; `told` is whether the index took all changes.
    pub(crate) fn into_log(self, told: bool) -> Arc<Log> {
        let Recovered { id, shared, start, end, mut active, .. } = self;
        if told {
            active.checkpointed = active.checkpointed.max(self.told_end);
        }
        let last_epoch = self.epochs.last();
        let segments: Segments = Arc::new(self.segments);
        Arc::new(Log {
            id,
            incarnation: self.incarnation,
            config: RwLock::new(self.config),
            folder: self.folder,
            shared,
            damage: RwLock::new(self.damage),
            start: AtomicI64::new(start.0),
            durable: AtomicI64::new(end.0),
            end: AtomicI64::new(end.0),
            last_epoch: AtomicI32::new(last_epoch.0),
            sealed: OnceLock::new(),
            deleted: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            clean: Mutex::new(CleanState::new(self.cleaning)),
            active: Mutex::new(active),
            producers: Mutex::new(self.producers),
            epochs: Mutex::new(self.epochs),
            segments: RwLock::new(segments),
            hints: Mutex::new(ReadHints::default()),
            tail: Arc::default(),
        })
    }
}
