use proptest::prelude::*;
use tidegate_plugin_sdk::serde_json::{Value, json};
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::CheckSchema;
use crate::compile::compile;
use crate::equal::{equal, twins};

fn tester(schema: &Value, more: &str) -> Tester<CheckSchema> {
    Tester::filter(&format!(r#"{{"schema": {schema}{more}}}"#)).unwrap()
}

/// Why a value does not fit; empty where it does.
fn mismatch(schema: &Value, value: &Value) -> String {
    match tester(schema, "").keep_one(&Input::value(value.to_string())) {
        Ok(true) => String::new(),
        Ok(false) => panic!("dropped: {schema} {value}"),
        Err(reason) => reason,
    }
}

#[test]
fn the_pages_example_says_where_and_why() {
    let schema = json!({"type": "object", "required": ["id", "temp"],
        "properties": {"id": {"type": "string"}, "temp": {"type": "number", "maximum": 100}}});
    assert_eq!(mismatch(&schema, &json!({"id": "a", "temp": 99.5, "more": 1})), "");
    for (value, reason) in [
        (json!({"id": "a", "temp": 120}), "at /temp: 120 is above the maximum 100"),
        (json!({"id": 7, "temp": 1}), "at /id: 7 is not of type string"),
        (json!({"id": "a"}), "at the root: field `temp` is missing"),
        (json!([1]), "at the root: [1] is not of type object"),
    ] {
        assert_eq!(mismatch(&schema, &value), reason);
    }
}

#[test]
fn each_keyword_lets_through_and_holds_back() {
    for (schema, fits, not, reason) in [
        (json!({"type": ["integer", "null"]}), json!(2.0), json!(2.5), "type integer or null"),
        (json!({"enum": [1, "a", {"b": []}]}), json!({"b": []}), json!("b"), "is none of"),
        (json!({"const": 1}), json!(1.0), json!("1"), "is none of [1]"),
        (json!({"minimum": 2}), json!(2), json!(1.9), "below the minimum 2"),
        (json!({"exclusiveMinimum": 2}), json!(2.1), json!(2), "not above 2"),
        (json!({"exclusiveMaximum": 2}), json!("x"), json!(2), "not below 2"),
        (json!({"multipleOf": 0.1}), json!(0.3), json!(0.35), "no multiple of 0.1"),
        (json!({"minLength": 2}), json!("éé"), json!("é"), "1 characters, fewer than 2"),
        (json!({"maxLength": 2}), json!("水水"), json!("abc"), "3 characters, more than 2"),
        (json!({"pattern": "^[a-z]+$"}), json!("abc"), json!("aBc"), "does not match the pattern"),
        (json!({"minItems": 1}), json!([0]), json!([]), "0 items, fewer than 1"),
        (json!({"uniqueItems": true}), json!([1, "1", [1]]), json!([1, 2, 1.0]), "items 0 and 2"),
        (json!({"items": {"type": "number"}}), json!([1]), json!([1, "x"]), "at /1: \"x\""),
        (
            json!({"prefixItems": [{"type": "number"}], "items": false}),
            json!([1]),
            json!([1, 2]),
            "at /1: nothing is allowed here",
        ),
        (
            json!({"items": [{"type": "number"}], "additionalItems": {"type": "string"}}),
            json!([1, "x"]),
            json!([1, 2]),
            "at /1: 2 is not of type string",
        ),
        (
            json!({"contains": {"const": 1}, "maxContains": 1}),
            json!([1, 2]),
            json!([1, 1]),
            "2 items that fit `contains`, more than 1",
        ),
        (json!({"contains": {"const": 1}}), json!([1]), json!([2]), "fewer than 1"),
        (json!({"maxProperties": 1}), json!({"a": 1}), json!({"a": 1, "b": 2}), "2 fields"),
        (
            json!({"properties": {"a/b": {"properties": {"~": false}}}}),
            json!({"a/b": {}}),
            json!({"a/b": {"~": 1}}),
            "at /a~1b/~0: nothing",
        ),
        (
            json!({"properties": {"a": true}, "patternProperties": {"^x_": {"type": "number"}},
                   "additionalProperties": false}),
            json!({"a": 1, "x_b": 2}),
            json!({"c": 1}),
            "at /c: no field of this name is allowed",
        ),
        (
            json!({"patternProperties": {"^x_": {"type": "number"}}}),
            json!({"y": ""}),
            json!({"x_a": ""}),
            "at /x_a: \"\" is not of type number",
        ),
        (
            json!({"propertyNames": {"maxLength": 2}}),
            json!({"ab": 1}),
            json!({"abc": 1}),
            "at /abc",
        ),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"b": 1}),
            json!({"a": 1}),
            "field `b` is missing beside `a`",
        ),
        (
            json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
            json!({"a": 1, "b": 1}),
            json!({"a": 1}),
            "field `b` is missing",
        ),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}),
            json!(2),
            json!(3),
            "above the maximum",
        ),
        (json!({"anyOf": [{"minimum": 5}, {"maximum": 2}]}), json!(2), json!(3), "fits nothing"),
        (
            json!({"oneOf": [{"minimum": 1}, {"maximum": 2}]}),
            json!(3),
            json!(2),
            "fits 2 of `oneOf`",
        ),
        (json!({"not": {"type": "null"}}), json!(1), json!(null), "fits what it must not"),
        (
            json!({"if": {"type": "number"}, "then": {"minimum": 1}, "else": {"type": "string"}}),
            json!("x"),
            json!(0),
            "below the minimum",
        ),
        (
            json!({"if": {"type": "number"}, "then": {"minimum": 1}, "else": {"type": "string"}}),
            json!(1),
            json!([]),
            "not of type string",
        ),
        (
            json!({"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}),
            json!([1]),
            json!([[]]),
            "at /0: [] is not of type number",
        ),
        (
            json!({"properties": {"next": {"$ref": "#"}}, "additionalProperties": false}),
            json!({"next": {"next": {}}}),
            json!({"next": {"nxt": {}}}),
            "at /next/nxt",
        ),
        (json!({"description": "x", "format": "date", "not": false}), json!(1), json!(null), ""),
    ] {
        assert_eq!(mismatch(&schema, &fits), "", "{schema}");
        let found = mismatch(&schema, &not);
        assert!(
            found.contains(reason) && found.is_empty() == reason.is_empty(),
            "{schema}: {found}"
        );
    }
}

