//! Plugins that are made up: what each does with a record is listed beforehand.

use super::*;

/// A topic or none, a partition or none, a key or the input's.
pub(super) type FakeOutput = (Option<&'static str>, Option<u32>, Option<Vec<u8>>);

/// What a made-up plugin does with a record, chosen by its timestamp so that it can be told from
/// the columns alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Keep,
    Drop,
    Fail,
    /// Fails the whole batch that it is in.
    Trap,
    Value(Option<Vec<u8>>),
    /// Gives an output for each.
    Emit(Vec<FakeOutput>),
}

#[derive(Clone, Debug)]
pub(super) struct Fake {
    pub(super) acts: HashMap<i64, Act>,
    pub(super) emits: bool,
}

impl Stage for Fake {
    fn needs(&self) -> Needs {
        Needs::TIMESTAMPS
    }

    fn batch_time(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run(&mut self, columns: &mut Columns, context: &RunContext) -> Result<Outcome, RunError> {
        let batch = columns.take();
        let acts: Vec<&Act> = batch.timestamps.iter().map(|t| &self.acts[t]).collect();
        let count = batch.count;
        assert_eq!(acts.len(), count as usize);
        if acts.contains(&&Act::Trap) {
            return Err(RunError::Trapped { message: "asked to".to_owned() });
        }
        let failed = (0..).zip(&acts).filter(|(_, act)| ***act == Act::Fail);
        let failed = failed
            .map(|(record, _)| abi::Failure { record, reason: format!("fail {record}") })
            .collect();
        let verdict = if self.emits {
            abi::TransformVerdict::Emitted(emit(&acts, failed))
        } else {
            abi::TransformVerdict::Tagged(tag(&acts, failed))
        };
        columns.give_back(batch);
        Ok(Outcome::of_transform(verdict, count, context.partitions).unwrap())
    }
}

fn tag(acts: &[&Act], failed: Vec<abi::Failure>) -> abi::Tagged {
    let mut tagged =
        abi::Tagged { tags: Vec::new(), values: Vec::new(), value_ends: Vec::new(), failed };
    for act in acts {
        tagged.tags.push(match act {
            Act::Drop => 1,
            Act::Value(None) => 3,
            Act::Value(Some(value)) => {
                tagged.values.extend_from_slice(value);
                tagged.value_ends.push(tagged.values.len() as u32);
                2
            }
            _ => 0,
        });
    }
    tagged
}

fn emit(acts: &[&Act], failed: Vec<abi::Failure>) -> abi::Emitted {
    let mut out = abi::Emitted { failed, ..abi::Emitted::default() };
    let mut push = |input,
                    topic: Option<&str>,
                    partition: Option<u32>,
                    key: Option<&[u8]>,
                    value: Option<&Option<Vec<u8>>>| {
        let mut flags = 16;
        match key {
            Some(key) => out.keys.extend_from_slice(key),
            None => flags |= 4,
        }
        match value {
            None => flags |= 8,
            Some(None) => flags |= 2,
            Some(Some(value)) => out.values.extend_from_slice(value),
        }
        out.inputs.push(input);
        out.flags.push(flags);
        out.key_ends.push(out.keys.len() as u32);
        out.value_ends.push(out.values.len() as u32);
        let topic = topic.map_or(u32::MAX, |topic| {
            let known = out.topics.iter().position(|known| known == topic);
            known.unwrap_or_else(|| {
                out.topics.push(topic.to_owned());
                out.topics.len() - 1
            }) as u32
        });
        out.topic_of.push(topic);
        out.partition_of.push(partition.unwrap_or(u32::MAX));
    };
    for (input, act) in (0..).zip(acts) {
        match act {
            Act::Keep => push(input, None, None, None, None),
            Act::Drop | Act::Fail | Act::Trap => {}
            Act::Value(value) => push(input, None, None, None, Some(value)),
            Act::Emit(outputs) => {
                for (topic, partition, key) in outputs {
                    push(input, *topic, *partition, key.as_deref(), None);
                }
            }
        }
    }
    out
}
