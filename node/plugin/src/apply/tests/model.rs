//! What should come of a chain, one record at a time: it knows nothing of columns, spans or holes.

use super::*;

pub(super) type Place = (Option<String>, u32);

/// What the model expects: where each record's outputs are, and which records failed.
#[derive(Default, Debug)]
pub(super) struct Expected {
    /// With the index of the record that each comes from.
    pub(super) places: BTreeMap<Place, Vec<(usize, Rec)>>,
    pub(super) failed: Vec<(u32, usize)>,
}

/// A record on its way: its topic with the step that chose it, its partition, and itself.
type Live = (Option<(String, usize)>, Option<u32>, Rec);

/// One record at a time. A topic that is not there fails a record that ends up in it, no other.
pub(super) fn model(input: &[Rec], stages: &[Fake]) -> Expected {
    let mut expected = Expected::default();
    for (index, rec) in input.iter().enumerate() {
        let outputs = fate(rec, stages)
            .and_then(|live| live.into_iter().map(settle).collect::<Result<Vec<_>, usize>>());
        match outputs {
            Ok(outputs) => {
                for (place, rec) in outputs {
                    expected.places.entry(place).or_default().push((index, rec));
                }
            }
            Err(stage) => expected.failed.push((index as u32, stage)),
        }
    }
    expected
}

/// What the steps leave of a record, or the step that failed over it.
fn fate(rec: &Rec, stages: &[Fake]) -> Result<Vec<Live>, usize> {
    let mut live: Vec<Live> = vec![(None, None, rec.clone())];
    for (number, stage) in stages.iter().enumerate() {
        let mut next = Vec::new();
        for (topic, partition, rec) in live {
            match &stage.acts[&rec.timestamp] {
                Act::Keep => next.push((topic, partition, rec)),
                Act::Drop => {}
                Act::Fail | Act::Trap => return Err(number),
                Act::Value(value) => {
                    next.push((topic, partition, Rec { value: value.clone(), ..rec }));
                }
                Act::Emit(outputs) => next.extend(outputs.iter().map(|(to, at, key)| {
                    let rec = Rec { key: key.clone().or(rec.key.clone()), ..rec.clone() };
                    match (to, at) {
                        (Some(to), at) => (Some(((*to).to_owned(), number)), *at, rec),
                        (None, Some(at)) if topic.is_none() => (None, Some(*at), rec),
                        (None, _) => (topic.clone(), partition, rec),
                    }
                })),
            }
        }
        live = next;
    }
    Ok(live)
}

/// Where a record ends up, or the step that sent it nowhere.
fn settle((topic, partition, rec): Live) -> Result<(Place, Rec), usize> {
    let Some((topic, stage)) = topic else {
        return Ok(((None, partition.unwrap_or(HERE)), rec));
    };
    let size = partitions_of(&TopicName::new(topic.as_str()).unwrap()).ok_or(stage)?;
    let partition = match (partition, &rec.key) {
        (Some(partition), _) if partition >= size => return Err(stage),
        (Some(partition), _) => partition,
        (None, Some(key)) => tidegate_types::key_partition(key, size).get(),
        (None, None) => HERE % size,
    };
    Ok(((Some(topic), partition), rec))
}
