//! Binary messages with declared fields: what a device or a game of its own protocol sends, as JSON and back.
//!
//! A message is known by the values that stand at certain places of it; its fields are integers, floats, enumerations and
//! texts by offset. On the side of channels it is `{"event":"NAME","data":{"FIELD":value}}`, as all messages of applications
//! are.

use serde_json::{Map, Number, Value};

/// A protocol: its messages, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The messages.
    pub messages: Vec<Message>,
}

/// One kind of message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Its name.
    pub event: String,
    /// What stands where in this message and in no other.
    pub marks: Vec<Mark>,
    /// What it says.
    pub fields: Vec<Field>,
    /// Bytes that it has at least; zeros where no field is.
    pub length: usize,
}

/// A value by which a message is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    /// Where it stands.
    pub offset: usize,
    /// Its type.
    pub kind: Integer,
    /// What it is.
    pub value: i64,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in the JSON.
    pub name: String,
    /// Where it stands.
    pub offset: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a field is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An integer.
    Integer(Integer),
    /// An integer that stands for one of these names.
    Names(Integer, Vec<(i64, String)>),
    /// A float of 32 bits; big-endian or not.
    Float(bool),
    /// A float of 64 bits.
    Double(bool),
    /// A text of so many bytes, filled up with zeros; 0: to the end of the message.
    Text(usize),
}

/// An integer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Integer {
    /// 1, 2, 4 or 8 bytes.
    pub width: usize,
    /// It may be negative.
    pub signed: bool,
    /// The highest byte comes first.
    pub big: bool,
}

/// A message that is none of the declared ones.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LayoutError {
    /// No marks fit.
    #[error("message of {0} bytes is none of those that the listener declares")]
    Unknown(usize),
    /// Too short for its fields.
    #[error("message {event:?} has {found} bytes, {needed} are declared")]
    Short {
        /// Its name.
        event: String,
        /// What came.
        found: usize,
        /// What is declared.
        needed: usize,
    },
    /// A number that no name is declared for.
    #[error("message {event:?}: {value} is no value of {field:?}")]
    Nameless {
        /// The message's name.
        event: String,
        /// The field's name.
        field: String,
        /// What came.
        value: i64,
    },
}

impl Integer {
    /// Reads the word of the configuration: `u8`, `i8`, `u16be`, `i64le` and so on.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let signed = match text.as_bytes().first()? {
            b'i' => true,
            b'u' => false,
            _ => return None,
        };
        let (width, big) = match &text[1..] {
            "8" => (1, true),
            "16be" => (2, true),
            "16le" => (2, false),
            "32be" => (4, true),
            "32le" => (4, false),
            "64be" => (8, true),
            "64le" => (8, false),
            _ => return None,
        };
        Some(Self { width, signed, big })
    }

    /// Whether a value fits.
    #[must_use]
    pub fn holds(self, value: i64) -> bool {
        let bits = self.width as u32 * 8;
        match self.signed {
            _ if bits == 64 => self.signed || value >= 0,
            true => (-(1 << (bits - 1))..1 << (bits - 1)).contains(&value),
            false => (0..1 << bits).contains(&value),
        }
    }

    /// The bits at a place, as an unsigned number; the caller knows that they are there.
    fn bits(self, bytes: &[u8], offset: usize) -> Option<u64> {
        let bytes = bytes.get(offset..offset.checked_add(self.width)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// The value; `None` where it is not there or does not fit.
    fn signed(self, bytes: &[u8], offset: usize) -> Option<i64> {
        let bits = self.bits(bytes, offset)?;
        let unused = 64 - self.width as u32 * 8;
        if self.signed { Some((bits << unused) as i64 >> unused) } else { i64::try_from(bits).ok() }
    }

    fn write(self, bits: u64, offset: usize, out: &mut [u8]) {
        let Some(place) = out.get_mut(offset..offset + self.width) else { return };
        for (nth, byte) in place.iter_mut().enumerate() {
            let nth = if self.big { self.width - 1 - nth } else { nth };
            *byte = (bits >> (8 * nth)) as u8;
        }
    }
}

impl Kind {
    /// How many bytes it takes at least.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Integer(integer) | Self::Names(integer, _) => integer.width,
            Self::Float(_) => 4,
            Self::Double(_) => 8,
            Self::Text(length) => *length,
        }
    }
}

