//! A value against a schema: the first place that is wrong, and why.

use std::fmt::{self, Display};

use tidegate_plugin_sdk::serde_json::{Map, Value};

use crate::equal::{equal, twins};
use crate::node::{Array, At, Bounds, Contains, Node, Number, Object, Schema, Text, Type};

/// How much of a wrong value a reason quotes.
const QUOTED: usize = 60;

/// Why a value does not fit.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// Names and indices, the innermost first.
    place: Vec<String>,
    reason: String,
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("at ")?;
        if self.place.is_empty() {
            f.write_str("the root")?;
        }
        for name in self.place.iter().rev() {
            write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl From<Mismatch> for tidegate_plugin_sdk::Failure {
    fn from(mismatch: Mismatch) -> tidegate_plugin_sdk::Failure {
        tidegate_plugin_sdk::Failure::record(mismatch.to_string())
    }
}

type Checked = Result<(), Mismatch>;

fn wrong(reason: String) -> Checked {
    Err(Mismatch { place: vec![], reason })
}

fn within(checked: Checked, name: impl Display) -> Checked {
    checked.map_err(|mut mismatch| {
        mismatch.place.push(name.to_string());
        mismatch
    })
}

fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.len() > QUOTED {
        true => format!("{}...", &text[..text.floor_char_boundary(QUOTED)]),
        false => text,
    }
}

impl Bounds {
    fn check(self, count: usize, what: &str) -> Checked {
        let count = count as u64;
        match self {
            Bounds { min: Some(min), .. } if count < min => {
                wrong(format!("{count} {what}, fewer than {min}"))
            }
            Bounds { max: Some(max), .. } if count > max => {
                wrong(format!("{count} {what}, more than {max}"))
            }
            _ => Ok(()),
        }
    }
}

impl Schema {
    /// Whether the value fits.
    pub(crate) fn check(&self, value: &Value) -> Checked {
        self.check_at(0, value)
    }

    fn fits(&self, at: At, value: &Value) -> bool {
        self.check_at(at, value).is_ok()
    }

