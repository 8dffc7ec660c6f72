//! The store: all logs of one disk, their index, and the one thread that writes.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tidegate_env::{Clock, Disk, DiskFile, GroupDisk, MeteredDisk};
use tidegate_types::{ByteSize, Incarnation, TopicPartition};

use crate::backlog::Backlog;
use crate::clean::{self, Cleaner};
use crate::config::{LogConfig, MAX_ROUND, StoreConfig};
use crate::handles::OpenFiles;
use crate::index::{Change, Index};
use crate::log::{Log, LogHandle, lock};
use crate::opening::Wanted;
use crate::segment::OpenedSegments;
use crate::space::{self, Space};
use crate::staged::SpareStaged;
use crate::stats::{Counters, StoreStats};
use crate::tail::Tails;
use crate::telling::Untold;
use crate::writer::{Command, TICK, Writer};
use crate::{
    CleanStats, DeleteError, IndexError, MaintenanceStep, OpenError, checkpoint, files, opening,
};

/// What the store, its logs and its writer share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root: PathBuf,
    pub(crate) config: StoreConfig,
    pub(crate) index: Index,
    pub(crate) untold: Untold,
    pub(crate) opened: OpenedSegments,
    pub(crate) tails: Tails,
    pub(crate) backlog: Backlog,
    pub(crate) sender: Sender<Command>,
    pub(crate) cleaner: Cleaner,
    pub(crate) space: Space,
    pub(crate) counters: Counters,
    pub(crate) open_files: OpenFiles,
    /// Memory for staging that no log uses.
    pub(crate) spare: SpareStaged,
    /// In order, so that a simulation does everything in the same order each time.
    logs: Mutex<BTreeMap<TopicPartition, Arc<Log>>>,
    /// Held while a log is opened or deleted, which may take long; never by the writer.
    changing: Mutex<()>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn open_logs(&self) -> Vec<Arc<Log>> {
        lock(&self.logs).values().cloned().collect()
    }

    pub(crate) fn open_log(&self, id: TopicPartition) -> Option<Arc<Log>> {
        lock(&self.logs).get(&id).cloned()
    }

    /// Tells the index, in one transaction, what became durable since it was told last.
    pub(crate) fn checkpoint(&self) -> Result<(), IndexError> {
        let mut round = checkpoint::Round::take(&self.open_logs(), self.config.uncovered);
        if round.changes.is_empty() && !self.untold.any() {
            return Ok(());
        }
        round.changes.push(self.cleaner.uptime(&*self.clock));
        self.tell(std::mem::take(&mut round.changes))?;
        round.told();
        Ok(())
    }

    /// Leaves every log so that the next start need not scan it.
    fn finish(&self) {
        let _changing = lock(&self.changing);
        let mut changes = vec![self.cleaner.uptime(&*self.clock)];
        for log in self.open_logs() {
            changes.extend(clean::row_to_store(&log));
            let mut active = lock(&log.active);
            if log.check_open().is_err() {
                continue;
            }
            let finished = active.finish(&log);
            log.closed.store(true, Ordering::Release);
            match finished {
                Ok(()) => {
                    let segment = &active.segment;
                    let index = Arc::new(segment.active_index().unwrap_or_default());
                    changes.push(Change::Segment(log.id, segment.base, segment.meta(), index));
                    changes.extend(active.checkpoint(&log));
                }
                Err(failure) => drop(failure.refuse(&log)),
            }
            // Those that were closed were opened again, one at a time.
            active.close_file(&log, false);
        }
        if !changes.is_empty() && self.tell(changes).is_err() {
            tracing::warn!("the logs were closed without the index; the next start scans them");
        }
        lock(&self.logs).clear();
        self.index.close();
    }
}

/// Runs the writer of a store that has no thread of its own: for simulations.
pub struct WriterStep {
    writer: Writer,
    commands: Receiver<Command>,
}