impl Message {
    /// Bytes that it has at least.
    #[must_use]
    pub fn needed(&self) -> usize {
        let fields = self.fields.iter().map(|field| field.offset + field.kind.width());
        let marks = self.marks.iter().map(|mark| mark.offset + mark.kind.width);
        fields.chain(marks).max().unwrap_or_default().max(self.length)
    }

    fn is_marked(&self, frame: &[u8]) -> bool {
        self.marks.iter().all(|mark| mark.kind.signed(frame, mark.offset) == Some(mark.value))
    }

    fn read(&self, frame: &[u8]) -> Result<Map<String, Value>, LayoutError> {
        let needed = self.needed();
        if frame.len() < needed {
            return Err(LayoutError::Short { event: self.event.clone(), found: frame.len(), needed });
        }
        let mut data = Map::with_capacity(self.fields.len());
        for field in &self.fields {
            data.insert(field.name.clone(), self.value(field, frame)?);
        }
        Ok(data)
    }

    fn value(&self, field: &Field, frame: &[u8]) -> Result<Value, LayoutError> {
        let at = field.offset;
        let float = |bits: f64| Number::from_f64(bits).map_or(Value::Null, Value::Number);
        let bits = |width, big| Integer { width, signed: false, big }.bits(frame, at).unwrap_or_default();
        Ok(match &field.kind {
            Kind::Integer(integer) if integer.signed => Value::from(integer.signed(frame, at).unwrap_or_default()),
            Kind::Integer(integer) => Value::from(integer.bits(frame, at).unwrap_or_default()),
            Kind::Names(integer, names) => {
                let value = integer.signed(frame, at).unwrap_or(i64::MAX);
                let name = names.iter().find(|(known, _)| *known == value).map(|(_, name)| Value::from(name.as_str()));
                name.ok_or_else(|| LayoutError::Nameless {
                    event: self.event.clone(),
                    field: field.name.clone(),
                    value,
                })?
            }
            Kind::Float(big) => float(f32::from_bits(bits(4, *big) as u32).into()),
            Kind::Double(big) => float(f64::from_bits(bits(8, *big))),
            Kind::Text(length) => {
                let text = frame.get(at..).unwrap_or_default();
                let text = if *length == 0 { text } else { text.get(..*length).unwrap_or(text) };
                let end =
                    if *length == 0 { text.len() } else { text.iter().position(|byte| *byte == 0).unwrap_or(*length) };
                Value::from(String::from_utf8_lossy(&text[..end]))
            }
        })
    }

    /// Writes the message; `false` where the data does not have what it needs.
    fn write(&self, data: &Value, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.resize(start + self.needed(), 0);
        let mut rest: &[u8] = &[];
        let written = self.fields.iter().try_for_each(|field| {
            let value = data.get(&field.name)?;
            if let Kind::Text(length) = field.kind {
                let text = value.as_str()?.as_bytes();
                if length == 0 {
                    rest = text;
                    return Some(());
                }
                let place = out.get_mut(start + field.offset..start + field.offset + length)?;
                place.get_mut(..text.len())?.copy_from_slice(text);
                return Some(());
            }
            put(&field.kind, value, start + field.offset, out)
        });
        for mark in &self.marks {
            mark.kind.write(mark.value as u64, start + mark.offset, out);
        }
        out.extend_from_slice(rest);
        if written.is_none() {
            out.truncate(start);
        }
        written.is_some()
    }
}

