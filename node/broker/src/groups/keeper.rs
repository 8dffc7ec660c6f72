//! Keeps the view near the log's end: takes up what became durable, now and then.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tidegate_group::Record;
use tidegate_types::Offset;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::internal::KEEP_TOMBSTONES;
use crate::view::{Row, View, ViewError};

/// How far the view may be behind before it is written: it costs a start that much replay, and the
/// disk one sync for so many appends.
const EVERY: Duration = Duration::from_secs(1);

/// Or so many records, whichever comes first.
const RECORDS: usize = 1_000;

/// How soon a full disk is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Most records that wait for a view that does not get on. Beyond it the view is given up.
const MOST: usize = 200_000;

/// A view that is behind for longer is given up: the log forgets tombstones after a while, and a
/// view that missed them would bring back what is gone.
const STALE: Duration = Duration::from_secs(KEEP_TOMBSTONES.as_secs() / 2);

/// What was to be written.
struct Batch {
    rows: HashMap<Bytes, Option<Bytes>>,
    /// Since when the view lacks the first of them.
    since: Instant,
}

type Written = (View, Batch, Result<(), ViewError>);

/// The view of the records, and what it has not yet.
pub(super) struct Keeper {
    /// Not here while it is written, or once it was given up.
    view: Option<View>,
    writing: Option<JoinHandle<Written>>,
    /// The latest records that it lacks.
    behind: HashMap<Bytes, Option<Bytes>>,
    /// Up to where they are.
    applied: Offset,
    /// Since when it lacks any.
    since: Option<Instant>,
    /// When a full disk is tried again.
    retry: Option<Instant>,
}

impl Keeper {
    /// Keeps a view that has everything up to `applied`.
    pub(super) fn new(view: Option<View>, applied: Offset) -> Keeper {
        let behind = HashMap::new();
        Keeper { view, writing: None, behind, applied, since: None, retry: None }
    }

    fn has_view(&self) -> bool {
        self.view.is_some() || self.writing.is_some()
    }

    /// Notes records that are durable, and lie before `next`.
    pub(super) fn note(&mut self, records: Vec<Record>, next: Offset) {
        if !self.has_view() {
            return;
        }
        self.behind
            .extend(records.into_iter().map(|Record { key, value }| -> Row { (key, value) }));
        self.applied = next;
        self.since.get_or_insert_with(Instant::now);
    }

    /// Waits until there is something to do, and does it. Waits forever if there is nothing. May be
    /// dropped while it waits, and nothing is lost.
    pub(super) async fn turn(&mut self) {
        if let Some(writing) = &mut self.writing {
            let written = writing.await;
            self.writing = None;
            return self.written(written).await;
        }
        let (Some(since), Some(_)) = (self.since, &self.view) else {
            return std::future::pending().await;
        };
        if self.behind.len() < RECORDS || self.retry.is_some() {
            tokio::time::sleep_until(self.retry.unwrap_or(since + EVERY)).await;
        }
        self.retry = None;
        let is_stale = since.elapsed() > STALE || self.behind.len() > MOST;
        if is_stale && let Some(view) = self.view.take() {
            return self.give_up(view, "it was behind for too long").await;
        }
        self.begin();
    }

    fn begin(&mut self) {
        let Some(since) = self.since.take() else { return };
        let Some(mut view) = self.view.take() else { return };
        let (rows, applied) = (std::mem::take(&mut self.behind), self.applied);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = view.write(&rows, applied);
            (view, Batch { rows, since }, written)
        }));
    }

    async fn written(&mut self, written: Result<Written, tokio::task::JoinError>) {
        match written {
            Ok((view, _, Ok(()))) => self.view = Some(view),
            Ok((view, batch, Err(full))) if full.is_full() => {
                tracing::warn!("the disk is full: the view of the groups waits for room");
                for (key, value) in batch.rows {
                    self.behind.entry(key).or_insert(value);
                }
                self.view = Some(view);
                self.since = Some(batch.since);
                self.retry = Some(Instant::now() + RETRY);
            }
            Ok((view, _, Err(error))) => {
                self.give_up(view, &crate::error::chain(&error)).await;
            }
            Err(stopped) => {
                tracing::error!(%stopped, "writing the view of the groups was cut off");
            }
        }
    }

    /// Goes on without a view: the next start reads the whole log. One that stayed would be behind.
    async fn give_up(&mut self, mut view: View, reason: &str) {
        tracing::error!(reason, "the view of the groups is given up, the log has everything");
        (self.behind, self.since) = (HashMap::new(), None);
        match tokio::task::spawn_blocking(move || view.remove()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = crate::error::chain(&error);
                tracing::error!(
                    error,
                    "the view of the groups stays: remove it before the next start"
                );
            }
            Err(stopped) => tracing::error!(%stopped, "removing the view was cut off"),
        }
    }

    /// Writes what the view lacks, and closes it.
    pub(super) async fn close(mut self) {
        if let Some(writing) = self.writing.take() {
            let written = writing.await;
            self.written(written).await;
        }
        self.begin();
        if let Some(writing) = self.writing.take() {
            let written = writing.await;
            self.written(written).await;
        }
        self.drop_view().await;
    }

    /// Closing a database writes to it.
    async fn drop_view(&mut self) {
        let view = self.view.take();
        _ = tokio::task::spawn_blocking(move || drop(view)).await;
    }
}
