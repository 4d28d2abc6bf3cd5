//! The messages of the protocol as `spec/transcripts/session-messages.json` tells them, and Protobuf by that table alone:
//! what the server writes by hand is read here by another who knows nothing of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// One field of a message.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) about: String,
}

/// What a field holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Bool,
    /// A payload: any value in JSON, its bytes in Protobuf.
    Data,
    /// Numbers; the last written in zigzag.
    Int,
    Uint,
    Sint,
    Map(Box<Self>),
    Message(String),
    Repeated(Box<Self>),
    String,
}

impl Kind {
    fn parse(text: &str) -> Self {
        let inside = |from: char, to: char| text.strip_prefix(from).and_then(|rest| rest.strip_suffix(to));
        if let Some(inside) = inside('[', ']') {
            return Self::Repeated(Box::new(Self::parse(inside)));
        }
        if let Some(inside) = inside('{', '}') {
            return Self::Map(Box::new(Self::parse(inside)));
        }
        match text {
            "bool" => Self::Bool,
            "data" => Self::Data,
            "int32" | "int64" => Self::Int,
            "sint64" => Self::Sint,
            "string" => Self::String,
            "uint32" | "uint64" => Self::Uint,
            other => Self::Message(other.to_owned()),
        }
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Data => "data".to_owned(),
            Self::Int | Self::Uint | Self::Sint => "number".to_owned(),
            Self::Map(inside) => format!("map of texts to {}", inside.told()),
            Self::Message(name) => format!("`{name}`"),
            Self::Repeated(inside) => format!("list of {}", inside.told()),
            Self::String => "text".to_owned(),
        }
    }
}

/// All messages.
pub(super) struct Messages {
    all: BTreeMap<String, Vec<Field>>,
    /// Fields that were written or read: `Message.field`.
    seen: RefCell<BTreeSet<String>>,
    /// A text as the data of a publication stands for its own bytes, as for who asked for deltas.
    pub(super) has_deltas: RefCell<bool>,
}

impl Messages {
    pub(super) fn new(value: &Value) -> Self {
        let field = |row: &Value| Field {
            name: row[0].as_str().unwrap().to_owned(),
            number: row[1].as_u64().unwrap(),
            kind: Kind::parse(row[2].as_str().unwrap()),
            about: row[3].as_str().unwrap().to_owned(),
        };
        let message = |(name, rows): (&String, &Value)| {
            let fields = rows.as_array().unwrap().iter().map(field).collect();
            (name.clone(), fields)
        };
        let all = value.as_object().unwrap().iter().map(message).collect();
        Self { all, seen: RefCell::default(), has_deltas: RefCell::new(false) }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.all.keys()
    }

    pub(super) fn fields(&self, message: &str) -> &[Field] {
        self.all.get(message).unwrap_or_else(|| panic!("no message is called {message}"))
    }

    /// Fields that stand in no transcript.
    pub(super) fn unseen(&self) -> Vec<String> {
        let all = self
            .all
            .iter()
            .flat_map(|(message, fields)| fields.iter().map(move |field| format!("{message}.{}", field.name)));
        all.filter(|name| !self.seen.borrow().contains(name)).collect()
    }

    fn note(&self, message: &str, field: &str) {
        self.seen.borrow_mut().insert(format!("{message}.{field}"));
    }

    /// The commands of a frame of JSON, as a frame of Protobuf.
    pub(super) fn write_frame(&self, frame: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for line in frame.lines() {
            let command = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            let body = self.write("Command", &command);
            put_varint(body.len() as u64, &mut out);
            out.extend(body);
        }
        out
    }

    /// A message behind its length.
    pub(super) fn read_framed(&self, message: &str, bytes: &[u8]) -> Value {
        let mut rest = bytes;
        let length = take_varint(&mut rest);
        assert_eq!(length, rest.len() as u64, "one message in a frame");
        self.read(message, rest)
    }

    /// What is left of a message of JSON once it went through Protobuf.
    pub(super) fn canonical(&self, message: &str, value: &Value) -> Value {
        self.read(message, &self.write(message, value))
    }

    fn write(&self, message: &str, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        let map = value.as_object().unwrap_or_else(|| panic!("{message} is an object, not {value}"));
        for name in map.keys() {
            let is_known = self.fields(message).iter().any(|field| field.name == *name);
            assert!(is_known, "{message} has no field `{name}`");
        }
        for field in self.fields(message) {
            let Some(value) = map.get(&field.name) else { continue };
            self.note(message, &field.name);
            let as_text = message == "Publication" && field.name == "data" && *self.has_deltas.borrow();
            let text = value.as_str().filter(|_| as_text);
            match text {
                Some(text) => put_bytes(field.number, text.as_bytes(), &mut out),
                None => self.write_field(field.number, &field.kind, value, &mut out),
            }
        }
        out
    }

