//! The coordinator's task: carries out what the coordinator asks, and tells it what happened.
//!
//! While the records are read requests are told to come back. Then the task waits for whatever
//! comes first: a request, the end of an append, a timer, a change of topics. When the node stops it
//! takes no more, lets the appends end that the log has, and writes the view.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_group::{Appended, Coordinator, Effect, Now, Record, Response, Token};
use tidegate_types::Offset;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::appends::{Appends, Ended};
use super::ask::{Asked, Inbox};
use super::keeper::Keeper;
use super::loading::{self, Loaded};
use super::partition;
use super::topics::Known;
use crate::Broker;

/// How soon records that could not be read are read again.
const RELOAD: Duration = Duration::from_secs(5);

/// How long a stopping node waits for appends to end.
const DRAIN: Duration = Duration::from_secs(3);

/// Requests taken before everything else gets its turn.
const BURST: usize = 64;

/// The task and what it owns.
pub(crate) struct Driver {
    broker: Arc<Broker>,
    coordinator: Coordinator,
    inbox: Inbox,
    askers: HashMap<Token, oneshot::Sender<Response>>,
    known: Known,
    changes: watch::Receiver<u64>,
    appends: Appends,
    keeper: Keeper,
    load: Load,
    /// Whether there is no log yet.
    is_new: bool,
}

/// Where the start stands.
enum Load {
    Reading {
        loaded: mpsc::Receiver<Loaded>,
        task: JoinHandle<()>,
    },
    /// Reading failed, and is tried again then.
    Again(Instant),
    Done,
}

impl Load {
    fn begin(broker: &Arc<Broker>) -> Load {
        let (loaded, task) = loading::start(broker.clone());
        Load::Reading { loaded, task }
    }

    /// What comes next of it; nothing once it is done.
    async fn next(&mut self) -> Option<Loaded> {
        match self {
            Load::Reading { loaded, .. } => {
                let cut_off = || Loaded::Failed("reading was cut off".to_owned());
                Some(loaded.recv().await.unwrap_or_else(cut_off))
            }
            Load::Again(at) => {
                tokio::time::sleep_until(*at).await;
                None
            }
            Load::Done => std::future::pending().await,
        }
    }
}

impl Driver {
    pub(crate) fn new(broker: Arc<Broker>, inbox: Inbox) -> Driver {
        let changes = broker.topics.watch_changes();
        Driver {
            coordinator: Coordinator::new(broker.config.groups.clone()),
            inbox,
            askers: HashMap::new(),
            known: Known::take(&broker.topics),
            changes,
            appends: Appends::new(broker.clone()),
            keeper: Keeper::new(None, Offset::ZERO),
            load: Load::begin(&broker),
            is_new: false,
            broker,
        }
    }

    /// Works until the node stops.
    pub(crate) async fn run(mut self) {
        let broker = self.broker.clone();
        let mut stopping = std::pin::pin!(broker.stopping());
        loop {
            self.carry_out();
            let timeout = self.coordinator.next_timeout();
            tokio::select! {
                Some(asked) = self.inbox.asked.recv() => self.take(asked),
                ended = self.appends.next() => self.ended(ended),
                () = timer(&*broker.clock, timeout) => self.coordinator.handle_timeout(self.now()),
                tokens = self.inbox.gone.next() => {
                    for token in tokens {
                        self.gone(token);
                    }
                }
                // The sender lives as long as the broker.
                _ = self.changes.changed() => self.look_at_topics(),
                loaded = self.load.next() => self.loaded(loaded),
                () = self.keeper.turn() => {}
                () = &mut stopping => break,
            }
        }
        self.stop().await;
    }

    fn now(&self) -> Now {
        Now { monotonic: self.broker.clock.monotonic(), wall: self.broker.clock.wall() }
    }

    fn take(&mut self, first: Asked) {
        self.request(first);
        for _ in 1..BURST {
            let Ok(asked) = self.inbox.asked.try_recv() else { return };
            self.request(asked);
        }
    }

