//! A running plugin: one store, one configuration, one batch at a time.
//!
//! Whatever a guest does, `run` comes back: with a checked outcome, or with the cause in an
//! operator's words. After a trap the store is dropped, and the next call makes another one.

use std::sync::Arc;
use std::time::Duration;

use tidegate_types::ByteSize;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc};
use wasmtime::{Store, Trap};

use crate::abi;
use crate::columns::{Columns, Needs};
use crate::deadline::Grant;
use crate::guest::{Guest, Journal, one_line};
use crate::host::reason;
use crate::outcome::{MAX_REASON, Outcome};
use crate::plugin::{InstantiateError, Limits, Plugin};
use crate::state::{State, Stopped};
use tidegate_types::PluginKind;

/// Where a batch comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunContext {
    /// The topic that it was sent to.
    pub topic: Arc<str>,
    /// The partition that it was sent to.
    pub partition: u32,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// The same for the same batch whenever it is run.
    pub seed: u64,
}

/// Why a plugin gave no outcome for a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// It took longer than it may.
    #[error("took longer than {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It asked for more memory than it may have.
    #[error("needs {asked} of memory, its limit is {limit}")]
    OutOfMemory {
        /// What it would have had in all.
        asked: ByteSize,
        /// The limit.
        limit: ByteSize,
    },
    /// It panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What it said last.
        message: String,
    },
    /// It called itself too deep.
    #[error("ran out of stack: it calls itself too deep")]
    StackOverflow,
    /// It returned more than it may.
    #[error("returned more than {limit} for a batch")]
    OutputTooLarge {
        /// The limit.
        limit: ByteSize,
    },
    /// It put out more records for one than it may.
    #[error("put out {outputs} records for record {record} of the batch, its limit is {limit}")]
    TooMany {
        /// The record's index in the batch.
        record: u32,
        /// How many there were.
        outputs: u32,
        /// The limit.
        limit: u32,
    },
    /// It returned columns that do not fit together.
    #[error("returned a malformed answer: {what}")]
    Malformed {
        /// What does not fit.
        what: String,
    },
    /// It answered with an error.
    #[error("could not handle the batch: {reason}")]
    Refused {
        /// Why, in its words.
        reason: String,
    },
    /// It called something that plugins are not given.
    #[error("called {import}, which plugins are not given")]
    Forbidden {
        /// What it called.
        import: String,
    },
    /// It no longer takes the configuration that it took before.
    #[error("could not be started again: configuration refused: {reason}")]
    ConfigRefused {
        /// Why, in its words.
        reason: String,
    },
    /// It was not run: it failed too often.
    #[error("is paused: {reason}")]
    Paused {
        /// What it was paused for.
        reason: String,
    },
    /// It waited too long for a processor on a thread that [gives way](Grant::GivingWay).
    #[error("had no processor")]
    Starved,
    /// It was not run to the end where others would have waited for it: it is to be run again
    /// elsewhere. Never said by an [`Instance`].
    #[error("is put off")]
    PutOff,
    /// It was stopped for another reason.
    #[error("was stopped: {message}")]
    Trapped {
        /// What the engine said.
        message: String,
    },
}

enum Export {
    Filter(TypedFunc<abi::Arguments, abi::FilterAnswer>),
    Partition(TypedFunc<abi::Arguments, abi::PartitionAnswer>),
    Transform(TypedFunc<abi::Arguments, abi::TransformAnswer>),
}

struct Live {
    store: Store<Guest>,
    export: Export,
}

/// One instance of a plugin.
pub struct Instance {
    plugin: Arc<Plugin>,
    config: Arc<str>,
    limits: Limits,
    needs: Needs,
    grant: Grant,
    live: Option<Live>,
    /// What stores that are gone left behind.
    journal: Journal,
}

impl Instance {
    pub(crate) fn new(
        plugin: Arc<Plugin>,
        config: Arc<str>,
        limits: Limits,
    ) -> Result<Instance, InstantiateError> {
        let mut instance = Instance {
            plugin,
            config,
            limits,
            needs: Needs::NONE,
            grant: Grant::default(),
            live: None,
            journal: Journal::default(),
        };
        match instance.revive() {
            Ok(()) => Ok(instance),
            Err(RunError::ConfigRefused { reason }) => {
                Err(InstantiateError::ConfigRefused { reason })
            }
            Err(error) => Err(InstantiateError::Failed(error)),
        }
    }

