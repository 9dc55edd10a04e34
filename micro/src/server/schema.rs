//! A type's JSON schema as go-micro's description of a type.

use micro_core::registry::{MAX_DEPTH, Value};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value as Json;

/// So many values one description has, about; types beyond that are named without their fields.
const MAX_VALUES: usize = 1000;

/// What a handler reads, `None` if that is nothing.
pub(super) fn read<T: JsonSchema + ?Sized>() -> Option<Value> {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    describe(&settings.into_generator().into_root_schema_for::<T>())
}

/// What a handler writes, `None` if that is nothing.
pub(super) fn written<T: JsonSchema + ?Sized>() -> Option<Value> {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    describe(&settings.into_generator().into_root_schema_for::<T>())
}

fn describe(schema: &Schema) -> Option<Value> {
    let root = schema.as_value();
    if root["type"] == "null" {
        return None;
    }
    let title = root["title"].as_str().unwrap_or_default();
    let mut walk = Walk { root, title, within: vec![title], left: MAX_VALUES };
    let mut value = walk.value("", root, 1);
    value.name.clone_from(&value.kind);
    Some(value)
}

/// On the way through a schema.
struct Walk<'a> {
    root: &'a Json,
    title: &'a str,
    /// The named types that this is a part of.
    within: Vec<&'a str>,
    /// How many values there may be yet.
    left: usize,
}

/// A type: its name in Go, and its fields with their schemas.
struct Shape<'a> {
    kind: String,
    fields: Vec<(&'a str, &'a Json)>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, name: &str, schema: &'a Json, depth: usize) -> Value {
        let within = self.within.len();
        self.left = self.left.saturating_sub(1);
        let Shape { kind, fields } = self.shape(schema);
        let mut value = Value { name: name.to_owned(), kind, values: Vec::new() };
        if depth < MAX_DEPTH && self.left > 0 {
            let fields = fields.into_iter();
            value.values = fields.map(|(name, field)| self.value(name, field, depth + 1)).collect();
        }
        self.within.truncate(within);
        value
    }

    /// The shape of a type, which is within every name that was passed on the way.
    fn shape(&mut self, mut schema: &'a Json) -> Shape<'a> {
        let mut name = schema["title"].as_str();
        loop {
            if let Some(reference) = reference(schema) {
                let named = self.named(reference);
                name = Some(named);
                match self.enter(reference) {
                    Some(target) => schema = target,
                    None => return Shape::of(named),
                }
            } else if let Some(some) = optional(schema) {
                schema = some;
            } else {
                break;
            }
        }
        let choice = !schema["enum"].is_null() || !schema["const"].is_null();
        let format = schema["format"].as_str();
        match kind(schema) {
            "array" => self.several("[]", &schema["items"]),
            "string" if schema["contentEncoding"] == "base64" => Shape::of("[]uint8"),
            "string" if choice => Shape::of(name.unwrap_or("string")),
            "string" => Shape::of("string"),
            "boolean" => Shape::of("bool"),
            "integer" => Shape::of(format.unwrap_or("int64")),
            "number" if format == Some("float") => Shape::of("float32"),
            "number" => Shape::of("float64"),
            _ => self.structure(name, schema),
        }
    }

    fn structure(&mut self, name: Option<&str>, schema: &'a Json) -> Shape<'a> {
        let mut fields = Vec::new();
        self.collect(schema, &mut fields);
        let pattern = schema["patternProperties"].as_object().and_then(|map| map.values().next());
        let values = pattern.unwrap_or(&schema["additionalProperties"]);
        if fields.is_empty() && (values.is_object() || *values == Json::Bool(true)) {
            return self.several("map[string]", values);
        }
        let parts = ["oneOf", "anyOf", "allOf"].iter().any(|key| !schema[*key].is_null());
        if fields.is_empty() && kind(schema).is_empty() && !parts {
            return Shape::of("any");
        }
        Shape { kind: name.unwrap_or_default().to_owned(), fields }
    }

    /// A list or map, which has the fields of what is in it.
    fn several(&mut self, of: &str, items: &'a Json) -> Shape<'a> {
        let Shape { kind, fields } = match items {
            Json::Object(_) => self.shape(items),
            _ => Shape::of("any"),
        };
        Shape { kind: format!("{of}{kind}"), fields }
    }

    /// The fields of a structure, and those of its variants.
    fn collect(&mut self, schema: &'a Json, fields: &mut Vec<(&'a str, &'a Json)>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if !fields.iter().any(|(known, _)| known == name) {
                fields.push((name, field));
            }
        }
        if let Some(target) = schema["$ref"].as_str().and_then(|reference| self.enter(reference)) {
            self.collect(target, fields);
        }
        for parts in ["allOf", "oneOf", "anyOf"] {
            for part in schema[parts].as_array().into_iter().flatten() {
                self.collect(part, fields);
            }
        }
    }

    fn named(&self, reference: &'a str) -> &'a str {
        match reference.rsplit('/').next() {
            None | Some("#") => self.title,
            Some(name) => name,
        }
    }

    /// What a reference leads to, unless this is within it already.
    fn enter(&mut self, reference: &'a str) -> Option<&'a Json> {
        let name = self.named(reference);
        if self.within.contains(&name) {
            return None;
        }
        self.within.push(name);
        self.root.pointer(reference.trim_start_matches('#'))
    }
}

impl Shape<'_> {
    fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), fields: Vec::new() }
    }
}

/// A schema that is nothing but a reference.
fn reference(schema: &Json) -> Option<&str> {
    schema["$ref"].as_str().filter(|_| schema["properties"].is_null())
}

/// What there is if there is anything.
fn optional(schema: &Json) -> Option<&Json> {
    let either = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array())?;
    let mut some = either.iter().filter(|one| one["type"] != "null");
    match (some.next(), some.next()) {
        (Some(one), None) if either.len() > 1 => Some(one),
        _ => None,
    }
}

/// JSON schema's own kind of type, empty where there is none.
fn kind(schema: &Json) -> &str {
    match &schema["type"] {
        Json::Array(kinds) => {
            kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        kind => kind.as_str().unwrap_or_default(),
    }
}
