use proptest::prelude::*;

use crate::bindings::types::{Batch, Context, TransformVerdict};
use crate::guest::run_transform;
use crate::prelude::*;
use crate::testing::{Input, Put, Refused, Tester};

/// Does to a record what its value says, one letter a step.
struct Scripted;

impl Transform for Scripted {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Scripted)
    }

    fn needs(&self) -> Columns {
        Columns::all()
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        for step in record.value_str()?.chars() {
            match step {
                'k' => out.keep(),
                'd' => out.drop(),
                'r' => out.replace_value(b"new"),
                'w' => out.write_value(|value| {
                    value.put(b"to be forgotten");
                    value.clear();
                    value.put_json_string("\n");
                    assert_eq!(value.written(), br#""\n""#);
                }),
                'n' => out.null_value(),
                'e' => out.emit(Emit::input().key(Some(b"")).value(b"emitted").partition(3)),
                't' => out.emit(
                    Emit::input()
                        .key(None)
                        .topic("other")
                        .headers(&[(b"h", None), (b"h", Some(b"v"))]),
                ),
                's' => out.emit(Emit::input().null_value().timestamp(77).topic("third")),
                'x' => return Err(Failure::record("told to fail")),
                'R' => return Err(Failure::reject_batch("told to reject")),
                other => panic!("no step {other}"),
            }
        }
        Ok(())
    }
}

/// What the steps of one record come to, worked out without columns.
fn expected(input: &Input) -> Result<Vec<Put>, String> {
    let mut puts = vec![];
    for step in input.value.as_deref().unwrap_or_default() {
        let mut put = Put { record: input.clone(), topic: None, partition: None };
        match step {
            b'k' => {}
            b'd' => continue,
            b'r' => put.record.value = Some(b"new".to_vec()),
            b'w' => put.record.value = Some(br#""\n""#.to_vec()),
            b'n' => put.record.value = None,
            b'e' => {
                put.record.key = Some(vec![]);
                put.record.value = Some(b"emitted".to_vec());
                put.partition = Some(3);
            }
            b't' => {
                put.record.key = None;
                put.record.headers =
                    vec![(b"h".to_vec(), None), (b"h".to_vec(), Some(b"v".to_vec()))];
                put.topic = Some("other".into());
            }
            b's' => {
                put.record.value = None;
                put.record.timestamp = Some(77);
                put.topic = Some("third".into());
            }
            _ => return Err("told to fail".into()),
        }
        puts.push(put);
    }
    Ok(puts)
}

fn tester() -> Tester<Scripted> {
    Tester::transform("{}").unwrap().in_topic("t", 0, 9)
}

fn input(steps: &str, key: Option<&str>, timestamp: Option<i64>) -> Input {
    let key = key.map(|key| key.as_bytes().to_vec());
    Input { key, timestamp, ..Input::value(steps).with_header("a", "b").with_header("a", "") }
}

proptest! {
    #[test]
    fn any_steps_over_any_batch_come_out_as_the_model_says(
        records in prop::collection::vec(
            ("[kdrwn]{0,1}|[kdrwnetsx]{0,4}", prop::option::of("[a-c]{0,3}"), prop::option::of(0..9_i64)),
            0..12,
        )
    ) {
        let records: Vec<_> = records
            .iter()
            .map(|(steps, key, timestamp)| input(steps, key.as_deref(), *timestamp))
            .collect();
        let expected: Vec<_> = records.iter().map(expected).collect();
        prop_assert_eq!(tester().apply(&records), Ok(expected));
    }
}

#[test]
fn a_record_that_fails_takes_back_what_it_had_put_out() {
    for (before, failing) in [("", "rx"), ("r", "rx"), ("e", "rkex"), ("r", "rkx"), ("", "x")] {
        let records = [before, failing, "r"].map(Input::value);
        let results = tester().apply(&records).unwrap();
        assert_eq!(results[0], expected(&records[0]), "{before} {failing}");
        assert_eq!(results[1], Err("told to fail".into()));
        assert_eq!(results[2].as_ref().unwrap()[0].text(), "new", "{before} {failing}");
    }
}

#[test]
fn the_cheap_form_is_used_while_every_record_stays_in_place() {
    let verdict = |steps: &[&str]| {
        let values = steps.concat().into_bytes();
        let mut end = 0;
        let ends = steps.iter().map(|step| {
            end += step.len() as u32;
            end
        });
        let batch = Batch {
            count: steps.len() as u32,
            value_ends: ends.collect(),
            values,
            timestamps: vec![],
            keys: vec![],
            key_ends: vec![],
            headers: vec![],
            header_ends: vec![],
            nulls: vec![0; steps.len()],
        };
        let context = Context { topic: "t".into(), partition: 0, partitions: 1, seed: 0 };
        run_transform(&mut Scripted, &batch, &context).unwrap()
    };
    let TransformVerdict::Tagged(tagged) = verdict(&["k", "", "r", "n", "x", "w"]) else {
        panic!("turned into the general form for nothing");
    };
    assert_eq!(tagged.tags, [0, 1, 2, 3, 1, 2]);
    assert_eq!(tagged.values, b"new\"\\n\"");
    assert_eq!(tagged.value_ends, [3, 7]);
    assert_eq!(tagged.failed.len(), 1);

    let TransformVerdict::Emitted(emitted) = verdict(&["r", "", "kk"]) else {
        panic!("two outputs of one record fit no tag");
    };
    assert_eq!(emitted.inputs, [0, 2, 2]);
    assert_eq!(emitted.flags, [4 | 16, 4 | 8 | 16, 4 | 8 | 16]);
    assert_eq!((emitted.values, emitted.value_ends), (b"new".to_vec(), vec![3, 3, 3]));
    let empty = [emitted.key_ends, emitted.header_ends, emitted.topic_of, emitted.partition_of];
    assert!(empty.iter().all(Vec::is_empty), "{empty:?}");
}

#[test]
fn a_batch_can_be_rejected() {
    let result = tester().apply(&["k", "R", "k"].map(Input::value));
    assert_eq!(result, Err(Refused::Rejected("told to reject".into())));
}

/// Sets timestamps on some outputs without having asked for the others'.
struct Restamp;

impl Transform for Restamp {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Restamp)
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        assert_eq!(record.timestamp(), None);
        out.emit(Emit::input().timestamp(5));
        if record.value_str()? == "twice" {
            out.keep();
        }
        Ok(())
    }
}

#[test]
fn timestamps_on_some_outputs_need_the_column() {
    let mut tester = Tester::<Restamp>::transform("").unwrap();
    let once = tester.apply_one(&Input::value("once").at(1)).unwrap();
    assert_eq!(once[0].record.timestamp, Some(5));
    let twice = tester.apply_one(&Input::value("twice").at(1)).unwrap_err();
    assert!(twice.contains("Columns::TIMESTAMPS"), "{twice}");
}
