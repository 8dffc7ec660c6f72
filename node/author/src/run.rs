//! Records through a plugin, and what became of each.
//!
//! Batches are made and tried as in the node: where a plugin fails over a batch, it is asked again
//! record by record; with a state, what a failed call wrote is forgotten.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tidegate_plugin::{
    Columns, Instance, LogLine, Lookup, MemoryState, Outcome, PushError, RunContext, run_for_fates,
};
use tidegate_types::{PluginLimits, Timestamp};

use crate::records::TestRecord;

/// The latest value of each key of a table.
pub type Table = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

/// An empty state, as large as a node grants it.
pub(crate) fn new_state(table: Option<&Table>) -> MemoryState {
    let lookup =
        table.cloned().map(|table| -> Lookup { Arc::new(move |key| Ok(table.get(key).cloned())) });
    MemoryState::new(PluginLimits::default().state, lookup)
}

/// Under what circumstances records are run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The topic of records that name none.
    pub topic: String,
    /// How many partitions the topic has; more, where a record lies in a higher one.
    pub partitions: u32,
    /// Records of one batch at most.
    pub batch: usize,
    /// Whether there is a state, one for each partition.
    pub state: bool,
    /// The table that the state's `lookup` reads.
    pub table: Option<Table>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Run {
    /// What became of each record, in order: its number, and the object of its fate.
    pub fates: Vec<Value>,
    /// What the plugin logged.
    pub lines: Vec<LogLine>,
    /// What it counted.
    pub counters: BTreeMap<String, u64>,
}

impl Run {
    /// The snapshot: a fate a line.
    #[must_use]
    pub fn snapshot(&self) -> String {
        self.fates.iter().map(|fate| format!("{fate}\n")).collect()
    }
}

/// Runs records through an instance.
///
/// # Errors
/// If records are larger than a batch may be.
pub fn run(
    instance: &mut Instance,
    records: &[TestRecord],
    options: &RunOptions,
) -> Result<Run, PushError> {
    let mut runner = Runner {
        instance,
        columns: Columns::new(),
        options,
        partitions: records.iter().map(|r| r.partition + 1).fold(options.partitions, u32::max),
        states: BTreeMap::new(),
        run: Run::default(),
    };
    // A batch is of one topic and partition.
    let same = |a: &TestRecord, b: &TestRecord| (&a.topic, a.partition) == (&b.topic, b.partition);
    for stretch in records.chunk_by(same) {
        for batch in stretch.chunks(options.batch.max(1)) {
            runner.run_batch(batch)?;
        }
    }
    Ok(runner.run)
}

struct Runner<'a> {
    instance: &'a mut Instance,
    columns: Columns,
    options: &'a RunOptions,
    partitions: u32,
    states: BTreeMap<(Option<String>, u32), MemoryState>,
    run: Run,
}

impl Runner<'_> {
    fn run_batch(&mut self, batch: &[TestRecord]) -> Result<(), PushError> {
        let state = self.options.state.then(|| {
            let place = (batch[0].topic.clone(), batch[0].partition);
            let table = self.options.table.as_ref();
            self.states.entry(place).or_insert_with(|| new_state(table)).clone()
        });
        if let Some(state) = &state {
            batch.iter().for_each(|record| state.advance(record.timestamp));
        }
        let run = |range: Range<usize>| self.call(&batch[range], state.as_ref());
        for fate in run_for_fates(batch.len(), run)? {
            let number = json!(self.run.fates.len());
            let mut object = Map::from_iter([("record".to_owned(), number)]);
            object.extend(fate.to_json());
            self.run.fates.push(Value::Object(object));
        }
        Ok(())
    }

    fn call(
        &mut self,
        batch: &[TestRecord],
        state: Option<&MemoryState>,
    ) -> Result<Result<Outcome, String>, PushError> {
        self.columns.clear(self.instance.needs());
        for record in batch {
            push(&mut self.columns, record)?;
        }
        let first = &batch[0];
        let topic = first.topic.as_deref().unwrap_or(&self.options.topic);
        let context = RunContext {
            topic: Arc::from(topic),
            partition: first.partition,
            partitions: self.partitions,
            // The same for the same record in the same place, as in the node.
            seed: self.run.fates.len() as u64,
        };
        let answer = match state {
            Some(state) => state.run(self.instance, &mut self.columns, &context),
            None => self.instance.run(&mut self.columns, &context),
        };
        let journal = self.instance.take_journal();
        self.run.lines.extend(journal.lines);
        for (name, by) in journal.counters {
            *self.run.counters.entry(name).or_default() += by;
        }
        Ok(answer.map_err(|error| error.to_string()))
    }
}

/// Adds a record to columns.
pub(crate) fn push(columns: &mut Columns, record: &TestRecord) -> Result<(), PushError> {
    let headers = record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    columns.push(Timestamp(record.timestamp), key, value, headers)
}
