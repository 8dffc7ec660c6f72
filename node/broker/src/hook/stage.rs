//! One attachment at work: its instances, its counts, its last words.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_plugin::apply::{self, Counts};
use tidegate_plugin::{
    Columns, Grant, Instance, Limits, Needs, Outcome, Plugin, RunContext, RunError, State,
};
use tidegate_types::{Attachment, PartitionId};
use tidegate_wire::{AttachmentStatus, ErrorBody, ErrorCode, PluginStats};

use super::trouble::Trouble;

/// Log lines of a plugin that are kept to be shown.
const LINES_KEPT: usize = 20;

/// Idle instances kept for the next batch; more exist only while more batches run at once.
const IDLE_KEPT: usize = 4;

/// A plugin on a topic's way.
pub(crate) struct Stage {
    pub(crate) attachment: Attachment,
    /// Or why it cannot run.
    plugin: Result<Arc<Plugin>, String>,
    idle: Mutex<Vec<Instance>>,
    told: Mutex<Told>,
    trouble: Trouble,
}

/// What the stage has to tell.
#[derive(Default)]
struct Told {
    stats: PluginStats,
    last_error: Option<String>,
    lines: VecDeque<String>,
    /// Runs in a row that failed.
    failed_in_row: u32,
    /// Why it no longer runs.
    paused: Option<String>,
}

impl Stage {
    pub(crate) fn new(attachment: Attachment, plugin: Result<Arc<Plugin>, String>) -> Stage {
        Stage {
            attachment,
            plugin,
            idle: Mutex::default(),
            told: Mutex::default(),
            trouble: Trouble::none(Instant::now()),
        }
    }

    /// Whether its plugin was found.
    pub(crate) fn is_loaded(&self) -> bool {
        self.plugin.is_ok()
    }

    /// Takes an idle instance, or makes one. A run that is granted some time at most and takes more, or
    /// in which anything else goes wrong, is put off, as if it had not been; and so is one that gave
    /// way and was starved.
    ///
    /// # Errors
    /// If the plugin cannot run: its records must not pass unseen.
    pub(crate) fn borrow(self: &Arc<Self>, grant: Grant) -> Result<Borrowed, ErrorBody> {
        let halted = |why: &dyn std::fmt::Display| {
            let Attachment { topic, plugin, .. } = &self.attachment;
            let message = format!("plugin {plugin} on topic {topic} cannot run: {why}");
            self.told().last_error = Some(why.to_string());
            ErrorBody::retriable(ErrorCode::HaltedByPlugin, message)
        };
        let mut instance = match self.take_idle() {
            Some(instance) => instance,
            None => {
                let plugin = self.plugin.as_ref().map_err(|why| halted(why))?;
                plugin
                    .instantiate(&self.attachment.config, Limits::from(&self.attachment.limits))
                    .map_err(|e| halted(&e))?
            }
        };
        instance.set_grant(grant);
        let trial = matches!(grant, Grant::AtMost(_)).then(Trial::default);
        Ok(Borrowed { stage: self.clone(), instance: Some(instance), trial, failed: false })
    }

