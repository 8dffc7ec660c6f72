//! What becomes of the index when a write to it fails.
//!
//! Where the disk is merely full, the database is closed, and opened again: at once, and where that
//! fails too, whenever [`Index::heal`] is called, but once a [`RETRY`] at most. What was not
//! committed is not in it then, and what was is. Everything else gives the index up, and so does a
//! sync that failed for want of room (the backend tells it as another failure): nobody knows then
//! what the disk has of what was written before, while the page cache, which a database opened
//! again would read, shows all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tidegate_env::OpenMode;

use super::{ASIDE, FILE, Index, IndexError, Open, State};
use crate::log::lock;

/// How long a database that cannot be opened for want of room is left alone.
const RETRY: Duration = Duration::from_secs(1);

impl Index {
    /// Does what follows from a failed commit; the error that its caller gets.
    pub(super) fn handle_failure(&self, error: IndexError) -> IndexError {
        if !error.is_full() || self.peeked {
            self.give_up(&error);
            return error;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open(_)) {
            tracing::warn!("the disk is full: the index is written when there is room");
            let open = std::mem::replace(&mut *state, State::Full);
            // What it has cached is not what the file holds.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(open)));
        }
        drop(state);
        // If that fails too it is tried again.
        let _: Result<(), IndexError> = self.reopen();
        IndexError::Full
    }

    /// Opens the database again if it was closed for want of room. `now` is monotonic time, `None`
    /// to try whenever it was tried last.
    pub(crate) fn heal(&self, now: Option<Duration>) -> Result<(), IndexError> {
        if !matches!(*self.state.read().unwrap_or_else(PoisonError::into_inner), State::Full) {
            return Ok(());
        }
        if let Some(now) = now {
            let mut tried = lock(&self.tried);
            if tried.is_some_and(|tried| now.saturating_sub(tried) < RETRY) {
                return Err(IndexError::Full);
            }
            *tried = Some(now);
        }
        self.reopen()
    }

    fn reopen(&self) -> Result<(), IndexError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Full) {
            return Ok(());
        }
        let path = self.root.join(FILE);
        let error = match Open::at(&*self.disk, &path, OpenMode::Write, self.cache) {
            Ok(open) => {
                *state = State::Open(open);
                return Ok(());
            }
            Err(error) if error.is_full() => return Err(IndexError::Full),
            Err(error) => error,
        };
        *state = State::Closed;
        drop(state);
        self.give_up(&error);
        Err(error)
    }

    /// The file of an index that was given up, to look at. `None` while it is in use, and where it
    /// is damaged.
    pub(super) fn as_stored(&self) -> Option<&Index> {
        if self.peeked {
            return None;
        }
        self.given_up()?;
        let peeked = || match Index::peek(&self.disk, &self.root, self.cache) {
            Ok(stored) => stored.map(Box::new),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the index that was given up cannot be read either");
                None
            }
        };
        self.stored.get_or_init(peeked).as_deref()
    }

    /// Why the index is not written now; `None` while it is.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        let full = || {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            matches!(*state, State::Full).then(|| IndexError::Full.to_string().into())
        };
        self.given_up().cloned().or_else(full)
    }

    /// Uses the index no more.
    pub(crate) fn stop(&self, reason: &str) {
        tracing::error!(reason, "the log index is given up; the next start reads the logs instead");
        self.given_up.get_or_init(|| reason.into());
    }

    /// Uses the index no more; one that is damaged is moved aside for the next start.
    pub(super) fn give_up(&self, error: &IndexError) {
        if matches!(error, IndexError::GivenUp { .. } | IndexError::Full) {
            return;
        }
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the log index cannot be used any more; the next start reads the logs instead"
        );
        let source = std::error::Error::source(error).map_or(String::new(), |s| format!(": {s}"));
        self.given_up.get_or_init(|| format!("{error}{source}").into());
        if error.is_damage() && !self.peeked {
            let (from, to) = (self.root.join(FILE), self.root.join(ASIDE));
            let aside = self.disk.rename(Path::new(&from), &to);
            if let Err(error) = aside.and_then(|()| self.disk.sync_dir(&self.root)) {
                tracing::error!(%error, "the damaged index cannot be moved aside");
            }
        }
    }
}