#[test]
fn what_does_not_fit_is_failed_or_dropped() {
    let schema = json!({"type": "object"});
    let mut fail = tester(&schema, "");
    assert!(fail.keep_one(&Input::value("{")).unwrap_err().contains("not the JSON expected"));
    assert_eq!(fail.keep_one(&Input::null()), Err("value is null".into()));
    let mut drop = tester(&schema, r#", "on_mismatch": "drop""#);
    assert_eq!(drop.keep_one(&Input::value("{}")), Ok(true));
    assert_eq!(drop.keep_one(&Input::value("[]")), Ok(false));
    assert_eq!(drop.keep_one(&Input::value("{")), Ok(false));
    for (nulls, kept) in [("keep", true), ("drop", false)] {
        let mut plugin = tester(&schema, &format!(r#", "nulls": "{nulls}""#));
        assert_eq!(plugin.keep_one(&Input::null()), Ok(kept));
    }
}

#[test]
fn long_values_are_cut_in_reasons() {
    let reason = mismatch(&json!({"type": "number"}), &json!("é".repeat(1_000)));
    assert!(reason.len() < 120 && reason.contains("..."), "{reason}");
}

#[test]
fn schemas_that_would_not_be_checked_are_refused() {
    for (schema, word) in [
        (json!(7), "a schema is an object, true or false"),
        (json!({"typ": "object"}), "at #: the keyword `typ` is not supported"),
        (
            json!({"items": {"unevaluatedItems": false}}),
            "at #/items: the keyword `unevaluatedItems`",
        ),
        (json!({"type": "text"}), "\"text\" is no type"),
        (json!({"pattern": "(?=x)"}), "is not supported"),
        (json!({"patternProperties": {"(": true}}), "is not supported"),
        (json!({"minLength": -1}), "at #/minLength: not a whole number"),
        (json!({"multipleOf": 0}), "not above 0"),
        (json!({"enum": []}), "not an array with items"),
        (json!({"required": "a"}), "not an array"),
        (json!({"$ref": "#/$defs/x"}), "there is nothing at `#/$defs/x`"),
        (json!({"$ref": "other.json"}), "no place of this schema"),
        (json!({"$ref": "#"}), "leads back to itself"),
        (
            json!({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}),
            "leads back",
        ),
        (json!({"properties": {"a/b": {"type": 1}}}), "at #/properties/a~1b/type: 1 is no type"),
    ] {
        let reason = compile(&schema).unwrap_err();
        assert!(reason.contains(word), "{schema}: {reason}");
    }
    for (config, word) in [
        ("{}", "missing field `schema`"),
        (r#"{"schema": true, "nulls": "maybe"}"#, "unknown variant `maybe`"),
        (r#"{"schema": true, "draft": 7}"#, "unknown field `draft`"),
    ] {
        let reason = Tester::<CheckSchema>::filter(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..3_i64).prop_map(Value::from),
        (-3..3_i32).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab]{1,2}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn twins_are_found_wherever_two_are_equal(items in prop::collection::vec(value(), 0..12)) {
        let pairs = (0..items.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        let expected: Vec<_> = pairs.filter(|(a, b)| equal(&items[*a], &items[*b])).collect();
        match twins(&items) {
            None => prop_assert!(expected.is_empty(), "{:?}", expected),
            Some(found) => prop_assert!(expected.contains(&found)),
        }
    }

    #[test]
    fn a_value_fits_its_own_const_and_enum(value in value(), other in value()) {
        let schema = json!({"const": value});
        prop_assert_eq!(mismatch(&schema, &value), "");
        prop_assert_eq!(mismatch(&schema, &other).is_empty(), equal(&value, &other));
        prop_assert_eq!(mismatch(&json!({"enum": [other, value]}), &value), "");
    }
}
