//! Puts steps into `__derive` in order, and keeps the view of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_log::{AppendMode, Appended, When};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::Timestamp;
use tidegate_wire::ErrorBody;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::INTERNAL;
use super::registry::{self, Commit, Inbox};
use super::store::Store;
use crate::topic::Partition;
use crate::view::{Row, ViewError};
use crate::{Broker, LEADER_EPOCH, error};

/// How often the view is written: it costs a start that much replay.
const EVERY: Duration = Duration::from_secs(1);

/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Steps that the log has at once.
const IN_LOG: usize = 256;

/// The task.
pub(crate) struct Driver {
    broker: Arc<Broker>,
    inbox: Inbox,
}

type Verdict = Result<oneshot::Receiver<Result<Appended, ErrorBody>>, ErrorBody>;

/// A step that the log has, or refused.
struct Pending {
    rows: Vec<Row>,
    done: oneshot::Sender<Result<(), ErrorBody>>,
    verdict: Verdict,
}

impl Driver {
    pub(crate) fn new(broker: Arc<Broker>, inbox: Inbox) -> Driver {
        Driver { broker, inbox }
    }

    /// Works until the node stops.
    pub(crate) async fn run(mut self) {
        let broker = self.broker.clone();
        let stopping = broker.stopping();
        tokio::pin!(stopping);
        // Nothing is made before somebody derives.
        tokio::select! {
            () = self.inbox.needed() => {}
            () = &mut stopping => return,
        }
        loop {
            let served = tokio::select! {
                () = self.load_and_serve() => true,
                () = &mut stopping => false,
            };
            if !served {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = &mut stopping => break,
            }
        }
        // Tasks that wait for it learn that nothing more comes.
        self.inbox.commits.close();
        if let Some(store) = broker.derive.take_store() {
            finish(store).await;
        }
    }

    /// Ends when something failed.
    async fn load_and_serve(&mut self) {
        let partition = match INTERNAL.partition_or_new(&self.broker).await {
            Ok(partition) => partition,
            Err(error) => return tracing::warn!(%error, "derivations wait for their topic"),
        };
        let broker = self.broker.clone();
        let reading = partition.clone();
        let loading = tokio::task::spawn_blocking(move || {
            Store::load(&reading, INTERNAL.view_of(&broker, &reading))
        });
        match loading.await {
            Ok(Ok(store)) => {
                let store = Arc::new(store);
                self.broker.derive.set_store(store.clone());
                tokio::spawn(registry::remove_orphans(self.broker.clone(), store.clone()));
                let failed = self.serve(&store, &partition).await;
                self.broker.derive.take_store();
                tracing::error!(failed, "derivations stop, and begin again in {RETRY:?}");
            }
            Ok(Err(reason)) => tracing::error!(reason, "derivations cannot be read"),
            Err(stopped) => tracing::error!(%stopped, "reading derivations was cut off"),
        }
    }

    /// Takes steps; ends with what failed.
    async fn serve(&mut self, store: &Arc<Store>, partition: &Arc<Partition>) -> String {
        let mut in_log: VecDeque<Pending> = VecDeque::new();
        let mut writing: Option<JoinHandle<Result<(), ViewError>>> = None;
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let far = store.is_far_behind();
            tokio::select! {
                Some(Commit { rows, done }) = self.inbox.commits.recv(), if in_log.len() < IN_LOG => {
                    let verdict = hand_over(&self.broker, partition, &rows).await;
                    in_log.push_back(Pending { rows, done, verdict });
                }
                outcome = ended(&mut in_log) => {
                    let Some(Pending { rows, done, .. }) = in_log.pop_front() else { continue };
                    let told = outcome.map(|appended| store.note(rows, appended.next_offset));
                    // Whoever is gone no longer asks.
                    _ = done.send(told);
                }
                written = finished(&mut writing) => {
                    writing = None;
                    match written {
                        Ok(Ok(())) => {}
                        Ok(Err(full)) if full.is_full() => {
                            tracing::warn!("the disk is full: the view of derivations waits");
                        }
                        Ok(Err(failed)) => return error::chain(&failed),
                        Err(stopped) => return stopped.to_string(),
                    }
                }
                _ = std::future::ready(()), if far && writing.is_none() => {
                    writing = Some(begin(store));
                }
                _ = tick.tick(), if writing.is_none() => writing = Some(begin(store)),
            }
        }
    }
}

fn begin(store: &Arc<Store>) -> JoinHandle<Result<(), ViewError>> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.write())
}

async fn finished(
    writing: &mut Option<JoinHandle<Result<(), ViewError>>>,
) -> Result<Result<(), ViewError>, tokio::task::JoinError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

/// Writes the view for the last time, and closes it.
async fn finish(store: Arc<Store>) {
    let closing = tokio::task::spawn_blocking(move || {
        let written = store.write();
        drop(store);
        written
    });
    match closing.await {
        Ok(Ok(())) => {}
        Ok(Err(failed)) => {
            let failed = error::chain(&failed);
            tracing::warn!(failed, "the view of derivations is behind: the next start reads more");
        }
        Err(stopped) => tracing::error!(%stopped, "closing the view of derivations failed"),
    }
}

/// How the step ends that the log has had for longest.
async fn ended(in_log: &mut VecDeque<Pending>) -> Result<Appended, ErrorBody> {
    match in_log.front_mut() {
        Some(Pending { verdict: Ok(verdict), .. }) => {
            verdict.await.unwrap_or_else(|_| Err(error::shutting_down()))
        }
        Some(Pending { verdict: Err(refused), .. }) => Err(refused.clone()),
        None => std::future::pending().await,
    }
}

async fn hand_over(broker: &Arc<Broker>, partition: &Arc<Partition>, rows: &[Row]) -> Verdict {
    let (batch, records) = build(rows, broker.clock.wall())
        .map_err(|e| error::internal("putting a step into a batch", &*e))?;
    let mode = AppendMode::Assign { leader_epoch: LEADER_EPOCH };
    broker.submit(partition, batch, mode, When::Durable, records).await
}

fn build(
    rows: &[Row],
    now: Timestamp,
) -> Result<(Bytes, u32), Box<dyn std::error::Error + Send + Sync>> {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    for (key, value) in rows {
        builder.push(now, Some(key), value.as_deref(), [])?;
    }
    let count = u32::try_from(builder.len())?;
    Ok((builder.build()?.into(), count))
}