fn put(kind: &Kind, value: &Value, at: usize, out: &mut [u8]) -> Option<()> {
    let bits = |width, big| Integer { width, signed: false, big };
    match kind {
        Kind::Integer(integer) => {
            let bits = match value.as_u64() {
                Some(value) if integer.width == 8 && !integer.signed => value,
                _ => whole(value).filter(|value| integer.holds(*value))? as u64,
            };
            integer.write(bits, at, out);
        }
        Kind::Names(integer, names) => {
            let wanted = value.as_str()?;
            let (value, _) = names.iter().find(|(_, name)| name == wanted)?;
            integer.write(*value as u64, at, out);
        }
        Kind::Float(big) => bits(4, *big).write(u64::from((value.as_f64()? as f32).to_bits()), at, out),
        Kind::Double(big) => bits(8, *big).write(value.as_f64()?.to_bits(), at, out),
        Kind::Text(_) => return None,
    }
    Some(())
}

/// An integer; a number with a fraction is rounded to the nearest one.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let rounded = value.as_f64()?.round();
        (rounded.abs() < 9e18).then_some(rounded as i64)
    })
}

impl Layout {
    /// What a frame says: the name of the message, and its fields as JSON.
    ///
    /// # Errors
    ///
    /// A frame that is none of the declared messages.
    pub fn read(&self, frame: &[u8]) -> Result<(&str, String), LayoutError> {
        let message = self.messages.iter().find(|message| message.is_marked(frame));
        let message = message.ok_or(LayoutError::Unknown(frame.len()))?;
        Ok((&message.event, Value::Object(message.read(frame)?).to_string()))
    }

