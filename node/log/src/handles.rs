//! Bounds the files of active segments that are open at once.
//!
//! A log's file is opened by its first append after a pause, and closed again once more than the
//! bound are open: of those not written for longest, and only when all that was written is synced,
//! since a sync through another handle would not tell the errors of this one. Readers of a log whose
//! file is closed open it like any closed segment's.

use std::collections::VecDeque;
use std::sync::Mutex;

use tidegate_types::TopicPartition;

use crate::log::lock;
use crate::store::Shared;

/// The logs whose files are open, those opened or spared longest ago first.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    queue: Mutex<VecDeque<TopicPartition>>,
}

impl OpenFiles {
    pub(crate) fn len(&self) -> usize {
        lock(&self.queue).len()
    }

    /// Notes that a log's file was opened.
    pub(crate) fn push(&self, log: TopicPartition) {
        lock(&self.queue).push_back(log);
    }

    fn pop(&self) -> Option<TopicPartition> {
        lock(&self.queue).pop_front()
    }
}

impl Shared {
    /// Closes files of logs that are not written until the bound is kept. Only the writer, between
    /// rounds, may sync for that what logs under `flush = "os"` left unsynced.
    pub(crate) fn close_idle_files(&self, may_sync: bool) {
        let bound = self.config.open_files.max(1);
        // Each is spared once if it was written since it was looked at last.
        let mut turns = 2 * self.open_files.len();
        while self.open_files.len() > bound && turns > 0 {
            turns -= 1;
            let Some(id) = self.open_files.pop() else { return };
            let Some(log) = self.open_log(id) else { continue };
            let mut active = lock(&log.active);
            if !active.is_open() {
                continue;
            }
            if active.take_touched() || !active.close_file(&log, may_sync) {
                self.open_files.push(id);
            }
        }
    }
}
