//! Deleting a topic's logs so that a crash in the middle is noticed.
//!
//! Which topics exist is known elsewhere, and changes there first. So that logs which were left over
//! can be told from logs whose topic was lost, a topic is doomed before it goes: a file in its
//! folder says so. Logs of a topic that is gone and was doomed may be deleted; those of one that is
//! gone and was not are kept for somebody to look at.

use std::io;

use tidegate_env::{Disk, OpenMode};
use tidegate_types::{TopicId, TopicPartition};

use crate::store::{LogStore, Shared};
use crate::{DeleteError, files};

/// Name of the file in the topic's folder.
const DOOMED: &str = "doomed";

impl LogStore {
    /// Notes that the logs of `topic` are to go; durable on return. They stay as they are.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn doom(&self, topic: TopicId) -> io::Result<()> {
        let Shared { disk, root, .. } = &*self.shared;
        let folder = files::topic(root, topic);
        disk.create_dir_all(&folder)?;
        drop(disk.open(&folder.join(DOOMED), OpenMode::Create)?);
        disk.sync_dir(&folder)
    }

    /// Notes that they stay after all; durable on return.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn spare(&self, topic: TopicId) -> io::Result<()> {
        let Shared { disk, root, .. } = &*self.shared;
        let folder = files::topic(root, topic);
        match disk.remove_file(&folder.join(DOOMED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| disk.sync_dir(&folder)),
        }
    }

    /// The topics whose logs were to go, whatever is left of them.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn doomed(&self) -> io::Result<Vec<TopicId>> {
        let Shared { disk, root, .. } = &*self.shared;
        let mut doomed = Vec::new();
        for entry in disk.list(&files::topics(root))?.into_iter().filter(|entry| entry.is_dir) {
            if let Ok(topic) = entry.name.parse().map(TopicId)
                && self.is_doomed(topic)?
            {
                doomed.push(topic);
            }
        }
        Ok(doomed)
    }

    /// Whether the logs of `topic` were to go.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn is_doomed(&self, topic: TopicId) -> io::Result<bool> {
        let Shared { disk, root, .. } = &*self.shared;
        disk.exists(&files::topic(root, topic).join(DOOMED))
    }

    /// Deletes all logs of a topic, open or not, and its folder. Gone for good on return.
    ///
    /// # Errors
    /// If the disk failed; what is left goes when it is called again.
    pub fn delete_topic(&self, topic: TopicId) -> Result<(), DeleteError> {
        let Shared { disk, root, .. } = &*self.shared;
        let folder = files::topic(root, topic);
        let io = |source| DeleteError::Io { action: "delete", path: folder.clone(), source };
        let of_topic = |logs: Vec<TopicPartition>| logs.into_iter().filter(|at| at.topic == topic);
        for at in of_topic(self.logs_on_disk().map_err(io)?) {
            self.delete_log(at)?;
        }
        remove_folder(&**disk, root, topic).map_err(io)
    }
}

fn remove_folder(disk: &dyn Disk, root: &std::path::Path, topic: TopicId) -> io::Result<()> {
    let folder = files::topic(root, topic);
    if disk.exists(&folder)? {
        disk.remove_dir_all(&folder)?;
        disk.sync_dir(&files::topics(root))?;
    }
    Ok(())
}
