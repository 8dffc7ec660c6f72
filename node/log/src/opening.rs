//! Opening many logs at once: a thousand partitions must not cost a thousand syncs one after the
//! other.
//!
//! In steps, each for all logs before the next begins:
//!
//! 1. Folders that are missing are made.
//! 2. Each log is recovered, on a few threads: read, scanned, its torn tail cut.
//! 3. One round of syncs: tails that were written again or cut, `incarnation` files made.
//! 4. Those `incarnation` files get their name, and the folders in which something is new are synced.
//! 5. One transaction tells the index.
//! 6. The logs can be used.
//!
//! A crash in between leaves, of a log that was there, what the next recovery brings to the same
//! end, since nothing was appended yet; of a new one a folder that opens as a log without records,
//! with the incarnation of whoever opens it then unless its own had its name already. A log that
//! fails at one step is left out of the next ones, and the others go on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_env::{Disk, DiskFile};
use tidegate_types::{Incarnation, TopicPartition};

use crate::config::LogConfig;
use crate::index::Change;
use crate::log::Log;
use crate::recovery::{self, Recovered};
use crate::store::Shared;
use crate::{IndexError, OpenError, files};

/// One log to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: TopicPartition,
    pub(crate) incarnation_if_new: Incarnation,
    pub(crate) config: LogConfig,
}

/// Opens or makes the logs, which differ; one answer each, in order.
pub(crate) fn open(shared: &Arc<Shared>, wanted: &[Wanted]) -> Vec<Result<Arc<Log>, OpenError>> {
    // What fails here fails again where a log needs it.
    let _: Result<(), IndexError> = shared.index.heal(None);
    make_folders(shared, wanted);
    let mut logs: Vec<Result<Recovered, OpenError>> =
        in_parallel(shared.config.opening_threads, wanted.iter().collect(), |wanted| {
            recovery::recover(shared, wanted)
        });
    sync_files(&*shared.disk, &mut logs);
    name_incarnations(&*shared.disk, &mut logs);
    sync_folders(shared, &mut logs);

    let mut changes: Vec<Change> = Vec::new();
    for log in logs.iter_mut().flatten() {
        changes.append(&mut log.changes);
    }
    // Without an index the logs open just so; the failure is kept and shown by the store. Where
    // the disk is merely full, it is told later.
    let told = changes.is_empty() || shared.tell_some_time(changes).is_ok();
    logs.into_iter().map(|log| Ok(log?.into_log(told))).collect()
}

/// Makes all missing folders together. What fails here fails again, with its reason, where the log
/// itself is opened.
fn make_folders(shared: &Shared, wanted: &[Wanted]) {
    let folders = wanted.iter().map(|wanted| files::partition(&shared.root, wanted.id));
    let missing: Vec<PathBuf> =
        folders.filter(|folder| !shared.disk.exists(folder).unwrap_or(true)).collect();
    if missing.is_empty() {
        return;
    }
    let missing: Vec<&Path> = missing.iter().map(PathBuf::as_path).collect();
    if let Err(error) = shared.disk.create_dirs(&missing) {
        tracing::warn!(%error, "cannot make the folders of new logs together");
    }
}

/// Syncs what recovery wrote, in one round.
fn sync_files(disk: &dyn Disk, logs: &mut [Result<Recovered, OpenError>]) {
    let mut targets = Vec::new();
    for (at, log) in logs.iter().enumerate() {
        let Ok(log) = log else { continue };
        targets.extend(log.unsynced().map(|(path, file)| (at, path, file)));
    }
    let files: Vec<&dyn DiskFile> = targets.iter().map(|(_, _, file)| *file).collect();
    let results = disk.sync_files(&files);
    let failed = targets.into_iter().zip(results).filter_map(|((at, path, _), result)| {
        Some((at, OpenError::Io { action: "sync", path, source: result.err()? }))
    });
    let failed: Vec<_> = failed.collect();
    for (at, error) in failed {
        logs[at] = Err(error);
    }
}

