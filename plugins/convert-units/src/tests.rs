use proptest::prelude::*;
use tidegate_plugin_sdk::json;
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::ConvertUnits;

fn convert(config: &str, value: &str) -> Result<String, String> {
    let mut plugin = Tester::<ConvertUnits>::transform(config).unwrap();
    let puts = plugin.apply_one(&Input::value(value))?;
    assert_eq!(puts.len(), 1);
    Ok(puts[0].text().to_owned())
}

const PAGE: &str = r#"{"fields": [
  {"field": "temp", "from": "F", "to": "C", "decimals": 1},
  {"field": "pump.pressure", "from": "psi", "to": "bar", "into": "pump.pressure_bar"},
  {"field": "raw", "scale": 0.1, "offset": -40, "into": "level"}
]}"#;

#[test]
fn the_pages_example_comes_out_as_it_says() {
    assert_eq!(
        convert(PAGE, r#"{"temp":98.6,"pump":{"pressure":30},"raw":700}"#).unwrap(),
        r#"{"temp":37,"pump":{"pressure":30,"pressure_bar":2.0684271879505083},"raw":700,"level":30}"#
    );
}

#[test]
fn missing_fields_are_left_out_or_fail() {
    for value in ["{}", r#"{ "temp" : null }"#, "[1]", r#"{"pump":7}"#] {
        assert_eq!(convert(PAGE, value).unwrap(), value);
    }
    let config = r#"{"fields": [{"field": "v", "scale": 2}], "missing": "fail"}"#;
    assert_eq!(convert(config, "{}"), Err("field `v` is missing".into()));
    assert_eq!(convert(config, r#"{"v":null}"#), Err("field `v` is missing".into()));
    assert_eq!(convert(config, r#"{"v": 2.5 , "w":1}"#).unwrap(), r#"{"v": 5 , "w":1}"#);
}

#[test]
fn conversions_follow_each_other() {
    let config = r#"{"fields": [{"field": "v", "scale": 2}, {"field": "v", "offset": 1}]}"#;
    assert_eq!(convert(config, r#"{"v":3}"#).unwrap(), r#"{"v":7}"#);
}

#[test]
fn bad_input_fails_with_the_reason() {
    for (value, word) in [
        (r#"{"raw":"7"}"#, "field `raw` is no finite number"),
        (r#"{"raw":[7]}"#, "field `raw` is no finite number"),
        ("{", "value is not JSON"),
    ] {
        let reason = convert(PAGE, value).unwrap_err();
        assert!(reason.contains(word), "{value}: {reason}");
    }
    let huge = r#"{"fields": [{"field": "v", "scale": 1e300}]}"#;
    assert!(convert(huge, r#"{"v":1e300}"#).unwrap_err().contains("too large"));
    let into = r#"{"fields": [{"field": "v", "scale": 2, "into": "a.b"}]}"#;
    assert!(convert(into, r#"{"v":1}"#).unwrap_err().contains("`a.b` cannot be put in"));
    let mut plugin = Tester::<ConvertUnits>::transform(PAGE).unwrap();
    assert_eq!(plugin.apply_one(&Input::null()), Err("value is null".into()));
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        ("{}", "missing field `fields`"),
        (r#"{"fields": []}"#, "nothing would be converted"),
        (r#"{"fields": [{"field": "v"}]}"#, "needs `from` and `to`, or `scale`"),
        (r#"{"fields": [{"field": "v", "from": "C"}]}"#, "needs both"),
        (r#"{"fields": [{"field": "v", "from": "C", "to": "F", "scale": 1}]}"#, "give one"),
        (
            r#"{"fields": [{"field": "v", "from": "C", "to": "bar"}]}"#,
            "field `v`: `C` is a unit of",
        ),
        (r#"{"fields": [{"field": "v", "scale": 1, "decimals": 13}]}"#, "at most 12"),
        (r#"{"fields": [{"field": "v", "unit": "C"}]}"#, "unknown field `unit`"),
    ] {
        let reason = Tester::<ConvertUnits>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

proptest! {
    #[test]
    fn numbers_go_through_and_the_rest_stays(number in -1e6..1e6_f64, text in "[a-z \\\\]{0,8}") {
        let mut quoted = vec![];
        json::write_string(&mut quoted, &text);
        let quoted = String::from_utf8(quoted).unwrap();
        let config = r#"{"fields": [{"field": "v", "from": "km", "to": "m"}]}"#;
        let found = convert(config, &format!(r#"{{"a": {quoted}, "v":{number},"z":[ ]}}"#)).unwrap();
        let start = format!(r#"{{"a": {quoted}, "v":"#);
        let number_text = found.strip_prefix(&start).and_then(|f| f.strip_suffix(r#","z":[ ]}"#));
        prop_assert_eq!(number_text.unwrap().parse::<f64>().unwrap(), number * 1000.0);
    }
}
