use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json::{self, Value};
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::CborToJson;

const BACK: &str = r#"{"direction": "json-to-cbor"}"#;

fn run(config: &str, value: &[u8]) -> Result<Vec<u8>, String> {
    let mut plugin = Tester::<CborToJson>::transform(config).unwrap();
    let puts = plugin.apply_one(&Input::value(value))?;
    assert_eq!(puts.len(), 1);
    Ok(puts[0].record.value.clone().unwrap())
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn json_of(hex: &str) -> Result<String, String> {
    run("", &unhex(hex)).map(|json| String::from_utf8(json).unwrap())
}

#[test]
fn the_examples_of_rfc_8949_are_read() {
    for (hex, json) in [
        ("00", "0"),
        ("1818", "24"),
        ("1bffffffffffffffff", "18446744073709551615"),
        ("3bffffffffffffffff", "-18446744073709551616"),
        ("3903e7", "-1000"),
        ("f90000", "0"),
        ("f93c00", "1"),
        ("fb3ff199999999999a", "1.1"),
        ("fa47c35000", "100000"),
        ("fb7e37e43c8800759c", "1e300"),
        ("f90001", "5.960464477539063e-8"),
        ("f97e00", "null"),
        ("f97c00", "null"),
        ("f4", "false"),
        ("f5", "true"),
        ("f6", "null"),
        ("f7", "null"),
        ("c074323031332d30332d32315432303a30343a30305a", r#""2013-03-21T20:04:00Z""#),
        ("c11a514b67b0", "1363896240"),
        ("4401020304", r#""AQIDBA==""#),
        ("62225c", r#""\"\\""#),
        ("63e6b0b4", r#""水""#),
        ("80", "[]"),
        ("8301820203820405", "[1,[2,3],[4,5]]"),
        ("a201020304", r#"{"1":2,"3":4}"#),
        ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
        ("a1f501", r#"{"true":1}"#),
        ("5f42010243030405ff", r#""AQIDBAU=""#),
        ("7f657374726561646d696e67ff", r#""streaming""#),
        ("9f018202039f0405ffff", "[1,[2,3],[4,5]]"),
        ("bf6346756ef563416d7421ff", r#"{"Fun":true,"Amt":-2}"#),
    ] {
        assert_eq!(json_of(hex).as_deref(), Ok(json), "{hex}");
    }
    assert_eq!(run(r#"{"bytes": "hex"}"#, &unhex("4401ff0304")).unwrap(), br#""01ff0304""#);
}

#[test]
fn what_is_no_cbor_or_has_no_json_fails_with_the_reason() {
    for (hex, word) in [
        ("", "ends early"),
        ("61", "ends early"),
        ("8301", "ends early"),
        ("0000", "it ends at byte 1, and more follows"),
        ("ff", "not CBOR"),
        ("1c", "broken at byte 0"),
        ("62ffff", "not CBOR"),
        ("c249010000000000000000", "more than 64 bits"),
        ("a1820102f5", "neither text, integer nor boolean"),
        ("a2616101616102", "the key `a` twice"),
        ("a2613101 0102", "the key `1` twice"),
        // Lengths that are far beyond the value must not be believed.
        ("9bffffffffffffffff", "ends early"),
        ("5b7fffffffffffffff", "ends early"),
        ("bb0fffffffffffffff", "ends early"),
    ] {
        let reason = json_of(hex).unwrap_err();
        assert!(reason.contains(word), "{hex}: {reason}");
    }
    let reason = run(r#"{"bytes": "fail"}"#, b"\x41\x01").unwrap_err();
    assert!(reason.contains("byte string"), "{reason}");
}

#[test]
fn json_becomes_the_smallest_cbor() {
    for (json, hex) in [
        ("1", "01"),
        (" -500 ", "3901f3"),
        ("18446744073709551615", "1bffffffffffffffff"),
        ("1.5", "f93e00"),
        ("1.1", "fb3ff199999999999a"),
        (r#"{"b":[true,null],"a":"\u6c34"}"#, "a2616282f5f66161 63e6b0b4"),
    ] {
        assert_eq!(run(BACK, json.as_bytes()), Ok(unhex(hex)), "{json}");
    }
    for (json, word) in [
        ("", "value is not JSON"),
        ("{}x", "trailing characters"),
        (r#"{"a":1,"a":2}"#, "the name `a` twice"),
        ("[1,]", "value is not JSON"),
    ] {
        let reason = run(BACK, json.as_bytes()).unwrap_err();
        assert!(reason.contains(word), "{json}: {reason}");
    }
}

#[test]
fn depth_and_size_are_bounded_both_ways() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    let shallow = r#"{"max_depth": 3}"#;
    assert!(run(shallow, &nested(2)).is_ok());
    for depth in [4, 5, 100_000] {
        assert!(run(shallow, &nested(depth)).unwrap_err().contains("max_depth"), "{depth}");
    }
    let back = r#"{"max_depth": 3, "direction": "json-to-cbor"}"#;
    assert!(run(back, b"[[[1]]]").is_ok());
    assert!(run(back, b"[[[[1]]]]").unwrap_err().contains("max_depth"));
    assert!(run(back, "[".repeat(100_000).as_bytes()).unwrap_err().contains("max_depth"));
    let small = r#"{"max_size": 4}"#;
    assert!(run(small, b"\x44\x01\x02\x03\x04").unwrap_err().contains("value has 5 bytes"));
    assert!(run(small, b"\x43\x01\x02\x03").unwrap_err().contains("result has 6 bytes"));
}

#[test]
fn a_null_value_stays_null() {
    for config in ["", BACK] {
        let mut plugin = Tester::<CborToJson>::transform(config).unwrap();
        assert_eq!(plugin.apply_one(&Input::null()).unwrap()[0].record.value, None);
    }
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        (r#"{"max_depth": 0}"#, "between 1 and 128"),
        (r#"{"max_depth": 129}"#, "between 1 and 128"),
        (r#"{"max_size": 0}"#, "at least 1"),
        (r#"{"direction": "json-to-cbor", "bytes": "hex"}"#, "`cbor-to-json` only"),
        (r#"{"direction": "up"}"#, "unknown variant `up`"),
        (r#"{"depth": 1}"#, "unknown field `depth`"),
    ] {
        let reason = Tester::<CborToJson>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,5}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// JSON does not tell `1` from `1.0`, and neither does what comes back.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn there_and_back_is_the_same(value in value()) {
        let cbor = run(BACK, value.to_string().as_bytes()).unwrap();
        let json = run("", &cbor).unwrap();
        let found: Value = serde_json::from_slice(&json).unwrap();
        prop_assert!(same(&found, &value), "{found} {value}");
    }

    #[test]
    fn any_bytes_are_json_or_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(json) = run("", &bytes) {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        }
        let _either = run(BACK, &bytes);
    }
}

#[test]
fn objects_of_json_keep_their_order() {
    let json = br#"{"z":1,"a":{"y":2,"b":3}}"#;
    assert_eq!(run("", &run(BACK, json).unwrap()).unwrap(), json);
}
