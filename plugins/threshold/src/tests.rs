use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::Threshold;

fn tester(config: &str) -> Tester<Threshold> {
    Tester::filter(config).unwrap()
}

fn refusal(config: &str) -> String {
    Tester::<Threshold>::filter(config).err().unwrap_or_else(|| panic!("accepted: {config}"))
}

#[test]
fn keeps_what_lies_outside_and_drops_the_band_with_its_edges() {
    let mut plugin = tester(r#"{"field": "s.value", "low": 10, "high": 90}"#);
    for (number, kept) in
        [("9.99", true), ("10", false), ("50", false), ("90", false), ("9.1e1", true), ("-1", true)]
    {
        let record = Input::value(format!(r#"{{"x":[1,2],"s":{{"value": {number} }}}}"#));
        assert_eq!(plugin.keep_one(&record), Ok(kept), "{number}");
    }
}

#[test]
fn an_open_end_is_no_limit() {
    let mut plugin = tester(r#"{"high": 5}"#);
    assert_eq!(plugin.keep_one(&Input::value("-1e300")), Ok(false));
    assert_eq!(plugin.keep_one(&Input::value(" 5.1\n")), Ok(true));
}

#[test]
fn a_key_may_have_its_own_band() {
    let mut plugin =
        tester(r#"{"low": 0, "high": 1, "per_key": {"boiler": {"high": 120}}, "format": "text"}"#);
    assert!(plugin.needs().contains(Columns::KEYS));
    assert_eq!(plugin.keep_one(&Input::value("100").with_key("boiler")), Ok(false));
    assert_eq!(plugin.keep_one(&Input::value("121").with_key("boiler")), Ok(true));
    assert_eq!(plugin.keep_one(&Input::value("100").with_key("other")), Ok(true));
    assert_eq!(plugin.keep_one(&Input::value("100")), Ok(true));
    assert_eq!(plugin.keep_one(&Input::value("1").with_key(b"\xff")), Ok(false));
}

#[test]
fn a_record_without_a_band_is_kept() {
    let mut plugin = tester(r#"{"per_key": {"a": {"low": 1, "high": 2}}}"#);
    assert_eq!(plugin.keep_one(&Input::value("1.5").with_key("b")), Ok(true));
    assert_eq!(plugin.keep_one(&Input::value("1.5").with_key("a")), Ok(false));
}

#[test]
fn csv_columns_are_counted_from_zero_and_quotes_hold_delimiters() {
    let mut plugin = tester(r#"{"format": "csv", "column": 1, "low": 10, "high": 20}"#);
    assert_eq!(plugin.keep_one(&Input::value("2014-04-02 14:29:00,42.652")), Ok(true));
    assert_eq!(plugin.keep_one(&Input::value("\"a, b\", \"15\" ,99\r\n")), Ok(false));
    let missing = plugin.keep_one(&Input::value("alone")).unwrap_err();
    assert_eq!(missing, "column 1 is missing");
    let mut plugin =
        tester(r#"{"format": "csv", "column": 0, "delimiter": ";", "low": 10, "high": 20}"#);
    assert_eq!(plugin.keep_one(&Input::value("15;1,5")), Ok(false));
}

#[test]
fn what_is_no_finite_number_fails_with_a_reason() {
    let mut text = tester(r#"{"format": "text", "high": 1}"#);
    for value in ["", "warm", "NaN", "inf", "-infinity", "1e999"] {
        let reason = text.keep_one(&Input::value(value)).unwrap_err();
        assert_eq!(reason, format!("value is no finite number: {value}"));
    }
    let mut json = tester(r#"{"field": "v", "high": 1}"#);
    for value in ["null", "\"12\"", "true", "[1]", "{}", "1e999"] {
        let reason = json.keep_one(&Input::value(format!(r#"{{"v":{value}}}"#))).unwrap_err();
        assert_eq!(reason, format!("field `v` is no finite number: {value}"));
    }
    assert_eq!(json.keep_one(&Input::value("{}")).unwrap_err(), "field `v` is missing");
    assert_eq!(json.keep_one(&Input::null()).unwrap_err(), "value is null");
    assert!(json.keep_one(&Input::value("{\"v")).unwrap_err().starts_with("value is not JSON"));
}

#[test]
fn a_poison_record_leaves_its_neighbours_alone() {
    let mut plugin = tester(r#"{"high": 1}"#);
    let results = plugin.keep(&["0", "x", "2"].map(Input::value)).unwrap();
    assert_eq!(results[0], Ok(false));
    assert!(results[1].is_err());
    assert_eq!(results[2], Ok(true));
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, words) in [
        (r#"{"hgih": 1}"#, vec!["unknown field `hgih`", "`high`", "`per_key`"]),
        (r#"{"per_key": {"a": {"hi": 1}}}"#, vec!["unknown field `hi`", "`low`"]),
        ("{}", vec!["no band is set"]),
        ("", vec!["no band is set"]),
        (r#"{"low": 2, "high": 1}"#, vec!["low 2 lies above high 1"]),
        (r#"{"per_key": {"a": {}}}"#, vec!["for key `a`"]),
        (r#"{"format": "csv", "high": 1}"#, vec!["needs `column`"]),
        (r#"{"column": 1, "high": 1}"#, vec!["`column` is for format csv only"]),
        (r#"{"format": "text", "field": "a", "high": 1}"#, vec!["`field` is for format json"]),
        (r#"{"format": "xml", "high": 1}"#, vec!["unknown variant `xml`", "`csv`"]),
        (r#"{"format": "csv", "column": 0, "delimiter": "é", "high": 1}"#, vec!["ASCII"]),
        (r#"{"field": "a..b", "high": 1}"#, vec!["empty name"]),
        (r#"{"high": "1"}"#, vec!["invalid type: string"]),
        ("[", vec!["configuration"]),
    ] {
        let reason = refusal(config);
        for word in words {
            assert!(reason.contains(word), "{config}: {reason}");
        }
    }
}
