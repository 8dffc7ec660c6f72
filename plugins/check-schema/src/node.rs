//! A schema, compiled: a list of nodes that refer to each other by their place.

use tidegate_plugin_sdk::HashMap;
use tidegate_plugin_sdk::serde_json::Value;

use crate::pattern::Pattern;

/// A node's place in the list.
pub(crate) type At = usize;

/// The root is the first node.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) nodes: Vec<Node>,
}

/// What one schema object demands, in the order in which it is checked.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Set where the schema is `false`: nothing fits.
    pub(crate) never: bool,
    pub(crate) types: Option<Vec<Type>>,
    pub(crate) one_of_values: Option<Vec<Value>>,
    pub(crate) number: Number,
    pub(crate) text: Text,
    pub(crate) array: Array,
    pub(crate) object: Object,
    /// All of these must fit: `$ref` and `allOf`.
    pub(crate) all: Vec<At>,
    pub(crate) any: Vec<At>,
    pub(crate) one: Vec<At>,
    pub(crate) not: Option<At>,
    pub(crate) condition: Option<Condition>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Type {
    pub(crate) const ALL: [(&str, Type); 7] = [
        ("null", Type::Null),
        ("boolean", Type::Boolean),
        ("integer", Type::Integer),
        ("number", Type::Number),
        ("string", Type::String),
        ("array", Type::Array),
        ("object", Type::Object),
    ];

    pub(crate) fn name(self) -> &'static str {
        Type::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Number {
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) above: Option<f64>,
    pub(crate) below: Option<f64>,
    pub(crate) multiple_of: Option<f64>,
}

#[derive(Debug, Default)]
pub(crate) struct Text {
    /// In characters.
    pub(crate) length: Bounds,
    pub(crate) pattern: Option<Pattern>,
}

#[derive(Debug, Default)]
pub(crate) struct Array {
    pub(crate) length: Bounds,
    pub(crate) unique: bool,
    pub(crate) prefix: Vec<At>,
    /// What is behind the prefix.
    pub(crate) items: Option<At>,
    pub(crate) contains: Option<Contains>,
}

#[derive(Debug)]
pub(crate) struct Contains {
    pub(crate) node: At,
    pub(crate) count: Bounds,
}

#[derive(Debug, Default)]
pub(crate) struct Object {
    pub(crate) size: Bounds,
    pub(crate) required: Vec<String>,
    pub(crate) properties: HashMap<String, At>,
    pub(crate) patterns: Vec<(Pattern, At)>,
    /// What neither a property nor a pattern names.
    pub(crate) additional: Option<At>,
    pub(crate) names: Option<At>,
    /// Where the first is there, the others must be.
    pub(crate) dependent_required: Vec<(String, Vec<String>)>,
    pub(crate) dependent: Vec<(String, At)>,
}

#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) when: At,
    pub(crate) then: Option<At>,
    pub(crate) otherwise: Option<At>,
}

/// At least and at most so many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) min: Option<u64>,
    pub(crate) max: Option<u64>,
}

impl Node {
    /// The nodes that the same value is checked against.
    pub(crate) fn in_place(&self) -> impl Iterator<Item = At> {
        let condition = self.condition.as_ref();
        let conditions =
            condition.into_iter().flat_map(|c| [Some(c.when), c.then, c.otherwise]).flatten();
        let listed = self.all.iter().chain(&self.any).chain(&self.one).chain(&self.not).copied();
        let dependent = self.object.dependent.iter().map(|(_, at)| *at);
        listed.chain(conditions).chain(dependent)
    }
}
