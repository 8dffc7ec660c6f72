//! When two JSON values are the same: numbers by their size, however they are written.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use tidegate_plugin_sdk::serde_json::{Number, Value};

pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => equal_numbers(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(name, a)| b.get(name).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

fn equal_numbers(a: &Number, b: &Number) -> bool {
    // Whole numbers beyond 2^53 are told apart; beside a float they are one.
    let as_floats = a.is_f64() || b.is_f64();
    if as_floats { a.as_f64() == b.as_f64() } else { a == b }
}

/// Two items that are equal, if any are.
pub(crate) fn twins(items: &[Value]) -> Option<(usize, usize)> {
    let mut hashes: Vec<(u64, usize)> = items.iter().map(hash).zip(0..).collect();
    hashes.sort_unstable();
    let runs = hashes.chunk_by(|(a, _), (b, _)| a == b);
    let in_run = |run: &[(u64, usize)]| {
        let pair = |i: usize| {
            let (before, (_, this)) = (&run[..i], run[i]);
            let twin = before.iter().find(|(_, other)| equal(&items[*other], &items[this]));
            twin.map(|(_, other)| (*other, this))
        };
        (1..run.len()).find_map(pair)
    };
    runs.filter_map(in_run).min()
}

/// The same for values that are equal.
fn hash(value: &Value) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    match value {
        Value::Null => 1,
        Value::Bool(is) => 2 + u64::from(*is),
        // A negative zero equals the other.
        Value::Number(number) => {
            hasher.hash_one(number.as_f64().map(|number| (number + 0.0).to_bits()))
        }
        Value::String(text) => hasher.hash_one(text),
        Value::Array(items) => items.iter().fold(4, |all, item| hasher.hash_one((all, hash(item)))),
        // In whatever order.
        Value::Object(fields) => fields.iter().fold(5, |all: u64, (name, value)| {
            all.wrapping_add(hasher.hash_one((name, hash(value))))
        }),
    }
}
