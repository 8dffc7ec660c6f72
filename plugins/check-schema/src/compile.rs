//! From a schema's JSON to nodes, refusing what would not be checked.

use tidegate_plugin_sdk::HashMap;
use tidegate_plugin_sdk::serde_json::{Map, Value};

use crate::node::{At, Bounds, Condition, Contains, Node, Schema, Type};
use crate::pattern::Pattern;

/// Keywords that demand nothing.
const NOTES: [&str; 18] = [
    "$schema",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "minContains",
    "maxContains",
    "additionalItems",
];

/// Compiles a schema, or says where it is wrong.
pub(crate) fn compile(root: &Value) -> Result<Schema, String> {
    let mut compiler = Compiler { root, nodes: Vec::new(), places: HashMap::default() };
    compiler.place("#", root)?;
    let nodes: Option<Vec<Node>> = compiler.nodes.into_iter().collect();
    let schema = Schema { nodes: nodes.ok_or("a part of the schema was left out")? };
    refuse_circles(&schema)?;
    Ok(schema)
}

struct Compiler<'a> {
    root: &'a Value,
    /// `None` while it is being compiled.
    nodes: Vec<Option<Node>>,
    /// Where each place of the schema is in the list.
    places: HashMap<String, At>,
}

fn error(place: &str, what: impl std::fmt::Display) -> String {
    format!("`schema` at {place}: {what}")
}

impl Compiler<'_> {
    /// The node of a schema, which is compiled here unless it was before.
    fn place(&mut self, place: &str, schema: &Value) -> Result<At, String> {
        if let Some(at) = self.places.get(place) {
            return Ok(*at);
        }
        let at = self.nodes.len();
        self.nodes.push(None);
        self.places.insert(place.to_owned(), at);
        let node = match schema {
            Value::Bool(is) => Node { never: !is, ..Node::default() },
            Value::Object(keywords) => self.node(place, keywords)?,
            _ => return Err(error(place, "a schema is an object, true or false")),
        };
        self.nodes[at] = Some(node);
        Ok(at)
    }

    fn node(&mut self, place: &str, keywords: &Map<String, Value>) -> Result<Node, String> {
        let mut node = Node::default();
        for (keyword, value) in keywords {
            let here = join(place, keyword);
            let one = |compiler: &mut Self| compiler.place(&here, value);
            match keyword.as_str() {
                "$id" if place == "#" => {}
                "$ref" => node.all.push(self.reference(&here, value)?),
                "type" => node.types = Some(types(&here, value)?),
                "enum" => node.one_of_values = Some(list(&here, value)?.to_vec()),
                "const" => node.one_of_values = Some(vec![value.clone()]),
                "allOf" => node.all.extend(self.schemas(&here, value)?),
                "anyOf" => node.any = self.schemas(&here, value)?,
                "oneOf" => node.one = self.schemas(&here, value)?,
                "not" => node.not = Some(one(self)?),
                "if" => {
                    let mut branch = |name: &str| match keywords.get(name) {
                        Some(schema) => self.place(&join(place, name), schema).map(Some),
                        None => Ok(None),
                    };
                    let (then, otherwise) = (branch("then")?, branch("else")?);
                    node.condition = Some(Condition { when: one(self)?, then, otherwise });
                }
                // Without an `if` they demand nothing.
                "then" | "else" => {}
                "minimum" => node.number.minimum = Some(number(&here, value)?),
                "maximum" => node.number.maximum = Some(number(&here, value)?),
                "exclusiveMinimum" => node.number.above = Some(number(&here, value)?),
                "exclusiveMaximum" => node.number.below = Some(number(&here, value)?),
                "multipleOf" => {
                    let of = Some(number(&here, value)?).filter(|of| *of > 0.0);
                    node.number.multiple_of = Some(of.ok_or_else(|| error(&here, "not above 0"))?);
                }
                "minLength" => node.text.length.min = Some(count(&here, value)?),
                "maxLength" => node.text.length.max = Some(count(&here, value)?),
                "pattern" => node.text.pattern = Some(pattern(&here, text(&here, value)?)?),
                "minItems" => node.array.length.min = Some(count(&here, value)?),
                "maxItems" => node.array.length.max = Some(count(&here, value)?),
                "uniqueItems" => {
                    node.array.unique =
                        value.as_bool().ok_or_else(|| error(&here, "not a boolean"))?;
                }
                "prefixItems" => node.array.prefix = self.schemas(&here, value)?,
                "items" if value.is_array() => {
                    node.array.prefix = self.schemas(&here, value)?;
                    if let Some(rest) = keywords.get("additionalItems") {
                        node.array.items = Some(self.place(&join(place, "additionalItems"), rest)?);
                    }
                }
                "items" => node.array.items = Some(one(self)?),
                "contains" => {
                    let bound = |name| {
                        let bound = keywords.get(name);
                        bound.map(|value| count(&join(place, name), value)).transpose()
                    };
                    let min = bound("minContains")?.unwrap_or(1);
                    let count = Bounds { min: Some(min), max: bound("maxContains")? };
                    node.array.contains = Some(Contains { node: one(self)?, count });
                }
                "minProperties" => node.object.size.min = Some(count(&here, value)?),
                "maxProperties" => node.object.size.max = Some(count(&here, value)?),
                "required" => node.object.required = texts(&here, value)?,
                "properties" => node.object.properties = self.named(&here, value)?.collect(),
                "patternProperties" => {
                    for (name, at) in self.named(&here, value)? {
                        node.object.patterns.push((pattern(&here, &name)?, at));
                    }
                }
                "additionalProperties" => node.object.additional = Some(one(self)?),
                "propertyNames" => node.object.names = Some(one(self)?),
                "dependentRequired" => {
                    for (name, others) in object(&here, value)? {
                        let others = texts(&join(&here, name), others)?;
                        node.object.dependent_required.push((name.clone(), others));
                    }
                }
                "dependentSchemas" => node.object.dependent = self.named(&here, value)?.collect(),
                known if NOTES.contains(&known) => {}
                other => {
                    return Err(error(
                        place,
                        format_args!("the keyword `{other}` is not supported"),
                    ));
                }
            }
        }
        Ok(node)
    }

    fn schemas(&mut self, place: &str, value: &Value) -> Result<Vec<At>, String> {
        let schemas = list(place, value)?.iter().enumerate();
        schemas.map(|(i, schema)| self.place(&format!("{place}/{i}"), schema)).collect()
    }

    fn named(
        &mut self,
        place: &str,
        value: &Value,
    ) -> Result<impl Iterator<Item = (String, At)> + use<>, String> {
        let schemas = object(place, value)?.iter();
        let placed = schemas
            .map(|(name, schema)| Ok((name.clone(), self.place(&join(place, name), schema)?)));
        placed.collect::<Result<Vec<_>, String>>().map(Vec::into_iter)
    }

    fn reference(&mut self, here: &str, value: &Value) -> Result<At, String> {
        let reference = text(here, value)?;
        let pointer = reference
            .strip_prefix('#')
            .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
            .ok_or_else(|| error(here, format_args!("`{reference}` is no place of this schema")))?;
        let pointer = unescaped(pointer);
        let target = self
            .root
            .pointer(&pointer)
            .ok_or_else(|| error(here, format_args!("there is nothing at `{reference}`")))?;
        self.place(&format!("#{pointer}"), target)
    }
}