    fn check_at(&self, at: At, value: &Value) -> Checked {
        let node = &self.nodes[at];
        if node.never {
            return wrong("nothing is allowed here".into());
        }
        check_type(node, value)?;
        if let Some(values) = &node.one_of_values
            && !values.iter().any(|one| equal(one, value))
        {
            let allowed = Value::Array(values.clone());
            return wrong(format!("{} is none of {}", quoted(value), quoted(&allowed)));
        }
        match value {
            Value::Number(_) => check_number(&node.number, value)?,
            Value::String(text) => check_text(&node.text, text)?,
            Value::Array(items) => self.check_array(&node.array, items)?,
            Value::Object(fields) => self.check_object(&node.object, fields, value)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.check_combined(node, value)
    }

    fn check_combined(&self, node: &Node, value: &Value) -> Checked {
        node.all.iter().try_for_each(|at| self.check_at(*at, value))?;
        if !node.any.is_empty() && !node.any.iter().any(|at| self.fits(*at, value)) {
            return wrong(format!("{} fits nothing of `anyOf`", quoted(value)));
        }
        if !node.one.is_empty() {
            let count = node.one.iter().filter(|at| self.fits(**at, value)).count();
            if count != 1 {
                return wrong(format!("{} fits {count} of `oneOf`, not one", quoted(value)));
            }
        }
        if node.not.is_some_and(|at| self.fits(at, value)) {
            return wrong(format!("{} fits what it must not", quoted(value)));
        }
        let branch = node.condition.as_ref().and_then(|condition| {
            let holds = self.fits(condition.when, value);
            if holds { condition.then } else { condition.otherwise }
        });
        branch.map_or(Ok(()), |at| self.check_at(at, value))
    }

    fn check_array(&self, array: &Array, items: &[Value]) -> Checked {
        array.length.check(items.len(), "items")?;
        if array.unique
            && let Some((a, b)) = twins(items)
        {
            return wrong(format!("items {a} and {b} are the same"));
        }
        for (i, (at, item)) in array.prefix.iter().zip(items).enumerate() {
            within(self.check_at(*at, item), i)?;
        }
        if let Some(at) = array.items {
            for (i, item) in items.iter().enumerate().skip(array.prefix.len()) {
                within(self.check_at(at, item), i)?;
            }
        }
        if let Some(Contains { node, count }) = array.contains {
            let found = items.iter().filter(|item| self.fits(node, item)).count();
            count.check(found, "items that fit `contains`")?;
        }
        Ok(())
    }

    fn check_object(&self, object: &Object, fields: &Map<String, Value>, value: &Value) -> Checked {
        object.size.check(fields.len(), "fields")?;
        if let Some(missing) = object.required.iter().find(|name| !fields.contains_key(*name)) {
            return wrong(format!("field `{missing}` is missing"));
        }
        for (name, others) in &object.dependent_required {
            let missing = others.iter().find(|other| !fields.contains_key(*other));
            if let (true, Some(missing)) = (fields.contains_key(name), missing) {
                return wrong(format!("field `{missing}` is missing beside `{name}`"));
            }
        }
        for (name, field) in fields {
            if let Some(at) = object.names {
                within(self.check_at(at, &Value::String(name.clone())), name)?;
            }
            let own = object.properties.get(name);
            let by_pattern = object.patterns.iter().filter(|(pattern, _)| pattern.is_match(name));
            let mut named = false;
            for at in own.into_iter().chain(by_pattern.map(|(_, at)| at)) {
                named = true;
                within(self.check_at(*at, field), name)?;
            }
            if let (false, Some(at)) = (named, object.additional) {
                within(self.check_additional(at, field), name)?;
            }
        }
        let mut dependent = object.dependent.iter().filter(|(name, _)| fields.contains_key(name));
        dependent.try_for_each(|(_, at)| self.check_at(*at, value))
    }

    fn check_additional(&self, at: At, field: &Value) -> Checked {
        match self.nodes[at].never {
            true => wrong("no field of this name is allowed".into()),
            false => self.check_at(at, field),
        }
    }
}

fn check_type(node: &Node, value: &Value) -> Checked {
    let Some(types) = &node.types else { return Ok(()) };
    let fits = |expected: &Type| match (expected, value) {
        (Type::Integer, Value::Number(number)) => {
            !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        (Type::Null, Value::Null)
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::String, Value::String(_))
        | (Type::Array, Value::Array(_))
        | (Type::Object, Value::Object(_)) => true,
        _ => false,
    };
    if types.iter().any(fits) {
        return Ok(());
    }
    let names: Vec<_> = types.iter().map(|one| one.name()).collect();
    wrong(format!("{} is not of type {}", quoted(value), names.join(" or ")))
}

fn check_number(limits: &Number, value: &Value) -> Checked {
    let Some(number) = value.as_f64() else { return Ok(()) };
    let broken = |limit: Option<f64>, breaks: fn(f64, f64) -> bool| {
        limit.filter(|limit| breaks(number, *limit))
    };
    for (limit, what) in [
        (broken(limits.minimum, |n, limit| n < limit), "below the minimum"),
        (broken(limits.maximum, |n, limit| n > limit), "above the maximum"),
        (broken(limits.above, |n, limit| n <= limit), "not above"),
        (broken(limits.below, |n, limit| n >= limit), "not below"),
        (broken(limits.multiple_of, |n, of| !is_multiple(n, of)), "no multiple of"),
    ] {
        if let Some(limit) = limit {
            return wrong(format!("{value} is {what} {limit}"));
        }
    }
    Ok(())
}

/// 0.3 is a multiple of 0.1, although the floats nearest to them are not.
fn is_multiple(number: f64, of: f64) -> bool {
    let times = number / of;
    if !times.is_finite() {
        return number % of == 0.0;
    }
    (times - times.round()).abs() <= times.abs() * 4.0 * f64::EPSILON
}

fn check_text(limits: &Text, text: &str) -> Checked {
    if limits.length.min.is_some() || limits.length.max.is_some() {
        limits.length.check(text.chars().count(), "characters")?;
    }
    match &limits.pattern {
        Some(pattern) if !pattern.is_match(text) => {
            let text = quoted(&Value::from(text));
            wrong(format!("{text} does not match the pattern {pattern}"))
        }
        _ => Ok(()),
    }
}