    /// Writes what stands in JSON; `false`, and nothing is written, where this protocol has no message for it.
    pub fn write(&self, json: &[u8], out: &mut Vec<u8>) -> bool {
        let Ok(whole) = serde_json::from_slice::<Value>(json) else { return false };
        let (Some(event), Some(data)) = (whole.get("event").and_then(Value::as_str), whole.get("data")) else {
            return false;
        };
        self.messages.iter().filter(|message| message.event == event).any(|message| message.write(data, out))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn integer(word: &str) -> Integer {
        Integer::parse(word).unwrap()
    }

    fn field(name: &str, offset: usize, kind: Kind) -> Field {
        Field { name: name.to_owned(), offset, kind }
    }

    /// 12 bytes, as a bot of a game sends them: kind, facing, x and y, speed; or a name.
    fn game() -> Layout {
        let facing = vec![(0, "north".to_owned()), (1, "east".to_owned())];
        let mark = |value| vec![Mark { offset: 0, kind: integer("u8"), value }];
        let moved = Message {
            event: "move".to_owned(),
            marks: mark(1),
            fields: vec![
                field("facing", 1, Kind::Names(integer("u8"), facing)),
                field("x", 2, Kind::Integer(integer("u16be"))),
                field("y", 4, Kind::Integer(integer("i16le"))),
                field("speed", 8, Kind::Float(false)),
            ],
            length: 12,
        };
        let named = Message {
            event: "name".to_owned(),
            marks: mark(2),
            fields: vec![field("name", 1, Kind::Text(11))],
            length: 0,
        };
        let said = Message {
            event: "say".to_owned(),
            marks: mark(3),
            fields: vec![field("to", 1, Kind::Integer(integer("u64le"))), field("text", 9, Kind::Text(0))],
            length: 0,
        };
        Layout { messages: vec![moved, named, said] }
    }

    #[test]
    fn bytes_become_fields_and_fields_become_bytes() {
        let layout = game();
        let bytes = b"\x01\x01\x01\x02\xfe\xff\0\0\0\0\xc0\x3f";
        let (event, json) = layout.read(bytes).unwrap();
        assert_eq!((event, &*json), ("move", r#"{"facing":"east","speed":1.5,"x":258,"y":-2}"#));
        let json = format!(r#"{{"event":"move","data":{json}}}"#);
        let mut out = b"before".to_vec();
        assert!(layout.write(json.as_bytes(), &mut out));
        assert_eq!(out, [&b"before"[..], bytes].concat());

        assert_eq!(layout.read(b"\x02Ann\0\0\0\0\0\0\0\0").unwrap(), ("name", r#"{"name":"Ann"}"#.to_owned()));
        let said = json!({"to": u64::MAX, "text": "h\u{e9}"});
        let mut out = Vec::new();
        assert!(layout.write(json!({"event": "say", "data": said}).to_string().as_bytes(), &mut out));
        assert_eq!(out, b"\x03\xff\xff\xff\xff\xff\xff\xff\xffh\xc3\xa9");
        assert_eq!(layout.read(&out).unwrap(), ("say", said.to_string()));
    }

    #[test]
    fn what_is_none_of_them_is_said() {
        let layout = game();
        let error = |frame: &[u8]| layout.read(frame).unwrap_err().to_string();
        assert_eq!(error(b"\x09"), "message of 1 bytes is none of those that the listener declares");
        assert_eq!(error(b""), "message of 0 bytes is none of those that the listener declares");
        assert_eq!(error(b"\x01\x01"), "message \"move\" has 2 bytes, 12 are declared");
        assert_eq!(error(b"\x01\x07\0\0\0\0\0\0\0\0\0\0"), "message \"move\": 7 is no value of \"facing\"");
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let layout = game();
        for json in [
            json!({"event": "left", "data": {}}),
            json!({"event": "move", "data": {"facing": "up", "x": 1, "y": 1, "speed": 1}}),
            json!({"event": "move", "data": {"facing": "east", "x": 65_536, "y": 1, "speed": 1}}),
            json!({"event": "move", "data": {"facing": "east", "x": 1, "y": -32_769, "speed": 1}}),
            json!({"event": "move", "data": {"facing": "east", "x": 1, "y": 1}}),
            json!({"event": "name", "data": {"name": "twelve bytes"}}),
            json!({"event": "name"}),
            json!([1]),
        ] {
            let mut out = b"x".to_vec();
            assert!(!layout.write(json.to_string().as_bytes(), &mut out), "{json}");
            assert_eq!(out, b"x");
        }
        assert!(!layout.write(b"{", &mut Vec::new()));
        let rounded = json!({"event": "move", "data": {"facing": "east", "x": 1.6, "y": -1.5, "speed": 1}}).to_string();
        let mut out = Vec::new();
        assert!(layout.write(rounded.as_bytes(), &mut out));
        assert_eq!(out[2..6], [0, 2, 0xfe, 0xff]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_read_is_written(kind in 0..5_u8, rest in prop::collection::vec(any::<u8>(), 0..30)) {
            let layout = game();
            let frame = [&[kind][..], &rest].concat();
            let Ok((event, fields)) = layout.read(&frame) else { return Ok(()) };
            // A float that is no number, and bytes that are no text, have no JSON of their own.
            if fields.contains("null") || fields.contains('\u{fffd}') {
                return Ok(());
            }
            let mut out = Vec::new();
            let json = format!(r#"{{"event":"{event}","data":{fields}}}"#);
            prop_assert!(layout.write(json.as_bytes(), &mut out), "{}", json);
            prop_assert_eq!(layout.read(&out).unwrap(), (event, fields));
        }

        #[test]
        fn every_integer_comes_back(value in any::<i64>(), which in 0..14_usize) {
            let words = ["u8", "i8", "u16be", "u16le", "i16be", "i16le", "u32be", "u32le", "i32be", "i32le", "u64be", "u64le", "i64be", "i64le"];
            let kind = integer(words[which]);
            let layout = Layout { messages: vec![Message {
                event: "e".to_owned(), marks: Vec::new(), fields: vec![field("n", 3, Kind::Integer(kind))], length: 0,
            }] };
            let mut out = Vec::new();
            let json = json!({"event": "e", "data": {"n": value}}).to_string();
            prop_assert_eq!(layout.write(json.as_bytes(), &mut out), kind.holds(value));
            if kind.holds(value) {
                prop_assert_eq!(layout.read(&out).unwrap().1, format!(r#"{{"n":{value}}}"#));
            }
        }
    }
}
