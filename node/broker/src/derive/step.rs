//! One step: batches of the input through the chain. Blocks, and changes nothing by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tidegate_log::{LogReader, ReadError};
use tidegate_plugin::apply::{
    self, Applied, ApplyError, Change, Counts, Derive, Failed, Origin, OutputBatch,
};
use tidegate_plugin::{Columns, Grant, Needs, Outcome, RunContext, RunError, State};
use tidegate_record::{Batch, Batches};
use tidegate_types::{
    ByteSize, Hook, Offset, ProducerEpoch, ProducerId, ProducerStamp, Sequence, TopicName,
};
use tidegate_wire::ErrorBody;

use super::progress::Progress;
use super::registry::Pipeline;
use super::state::{Layer, Scope, StepState, lock};
use super::store::Store;
use crate::hook::{Borrowed, Chain, Running, Stage};
use crate::topic::Partition;
use crate::view::Row;
use crate::{Broker, error};

/// Bytes of the input read for one step. A step that was interrupted is run again over at least as
/// much.
pub(super) const CHUNK: ByteSize = ByteSize::mib(1);

/// What a step came to.
pub(super) struct Step {
    /// In their order; those of one partition are to be appended in it.
    pub(super) outputs: Vec<OutputBatch>,
    pub(super) letters: Vec<Bytes>,
    pub(super) progress: Progress,
    pub(super) rows: Vec<Row>,
    /// Why it went no further, if that is for good.
    pub(super) halted: Option<String>,
}

/// Why there was no step.
pub(super) enum NoStep {
    /// The pipeline has ended.
    Ended,
    /// It is to be tried again later.
    Later(String),
    /// Somebody has to do something about it.
    Halted(String),
}

/// What a step needs.
pub(super) struct Work {
    pub(super) broker: Arc<Broker>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) partition: Arc<Partition>,
    pub(super) store: Arc<Store>,
    pub(super) chain: Arc<Chain>,
    /// Where entries that have expired are looked for next.
    pub(super) swept: Vec<u8>,
}

impl Work {
    /// Runs the batches from `progress.next` on.
    pub(super) fn run(
        &mut self,
        reader: &mut LogReader,
        mut progress: Progress,
    ) -> Result<Step, NoStep> {
        let id = self.partition.at.partition;
        let running = self.chain.running(Hook::Derive, id);
        let later = |error: ErrorBody| NoStep::Later(error.message);
        let borrowed = running.borrow(Grant::Limits);
        let borrowed = borrowed.map_err(later)?;
        let Some(to) = self.broker.topics.get(&self.pipeline.to) else {
            return Err(NoStep::Later(error::unknown_topic(&self.pipeline.to).message));
        };
        let end = self.partition.high_watermark();
        // In this order: what came after the end was told is not within.
        if self.pipeline.is_ended() {
            return Err(NoStep::Ended);
        }
        let chunk = match reader.read(progress.next, end, CHUNK) {
            Ok(chunk) => chunk,
            Err(ReadError::OutOfRange { start, .. }) if start > progress.next => {
                let lost = start.get() - progress.next.get();
                tracing::warn!(
                    topic = %self.pipeline.topic.name, partition = %id, to = %self.pipeline.to,
                    lost, "records are gone that were not derived yet"
                );
                progress.next = start;
                let (outputs, letters) = (Vec::new(), Vec::new());
                return Ok(Step { outputs, letters, progress, rows: Vec::new(), halted: None });
            }
            Err(failure @ ReadError::Damaged { .. }) => {
                return Err(NoStep::Halted(error::chain(&failure)));
            }
            Err(failure) => return Err(NoStep::Later(error::chain(&failure))),
        };
        let purpose = format!("derive/{}/{:x}", self.pipeline.to, self.pipeline.life);
        let state = Arc::new(Mutex::new(StepState::new(self.store.clone(), progress)));
        let mut stages = self.stages(&running, borrowed, &state);
        let mut applier = self.chain.applier();
        let (mut outputs, mut letters, mut halted) = (Vec::new(), Vec::new(), None);
        for batch in Batches::new(&chunk.batches) {
            let batch = batch.map_err(|e| NoStep::Halted(format!("a batch is damaged: {e}")))?;
            let header = *batch.header();
            if header.record_count == 0 || header.attributes.is_control() {
                lock(&state).progress.next = header.next_offset();
                continue;
            }
            let partitions_of = |name: &TopicName| {
                // What comes back would run in circles.
                let other = Some(name).filter(|name| **name != self.pipeline.topic.name)?;
                self.broker.writable_partitions(other)
            };
            let stamp = ProducerStamp {
                id: ProducerId(0),
                epoch: ProducerEpoch(0),
                base_sequence: Sequence((header.base_offset.get() & i64::from(i32::MAX)) as i32),
            };
            let partitions = to.config().partitions;
            let origin = Origin {
                topic: &self.pipeline.topic.name,
                topic_id: self.pipeline.topic.id,
                partition: id,
                partitions: self.pipeline.topic.config().partitions,
                purpose: &purpose,
                keep_offsets: false,
                derive: Some(Derive { to: &self.pipeline.to, partitions, stamp }),
                partitions_of: &partitions_of,
            };
            lock(&state).begin(header.max_timestamp.millis());
            let applied = applier.run(&batch, &mut stages, &origin);
            if let Some(reason) = running.stages.iter().find_map(|stage| stage.paused()) {
                lock(&state).forget();
                halted = Some(reason);
                break;
            }
            let base = Some(header.base_offset);
            let judged = all_failed(applied, &batch).and_then(|applied| {
                running.judge(&self.pipeline.topic, &applied.failed)?;
                let failed = &applied.failed;
                let topic = &self.pipeline.topic;
                Ok((running.letters(topic, &batch, &origin, base, failed)?, applied))
            });
            match judged {
                Ok((dead, applied)) => {
                    running.count(&applied, batch.bytes().len());
                    letters.extend(dead);
                    if let Change::Scattered { outputs: made, .. } = applied.change {
                        outputs.extend(made);
                    }
                }
                Err(refused) => {
                    lock(&state).forget();
                    halted = Some(refused.message);
                    break;
                }
            }
            let mut state = lock(&state);
            state.keep();
            state.progress.next = header.next_offset();
            if state.is_large() {
                break;
            }
        }
        self.chain.keep(applier);
        drop(stages);
        if halted.is_none() {
            let states = self.pipeline.id.states(id);
            let plugin_of = |key: &[u8]| plugin_of(&states, key);
            let swept = lock(&state).sweep(&states, plugin_of, &mut self.swept);
            swept.map_err(NoStep::Later)?;
        }
        let Some(state) = Arc::into_inner(state) else {
            return Err(NoStep::Later("a plugin still holds its state".to_owned()));
        };
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (progress, rows) = state.into_rows();
        Ok(Step { outputs, letters, progress, rows, halted })
    }

