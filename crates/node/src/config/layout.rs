//! The messages of binary protocols: what `[[tcp]]` with `dialect = "fields"` declares.

use jackfield_dialects::layout::{Field, Integer, Kind as FieldKind, Layout, Mark, Message};
use serde::{Deserialize, Serialize};

use super::plain::TcpListener;
use super::rules::Faults;
use super::schema::{Key, Kind};

/// One kind of message, `{"event": ..., "data": {...}}` on the side of channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TcpMessage {
    /// Its name.
    pub(crate) event: String,
    /// By what it is known: integers at places; none, every message is one of these.
    pub(crate) when: Vec<TcpMark>,
    /// What it says.
    pub(crate) fields: Vec<TcpField>,
    /// Bytes that it has at least; 0 for as many as its fields need.
    pub(crate) length: usize,
}

/// What stands where in one kind of message and in no other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TcpMark {
    /// Bytes before it.
    pub(crate) offset: usize,
    /// `u8`, `i8`, or `u16`, `i16`, `u32`, `i32`, `u64`, `i64` with `be` (the highest byte first) or `le`.
    pub(crate) kind: String,
    /// What it is.
    pub(crate) value: usize,
}

/// A field of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TcpField {
    /// Its name in `data`.
    pub(crate) name: String,
    /// Bytes before it.
    pub(crate) offset: usize,
    /// An integer as in `when`, `f32` or `f64` with `be` or `le`, or `text`.
    pub(crate) kind: String,
    /// Texts: bytes, filled up with zeros; 0, and the last field, to the end of the message.
    pub(crate) length: usize,
    /// Integers: what 0, 1, 2 ... stand for.
    pub(crate) names: Vec<String>,
}

/// The keys of a `[[tcp.messages]]`.
pub(super) const MESSAGE: &[Key] = &[
    Key::required("event", Kind::Text),
    Key::new("when", Kind::Sections("TcpMark", MARK)),
    Key::new("fields", Kind::Sections("TcpField", FIELD)),
    Key::new("length", Kind::Integer),
];

const MARK: &[Key] =
    &[Key::required("offset", Kind::Integer), Key::required("kind", Kind::Text), Key::required("value", Kind::Integer)];

const FIELD: &[Key] = &[
    Key::required("name", Kind::Text),
    Key::required("offset", Kind::Integer),
    Key::required("kind", Kind::Text),
    Key::new("length", Kind::Integer),
    Key::new("names", Kind::Texts),
];

/// What a type is, if it is one.
fn field_kind(field: &TcpField) -> Option<FieldKind> {
    if let Some(integer) = Integer::parse(&field.kind) {
        let names = field.names.iter().enumerate().filter(|(_, name)| !name.is_empty());
        let names: Vec<_> = names.map(|(value, name)| (value as i64, name.clone())).collect();
        return Some(if names.is_empty() { FieldKind::Integer(integer) } else { FieldKind::Names(integer, names) });
    }
    Some(match field.kind.as_str() {
        "f32be" => FieldKind::Float(true),
        "f32le" => FieldKind::Float(false),
        "f64be" => FieldKind::Double(true),
        "f64le" => FieldKind::Double(false),
        "text" => FieldKind::Text(field.length),
        _ => return None,
    })
}

/// The protocol of a listener; what the rules refuse is left out.
pub(crate) fn layout(messages: &[TcpMessage]) -> Layout {
    let mark = |mark: &TcpMark| {
        let value = i64::try_from(mark.value).ok()?;
        Some(Mark { offset: mark.offset, kind: Integer::parse(&mark.kind)?, value })
    };
    let field =
        |field: &TcpField| Some(Field { name: field.name.clone(), offset: field.offset, kind: field_kind(field)? });
    let message = |message: &TcpMessage| Message {
        event: message.event.clone(),
        marks: message.when.iter().filter_map(mark).collect(),
        fields: message.fields.iter().filter_map(field).collect(),
        length: message.length,
    };
    Layout { messages: messages.iter().map(message).collect() }
}

const TYPES: &str = "u8, i8, u16be, u16le, and so on to i64le";

/// The rules of the messages of a listener.
pub(super) fn rules(above: &str, listener: &TcpListener, faults: &mut Faults) {
    for (index, message) in listener.messages.iter().enumerate() {
        let above = format!("{above}.messages[{index}]");
        if message.event.is_empty() {
            faults.add(format!("{above}.event"), "is empty; write a name such as \"move\"");
        }
        for (nth, mark) in message.when.iter().enumerate() {
            let above = format!("{above}.when[{nth}]");
            match Integer::parse(&mark.kind) {
                None => faults.add(format!("{above}.kind"), format!("{:?} is no integer; write {TYPES}", mark.kind)),
                Some(kind) if !i64::try_from(mark.value).is_ok_and(|value| kind.holds(value)) => {
                    faults.add(format!("{above}.value"), format!("{} does not fit into {:?}", mark.value, mark.kind));
                }
                Some(_) => {}
            }
        }
        for (nth, field) in message.fields.iter().enumerate() {
            let above = format!("{above}.fields[{nth}]");
            let is_last = nth + 1 == message.fields.len();
            if field.name.is_empty() {
                faults.add(format!("{above}.name"), "is empty; write the name it has in data");
            } else if message.fields[..nth].iter().any(|other| other.name == field.name) {
                faults.add(format!("{above}.name"), format!("{:?} is the name of a field before it too", field.name));
            }
            match field_kind(field) {
                None => {
                    let text = format!(
                        "{:?} is no kind of field; write {TYPES}, f32be, f32le, f64be, f64le or text",
                        field.kind
                    );
                    faults.add(format!("{above}.kind"), text);
                }
                Some(FieldKind::Text(0)) if !is_last => {
                    faults.add(
                        format!("{above}.length"),
                        "is 0, to the end of the message, and fields follow; write how many bytes it has",
                    );
                }
                Some(FieldKind::Names(kind, names)) if names.iter().any(|(value, _)| !kind.holds(*value)) => {
                    faults.add(format!("{above}.names"), format!("are more than {:?} can tell apart", field.kind));
                }
                Some(FieldKind::Text(_)) if !field.names.is_empty() => {
                    faults.add(format!("{above}.names"), "are for integers; a text is what it is");
                }
                Some(_) => {}
            }
        }
        let layout = layout(std::slice::from_ref(message));
        let needed = layout.messages.iter().map(Message::needed).max().unwrap_or_default();
        let most = match jackfield_framing::Measured::parse(&listener.framing) {
            Some(jackfield_framing::Measured::Fixed(length)) => usize::from(length),
            _ => listener.message_size_limit,
        };
        if needed > most {
            faults.add(&above, format!("needs {needed} bytes, and a message of this listener has {most} at most"));
        }
    }
}