/// A fragment's `%22` and the like as the characters that they stand for.
fn unescaped(pointer: &str) -> String {
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = match rest {
            [b'%', a, b, ..] => str::from_utf8(&[*a, *b])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A place within a place, as a JSON pointer.
fn join(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn types(place: &str, value: &Value) -> Result<Vec<Type>, String> {
    let one = |name: &Value| {
        let known = Type::ALL.iter().find(|(known, _)| name.as_str() == Some(known));
        known.map(|(_, one)| *one).ok_or_else(|| error(place, format_args!("{name} is no type")))
    };
    match value {
        Value::Array(names) => names.iter().map(one).collect(),
        name => one(name).map(|one| vec![one]),
    }
}

fn list<'a>(place: &str, value: &'a Value) -> Result<&'a [Value], String> {
    let items = value.as_array().filter(|items| !items.is_empty());
    items.map(Vec::as_slice).ok_or_else(|| error(place, "not an array with items"))
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| error(place, "not an object"))
}

fn text<'a>(place: &str, value: &'a Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| error(place, "not a text"))
}

fn texts(place: &str, value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| error(place, "not an array"))?;
    items.iter().map(|item| text(place, item).map(str::to_owned)).collect()
}

fn number(place: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| error(place, "not a number"))
}

fn count(place: &str, value: &Value) -> Result<u64, String> {
    let whole = |number: &f64| *number >= 0.0 && number.fract() == 0.0 && *number < 1e15;
    let count = value.as_u64().or_else(|| value.as_f64().filter(whole).map(|n| n as u64));
    count.ok_or_else(|| error(place, "not a whole number from 0 on"))
}

fn pattern(place: &str, text: &str) -> Result<Pattern, String> {
    let built = Pattern::new(text);
    built.map_err(|e| error(place, format_args!("the pattern {text} is not supported: {e}")))
}

/// A value checked against what refers to itself, without a step into the value, would never end.
fn refuse_circles(schema: &Schema) -> Result<(), String> {
    let mut done = vec![false; schema.nodes.len()];
    let mut open = vec![false; schema.nodes.len()];
    (0..schema.nodes.len()).try_for_each(|at| walk(schema, at, &mut done, &mut open))
}

fn walk(schema: &Schema, at: At, done: &mut [bool], open: &mut [bool]) -> Result<(), String> {
    if open[at] {
        return Err("`schema`: a `$ref` leads back to itself without a step into the value".into());
    }
    if done[at] {
        return Ok(());
    }
    open[at] = true;
    schema.nodes[at].in_place().try_for_each(|next| walk(schema, next, done, open))?;
    open[at] = false;
    done[at] = true;
    Ok(())
}
