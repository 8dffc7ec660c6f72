use tidegate_plugin_sdk::partition_for_key;
use tidegate_plugin_sdk::testing::{Input, Put, Tester};

use crate::RouteByField;

fn tester(config: &str) -> Tester<RouteByField> {
    Tester::transform(config).unwrap().in_topic("in", 0, 7)
}

const TOPICS: &str = r#"{"field": "site", "to": "topic", "topics": {"a": "out-a", "1": "one"}"#;

fn stays(puts: &[Put]) -> bool {
    matches!(puts, [Put { topic: None, partition: None, .. }])
}

#[test]
fn the_partition_is_kafkas_for_the_fields_text() {
    let mut plugin = tester(r#"{"field": "device.id", "to": "partition"}"#);
    let mut moved = 0;
    for id in ["21", "foobar", "x", "y", "\\u00e9"] {
        let record = Input::value(format!(r#"{{"device":{{"id":"{id}"}}}}"#)).with_key("k");
        let text = if id.starts_with('\\') { "é" } else { id };
        let puts = plugin.apply_one(&record).unwrap();
        let partition = partition_for_key(text.as_bytes(), 7);
        assert_eq!(puts[0].partition.unwrap_or(0), partition);
        assert_eq!(puts[0].record, record);
        assert_eq!(puts.len(), 1);
        moved += u32::from(partition != 0);
    }
    assert!(moved > 0, "no case left partition 0");
}

#[test]
fn listed_texts_go_to_their_topics_and_others_to_the_default_or_nowhere() {
    let mut plugin = tester(&format!("{TOPICS}}}"));
    let a = plugin.apply_one(&Input::value(r#"{"site":"a"}"#)).unwrap();
    assert_eq!(a[0].topic.as_deref(), Some("out-a"));
    assert_eq!(a[0].partition, None);
    let one = plugin.apply_one(&Input::value(r#"{"site":1}"#)).unwrap();
    assert_eq!(one[0].topic.as_deref(), Some("one"));
    assert!(stays(&plugin.apply_one(&Input::value(r#"{"site":"b"}"#)).unwrap()));

    let mut plugin = tester(&format!(r#"{TOPICS}, "default": "rest"}}"#));
    let other = plugin.apply_one(&Input::value(r#"{"site":"b"}"#)).unwrap();
    assert_eq!(other[0].topic.as_deref(), Some("rest"));
    let mut plugin = tester(&format!(r#"{TOPICS}, "default": "in"}}"#));
    assert!(stays(&plugin.apply_one(&Input::value(r#"{"site":"b"}"#)).unwrap()));
}

#[test]
fn rules_are_tried_in_order_behind_the_list() {
    let config = r#"{"field": "v", "to": "topic", "default": "rest", "missing": "default",
        "topics": {"500": "exact"}, "rules": [
        {"from": 500, "topic": "high"}, {"from": -1.5, "below": 500, "topic": "middle"},
        {"below": -100, "topic": "low"}, {"prefix": "a.", "topic": "a"}, {"prefix": "a", "topic": "b"}]}"#;
    let mut plugin = tester(config);
    for (value, topic) in [
        ("500", "exact"),
        ("5e2", "high"),
        ("499.9", "middle"),
        ("-1.5", "middle"),
        ("-2", "rest"),
        ("-1e3", "low"),
        ("\"600\"", "rest"),
        ("\"a.x\"", "a"),
        ("\"a\"", "b"),
        ("\"A\"", "rest"),
        ("true", "rest"),
        ("null", "rest"),
    ] {
        let puts = plugin.apply_one(&Input::value(format!(r#"{{"v":{value}}}"#))).unwrap();
        assert_eq!(puts[0].topic.as_deref(), Some(topic), "{value}");
    }
    let missing = plugin.apply_one(&Input::value("{}")).unwrap();
    assert_eq!(missing[0].topic.as_deref(), Some("rest"));
}

#[test]
fn a_mixed_batch_keeps_its_order_and_its_failures() {
    let mut plugin = tester(&format!("{TOPICS}}}"));
    let values = [r#"{"site":"b"}"#, r#"{"site":"a"}"#, r#"{"site":[]}"#, "{}", r#"{"site":1}"#];
    let results = plugin.apply(&values.map(Input::value)).unwrap();
    assert!(stays(results[0].as_ref().unwrap()));
    assert_eq!(results[1].as_ref().unwrap()[0].topic.as_deref(), Some("out-a"));
    assert_eq!(results[2], Err("field `site` is an object or array".into()));
    assert_eq!(results[3], Err("field `site` is missing".into()));
    assert_eq!(results[4].as_ref().unwrap()[0].topic.as_deref(), Some("one"));
}

#[test]
fn a_missing_field_is_kept_on_request() {
    let mut plugin = tester(r#"{"field": "f", "to": "partition", "missing": "keep"}"#);
    for value in ["{}", r#"{"f":null}"#, "1"] {
        assert!(stays(&plugin.apply_one(&Input::value(value)).unwrap()), "{value}");
    }
    assert!(plugin.apply_one(&Input::value("{")).is_err());
    assert!(plugin.apply_one(&Input::null()).is_err());
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        (r#"{"to": "topic"}"#, "missing field `field`"),
        (r#"{"field": "a"}"#, "missing field `to`"),
        (r#"{"field": "a", "to": "site"}"#, "unknown variant `site`"),
        (r#"{"field": "a", "to": "topic"}"#, "needs `topics`"),
        (r#"{"field": "a", "to": "topic", "topics": {}}"#, "needs `topics`"),
        (r#"{"field": "a", "to": "topic", "topics": {"x": "a b"}}"#, "`a b` is no topic name"),
        (r#"{"field": "a", "to": "topic", "topics": {"x": "a"}, "default": ".."}"#, "`..`"),
        (r#"{"field": "a", "to": "partition", "default": "x"}"#, "`to`: `topic` only"),
        (r#"{"field": "a", "to": "partition", "topic": {}}"#, "unknown field `topic`"),
        (r#"{"field": "a", "to": "partition", "missing": "default"}"#, "`to`: `topic` only"),
        (
            r#"{"field": "a", "to": "topic", "topics": {"x": "a"}, "missing": "default"}"#,
            "needs `default`",
        ),
        (r#"{"field": "a", "to": "topic", "rules": [{"topic": "x"}]}"#, "needs `prefix`, `from`"),
        (
            r#"{"field": "a", "to": "topic", "rules": [{"topic": "x", "prefix": "a", "from": 1}]}"#,
            "give one",
        ),
        (
            r#"{"field": "a", "to": "topic", "rules": [{"topic": "x", "from": 2, "below": 2}]}"#,
            "no number is",
        ),
        (
            r#"{"field": "a", "to": "topic", "rules": [{"topic": "x y", "from": 2}]}"#,
            "no topic name",
        ),
        (r#"{"field": "", "to": "partition"}"#, "must not be empty"),
    ] {
        let reason = Tester::<RouteByField>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}