    /// The plugin that this is an instance of.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> PluginKind {
        self.plugin.kind()
    }

    /// The columns that it asked for.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What runs are granted from now on.
    pub fn set_grant(&mut self, grant: Grant) {
        self.grant = grant;
    }

    /// The memory that it has now; nothing after a trap.
    #[must_use]
    pub fn memory(&self) -> ByteSize {
        let used = self.live.as_ref().map_or(0, |live| live.store.data().memory_used());
        ByteSize::bytes(used as u64)
    }

    /// What it said and counted since the last time.
    pub fn take_journal(&mut self) -> Journal {
        match &mut self.live {
            Some(live) if live.store.data().has_journal() => live.store.data_mut().take_journal(),
            _ => std::mem::take(&mut self.journal),
        }
    }

    /// Runs it over a batch, which is left as it was. A batch of no records is not handed on.
    ///
    /// # Errors
    /// Names what the plugin did. The instance can be used again after any of them.
    pub fn run(
        &mut self,
        columns: &mut Columns,
        context: &RunContext,
    ) -> Result<Outcome, RunError> {
        self.run_with(columns, context, &mut None)
    }

    /// As [`Instance::run`], with a state that the plugin may read and write while it runs. After
    /// an error the state holds what the plugin wrote up to there, and had better be thrown away.
    ///
    /// # Errors
    /// As [`Instance::run`].
    pub fn run_with(
        &mut self,
        columns: &mut Columns,
        context: &RunContext,
        state: &mut Option<Box<dyn State>>,
    ) -> Result<Outcome, RunError> {
        if columns.is_empty() {
            return Ok(Outcome::of_nothing(self.kind()));
        }
        if self.live.is_none() {
            self.revive()?;
        }
        let count = columns.len();
        let batch = Arc::new(columns.take());
        let arguments = (
            Arc::clone(&batch),
            abi::Context {
                topic: Arc::clone(&context.topic),
                partition: context.partition,
                partitions: context.partitions,
                seed: context.seed,
            },
        );
        let answer = self.call(count, arguments, context, state);
        if let Some(batch) = Arc::into_inner(batch) {
            columns.give_back(batch);
        }
        answer
    }

    fn call(
        &mut self,
        count: u32,
        arguments: abi::Arguments,
        context: &RunContext,
        state: &mut Option<Box<dyn State>>,
    ) -> Result<Outcome, RunError> {
        let time = self.time_for(count);
        // `run_with` has just seen to it; an instance that cannot be revived has returned there.
        let Some(live) = &mut self.live else {
            return Err(RunError::Trapped { message: "there is no store".to_owned() });
        };
        let running = self.plugin.ticker().running();
        let ticks = live.store.data_mut().deadline.begin(time, self.grant == Grant::GivingWay);
        live.store.set_epoch_deadline(ticks);
        live.store.data_mut().begin(context.seed);
        live.store.data_mut().set_state(state.take());
        let answer = match &live.export {
            Export::Filter(call) => call
                .call(&mut live.store, arguments)
                .map(|(answer,)| answer.map(|verdict| Outcome::of_filter(verdict, count))),
            Export::Partition(call) => call.call(&mut live.store, arguments).map(|(answer,)| {
                answer.map(|verdict| Outcome::of_partition(verdict, count, context.partitions))
            }),
            Export::Transform(call) => call.call(&mut live.store, arguments).map(|(answer,)| {
                answer.map(|verdict| Outcome::of_transform(verdict, count, context.partitions))
            }),
        };
        drop(running);
        *state = live.store.data_mut().set_state(None);
        match answer {
            Ok(Ok(Ok(outcome))) => match outcome.widest() {
                Some((record, outputs)) if outputs > self.limits.fan_out => {
                    Err(RunError::TooMany { record, outputs, limit: self.limits.fan_out })
                }
                _ => Ok(outcome),
            },
            Ok(Ok(Err(malformed))) => Err(RunError::Malformed { what: malformed.to_string() }),
            Ok(Err(reason)) => Err(RunError::Refused { reason: one_line(reason, MAX_REASON) }),
            Err(error) => Err(self.bury(error, count)),
        }
    }

    fn time_for(&self, count: u32) -> Duration {
        let time = self.limits.time_for(count);
        match self.grant {
            Grant::AtMost(most) => time.min(most),
            Grant::Limits | Grant::GivingWay => time,
        }
    }

    /// Drops the store that trapped and tells why it did.
    fn bury(&mut self, error: wasmtime::Error, count: u32) -> RunError {
        let Some(mut live) = self.live.take() else {
            return RunError::Trapped { message: reason(&error) };
        };
        let time = self.time_for(count);
        let cause = cause(&error, live.store.data_mut(), &self.limits, time);
        self.journal = live.store.data_mut().take_journal();
        cause
    }

    /// Makes a store, an instance in it, and configures it.
    fn revive(&mut self) -> Result<(), RunError> {
        let journal = std::mem::take(&mut self.journal);
        let guest =
            Guest::new(self.limits.memory.as_usize(), self.limits.log_lines as usize, journal);
        let pre = self.plugin.pre();
        let mut store = Store::new(pre.engine(), guest);
        store.limiter(|guest| guest);
        store.set_hostcall_fuel(self.limits.output.as_usize());
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().deadline.passed()));
        let ticks = store.data_mut().deadline.begin(self.limits.batch_time, false);
        store.set_epoch_deadline(ticks);
        let plugin = Arc::clone(&self.plugin);
        let running = plugin.ticker().running();
        let started = self.start(&mut store);
        drop(running);
        match started {
            Ok(Ok((needs, export))) => {
                self.needs = needs;
                self.live = Some(Live { store, export });
                Ok(())
            }
            Ok(Err(reason)) => {
                self.journal = store.data_mut().take_journal();
                Err(RunError::ConfigRefused { reason: one_line(reason, MAX_REASON) })
            }
            Err(error) => {
                let time = self.limits.batch_time;
                let cause = cause(&error, store.data_mut(), &self.limits, time);
                self.journal = store.data_mut().take_journal();
                Err(cause)
            }
        }
    }

    fn start(&self, store: &mut Store<Guest>) -> wasmtime::Result<Result<(Needs, Export), String>> {
        let instance = self.plugin.pre().instantiate(&mut *store)?;
        let configure = instance.get_typed_func::<abi::ConfigureArguments, abi::ConfigureAnswer>(
            &mut *store,
            "configure",
        )?;
        let (answer,) = configure.call(&mut *store, (Arc::clone(&self.config),))?;
        let needs = match answer {
            Ok(wanted) => Needs::from(wanted),
            Err(reason) => return Ok(Err(reason)),
        };
        fn export<P, R>(
            instance: &wasmtime::component::Instance,
            store: &mut Store<Guest>,
            kind: PluginKind,
        ) -> wasmtime::Result<TypedFunc<P, R>>
        where
            P: ComponentNamedList + Lower,
            R: ComponentNamedList + Lift,
        {
            instance.get_typed_func(store, kind.as_str())
        }
        let kind = self.kind();
        let export = match kind {
            PluginKind::Filter => Export::Filter(export(&instance, store, kind)?),
            PluginKind::Partition => Export::Partition(export(&instance, store, kind)?),
            PluginKind::Transform => Export::Transform(export(&instance, store, kind)?),
        };
        Ok(Ok((needs, export)))
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

/// What a failed call means.
fn cause(error: &wasmtime::Error, guest: &mut Guest, limits: &Limits, time: Duration) -> RunError {
    if let Some(asked) = guest.refused_memory() {
        let asked = ByteSize::bytes(asked as u64);
        return RunError::OutOfMemory { asked, limit: limits.memory };
    }
    if let Some(Stopped(reason)) = error.downcast_ref::<Stopped>() {
        return RunError::Trapped { message: reason.clone() };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) if guest.deadline.starved() => return RunError::Starved,
        Some(Trap::Interrupt) => return RunError::TimedOut { limit: time },
        Some(Trap::StackOverflow) => return RunError::StackOverflow,
        Some(Trap::UnreachableCodeReached) => {
            let message =
                guest.take_last_error().unwrap_or_else(|| "it did not say why".to_owned());
            return RunError::Panicked { message };
        }
        // Compilers put the stack where growing too far leaves the memory.
        Some(Trap::MemoryOutOfBounds) => {
            return RunError::Trapped {
                message: "it reached outside its memory, most often by calling itself too deep"
                    .to_owned(),
            };
        }
        _ => {}
    }
    let message = reason(error);
    // The engine has no types for these two.
    if message.contains("fuel allocated for hostcalls") {
        return RunError::OutputTooLarge { limit: limits.output };
    }
    if let Some((_, rest)) = message.split_once("unknown import: `")
        && let Some((import, _)) = rest.split_once('`')
    {
        return RunError::Forbidden { import: import.to_owned() };
    }
    RunError::Trapped { message }
}
