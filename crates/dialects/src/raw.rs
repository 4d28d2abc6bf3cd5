//! A dialect without envelopes: a frame is a payload and nothing else.

use jackfield_model::client::{Data, Push};
use jackfield_model::{Content, Payload};
use serde_json::value::RawValue;

use crate::{DialectError, json};

/// What an endpoint promises about its frames.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mode {
    /// Each frame is one JSON value, both ways.
    Json,
    /// Text where it is text, else bytes.
    Text,
}

/// The form of a frame.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Form {
    /// Any bytes.
    Binary,
    /// UTF-8.
    Text,
}

/// Writes what a raw client sees of a push; `None`, and nothing is written, where there is nothing
/// to see.
pub fn push(push: &Push, mode: Mode, out: &mut Vec<u8>) -> Option<Form> {
    let data = match push {
        Push::Connect(_)
        | Push::Disconnect(_)
        | Push::Join(..)
        | Push::Leave(..)
        | Push::Refresh(_)
        | Push::Subscribe(..)
        | Push::Unsubscribe(..) => return None,
        Push::Message(data) => data,
        Push::Publication(_, publication) | Push::Delta(_, publication, _) => &publication.data,
    };
    match mode {
        Mode::Json => {
            json::payload(data, out);
            Some(Form::Text)
        }
        Mode::Text => Some(write_plain(data, out)),
    }
}

/// Reads what a raw client said.
///
/// # Errors
///
/// A frame that must be JSON or text and is not.
pub fn payload(frame: &[u8], is_text: bool, mode: Mode) -> Result<Data<'_>, DialectError> {
    match mode {
        Mode::Json => {
            let value: &RawValue = serde_json::from_slice(frame).map_err(|source| DialectError::NotJson { source })?;
            if json::is_too_deep(value.get().as_bytes()) {
                return Err(DialectError::TooDeep { max_depth: json::MAX_DEPTH });
            }
            Ok(Data { bytes: value.get().as_bytes(), content: Content::Json })
        }
        Mode::Text if is_text => {
            let text = std::str::from_utf8(frame).map_err(|source| DialectError::NotUtf8 { source })?;
            Ok(Data { bytes: text.as_bytes(), content: Content::Text })
        }
        Mode::Text => Ok(Data { bytes: frame, content: Content::Binary }),
    }
}

/// A payload for people: a JSON string sheds its quotes and escapes, other JSON its line breaks.
fn write_plain(payload: &Payload, out: &mut Vec<u8>) -> Form {
    match payload.content {
        Content::Binary => {
            out.extend_from_slice(&payload.bytes);
            return Form::Binary;
        }
        Content::Json => match inside_of_string(&payload.bytes) {
            Some(inside) => unescape(inside, out),
            None => json::one_line(&payload.bytes, out),
        },
        Content::Text => out.extend_from_slice(&payload.bytes),
    }
    Form::Text
}

/// What stands between the quotes, where valid JSON is a string.
fn inside_of_string(json: &[u8]) -> Option<&[u8]> {
    json.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Resolves the escapes of a JSON string. Half a surrogate pair becomes U+FFFD, for there is no
/// such character.
fn unescape(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let escape = &rest[at + 1..];
        let used = write_escaped(escape, out);
        rest = escape.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Writes the character of the escape that begins after the backslash, and tells how many bytes the
/// escape has.
fn write_escaped(escape: &[u8], out: &mut Vec<u8>) -> usize {
    let Some((&letter, digits)) = escape.split_first() else {
        return 0;
    };
    out.push(match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return 1 + write_unicode(digits, out),
        other => other,
    });
    1
}

/// Writes the character that four hexadecimal digits stand for, or eight in a surrogate pair.
fn write_unicode(digits: &[u8], out: &mut Vec<u8>) -> usize {
    let (code, used) = match hexadecimal(digits) {
        Some(high @ 0xd800..=0xdbff) => match digits[4..].strip_prefix(b"\\u").and_then(hexadecimal) {
            Some(low @ 0xdc00..=0xdfff) => (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 10),
            _ => (high, 4),
        },
        Some(code) => (code, 4),
        None => (u32::MAX, 0),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    used
}

/// The first four bytes as a hexadecimal number.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits = digits.first_chunk::<4>()?;
    digits.iter().try_fold(0, |number, &digit| Some(number << 4 | char::from(digit).to_digit(16)?))
}