    fn write_field(&self, number: u64, kind: &Kind, value: &Value, out: &mut Vec<u8>) {
        let mut varint = |value: u64| {
            if value != 0 {
                put_varint(number << 3, out);
                put_varint(value, out);
            }
        };
        match kind {
            Kind::Bool => varint(u64::from(value.as_bool().unwrap())),
            Kind::Int => varint(value.as_i64().unwrap() as u64),
            Kind::Uint => varint(value.as_u64().unwrap()),
            Kind::Sint => {
                let value = value.as_i64().unwrap();
                varint(((value << 1) ^ (value >> 63)) as u64);
            }
            Kind::Data => put_bytes(number, value.to_string().as_bytes(), out),
            Kind::String => {
                let text = value.as_str().unwrap();
                if !text.is_empty() {
                    put_bytes(number, text.as_bytes(), out);
                }
            }
            Kind::Message(name) => put_bytes(number, &self.write(name, value), out),
            Kind::Repeated(inside) => {
                for value in value.as_array().unwrap() {
                    self.write_field(number, inside, value, out);
                }
            }
            Kind::Map(inside) => {
                for (key, value) in value.as_object().unwrap() {
                    let mut entry = Vec::new();
                    put_bytes(1, key.as_bytes(), &mut entry);
                    self.write_field(2, inside, value, &mut entry);
                    put_bytes(number, &entry, out);
                }
            }
        }
    }

    fn read(&self, message: &str, bytes: &[u8]) -> Value {
        let mut map = Map::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let tag = take_varint(&mut rest);
            let field = self.fields(message).iter().find(|field| field.number == tag >> 3);
            let field = field.unwrap_or_else(|| panic!("{message} has no field {}", tag >> 3));
            self.note(message, &field.name);
            match &field.kind {
                Kind::Repeated(inside) => {
                    let value = self.read_field(inside, tag & 7, &mut rest);
                    let list = map.entry(field.name.clone()).or_insert_with(|| json!([]));
                    list.as_array_mut().unwrap().push(value);
                }
                Kind::Map(inside) => {
                    let mut entry = take_bytes(&mut rest);
                    assert_eq!(take_varint(&mut entry), 10, "a key is text");
                    let key = text(take_bytes(&mut entry));
                    assert_eq!(take_varint(&mut entry), 18, "a value of a map has a length here");
                    let value = self.read_field(inside, 2, &mut entry);
                    map.entry(field.name.clone()).or_insert_with(|| json!({}))[key] = value;
                }
                kind => {
                    let value = self.read_field(kind, tag & 7, &mut rest);
                    assert!(map.insert(field.name.clone(), value).is_none(), "{message}.{} comes twice", field.name);
                }
            }
        }
        Value::Object(map)
    }

    fn read_field(&self, kind: &Kind, wire: u64, rest: &mut &[u8]) -> Value {
        let is_number = matches!(kind, Kind::Bool | Kind::Int | Kind::Uint | Kind::Sint);
        assert_eq!(wire, if is_number { 0 } else { 2 }, "{kind:?}");
        match kind {
            Kind::Bool => json!(take_varint(rest) != 0),
            Kind::Int => json!(take_varint(rest) as i64),
            Kind::Uint => json!(take_varint(rest)),
            Kind::Sint => {
                let value = take_varint(rest);
                json!((value >> 1) as i64 ^ -((value & 1) as i64))
            }
            Kind::Data => {
                let bytes = take_bytes(rest);
                serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(text(bytes)))
            }
            Kind::String => Value::String(text(take_bytes(rest))),
            Kind::Message(name) => self.read(name, take_bytes(rest)),
            Kind::Map(_) | Kind::Repeated(_) => unreachable!("no list holds lists"),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn put_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> u64 {
    let end = rest.iter().position(|byte| byte & 128 == 0).expect("a number ends") + 1;
    let (bytes, after) = rest.split_at(end);
    *rest = after;
    bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 127))
}

fn take_bytes<'b>(rest: &mut &'b [u8]) -> &'b [u8] {
    let length = usize::try_from(take_varint(rest)).unwrap();
    let (bytes, after) = rest.split_at(length);
    *rest = after;
    bytes
}
