use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json::{self, Value, json};
use tidegate_plugin_sdk::testing::{Input, Put, Tester};

use crate::Aggregate;

fn tester(config: &str) -> Tester<Aggregate> {
    Tester::transform(config).unwrap()
}

fn value(put: &Put) -> Value {
    assert_eq!((&put.topic, put.partition), (&None, None));
    assert!(put.record.headers.is_empty());
    serde_json::from_str(put.text()).unwrap()
}

/// What closes while these are gathered, one batch, each with its key.
fn closed(config: &str, records: &[(&str, i64, f64)]) -> Vec<(String, Value)> {
    let input = |(key, at, number): &(&str, i64, f64)| {
        Input::value(number.to_string()).with_key(key).at(*at).with_header("h", "1")
    };
    let records: Vec<_> = records.iter().map(input).collect();
    let results = tester(config).apply(&records).unwrap();
    let puts = results.into_iter().flat_map(Result::unwrap);
    puts.map(|put| (String::from_utf8(put.record.key.clone().unwrap()).unwrap(), value(&put)))
        .collect()
}

#[test]
fn every_value_is_that_of_its_window() {
    let config = r#"{"window": {"tumbling": "10ms"}, "grace": "5ms",
        "values": ["last", "first", "count", "sum", "average", "min", "max"]}"#;
    let records = [
        ("a", 3, 2.0),
        ("a", 9, 4.0),
        ("b", 4, 7.0),
        ("a", 12, 0.0),
        ("a", 1, -3.0),
        ("c", 15, 0.0),
    ];
    assert_eq!(
        closed(config, &records),
        [
            (
                "a".into(),
                json!({"start": 0, "end": 10, "last": 4, "first": -3, "count": 3, "sum": 3,
                                "average": 1, "min": -3, "max": 4})
            ),
            (
                "b".into(),
                json!({"start": 0, "end": 10, "last": 7, "first": 7, "count": 1, "sum": 7,
                                "average": 7, "min": 7, "max": 7})
            ),
        ]
    );
}

#[test]
fn hopping_windows_overlap_and_sessions_follow_their_records() {
    let hopping =
        r#"{"window": {"hopping": {"size": "20ms", "every": "10ms"}}, "values": ["sum"]}"#;
    let records = [("a", 5, 1.0), ("a", 15, 2.0), ("a", 30, 0.0)];
    assert_eq!(
        closed(hopping, &records).into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
        [
            json!({"start": -10, "end": 10, "sum": 1}),
            json!({"start": 0, "end": 20, "sum": 3}),
            json!({"start": 10, "end": 30, "sum": 2}),
        ]
    );
    let session = r#"{"window": {"session": "10ms"}, "values": ["count"]}"#;
    let records = [("a", 0, 1.0), ("a", 9, 1.0), ("b", 9, 1.0), ("a", 18, 1.0), ("b", 40, 1.0)];
    assert_eq!(
        closed(session, &records),
        [
            ("b".into(), json!({"start": 9, "end": 19, "count": 1})),
            ("a".into(), json!({"start": 0, "end": 28, "count": 3})),
        ]
    );
}

