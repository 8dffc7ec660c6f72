//! The writer: takes what has queued up and brings it to disk, one round at a time.
//!
//! A round is: judge and stage every request in the order they came; one write per log; ack what
//! waits for that; one sync for all files written; ack the rest. What arrives meanwhile makes the next
//! round, so rounds grow with the load. A log whose write or sync fails is sealed, and the others go
//! on.
//!
//! Knows no threads: [`Writer::process`] runs where it is called, so that a test can drive it step
//! by step.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tidegate_env::DiskFile;

use crate::Flush;
use crate::active::Before;
use crate::log::{AppendRequest, Appended, Done, Log, When, lock};
use crate::planted::Planted;
use crate::store::Shared;
use crate::{AppendError, IndexError};

/// How often the index is told what is durable. Recovery takes a bad batch before that offset for
/// damage, and one after it for a torn tail.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// Calls back exactly once: with what it is told, or, dropped, that the store is closed.
pub(crate) struct Completion(Option<Done>);

impl Completion {
    pub(crate) fn new(done: Done) -> Completion {
        Completion(Some(done))
    }

    pub(crate) fn complete(mut self, result: Result<Appended, AppendError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(AppendError::Closed));
        }
    }
}

/// What the writer thread is sent.
pub(crate) enum Command {
    Append {
        log: Arc<Log>,
        request: AppendRequest,
        done: Completion,
    },
    /// Closes the active segment, if there is anything in it.
    Roll(Arc<Log>),
    /// Only wakes it, to see that the store closes or that the disk is full.
    Wake,
}

impl Command {
    pub(crate) fn len(&self) -> usize {
        match self {
            Command::Append { request, .. } => request.batches.len(),
            Command::Roll(_) | Command::Wake => 0,
        }
    }
}

/// An append that waits for its log's write or sync.
struct Waiting {
    ack: When,
    appended: Appended,
    done: Completion,
}

/// One log's part of a round.
struct Part {
    log: Arc<Log>,
    waiting: Vec<Waiting>,
}

