use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn get<'a>(json: &'a str, at: &str) -> Option<&'a str> {
    field(json.as_bytes(), &path(at)).unwrap().map(|raw| str::from_utf8(raw).unwrap())
}

fn splice(json: &str, at: &str, raw: &str) -> Result<String, JsonError> {
    splice_field(json.as_bytes(), &path(at), raw.as_bytes())
        .map(|text| String::from_utf8(text).unwrap())
}

#[test]
fn fields_are_found_by_their_path() {
    let json = r#" { "a" : {"b.c": [1, {"d": "x\"}"}, -2.5e3 ]}, "\u0061b": true, "e":{} } "#;
    assert_eq!(get(json, r"a.b\.c.0"), Some("1"));
    assert_eq!(get(json, r"a.b\.c.1.d"), Some(r#""x\"}""#));
    assert_eq!(get(json, r"a.b\.c.2"), Some("-2.5e3"));
    assert_eq!(get(json, r"a.b\.c.3"), None);
    assert_eq!(get(json, r"a.b\.c.x"), None);
    assert_eq!(get(json, "ab"), Some("true"));
    assert_eq!(get(json, "e"), Some("{}"));
    assert_eq!(get(json, "e.f"), None);
    assert_eq!(get(json, "ab.c"), None);
    assert_eq!(get(json, "zz"), None);
    assert_eq!(get(r#"{"a":1,"a":2}"#, "a"), Some("1"));
}

#[test]
fn splicing_keeps_every_other_byte() {
    let json = r#"{ "a": {"b": 1 , "c":[2,3]} }"#;
    assert_eq!(splice(json, "a.b", "null").unwrap(), r#"{ "a": {"b": null , "c":[2,3]} }"#);
    assert_eq!(splice(json, "a.c.1", "\"x\"").unwrap(), r#"{ "a": {"b": 1 , "c":[2,"x"]} }"#);
    assert_eq!(splice(json, "z", "9").unwrap(), r#"{ "a": {"b": 1 , "c":[2,3]},"z":9 }"#);
    assert_eq!(splice("{ }", "q\"", "9").unwrap(), r#"{ "q\"":9}"#);
    for missing in ["x.y", "a.b.c", "a.c.7"] {
        assert!(splice(json, missing, "1").is_err(), "{missing}");
    }
}

#[test]
fn broken_text_is_an_error_and_says_where() {
    for (json, at) in [
        ("", 0),
        ("{", 1),
        ("{\"", 2),
        ("{\"b", 3),
        ("{\"b\"", 4),
        ("{\"b\":", 5),
        ("{\"b\":1", 6),
        ("{\"b\":1,", 7),
        ("{\"b\":1 \"a\":2}", 7),
        ("{\"b\":[}", 6),
        ("{\"b\":[1", 7),
        ("{\"b\":tru, \"a\":1}", 5),
        ("{\"b\":\"\\", 6),
        ("{b:1}", 1),
        ("{\"a\":x}", 5),
    ] {
        let error = field(json.as_bytes(), &path("a")).unwrap_err();
        assert_eq!(error.at(), at, "{json}: {error}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| format!("{{\"x\":{}{},\"a\":1}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(get(&nested(MAX_DEPTH), "a"), Some("1"));
    let error = field(nested(MAX_DEPTH + 1).as_bytes(), &path("a")).unwrap_err();
    assert!(error.to_string().contains("nested too deep"), "{error}");
}

#[test]
fn paths_are_checked() {
    for (text, error) in [
        ("", PathError::Empty),
        (".", PathError::EmptyName),
        ("a..b", PathError::EmptyName),
        ("a.", PathError::EmptyName),
        (r"a\x", PathError::Escape),
        (r"a\", PathError::Escape),
    ] {
        assert_eq!(text.parse::<Path>(), Err(error), "{text}");
    }
    assert_eq!(vec!["a"; MAX_DEPTH + 1].join(".").parse::<Path>(), Err(PathError::TooDeep));
    assert_eq!(path(r"a\.b\\.c").to_string(), r"a\.b\\.c");
    assert_eq!(path(r"a\.b.c").last(), "c");
}

#[test]
fn texts_and_numbers_follow_json() {
    assert_eq!(text(br#""a\u00e9\n""#).unwrap(), "aé\n");
    assert_eq!(text(b"12.50").unwrap(), "12.50");
    assert_eq!(text(br#""\x""#), None);
    assert_eq!(text(b"\"\xff\""), None);
    assert_eq!(text(b"\""), None);
    for (raw, expected) in
        [("-12.5e1", Some(-125.0)), ("0", Some(0.0)), ("1E2", Some(100.0)), ("1e999", None)]
    {
        assert_eq!(number(raw.as_bytes()), expected, "{raw}");
    }
    for raw in ["", "-", "+1", ".5", "inf", "NaN", "-inf", "1_0", "0x1", "\"1\"", "null", "1 "] {
        assert_eq!(number(raw.as_bytes()), None, "{raw}");
    }
}

#[test]
fn numbers_are_written_as_people_do() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e21"),
        (-2.5e-9, "-2.5e-9"),
        (f64::NAN, "null"),
        (f64::NEG_INFINITY, "null"),
    ] {
        let mut out = vec![];
        write_number(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

/// JSON of every shape, with names that need escapes.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "[\\PC\"\\\\{}\\[\\]:,\n]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[\\PC\"\\\\.{}\n]{1,5}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every path into a value, with what lies there.
fn walk(value: &Value, at: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    let mut step = |name: String, inner: &Value| {
        at.push(name);
        found.push((at.clone(), inner.clone()));
        walk(inner, at, found);
        at.pop();
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| step(name.clone(), inner)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, inner)| step(i.to_string(), inner));
        }
        _ => {}
    }
}

fn join(names: &[String]) -> Path {
    let escaped: Vec<_> =
        names.iter().map(|n| n.replace('\\', r"\\").replace('.', r"\.")).collect();
    path(&escaped.join("."))
}

/// Writes characters beyond ASCII as escapes, which serde does not do by itself.
fn escape(json: &str) -> String {
    let unit = |unit: &mut u16| format!("\\u{unit:04x}");
    json.chars()
        .map(|c| match c.is_ascii() {
            true => c.to_string(),
            false => c.encode_utf16(&mut [0; 2]).iter_mut().map(unit).collect(),
        })
        .collect()
}

proptest! {
    #[test]
    fn finds_what_serde_finds(value in value(), pretty: bool, escaped: bool) {
        let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let json = if escaped { escape(&json.unwrap()) } else { json.unwrap() };
        let mut found = vec![];
        walk(&value, &mut vec![], &mut found);
        for (names, expected) in found {
            let raw = field(json.as_bytes(), &join(&names)).unwrap();
            let raw = raw.unwrap_or_else(|| panic!("{names:?} is missing in {json}"));
            prop_assert_eq!(serde_json::from_slice::<Value>(raw).unwrap(), expected.clone());
            if let Value::String(expected) = expected {
                let found = text(raw);
                prop_assert_eq!(found.as_deref(), Some(expected.as_str()));
            }
        }
    }

    #[test]
    fn splices_as_serde_would(mut value in value(), new in value(), pick: prop::sample::Index) {
        let json = serde_json::to_string(&value).unwrap();
        let mut found = vec![];
        walk(&value, &mut vec![], &mut found);
        prop_assume!(!found.is_empty());
        let (names, _) = pick.get(&found);
        let spliced = splice_field(json.as_bytes(), &join(names), new.to_string().as_bytes());
        let place = names.iter().fold(&mut value, |inner, name| match inner {
            Value::Array(items) => &mut items[name.parse::<usize>().unwrap()],
            inner => &mut inner[name.as_str()],
        });
        *place = new;
        prop_assert_eq!(serde_json::from_slice::<Value>(&spliced.unwrap()).unwrap(), value);
    }

    #[test]
    fn inserts_as_serde_would(value in value(), name in "[\\PC\"\\\\.]{1,6}") {
        let json = serde_json::to_string_pretty(&value).unwrap();
        let spliced = splice_field(json.as_bytes(), &join(std::slice::from_ref(&name)), b"[1]");
        match value {
            Value::Object(mut map) => {
                map.insert(name, json!([1]));
                let found: Value = serde_json::from_slice(&spliced.unwrap()).unwrap();
                prop_assert_eq!(found, Value::Object(map));
            }
            Value::Array(_) => {}
            _ => prop_assert!(spliced.is_err()),
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(
        json in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ \n1a-eutrlns\xff"[..]), 0..40)
    ) {
        for at in ["a", "a.a", "0", "0.a"] {
            let found = field(&json, &path(at));
            // Where serde reads it, so do we.
            if serde_json::from_slice::<Value>(&json).is_ok() {
                prop_assert!(found.is_ok());
            }
            if let Ok(Some(raw)) = found {
                prop_assert!(!raw.is_empty());
            }
        }
    }

    #[test]
    fn numbers_are_written_as_serde_reads_them(n in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
        let mut out = vec![];
        write_number(&mut out, n);
        prop_assert_eq!(serde_json::from_slice::<f64>(&out).unwrap(), n);
        prop_assert_eq!(number(&out), Some(n));
    }

    #[test]
    fn strings_are_written_as_serde_reads_them(text in "[\\PC\x00-\x1f\"\\\\]{0,20}") {
        let mut out = vec![];
        write_string(&mut out, &text);
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}
