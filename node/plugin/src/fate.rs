//! What became of each record of a run, for people to read.

use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::columns::PackedHeaders;
use crate::outcome::{Outcome, Output, Part, Tag, Verdict};

/// What a plugin made of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FateKind {
    /// It stays as it is, perhaps in another partition.
    Kept,
    /// Nothing is left of it.
    Dropped,
    /// It has another value.
    Replaced,
    /// Records were put out in its place.
    Emitted,
    /// The plugin could not handle it.
    Failed,
    /// The plugin refused it with its whole batch.
    Rejected,
}

impl fmt::Display for FateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FateKind::Kept => "kept",
            FateKind::Dropped => "dropped",
            FateKind::Replaced => "replaced",
            FateKind::Emitted => "emitted",
            FateKind::Failed => "failed",
            FateKind::Rejected => "rejected",
        })
    }
}

/// What became of one record.
#[derive(Clone, PartialEq, Debug)]
pub struct Fate {
    /// In a word.
    pub kind: FateKind,
    detail: Map<String, Value>,
}

impl Fate {
    /// That of a record that no plugin changed.
    #[must_use]
    pub fn kept() -> Fate {
        Fate { kind: FateKind::Kept, detail: Map::new() }
    }

    /// That of a record over which the plugin failed.
    #[must_use]
    pub fn failed(reason: &str) -> Fate {
        Fate::with(FateKind::Failed, "reason", json!(reason))
    }

    fn with(kind: FateKind, name: &str, value: Value) -> Fate {
        Fate { kind, detail: Map::from_iter([(name.to_owned(), value)]) }
    }

    /// An object: `fate`, then what belongs to it. Of outputs it holds what is not their input's.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::from_iter([("fate".to_owned(), json!(self.kind.to_string()))]);
        object.extend(self.detail.clone());
        object
    }
}

/// Decides for `records` records as a node does: where a run over all of them fails, each is run by
/// itself. `run` is given which of them to run, and may be for other reasons unable to.
///
/// # Errors
/// What `run` could not do.
pub fn run_for_fates<E>(
    records: usize,
    mut run: impl FnMut(Range<usize>) -> Result<Result<Outcome, String>, E>,
) -> Result<Vec<Fate>, E> {
    let mut told = |range: Range<usize>| {
        let records = range.len();
        Ok::<_, E>(run(range)?.map(|outcome| fates(&outcome, records)))
    };
    match told(0..records)? {
        Ok(fates) => Ok(fates),
        Err(reason) if records == 1 => Ok(vec![Fate::failed(&reason)]),
        Err(_) => {
            let mut all = Vec::with_capacity(records);
            for record in 0..records {
                match told(record..record + 1)? {
                    Ok(fates) => all.extend(fates),
                    Err(reason) => all.push(Fate::failed(&reason)),
                }
            }
            Ok(all)
        }
    }
}

/// What an outcome makes of each of the records that it is for.
fn fates(outcome: &Outcome, records: usize) -> Vec<Fate> {
    let (mut replaced, mut emitted) = (0, 0);
    let mut failed = outcome.failed.iter().peekable();
    let mut fates = Vec::with_capacity(records);
    for index in 0..records {
        if let Some(failure) = failed.next_if(|failure| failure.record as usize == index) {
            fates.push(Fate::failed(&failure.reason));
            continue;
        }
        fates.push(match &outcome.verdict {
            Verdict::Filter(kept) if kept.contains(index as u32) => Fate::kept(),
            Verdict::Filter(_) => dropped(),
            Verdict::Partition(chosen) => {
                Fate::with(FateKind::Kept, "partition", json!(chosen[index]))
            }
            Verdict::Tags(tags) => match tags.tags[index] {
                Tag::Keep => Fate::kept(),
                Tag::Drop => dropped(),
                Tag::Null => Fate::with(FateKind::Replaced, "value", Value::Null),
                Tag::Replace => {
                    let mut detail = Map::new();
                    put_bytes(&mut detail, "value", Some(tags.values.get(replaced)));
                    replaced += 1;
                    Fate { kind: FateKind::Replaced, detail }
                }
            },
            Verdict::Emitted(all) => {
                let mut outputs = Vec::new();
                while emitted < all.len() && all.get(emitted).input as usize == index {
                    outputs.push(output(&all.get(emitted)));
                    emitted += 1;
                }
                match outputs.is_empty() {
                    true => dropped(),
                    false => Fate::with(FateKind::Emitted, "outputs", outputs.into()),
                }
            }
            Verdict::Reject { reason } => Fate::with(FateKind::Rejected, "reason", json!(reason)),
        });
    }
    fates
}

fn dropped() -> Fate {
    Fate { kind: FateKind::Dropped, detail: Map::new() }
}

/// What of an output is not its input's.
fn output(out: &Output<'_>) -> Value {
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
            Part::Null => put_bytes(&mut object, name, None),
            Part::Own(own) => put_bytes(&mut object, name, Some(own)),
        }
    }
    if let Part::Own(headers) = out.headers {
        let headers = PackedHeaders::new(headers).map(|(name, value)| {
            let mut header = Map::new();
            put_bytes(&mut header, "name", Some(name));
            put_bytes(&mut header, "value", value);
            Value::Object(header)
        });
        object.insert("headers".to_owned(), headers.collect());
    }
    Value::Object(object)
}

/// Puts bytes into an object: as text where they are UTF-8, else as base64 under a name that says so.
pub fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => object.insert(name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => {
            object.insert(format!("{name}_base64"), json!(BASE64.encode(bytes)))
        }
    };
}