/// The writer's own state.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    ticked: Duration,
    /// Something became durable that the index was not told of.
    dirty: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Writer {
        let ticked = shared.clock.monotonic();
        // What recovery found may be ahead of the index.
        Writer { shared, ticked, dirty: true }
    }

    /// Runs one round over `commands`.
    pub(crate) fn process(&mut self, commands: Vec<Command>) {
        self.shared.counters.count_round();
        let taken = commands.iter().map(Command::len).sum();
        let mut rolls = Vec::new();
        let mut parts = self.stage(commands, &mut rolls);
        for part in &mut parts {
            self.write(part);
        }
        self.shared.backlog.give_back(taken);
        self.sync(parts);
        for log in rolls {
            roll(&log);
        }
        self.shared.close_idle_files(true);
        self.tick_if_due();
    }

    /// Judges and stages the requests; those refused are told at once.
    fn stage(&self, commands: Vec<Command>, rolls: &mut Vec<Arc<Log>>) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut by_log: HashMap<*const Log, usize> = HashMap::new();
        for command in commands {
            let (log, request, done) = match command {
                Command::Append { log, request, done } => (log, request, done),
                Command::Roll(log) => {
                    rolls.push(log);
                    continue;
                }
                Command::Wake => continue,
            };
            let at = match parts.last() {
                Some(last) if Arc::ptr_eq(&last.log, &log) => parts.len() - 1,
                _ => *by_log.entry(Arc::as_ptr(&log)).or_insert_with(|| {
                    parts.push(Part { log: Arc::clone(&log), waiting: Vec::new() });
                    parts.len() - 1
                }),
            };
            let part = &mut parts[at];
            let mut before = Before::Staged;
            let staged = self
                .shared
                .space
                .check()
                .and_then(|()| lock(&log.active).stage(&log, &request, &mut before));
            match before {
                Before::Staged => {}
                Before::Synced => {
                    self.advanced(&log);
                    acknowledge(std::mem::take(&mut part.waiting));
                }
                Before::Lost => {
                    refuse(std::mem::take(&mut part.waiting), &self.shared.space.refusal());
                }
            }
            match staged {
                Ok(appended) => part.waiting.push(Waiting { ack: request.ack, appended, done }),
                Err(error) => done.complete(Err(error)),
            }
        }
        parts
    }

    /// Whether a [tick](Writer::tick_if_due) has something to do.
    pub(crate) fn wants_ticks(&self) -> bool {
        self.dirty
            || self.shared.untold.any()
            || self.shared.tails.are_warm()
            || self.shared.space.is_full()
    }

    fn write(&mut self, part: &mut Part) {
        let log = &part.log;
        if self.shared.planted(Planted::AckBeforeWrite) {
            acknowledge(std::mem::take(&mut part.waiting));
        }
        let written = {
            let mut active = lock(&log.active);
            match log.check_open() {
                Ok(()) => active.write(log).map_err(|failure| failure.refuse(log)),
                Err(error) => Err(error),
            }
        };
        match written {
            Ok(advanced) => {
                if advanced {
                    self.advanced(log);
                }
                let early = self.shared.planted(Planted::AckBeforeSync);
                let (now, later) = part
                    .waiting
                    .drain(..)
                    .partition(|waiting| waiting.ack == When::Written || early);
                part.waiting = later;
                acknowledge(now);
            }
            Err(error) => refuse(std::mem::take(&mut part.waiting), &error),
        }
    }

    /// Makes durable what was written, all of it with one sync as far as the disk allows.
    fn sync(&mut self, parts: Vec<Part>) {
        let mut unsynced = Vec::with_capacity(parts.len());
        let mut synced = Vec::with_capacity(parts.len());
        for part in parts {
            if part.log.config().flush == Flush::Os {
                acknowledge(part.waiting);
            } else if let Err(error) = part.log.check_open() {
                refuse(part.waiting, &error);
            } else {
                let file = lock(&part.log.active).unsynced_file();
                let file = file.filter(|_| !self.shared.planted(Planted::NoSync));
                match file {
                    Some(file) => unsynced.push((part, file)),
                    None => synced.push((part, Ok(()))),
                }
            }
        }
        let files: Vec<&dyn DiskFile> = unsynced.iter().map(|(_, file)| &**file).collect();
        let mut results = self.shared.disk.sync_files(&files).into_iter();
        drop(files);
        for (part, _) in unsynced {
            let missing = || Err(io::Error::other("the disk did not say how the sync ended"));
            synced.push((part, results.next().unwrap_or_else(missing)));
        }
        for (part, result) in synced {
            self.handle_synced(part, result);
        }
    }

    fn handle_synced(&mut self, part: Part, result: io::Result<()>) {
        let log = &part.log;
        let result = match result {
            Err(_) if self.shared.planted(Planted::SyncRetried) => {
                let file = lock(&log.active).file.clone();
                file.map_or(Ok(()), |file| file.sync_data())
            }
            result => result,
        };
        let before = log.offsets().durable;
        let synced = lock(&log.active)
            .handle_synced(log, result)
            .map_err(|reason| AppendError::Sealed { reason: log.seal(reason) })
            .and_then(|()| log.check_open());
        match synced {
            Ok(()) => {
                self.dirty = true;
                if log.offsets().durable > before {
                    self.advanced(log);
                }
                acknowledge(part.waiting);
            }
            Err(error) => refuse(part.waiting, &error),
        }
    }

    fn advanced(&self, log: &Log) {
        if let Some(on_advance) = &self.shared.config.on_advance {
            on_advance(log.id, log.offsets());
        }
    }

    /// Tells the index what is durable, if that is due.
    pub(crate) fn tick_if_due(&mut self) {
        let now = self.shared.clock.monotonic();
        let due = now.saturating_sub(self.ticked) >= TICK;
        if due && self.wants_ticks() || self.shared.space.is_due() {
            let shared = &*self.shared;
            let wake = || shared.cleaner.wake();
            shared.space.look(&*shared.disk, &*shared.clock, due, wake);
        }
        if due && self.wants_ticks() {
            self.ticked = now;
            self.shared.tails.tick();
        }
        if due && (self.dirty || self.shared.untold.any()) {
            // A failure was logged, and the logs go on: without the index, or until it has room.
            self.dirty = matches!(self.shared.checkpoint(), Err(IndexError::Full));
        }
    }
}

/// Closes the active segment unless it is empty; all that is staged for it was written.
fn roll(log: &Log) {
    let mut active = lock(&log.active);
    if active.staged_meta.len > 0 && log.check_open().is_ok() {
        let next = active.next();
        if let Err(failure) = active.roll(log, next, &mut Before::Staged) {
            failure.refuse(log);
        }
    }
}

fn acknowledge(waiting: Vec<Waiting>) {
    for Waiting { appended, done, .. } in waiting {
        done.complete(Ok(appended));
    }
}

fn refuse(waiting: Vec<Waiting>, error: &AppendError) {
    for Waiting { done, .. } in waiting {
        done.complete(Err(error.clone()));
    }
}
