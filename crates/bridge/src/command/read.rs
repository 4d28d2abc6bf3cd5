//! Reads a JSON object by the table of its fields, strictly: what the table does not know is refused, and so is what
//! comes twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jackfield_model::Uuid;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::field::{Field, Kind, Table};

/// Why an object could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is no JSON at all.
    NoJson(String),
    /// It is not what the table says.
    Wrong(String),
}

/// What was read of an object. Whoever builds something of it takes the values out.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    table: Table,
    values: Vec<Option<Value<'a>>>,
}

#[derive(Debug)]
enum Value<'a> {
    Any(&'a RawValue),
    Bool(bool),
    Bytes(Vec<u8>),
    Count(u64),
    Integer(i64),
    Object(Fields<'a>),
    Tags(BTreeMap<String, String>),
    Text(String),
    Texts(Vec<String>),
    Uuid(Uuid),
    Uuids(Vec<Uuid>),
}

/// Reads a payload. Nothing at all is an empty object where nothing is needed.
pub(super) fn object(json: &[u8], table: Table) -> Result<Fields<'_>, ReadError> {
    let refused = |wrong: String| match is_json(json) {
        Ok(()) => ReadError::Wrong(wrong),
        Err(reason) => ReadError::NoJson(reason),
    };
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => read(json, table).map_err(|error| refused(error.to_string())),
        None if fields(table).all(|field| !field.required) => Ok(Fields::new(table)),
        None => Err(ReadError::NoJson("it is empty; a JSON object is needed".to_owned())),
        Some(_) => Err(refused("a JSON object is needed".to_owned())),
    }
}

fn is_json(json: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(json).map_err(|error| format!("it is no UTF-8: {error}"))?;
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| error.to_string())
}

fn read(json: &[u8], table: Table) -> serde_json::Result<Fields<'_>> {
    let mut source = serde_json::Deserializer::from_slice(json);
    let fields = Object(table).deserialize(&mut source)?;
    source.end()?;
    Ok(fields)
}

fn fields(table: Table) -> impl Iterator<Item = &'static Field> {
    table.iter().copied().flatten()
}

impl<'a> Fields<'a> {
    fn new(table: Table) -> Self {
        Self { table, values: fields(table).map(|_| None).collect() }
    }

    /// Whether somebody made something of all there was; tests are held to it.
    pub(super) fn is_spent(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let at = fields(self.table).position(|field| field.name == name);
        debug_assert!(at.is_some(), "the table does not know {name}");
        at.and_then(|at| self.values[at].take())
    }