fn name_incarnations(disk: &dyn Disk, logs: &mut [Result<Recovered, OpenError>]) {
    for log in logs {
        let Ok(recovered) = log else { continue };
        if let Err(error) = recovered.name_incarnation(disk) {
            *log = Err(error);
        }
    }
}

/// Syncs the folders that may hold names the disk lacks: first the logs' own, then those above.
fn sync_folders(shared: &Shared, logs: &mut [Result<Recovered, OpenError>]) {
    let disk = &*shared.disk;
    let own: Vec<usize> =
        (0..logs.len()).filter(|at| logs[*at].as_ref().is_ok_and(|log| log.names_unsure)).collect();
    let folders: Vec<&Path> =
        own.iter().filter_map(|at| Some(logs[*at].as_ref().ok()?.folder.as_path())).collect();
    let results = disk.sync_dirs(&folders);
    let mut synced = Vec::new();
    for (at, result) in own.into_iter().zip(results) {
        let Ok(recovered) = &logs[at] else { continue };
        match result {
            Ok(()) => synced.push(recovered.id.topic),
            Err(source) => {
                let path = recovered.folder.clone();
                logs[at] = Err(OpenError::Io { action: "sync", path, source });
            }
        }
    }
    let mut above = synced;
    above.sort_unstable();
    above.dedup();
    let mut failed = Vec::new();
    for topic in &above {
        let folder = files::topic(&shared.root, *topic);
        if let Err(error) = disk.sync_dir(&folder) {
            failed.push((*topic, folder, error));
        }
    }
    let topics = files::topics(&shared.root);
    let top = if above.is_empty() { Ok(()) } else { disk.sync_dir(&topics) };
    for log in logs.iter_mut() {
        let Ok(recovered) = &*log else { continue };
        if !recovered.names_unsure {
            continue;
        }
        let of_topic = failed.iter().find(|(topic, _, _)| *topic == recovered.id.topic);
        let error = match (of_topic, &top) {
            (Some((_, folder, error)), _) => Some((folder, error)),
            (None, Err(error)) => Some((&topics, error)),
            (None, Ok(())) => None,
        };
        if let Some((path, error)) = error {
            let source = std::io::Error::new(error.kind(), error.to_string());
            *log = Err(OpenError::Io { action: "sync", path: path.clone(), source });
        }
    }
}

/// Calls `f` for each item on up to `threads` threads, this one among them; answers in order.
fn in_parallel<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    f: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    /// Below this, starting threads costs more than it saves.
    const WORTH_A_THREAD: usize = 8;
    let threads = threads.min(items.len() / WORTH_A_THREAD).max(1);
    if threads == 1 {
        return items.into_iter().map(f).collect();
    }
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> =
        items.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let item = slot.lock().unwrap_or_else(PoisonError::into_inner).0.take();
            let answer = item.map(&f);
            slot.lock().unwrap_or_else(PoisonError::into_inner).1 = answer;
        }
    };
    std::thread::scope(|scope| {
        for n in 1..threads {
            let name = format!("log-open-{n}");
            // A thread that cannot be had leaves its work to the others.
            drop(std::thread::Builder::new().name(name).spawn_scoped(scope, work));
        }
        work();
    });
    let answers = slots.into_iter().filter_map(|slot| {
        let (_, answer) = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        answer
    });
    answers.collect()
}

/// A file that a round of syncs takes in.
pub(crate) type Unsynced<'r> = (PathBuf, &'r dyn DiskFile);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_parallel_is_answered_in_order() {
        for (threads, items) in [(1, 50), (4, 3), (4, 500), (3, 0)] {
            let answers = in_parallel(threads, (0..items).collect(), |n: usize| n * 2);
            assert_eq!(answers, (0..items).map(|n| n * 2).collect::<Vec<_>>());
        }
    }
}