    fn stages(
        &self,
        running: &Running,
        borrowed: Vec<Borrowed>,
        state: &Arc<Mutex<StepState>>,
    ) -> Vec<WithState> {
        let (id, pipeline) = (self.partition.at.partition, &self.pipeline);
        let table = pipeline.table.as_ref().map(|_| pipeline.id.table(id));
        let with_state = |(stage, borrowed): (&Arc<Stage>, Borrowed)| {
            let attachment = &stage.attachment;
            let scope = Scope {
                plugin: attachment.plugin.to_string(),
                prefix: pipeline.id.state(id, &attachment.plugin),
                table: table.clone(),
                limit: attachment.limits.state,
            };
            WithState { borrowed, state: state.clone(), scope }
        };
        running.stages.iter().zip(borrowed).map(with_state).collect()
    }
}

/// The plugin that a key of some state belongs to.
fn plugin_of(states: &[u8], key: &[u8]) -> Option<String> {
    let (len, rest) = key.strip_prefix(states)?.split_first()?;
    String::from_utf8(rest.get(..usize::from(*len))?.to_vec()).ok()
}

/// There is no producer who could be told that a batch is refused: its records have failed.
fn all_failed(
    applied: Result<Applied, ApplyError>,
    batch: &Batch<'_>,
) -> Result<Applied, ErrorBody> {
    let (stage, reason) = match applied {
        Ok(applied) => return Ok(applied),
        Err(ApplyError::Rejected { stage, reason }) => (stage, format!("refused: {reason}")),
        Err(ApplyError::Batch(damaged)) => {
            return Err(error::internal("reading a batch to derive from", &damaged));
        }
        Err(other) => (0, error::chain(&other)),
    };
    let records = batch.header().record_count;
    let failed = |record| Failed { record, stage, reason: reason.clone() };
    Ok(Applied {
        change: Change::InPlace { batch: None },
        failed: (0..records).map(failed).collect(),
        counts: Counts { records, failed: records, ..Counts::default() },
    })
}

/// A stage that may use its state.
struct WithState {
    borrowed: Borrowed,
    state: Arc<Mutex<StepState>>,
    scope: Scope,
}

impl apply::Stage for WithState {
    fn needs(&self) -> Needs {
        self.borrowed.needs()
    }

    fn batch_time(&self) -> Duration {
        self.borrowed.batch_time()
    }

    fn run(&mut self, columns: &mut Columns, context: &RunContext) -> Result<Outcome, RunError> {
        let layer = Layer::new(self.state.clone(), self.scope.clone());
        let mut state: Option<Box<dyn State>> = Some(Box::new(layer.clone()));
        let outcome = self.borrowed.run_with(columns, context, &mut state);
        drop(state);
        if outcome.is_ok() {
            layer.keep();
        }
        outcome
    }
}

/// Where the first step begins.
pub(super) fn first(partition: &Partition, from_end: bool) -> Offset {
    if from_end { partition.high_watermark() } else { partition.log.offsets().start }
}