#[test]
fn a_windows_record_lies_inside_it_and_has_the_key_of_by() {
    let mut plugin =
        tester(r#"{"field": "v", "by": {"field": "id"}, "window": {"tumbling": "1s"}}"#);
    let record = |at| Input::value(r#"{"v": 1, "id": "x y"}"#).with_key("other").at(at);
    assert_eq!(plugin.apply_one(&record(0)).unwrap(), []);
    plugin.renew();
    let puts = plugin.apply_one(&record(1_000)).unwrap();
    assert_eq!(puts[0].record.timestamp, Some(999));
    assert_eq!(puts[0].record.key.as_deref(), Some(&b"x y"[..]));
    let mut plugin = tester(r#"{"window": {"tumbling": "1s"}}"#);
    assert_eq!(plugin.apply_one(&Input::value("1").at(0)).unwrap(), []);
    let puts = plugin.apply_one(&Input::value("1").at(1_000)).unwrap();
    assert_eq!(puts[0].record.key, None, "a null key stays null");
}

#[test]
fn late_records_are_dropped_or_fail() {
    for (late, expected) in
        [("drop", Ok(vec![])), ("fail", Err("a late record: its windows are closed".to_owned()))]
    {
        let mut plugin =
            tester(&format!(r#"{{"window": {{"tumbling": "1s"}}, "late": "{late}"}}"#));
        plugin.apply_one(&Input::value("1").at(5_000)).unwrap();
        assert_eq!(plugin.apply_one(&Input::value("1").at(10)), expected);
    }
}

#[test]
fn sums_too_large_for_json_are_null() {
    let config = r#"{"window": {"tumbling": "1s"}, "values": ["sum", "average", "max"]}"#;
    let found = closed(config, &[("a", 0, 1.5e308), ("a", 1, 1.5e308), ("a", 1_000, 0.0)]);
    assert_eq!(
        found[0].1,
        json!({"start": 0, "end": 1000, "sum": null, "average": null, "max": 1.5e308})
    );
}

#[test]
fn bad_records_fail_and_change_nothing() {
    let mut plugin =
        tester(r#"{"field": "v", "by": {"field": "id"}, "window": {"session": "1s"}}"#);
    for (record, word) in [
        (Input::value(r#"{"v": 1, "id": 1}"#), "without a timestamp"),
        (Input::value(r#"{"v": 1}"#).at(0), "field `id` is missing"),
        (Input::value(r#"{"id": 1}"#).at(0), "field `v` is missing"),
        (Input::value(r#"{"id": 1, "v": "1"}"#).at(0), "no finite number"),
        (Input::null().at(0), "value is null"),
    ] {
        let reason = plugin.apply_one(&record).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(plugin.store().entries().count(), 0);
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        ("{}", "missing field `window`"),
        (r#"{"window": {"tumbling": "0s"}}"#, "`window`: a window is between"),
        (r#"{"window": {"tumbling": "x"}}"#, "`x` is no duration"),
        (r#"{"window": {"hopping": {"size": "1s", "every": "2s"}}}"#, "begin at least as often"),
        (r#"{"window": {"hopping": {"size": "1s", "every": "1ms"}}}"#, "at most 100 windows"),
        (r#"{"window": {"hopping": {"size": "1s"}}}"#, "missing field `every`"),
        (r#"{"window": {"sliding": "1s"}}"#, "unknown variant `sliding`"),
        (r#"{"window": {"tumbling": "1s"}, "values": []}"#, "nothing would be put out"),
        (r#"{"window": {"tumbling": "1s"}, "values": ["sum", "sum"]}"#, "names `sum` twice"),
        (r#"{"window": {"tumbling": "1s"}, "values": ["median"]}"#, "unknown variant `median`"),
        (r#"{"window": {"tumbling": "1s"}, "by": "value"}"#, "`by` is `key` or a field"),
        (r#"{"window": {"tumbling": "1s"}, "gap": 1}"#, "unknown field `gap`"),
    ] {
        let reason = Tester::<Aggregate>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

proptest! {
    #[test]
    fn batches_and_restarts_do_not_change_what_comes_out(
        records in prop::collection::vec((97..100_u8, 0..100_i64, -9..9_i32), 0..60),
        cut in 1..9_usize,
        window in prop::sample::select(&[
            r#"{"tumbling": "10ms"}"#,
            r#"{"hopping": {"size": "15ms", "every": "4ms"}}"#,
            r#"{"session": "7ms"}"#,
        ][..]),
    ) {
        let config = format!(r#"{{"window": {window}, "grace": "20ms", "values": ["sum", "first"]}}"#);
        let record = |(key, at, n): &(u8, i64, i32)| {
            Input::value(n.to_string()).with_key([*key]).at(*at)
        };
        let records: Vec<_> = records.iter().map(record).collect();
        let expected = tester(&config).apply(&records).unwrap();
        let mut cut_up = tester(&config);
        let mut found = vec![];
        for batch in records.chunks(cut) {
            cut_up.renew();
            found.extend(cut_up.apply(batch).unwrap());
        }
        prop_assert_eq!(found, expected);
    }
}

/// Two weeks of a machine's load, every five minutes, by the hour.
#[test]
fn a_real_series_by_the_hour() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/ec2_cpu_utilization.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let config = r#"{"format": "csv", "column": 1, "window": {"tumbling": "1h"}, "values": ["count", "max", "sum"]}"#;
    let mut plugin = tester(config);
    // `2014-04-02 14:29:00,42.652`, with the hours counted from the first day of the month.
    let hour = |line: &str| {
        line[8..10].parse::<i64>().unwrap() * 24 + line[11..13].parse::<i64>().unwrap()
    };
    let minute = |line: &str| line[14..16].parse::<i64>().unwrap();
    let mut expected: BTreeMap<i64, (u64, f64, f64)> = BTreeMap::new();
    let mut found = vec![];
    for line in text.lines().skip(1) {
        let number: f64 = line.split(',').nth(1).unwrap().parse().unwrap();
        let entry = expected.entry(hour(line)).or_insert((0, f64::MIN, 0.0));
        *entry = (entry.0 + 1, entry.1.max(number), entry.2 + number);
        let at = (hour(line) * 60 + minute(line)) * 60_000;
        found.extend(plugin.apply_one(&Input::value(line).at(at)).unwrap());
    }
    let last = expected.pop_last();
    assert!(last.is_some() && expected.len() > 300, "{} hours", expected.len());
    let found: Vec<_> = found.iter().map(value).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(hour, (count, max, sum))| {
            let start = hour * 3_600_000;
            json!({"start": start, "end": start + 3_600_000, "count": count, "max": max, "sum": sum})
        })
        .collect();
    println!("{} hours", found.len());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        for name in ["start", "end", "count", "max", "sum"] {
            assert_eq!(found[name].as_f64(), expected[name].as_f64(), "{found} {expected}");
        }
    }
}