    fn request(&mut self, asked: Asked) {
        let Asked { token, request, answer } = asked;
        // Whoever is gone by now is told of once more, when nothing is known of them.
        if answer.is_closed() {
            return;
        }
        // Whoever made a topic expects that it is known.
        if self.changes.has_changed().unwrap_or(false) {
            self.look_at_topics();
        }
        self.askers.insert(token, answer);
        self.coordinator.handle_request(self.now(), token, request, &self.known);
        self.carry_out();
    }

    fn gone(&mut self, token: Token) {
        if self.askers.remove(&token).is_some() {
            self.coordinator.handle_gone(self.now(), token);
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { id, records, outcome } = ended;
        let appended = match outcome {
            Ok(next) => {
                self.keep(records, next);
                Appended::Durable
            }
            Err(error) => {
                tracing::warn!(%error, "what groups did could not be stored");
                Appended::Failed
            }
        };
        self.coordinator.handle_appended(id, appended);
    }

    /// Notes what the view lacks. The first append of all made the log that there is a view of.
    fn keep(&mut self, records: Vec<Record>, next: Offset) {
        if std::mem::take(&mut self.is_new)
            && let Some(partition) = partition(&self.broker)
        {
            let view = loading::view_of(&self.broker, &partition);
            self.keeper = Keeper::new(Some(view), Offset::ZERO);
        }
        self.keeper.note(records, next);
    }

    fn look_at_topics(&mut self) {
        self.changes.mark_unchanged();
        let known = Known::take(&self.broker.topics);
        let gone = self.known.gone_by(&known);
        self.known = known;
        for (name, id) in gone {
            self.coordinator.handle_topic_deleted(self.now(), &name, id);
        }
        self.coordinator.handle_topics_changed();
    }

    fn loaded(&mut self, loaded: Option<Loaded>) {
        match loaded {
            None => self.load = Load::begin(&self.broker),
            Some(Loaded::Records(records)) => {
                for (key, value) in records {
                    if let Err(error) = self.coordinator.replay(&key, value.as_deref()) {
                        tracing::error!(%error, "a group record is left out");
                    }
                }
            }
            Some(Loaded::Void) => self.forget(),
            Some(Loaded::Failed(reason)) => {
                tracing::error!(reason, "the groups cannot be read: trying again in {RELOAD:?}");
                self.forget();
                self.load = Load::Again(Instant::now() + RELOAD);
            }
            Some(Loaded::All { view, end }) => {
                self.keeper = Keeper::new(view, end);
                self.begin();
            }
            Some(Loaded::Nothing) => {
                self.is_new = true;
                self.begin();
            }
        }
    }

    /// Begins anew, before anything was asked of the coordinator that it remembers.
    fn forget(&mut self) {
        self.coordinator = Coordinator::new(self.broker.config.groups.clone());
    }

    fn begin(&mut self) {
        self.load = Load::Done;
        self.look_at_topics();
        self.coordinator.handle_loaded(self.now(), &self.known);
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                Effect::Append { id, records } => self.appends.add(id, records),
                Effect::Reply { token, response } => {
                    if let Some(asker) = self.askers.remove(&token) {
                        // Whoever is gone no longer asks.
                        _ = asker.send(response);
                    }
                }
            }
        }
    }

    async fn stop(mut self) {
        self.inbox.asked.close();
        let drained = tokio::time::timeout(DRAIN, async {
            while !self.appends.is_empty() {
                let ended = self.appends.next().await;
                self.ended(ended);
                self.carry_out();
            }
        });
        if drained.await.is_err() {
            tracing::warn!("what groups did last may not be stored");
        }
        self.askers.clear();
        if let Load::Reading { loaded, task } = self.load {
            drop(loaded);
            _ = task.await;
        }
        self.keeper.close().await;
    }
}

/// Ends at that monotonic time; never without one.
async fn timer(clock: &dyn tidegate_env::Clock, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_sub(clock.monotonic())).await,
        None => std::future::pending().await,
    }
}