    /// Whether an instance is ready.
    pub(crate) fn is_ready(&self) -> bool {
        !self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take_idle(&self) -> Option<Instance> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Adds what a batch came to, whose bytes went in and came out.
    pub(crate) fn count(&self, counts: &Counts, bytes_in: usize, bytes_out: usize) {
        let stats = &mut self.told().stats;
        stats.bytes_in += bytes_in as u64;
        stats.bytes_out += bytes_out as u64;
        stats.dropped += u64::from(counts.dropped);
        stats.rewritten += u64::from(counts.rewritten);
        stats.emitted += u64::from(counts.moved);
    }

    /// Adds records on which this stage failed.
    pub(crate) fn count_failures(&self, failed: u64, dead_lettered: u64) {
        let stats = &mut self.told().stats;
        stats.failed += failed;
        stats.dead_lettered += dead_lettered;
    }

    /// Remembers why a record failed, for the operator.
    pub(crate) fn failed(&self, reason: &str) {
        self.told().last_error = Some(reason.to_owned());
    }

    /// Why it no longer runs, if it failed too often in a row.
    pub(crate) fn paused(&self) -> Option<String> {
        self.told().paused.clone()
    }

    /// Whether it wastes its time on runs that fail. Waits for nobody.
    pub(crate) fn is_in_trouble(&self, now: Instant) -> bool {
        self.trouble.is_there(now)
    }

    /// Lets it run again.
    pub(crate) fn resume(&self) {
        let mut told = self.told();
        told.failed_in_row = 0;
        told.paused = None;
    }

    /// How it does, and on which partitions if not on all.
    pub(crate) fn status(&self, partitions: &[PartitionId]) -> AttachmentStatus {
        let told = self.told();
        AttachmentStatus {
            attachment: self.attachment.clone(),
            partitions: partitions.to_vec(),
            paused: told.paused.clone(),
            derived: Vec::new(),
            stats: told.stats,
            last_error: told.last_error.clone().or_else(|| self.plugin.as_ref().err().cloned()),
            log: told.lines.iter().cloned().collect(),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ran(&self, records: u32, took: Duration, error: Option<&RunError>, instance: &mut Instance) {
        let name = &self.attachment.plugin;
        let (journal, memory) = (instance.take_journal(), instance.memory().get());
        // Before the lock: whoever reads the log may be slow to take it.
        for line in &journal.lines {
            tracing::info!(plugin = %name, level = %line.level, "{}", line.message);
        }
        if journal.lines_dropped > 0 {
            tracing::info!(plugin = %name, "and {} more lines", journal.lines_dropped);
        }
        let mut told = self.told();
        told.stats.memory = told.stats.memory.max(memory);
        told.stats.batches += 1;
        told.stats.records += u64::from(records);
        told.stats.busy_ns += u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(error) = error {
            told.stats.traps += 1;
            told.last_error = Some(error.to_string());
            tracing::warn!(plugin = %name, topic = %self.attachment.topic, %error, "plugin failed");
            told.failed_in_row = told.failed_in_row.saturating_add(1);
            self.trouble.failed(Instant::now(), took);
            let limit = self.attachment.limits.failures;
            if limit > 0 && told.failed_in_row >= limit && told.paused.is_none() {
                let topic = &self.attachment.topic;
                let reason = format!("plugin {name} failed {limit} times in a row, last: {error}");
                tracing::error!(plugin = %name, %topic, reason, "plugin paused: attach it anew");
                told.paused = Some(reason);
            }
        } else {
            told.failed_in_row = 0;
        }
        for line in journal.lines {
            if told.lines.len() == LINES_KEPT {
                told.lines.pop_front();
            }
            told.lines.push_back(format!("{}: {}", line.level, line.message));
        }
    }
}

/// A run that counts only if the whole chain's does.
#[derive(Default)]
struct Trial {
    /// The records of a run that went well, and what it took.
    done: Option<(u32, Duration)>,
}

/// An instance while it runs; it goes back when dropped.
pub(crate) struct Borrowed {
    stage: Arc<Stage>,
    instance: Option<Instance>,
    trial: Option<Trial>,
    failed: bool,
}

impl apply::Stage for Borrowed {
    fn needs(&self) -> Needs {
        self.instance.as_ref().map_or(Needs::NONE, Instance::needs)
    }

    fn batch_time(&self) -> Duration {
        self.stage.attachment.limits.batch_time
    }

    fn run(&mut self, columns: &mut Columns, context: &RunContext) -> Result<Outcome, RunError> {
        self.run_with(columns, context, &mut None)
    }
}

impl Borrowed {
    /// As [`apply::Stage::run`], with a state for the plugin.
    pub(crate) fn run_with(
        &mut self,
        columns: &mut Columns,
        context: &RunContext,
        state: &mut Option<Box<dyn State>>,
    ) -> Result<Outcome, RunError> {
        if let Some(reason) = self.stage.paused() {
            return Err(RunError::Paused { reason });
        }
        let Some(instance) = &mut self.instance else {
            return Err(RunError::Trapped { message: "there is no instance".to_owned() });
        };
        let (records, started) = (columns.len(), Instant::now());
        let outcome = instance.run_with(columns, context, state);
        let took = started.elapsed();
        self.failed |= outcome.is_err();
        if matches!(outcome, Err(RunError::Starved)) {
            return Err(RunError::PutOff);
        }
        match (&mut self.trial, outcome) {
            (None, outcome) => {
                self.stage.ran(records, took, outcome.as_ref().err(), instance);
                outcome
            }
            (Some(trial), Ok(outcome)) => {
                trial.done = Some((records, took));
                Ok(outcome)
            }
            // What it failed for is found out again where that is nobody else's time.
            (Some(_), Err(_)) => {
                self.stage.trouble.failed(Instant::now(), took);
                Err(RunError::PutOff)
            }
        }
    }

    /// Whether any run of it has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The run of the whole chain was not put off: what this one did counts.
    pub(crate) fn settle(&mut self) {
        let done = self.trial.as_mut().and_then(|trial| trial.done.take());
        if let (Some((records, took)), Some(instance)) = (done, &mut self.instance) {
            self.stage.ran(records, took, None, instance);
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(mut instance) = self.instance.take() else { return };
        if self.trial.is_some() {
            // What a run said that was put off is said again; of one that was settled nothing is left.
            _ = instance.take_journal();
        }
        let mut idle = self.stage.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_KEPT {
            idle.push(instance);
        }
    }
}
