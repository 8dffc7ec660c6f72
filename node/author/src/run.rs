//! Records through a plugin, and what became of each.
//!
//! Batches are made and tried as in the node: where a plugin fails over a batch, it is asked again
//! record by record; with a state, what a failed call wrote is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tidegate_plugin::{
    Columns, Instance, LogLine, Outcome, PackedHeaders, Part, PushError, RunContext, State, Tag,
    Verdict,
};
use tidegate_types::Timestamp;

use crate::records::TestRecord;
use crate::state::{MemoryState, Table};

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

/// What became of one record, as an object of a snapshot.
#[derive(Clone, PartialEq, Debug)]
pub struct Fate(pub Value);

/// What came of a run.
#[derive(Debug, Default)]
pub struct Run {
    /// The fate of each record, in order.
    pub fates: Vec<Fate>,
    /// What the plugin logged.
    pub lines: Vec<LogLine>,
    /// What it counted.
    pub counters: BTreeMap<String, u64>,
}

impl Run {
    /// The snapshot: a fate a line.
    #[must_use]
    pub fn snapshot(&self) -> String {
        self.fates.iter().map(|fate| format!("{}\n", fate.0)).collect()
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
        match self.call(batch)? {
            Ok(outcome) => self.tell(batch, &outcome),
            Err(reason) if batch.len() == 1 => self.fail(&reason),
            Err(_) => {
                for record in batch {
                    let one = std::slice::from_ref(record);
                    match self.call(one)? {
                        Ok(outcome) => self.tell(one, &outcome),
                        Err(reason) => self.fail(&reason),
                    }
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, batch: &[TestRecord]) -> Result<Result<Outcome, String>, PushError> {
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
        let mut lent = None;
        let state = self.options.state.then(|| {
            let place = (first.topic.clone(), first.partition);
            let table = &self.options.table;
            let state = self.states.entry(place).or_insert_with(|| MemoryState::new(table.clone()));
            let saved = state.save();
            batch.iter().for_each(|record| state.advance(record.timestamp));
            lent = Some(Box::new(state.clone()) as Box<dyn State>);
            (state.clone(), saved)
        });
        let answer = self.instance.run_with(&mut self.columns, &context, &mut lent);
        let journal = self.instance.take_journal();
        self.run.lines.extend(journal.lines);
        for (name, by) in journal.counters {
            *self.run.counters.entry(name).or_default() += by;
        }
        if let (Some((state, saved)), Err(_)) = (state, &answer) {
            state.restore(&saved);
        }
        Ok(answer.map_err(|error| error.to_string()))
    }

    fn fail(&mut self, reason: &str) {
        self.put(json!({ "fate": "failed", "reason": reason }));
    }

    fn put(&mut self, fate: Value) {
        let mut object = Map::new();
        object.insert("record".to_owned(), json!(self.run.fates.len()));
        if let Value::Object(fate) = fate {
            object.extend(fate);
        }
        self.run.fates.push(Fate(Value::Object(object)));
    }

    fn tell(&mut self, batch: &[TestRecord], outcome: &Outcome) {
        let mut replaced = 0;
        let mut emitted = 0;
        for index in 0..batch.len() {
            let failure = outcome.failed.iter().find(|failed| failed.record as usize == index);
            if let Some(failure) = failure {
                self.fail(&failure.reason);
                continue;
            }
            let fate = match &outcome.verdict {
                Verdict::Filter(kept) if kept.contains(index as u32) => json!({ "fate": "kept" }),
                Verdict::Filter(_) => json!({ "fate": "dropped" }),
                Verdict::Partition(chosen) => {
                    json!({ "fate": "kept", "partition": chosen[index] })
                }
                Verdict::Tags(tags) => match tags.tags[index] {
                    Tag::Keep => json!({ "fate": "kept" }),
                    Tag::Drop => json!({ "fate": "dropped" }),
                    Tag::Null => json!({ "fate": "replaced", "value": null }),
                    Tag::Replace => {
                        let mut fate = Map::new();
                        fate.insert("fate".to_owned(), json!("replaced"));
                        bytes(&mut fate, "value", Some(tags.values.get(replaced)));
                        replaced += 1;
                        Value::Object(fate)
                    }
                },
                Verdict::Emitted(all) => {
                    let mut outputs = Vec::new();
                    while emitted < all.len() && all.get(emitted).input as usize == index {
                        outputs.push(output(&all.get(emitted)));
                        emitted += 1;
                    }
                    match outputs.is_empty() {
                        true => json!({ "fate": "dropped" }),
                        false => json!({ "fate": "emitted", "outputs": outputs }),
                    }
                }
                Verdict::Reject { reason } => json!({ "fate": "rejected", "reason": reason }),
            };
            self.put(fate);
        }
    }
}

/// Adds a record to columns.
pub(crate) fn push(columns: &mut Columns, record: &TestRecord) -> Result<(), PushError> {
    let headers = record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    columns.push(Timestamp(record.timestamp), key, value, headers)
}

/// What of an output is not its input's.
fn output(out: &tidegate_plugin::Output<'_>) -> Value {
    let mut object = Map::new();
    if let Some(topic) = out.topic {
        object.insert("topic".to_owned(), json!(topic.as_str()));
    }
    if let Some(partition) = out.partition {
        object.insert("partition".to_owned(), json!(partition));
    }
    if let Some(timestamp) = out.timestamp {
        object.insert("timestamp".to_owned(), json!(timestamp));
    }
    for (name, part) in [("key", &out.key), ("value", &out.value)] {
        match part {
            Part::Input => {}
            Part::Null => bytes(&mut object, name, None),
            Part::Own(own) => bytes(&mut object, name, Some(own)),
        }
    }
    if let Part::Own(headers) = out.headers {
        let headers = PackedHeaders::new(headers).map(|(name, value)| {
            let mut header = Map::new();
            bytes(&mut header, "name", Some(name));
            bytes(&mut header, "value", value);
            Value::Object(header)
        });
        object.insert("headers".to_owned(), headers.collect());
    }
    Value::Object(object)
}

/// Bytes as text where they are UTF-8, else as base64 under a name that says so.
fn bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => object.insert(name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => {
            object.insert(format!("{name}_base64"), json!(BASE64.encode(bytes)))
        }
    };
}