    /// A value as it was written, `null` too.
    pub(super) fn json(&mut self, name: &str) -> Option<&'a RawValue> {
        match self.take(name) {
            Some(Value::Any(json)) => Some(json),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        match self.take(name) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name) {
            Some(Value::Bool(flag)) => Some(flag),
            _ => None,
        }
    }

    pub(super) fn count(&mut self, name: &str) -> Option<u64> {
        match self.take(name) {
            Some(Value::Count(count)) => Some(count),
            _ => None,
        }
    }

    pub(super) fn integer(&mut self, name: &str) -> i64 {
        match self.take(name) {
            Some(Value::Integer(number)) => number,
            _ => 0,
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Self> {
        match self.take(name) {
            Some(Value::Object(fields)) => Some(fields),
            _ => None,
        }
    }

    pub(super) fn tags(&mut self, name: &str) -> Option<Arc<BTreeMap<String, String>>> {
        match self.take(name) {
            Some(Value::Tags(tags)) => Some(Arc::new(tags)),
            _ => None,
        }
    }

    /// A text that was given, be it an empty one.
    pub(super) fn given(&mut self, name: &str) -> Option<String> {
        match self.take(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text; empty where none was given.
    pub(super) fn text(&mut self, name: &str) -> String {
        self.given(name).unwrap_or_default()
    }

    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        match self.take(name) {
            Some(Value::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    pub(super) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        match self.take(name) {
            Some(Value::Uuid(id)) => Some(id),
            _ => None,
        }
    }

    pub(super) fn uuids(&mut self, name: &str) -> Vec<Uuid> {
        match self.take(name) {
            Some(Value::Uuids(ids)) => ids,
            _ => Vec::new(),
        }
    }
}

/// An object with the fields of a table.
struct Object(Table);

impl<'de> DeserializeSeed<'de> for Object {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = Fields::new(self.0);
        let mut seen = vec![false; read.values.len()];
        while let Some((at, field)) = map.next_key_seed(Key(self.0))? {
            if std::mem::replace(&mut seen[at], true) {
                return Err(A::Error::duplicate_field(field.name));
            }
            let explain = |error| A::Error::custom(format_args!("`{}`: {error}", field.name));
            read.values[at] = map.next_value_seed(Content(field.kind)).map_err(explain)?;
        }
        match fields(self.0).zip(&read.values).find(|(field, value)| field.required && value.is_none()) {
            Some((field, _)) => Err(A::Error::missing_field(field.name)),
            None => Ok(read),
        }
    }
}

/// The key of a field, as its place in the table.
struct Key(Table);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = (usize, &'static Field);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = (usize, &'static Field);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if let Some(found) = fields(self.0).enumerate().find(|(_, field)| field.name == name) {
            return Ok(found);
        }
        let known: Vec<String> = fields(self.0).map(|field| format!("`{}`", field.name)).collect();
        Err(E::custom(match known.join(", ") {
            none if none.is_empty() => format!("unknown field `{name}`, there are no fields"),
            known => format!("unknown field `{name}`, expected one of {known}"),
        }))
    }
}

/// The value of a field; `None` where there might as well be none.
struct Content(Kind);

impl<'de> DeserializeSeed<'de> for Content {
    type Value = Option<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        Ok(match self.0 {
            Kind::Any => Some(Value::Any(<&RawValue>::deserialize(from)?)),
            Kind::Base64 => optional::<String, _>(from)?.map(bytes).transpose()?.map(Value::Bytes),
            Kind::Bool => optional(from)?.map(Value::Bool),
            Kind::Choice(words) => optional(from)?.map(|text| choice(text, words)).transpose()?.map(Value::Text),
            Kind::Count => optional(from)?.map(Value::Count),
            Kind::Integer => optional(from)?.map(Value::Integer),
            Kind::Object(table) => from.deserialize_option(Maybe(table))?.map(Value::Object),
            Kind::Tags => optional(from)?.map(Value::Tags),
            Kind::Text => optional(from)?.map(Value::Text),
            Kind::Texts => optional(from)?.map(Value::Texts),
            Kind::Uuid => match optional::<String, _>(from)? {
                Some(id) if !id.is_empty() => Some(Value::Uuid(uuid(&id)?)),
                _ => None,
            },
            Kind::Uuids => optional::<Vec<String>, _>(from)?
                .map(|ids| ids.iter().map(|id| uuid(id)).collect::<Result<_, _>>())
                .transpose()?
                .map(Value::Uuids),
        })
    }
}

fn optional<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

fn bytes<E: Error>(base64: String) -> Result<Vec<u8>, E> {
    STANDARD.decode(base64).map_err(|error| E::custom(format_args!("it is no standard base64: {error}")))
}

/// An empty text is as good as none.
fn choice<E: Error>(text: String, words: &[&str]) -> Result<String, E> {
    if text.is_empty() || words.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(E::custom(format_args!("it is {text:?}; it must be one of {}", words.join(", "))))
}

fn uuid<E: Error>(id: &str) -> Result<Uuid, E> {
    Uuid::parse_str(id).map_err(|_| E::custom(format_args!("it is {id:?}; the UUID of a connection is needed")))
}

/// An object, or `null`.
struct Maybe(Table);

impl<'de> Visitor<'de> for Maybe {
    type Value = Option<Fields<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        Object(self.0).deserialize(from).map(Some)
    }
}