impl WriterStep {
    /// Runs rounds until nothing is queued, on this thread; returns the number of appends done.
    pub fn run(&mut self) -> usize {
        let mut done = 0;
        while let Some(round) = self.commands.try_recv().ok().map(|c| gather(c, &self.commands)) {
            done += round.len();
            self.writer.process(round);
        }
        self.writer.tick_if_due();
        done
    }
}

/// `first`, and what has queued up behind it, as much as fits one round.
fn gather(first: Command, commands: &Receiver<Command>) -> Vec<Command> {
    let mut bytes = first.len();
    let mut round = vec![first];
    while bytes < MAX_ROUND {
        let Ok(command) = commands.try_recv() else { break };
        bytes += command.len();
        round.push(command);
    }
    round
}

fn run(mut writer: Writer, commands: &Receiver<Command>, shared: &Shared) {
    loop {
        let next = if writer.wants_ticks() {
            commands.recv_timeout(TICK)
        } else {
            commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(command) => writer.process(gather(command, commands)),
            Err(RecvTimeoutError::Timeout) => writer.tick_if_due(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if shared.is_closed() && commands.is_empty() {
            return;
        }
    }
}

/// So many logs are opened together, however few files are to stay open: each round has its syncs.
const OPEN_TOGETHER: usize = 64;

/// All logs under one folder, on one disk.
///
/// One thread writes them, so that one round of syncs covers all. Closing (or dropping) the store
/// closes its logs; their handles then answer that they are closed.
pub struct LogStore {
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    cleaner: Option<JoinHandle<()>>,
    /// Held so that no second process opens the store.
    lock: Option<Box<dyn DiskFile>>,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore")
            .field("root", &self.shared.root)
            .field("logs", &lock(&self.shared.logs).len())
            .field("backlog", &self.backlog())
            .finish_non_exhaustive()
    }
}

impl LogStore {
    /// Opens the store in `root`, which is made if missing, and starts its writer thread.
    ///
    /// # Errors
    /// If another process has it, the disk failed, or the index can neither be opened nor made.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        root: &Path,
        config: StoreConfig,
    ) -> Result<LogStore, OpenError> {
        let (mut store, step) = LogStore::open_stepped(disk, clock, root, config)?;
        let shared = Arc::clone(&store.shared);
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || run(step.writer, &step.commands, &shared))
            .map_err(|source| OpenError::Thread { source })?;
        store.thread = Some(thread);
        store.cleaner = Some(clean::start_thread(&store.shared)?);
        Ok(store)
    }

    /// Opens the store without a thread: appends are done when [`WriterStep::run`] is called.
    ///
    /// # Errors
    /// As [`open`](LogStore::open).
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        root: &Path,
        config: StoreConfig,
    ) -> Result<(LogStore, WriterStep), OpenError> {
        let disk = MeteredDisk::new(Arc::new(GroupDisk::new(disk)));
        let counters = Counters::new(disk.meter());
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let topics = files::topics(root);
        disk.create_dir_all(&topics).map_err(OpenError::io("make", &topics))?;
        let path = root.join("lock");
        let held = disk.lock(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => OpenError::Locked { path: path.clone() },
            _ => OpenError::Io { action: "lock", path: path.clone(), source },
        })?;
        let open = || Index::open(&disk, root, config.index_cache);
        let index = open().or_else(|(path, error)| {
            // What the reserve holds is the index's to use.
            let more_room = error.is_full() && space::empty_reserve(&*disk, root).unwrap_or(false);
            if more_room { open() } else { Err((path, error)) }
        });
        let index = index.map_err(|(path, source)| OpenError::Index { path, source })?;
        files::sweep_deleted(&*disk, root).map_err(OpenError::io("sweep", &topics))?;
        let (sender, commands) = unbounded();
        let cleaner = Cleaner::new(&index, &*clock);
        let shared = Arc::new(Shared {
            space: Space::new(&*disk, root, &config),
            disk,
            clock,
            root: root.to_owned(),
            counters,
            open_files: OpenFiles::default(),
            spare: SpareStaged::default(),
            backlog: Backlog::new(config.backlog),
            tails: Tails::new(config.tail_cache),
            config,
            cleaner,
            index,
            untold: Untold::default(),
            opened: OpenedSegments::default(),
            sender,
            logs: Mutex::default(),
            changing: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let writer = Writer::new(Arc::clone(&shared));
        let store = LogStore { shared, thread: None, cleaner: None, lock: Some(held) };
        Ok((store, WriterStep { writer, commands }))
    }

    /// Opens a log: makes it if it is not there, recovers it if it is, and gives the same one again
    /// if it is open. A sealed log is recovered anew; its old handles stay sealed.
    ///
    /// # Errors
    /// If the configuration is not possible, the disk failed, or the store is closed.
    pub fn open_log(
        &self,
        id: TopicPartition,
        incarnation_if_new: Incarnation,
        config: LogConfig,
    ) -> Result<LogHandle, OpenError> {
        let mut opened = self.open_logs(&[(id, incarnation_if_new, config)]);
        opened.pop().unwrap_or(Err(OpenError::Closed))
    }

    /// Opens many logs as [`open_log`](LogStore::open_log) does each, but recovers them on several
    /// threads, and with one round of syncs for all. One answer each, in order.
    #[must_use]
    pub fn open_logs(
        &self,
        wanted: &[(TopicPartition, Incarnation, LogConfig)],
    ) -> Vec<Result<LogHandle, OpenError>> {
        let _changing = lock(&self.shared.changing);
        let mut to_open: Vec<Wanted> = Vec::new();
        let mut answers: Vec<Option<Result<LogHandle, OpenError>>> = Vec::new();
        let mut named = HashSet::new();
        for (id, incarnation_if_new, config) in wanted {
            let (id, config) = (*id, *config);
            let open = self.log(id).filter(|open| open.log.sealed.get().is_none());
            answers.push(if let Err(error) = config.check() {
                Some(Err(error.into()))
            } else if self.shared.is_closed() {
                Some(Err(OpenError::Closed))
            } else if let Some(open) = open {
                Some(Ok(open))
            } else if !named.insert(id) {
                Some(Err(OpenError::Twice { log: id }))
            } else {
                if let Some(sealed) = self.log(id) {
                    clean::leave(&sealed.log);
                }
                self.shared.opened.forget(id);
                let incarnation_if_new = *incarnation_if_new;
                to_open.push(Wanted { id, incarnation_if_new, config });
                None
            });
        }
        let mut opened = Vec::with_capacity(to_open.len());
        // Up to two files of a log are open while it is recovered, beside those that stay open.
        for some in to_open.chunks((self.shared.config.open_files / 4).max(OPEN_TOGETHER)) {
            let found = opening::open(&self.shared, some);
            let mut logs = lock(&self.shared.logs);
            for log in found.iter().flatten() {
                logs.insert(log.id, Arc::clone(log));
                self.shared.open_files.push(log.id);
            }
            drop(logs);
            self.shared.close_idle_files(false);
            opened.extend(found);
        }
        let mut opened = opened.into_iter();
        let answers = answers.into_iter().map(|answer| match answer {
            Some(answer) => answer,
            None => opened.next().unwrap_or(Err(OpenError::Closed)).map(|log| LogHandle { log }),
        });
        answers.collect()
    }

    /// The log, if it is open.
    #[must_use]
    pub fn log(&self, id: TopicPartition) -> Option<LogHandle> {
        lock(&self.shared.logs).get(&id).map(|log| LogHandle { log: Arc::clone(log) })
    }

    /// The open logs, in order.
    #[must_use]
    pub fn logs(&self) -> Vec<TopicPartition> {
        let mut logs: Vec<_> = lock(&self.shared.logs).keys().copied().collect();
        logs.sort();
        logs
    }

    /// The logs that are on disk, open or not, in order.
    ///
    /// # Errors
    /// If the disk failed.
    pub fn logs_on_disk(&self) -> std::io::Result<Vec<TopicPartition>> {
        let mut logs = files::find_logs(&*self.shared.disk, &self.shared.root)?;
        logs.sort();
        Ok(logs)
    }

    /// Deletes a log with all its records, open or not. Gone for good once this returns.
    ///
    /// # Errors
    /// If there is no such log, or the disk failed.
    pub fn delete_log(&self, id: TopicPartition) -> Result<(), DeleteError> {
        let _changing = lock(&self.shared.changing);
        let folder = files::partition(&self.shared.root, id);
        let io = |action| {
            let path = folder.clone();
            move |source| DeleteError::Io { action, path, source }
        };
        let disk = &*self.shared.disk;
        if !disk.exists(&folder).map_err(io("look for"))? {
            return Err(DeleteError::Unknown { log: id });
        }
        let open = lock(&self.shared.logs).remove(&id);
        if let Some(log) = open {
            log.deleted.store(true, Ordering::Release);
            // A round that is using the log ends before its files go.
            drop(lock(&log.active));
            clean::leave(&log);
        }
        self.shared.opened.forget(id);
        // Rows that outlive their files are told apart by the incarnation.
        let _: Result<(), IndexError> = self.shared.tell_some_time(vec![Change::RemoveLog(id)]);
        files::delete_partition(disk, &self.shared.root, id).map_err(io("delete"))
    }

    /// Bytes that wait for the writer thread.
    #[must_use]
    pub fn backlog(&self) -> ByteSize {
        self.shared.backlog.used()
    }

    /// How much was written, and how things stand. Counts from when the store was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.shared.stats()
    }

    /// Waits until at least half of the backlog is free; false if `timeout` passed before.
    #[must_use]
    pub fn wait_for_room(&self, timeout: Duration) -> bool {
        self.shared.backlog.wait_for_room(timeout)
    }

    /// Calls `on_room`, once, as soon as at least half of the backlog is free: now, or on the writer
    /// thread. It must not block.
    pub fn when_room(&self, on_room: Box<dyn FnOnce() + Send>) {
        self.shared.backlog.when_room(on_room);
    }

    /// What the cleaner's thread does, for a store that has none: for simulations.
    #[must_use]
    pub fn maintenance_step(&self) -> MaintenanceStep {
        MaintenanceStep::new(Arc::clone(&self.shared))
    }

    /// Deletes the oldest segments of the logs that may lose them
    /// ([`DropOldest`](tidegate_types::WhenFull::DropOldest)), until `need` bytes are free or
    /// there are none; returns the bytes freed. An active segment is closed where nothing else is
    /// left, and goes at the next call.
    pub fn make_room(&self, need: ByteSize) -> ByteSize {
        self.shared.make_room(need)
    }

    /// What was removed from the store's logs since it was opened.
    #[must_use]
    pub fn clean_stats(&self) -> CleanStats {
        self.shared.cleaner.stats()
    }

    /// Why the index is not written; `None` while it is. The logs go on without it, and the next
    /// start takes longer; where the disk is merely full, it is written again once there is room.
    #[must_use]
    pub fn index_failure(&self) -> Option<String> {
        self.shared.index.failure().map(|reason| reason.to_string())
    }

    /// Writes and syncs what is queued, leaves the logs so that they open without a scan, and ends
    /// the thread. Dropping the store does the same.
    pub fn close(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.shared.cleaner.wake();
        if let Some(thread) = self.cleaner.take()
            && thread.join().is_err()
        {
            tracing::error!("the log cleaner thread panicked");
        }
        if let Some(thread) = self.thread.take() {
            // Fails only if the thread is gone, which is what is wanted.
            let _ = self.shared.sender.send(Command::Wake);
            if thread.join().is_err() {
                tracing::error!("the log writer thread panicked");
            }
        }
        self.shared.backlog.close();
        self.shared.finish();
        self.lock = None;
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.shut();
    }
}
