//! Where two trees differ, by the path of the field.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::tree::label;

/// One field that differs. `None`: that side has no such field.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    /// The field's path: `Topics[t].Partitions[0].ErrorCode`; with `!` after it where one side has
    /// no such field.
    pub path: String,
    /// What Kafka says there.
    pub kafka: Option<Value>,
    /// What the other broker says there.
    pub ours: Option<Value>,
}

/// All fields that differ.
pub fn differences(kafka: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(kafka), Some(ours), &mut found);
    found
}

fn compare(path: String, kafka: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (kafka, ours) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let both = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            for name in both {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(path, left.get(name), right.get(name), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right)))
            if left.iter().chain(right).any(Value::is_object) =>
        {
            let (left, right) = (labelled(left), labelled(right));
            let both = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
            for key in both {
                let (kafka, ours) = (left.get(key).copied(), right.get(key).copied());
                compare(format!("{path}[{}]", key.name()), kafka, ours, found);
            }
        }
        (kafka, ours) if kafka == ours => {}
        (kafka, ours) => {
            let mark = if kafka.is_none() || ours.is_none() { "!" } else { "" };
            let path = format!("{path}{mark}");
            found.push(Difference { path, kafka: kafka.cloned(), ours: ours.cloned() });
        }
    }
}

/// An element by its label, and by its place among those of the same label.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Label(String, usize);

impl Label {
    fn name(&self) -> String {
        match (self.0.as_str(), self.1) {
            ("", place) => place.to_string(),
            (label, 0) => label.to_owned(),
            (label, place) => format!("{label}#{place}"),
        }
    }
}

type Labelled<'a> = BTreeMap<Label, &'a Value>;

fn labelled(list: &[Value]) -> Labelled<'_> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for element in list {
        let label = label(element).unwrap_or_default();
        let count = counts.entry(label.clone()).or_default();
        out.insert(Label(label, *count), element);
        *count += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(kafka: &Value, ours: &Value) -> Vec<String> {
        differences(kafka, ours).into_iter().map(|found| found.path).collect()
    }

    #[test]
    fn equal_trees_do_not_differ() {
        let tree = json!({ "Topics": [{ "Name": "t", "Error": 0 }], "N": null });
        assert!(paths(&tree, &tree).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_found_at_its_place() {
        let kafka = json!({ "Topics": [
            { "Name": "a", "Partitions": [{ "Index": 0, "Error": 0 }, { "Index": 1, "Error": 0 }] },
            { "Name": "b" },
        ], "Isr": [1, 2], "Gone": 1 });
        let ours = json!({ "Topics": [
            { "Name": "a", "Partitions": [{ "Index": 1, "Error": 3 }] },
            { "Name": "b" }, { "Name": "b" },
        ], "Isr": [2, 1], "New": null });
        assert_eq!(
            paths(&kafka, &ours),
            [
                "Topics[a].Partitions[0]!",
                "Topics[a].Partitions[1].Error",
                "Topics[b#1]!",
                "Isr",
                "Gone!",
                "New!"
            ]
        );
    }
}
