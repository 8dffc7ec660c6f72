use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json;
use tidegate_plugin_sdk::serde_json::{Value, json};
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::Enrich;

const ROW: &str = r#"{"hall": 2, "line": {"name": "B"}, "note": "a \"b\""}"#;

fn tester(config: &str) -> Tester<Enrich> {
    Tester::transform(config).unwrap().with_table("17", ROW).with_table("bad", "{")
}

fn enriched(config: &str, record: &Input) -> Result<String, String> {
    let puts = tester(config).apply_one(record)?;
    Ok(puts.first().map(|put| put.text().to_owned()).unwrap_or_default())
}

#[test]
fn the_tables_value_is_put_in_and_every_other_byte_stays() {
    let by_key = Input::value(r#"{ "t": 1.50 }"#).with_key("17");
    assert_eq!(enriched("", &by_key).unwrap(), format!(r#"{{ "t": 1.50,"table":{ROW} }}"#));
    let by_field = Input::value(r#"{"device":{"id":17},"place":"old"}"#);
    let config =
        r#"{"by": {"field": "device.id"}, "into": "place", "fields": ["hall", "line.name", "x"]}"#;
    assert_eq!(
        enriched(config, &by_field).unwrap(),
        r#"{"device":{"id":17},"place":{"hall":2,"name":"B"}}"#
    );
    let nested = r#"{"by": {"field": "device.id"}, "into": "device.place", "fields": ["hall"]}"#;
    assert_eq!(
        enriched(nested, &by_field).unwrap(),
        r#"{"device":{"id":17,"place":{"hall":2}},"place":"old"}"#
    );
}

#[test]
fn what_is_missing_is_kept_dropped_or_failed() {
    let unknown = Input::value("{}").with_key("99");
    let keyless = Input::value("{}");
    for record in [&unknown, &keyless] {
        assert_eq!(enriched("", record).unwrap(), "{}");
        assert_eq!(enriched(r#"{"missing": "drop"}"#, record).unwrap(), "");
    }
    let fail = r#"{"missing": "fail"}"#;
    assert_eq!(enriched(fail, &unknown), Err("the table has no key `99`".into()));
    assert_eq!(enriched(fail, &keyless), Err("key is missing".into()));
    let by_field = r#"{"missing": "fail", "by": {"field": "id"}}"#;
    assert_eq!(enriched(by_field, &keyless), Err("field `id` is missing".into()));
}

#[test]
fn bad_input_fails_with_the_reason() {
    for (key, value, word) in [
        ("bad", "{}", "the table's value is not JSON"),
        ("17", "[1]", "`table` cannot be put in"),
        ("17", "7", "`table` cannot be put in"),
        ("17", "{", "`table` cannot be put in"),
    ] {
        let reason = enriched("", &Input::value(value).with_key(key)).unwrap_err();
        assert!(reason.contains(word), "{value}: {reason}");
    }
    let into = r#"{"into": "a.b"}"#;
    assert!(enriched(into, &Input::value("{}").with_key("17")).is_err());
    assert_eq!(enriched("", &Input::null()), Err("value is null".into()));
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        (r#"{"by": "value"}"#, "`key` or a field"),
        (r#"{"fields": []}"#, "nothing would be added"),
        (r#"{"fields": ["a.x", "b.x"]}"#, "names `x` twice"),
        (r#"{"missing": "ignore"}"#, "unknown variant `ignore`"),
        (r#"{"under": "x"}"#, "unknown field `under`"),
        (r#"{"into": ""}"#, "must not be empty"),
    ] {
        let reason = Tester::<Enrich>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_what_serde_would_make(n: i32, name in "\\PC{0,6}", row in "\\PC{0,6}") {
        let record = Input::value(json!({"n": n, "name": name}).to_string()).with_key("k");
        let row = json!({"v": row});
        let mut plugin = tester("").with_table("k", row.to_string());
        let puts = plugin.apply_one(&record).unwrap();
        let found: Value = serde_json::from_str(puts[0].text()).unwrap();
        prop_assert_eq!(found, json!({"n": n, "name": name, "table": row}));
    }
}
