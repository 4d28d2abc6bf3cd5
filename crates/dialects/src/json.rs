//! Writes JSON by hand: objects, strings and payloads, straight into the buffer that goes out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jackfield_model::{Content, Payload};

/// Levels of lists and objects in a client's data, as many as serde_json itself would follow.
pub(crate) const MAX_DEPTH: usize = 128;

/// An object under construction: sets the commas and the brackets.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Opens the object.
    pub(crate) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Writes a key, which must need no escapes, and hands out the buffer for its value.
    pub(crate) fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// As [`Object::key`], for a key that may hold any character.
    pub(crate) fn any_key(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        string(name.as_bytes(), self.out);
        self.out.push(b':');
        self.out
    }

    /// A string, left out where it is empty.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            string(value.as_bytes(), self.key(name));
        }
    }

    /// A number, left out where it is zero.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        if value != 0 {
            number(value, self.key(name));
        }
    }

    /// As [`Object::number`], for numbers that may be below zero.
    pub(crate) fn signed(&mut self, name: &str, value: i64) {
        if value != 0 {
            self.key(name).extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }

    /// A truth, left out where it is none.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.key(name).extend_from_slice(b"true");
        }
    }

    /// A payload, left out where there is none: JSON has no value without a byte.
    pub(crate) fn payload(&mut self, name: &str, value: &Payload) {
        if !is_nothing(value) {
            payload(value, self.key(name));
        }
    }

    /// Closes the object.
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// A number in decimal.
pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A payload as one JSON value on one line, whatever its content is. Empty JSON becomes `null`.
pub(crate) fn payload(payload: &Payload, out: &mut Vec<u8>) {
    match payload.content {
        Content::Binary => base64_string(&payload.bytes, out),
        Content::Json if payload.bytes.is_empty() => out.extend_from_slice(b"null"),
        Content::Json => one_line(&payload.bytes, out),
        Content::Text => string(&payload.bytes, out),
    }
}

/// Whether a payload has no value at all.
pub(crate) fn is_nothing(payload: &Payload) -> bool {
    payload.content == Content::Json && payload.bytes.is_empty()
}

/// The text of a payload as it is in JSON, as a JSON string: what deltas are made of.
pub(crate) fn quoted(payload: &Payload, out: &mut Vec<u8>) {
    match payload.content {
        Content::Json => string(&payload.bytes, out),
        Content::Binary | Content::Text => {
            let mut text = Vec::with_capacity(payload.bytes.len() + 2);
            self::payload(payload, &mut text);
            string(&text, out);
        }
    }
}

/// Valid JSON without its line breaks. Why: a line break ends a message, and in JSON it can only be
/// white space, because strings must escape theirs.
pub(crate) fn one_line(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Whether valid JSON nests deeper than [`MAX_DEPTH`]. Why: nobody in here would mind, but those
/// who parse it at the other end may run out of stack, and they did not send it.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    if memchr::memchr2_iter(b'[', b'{', json).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Steps over the rest of a string and its closing quote.
fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// UTF-8 as a JSON string.
pub(crate) fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let plain = plain_prefix(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(&special) = rest.get(plain) else {
            break;
        };
        escape(special, out);
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

/// Bytes as a JSON string of standard base64 with padding.
fn base64_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// Number of bytes before the first one that a JSON string must escape; looks at eight in a step.
fn plain_prefix(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = special_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    words.len() * 8 + plain.unwrap_or(tail.len())
}

/// Sets the high bit of each byte that is a control character, a quote or a backslash. A borrow may
/// set the mark of a byte above a marked one too, never below: the lowest mark is right.
fn special_marks(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let quote = quote.wrapping_sub(EACH) & !quote;
    let backslash = backslash.wrapping_sub(EACH) & !backslash;
    (control | quote | backslash) & (EACH * 0x80)
}

/// The escape of one byte that needs it.
fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        0x08 => b"\\b",
        0x0c => b"\\f",
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(short);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        string(text.as_bytes(), &mut out);
        out
    }

    #[test]
    fn every_byte_at_every_place_of_a_word_is_as_serde_writes_it() {
        for byte in 0..=0x7f_u8 {
            for place in 0..17 {
                for filler in ['a', '!', '[', '\u{e9}'] {
                    let mut text: String = std::iter::repeat_n(filler, 17).collect();
                    let at = text.char_indices().nth(place).map_or(0, |(at, _)| at);
                    text.insert(at, char::from(byte));
                    assert_eq!(written(&text), serde_json::to_vec(&text).unwrap(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn binary_is_padded_base64() {
        for (bytes, text) in
            [(&b""[..], "\"\""), (b"f", "\"Zg==\""), (b"fo", "\"Zm8=\""), (b"\xff\xfe\xfd", "\"//79\"")]
        {
            let mut out = Vec::new();
            payload(&Payload::binary(bytes), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn depth_counts_what_is_open_outside_of_strings() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        let objects = "{\"a\":".repeat(MAX_DEPTH + 1) + "1" + &"}".repeat(MAX_DEPTH + 1);
        assert!(is_too_deep(objects.as_bytes()));
        let flat = format!("[{}0]", "[],{},".repeat(MAX_DEPTH));
        assert!(!is_too_deep(flat.as_bytes()));
        let quoted = format!(r#"["\"{}", "\\"]"#, "[{".repeat(MAX_DEPTH));
        assert!(!is_too_deep(quoted.as_bytes()));
        assert!(!is_too_deep(format!("{quoted}]]").as_bytes()));
    }

    #[test]
    fn line_breaks_are_gone() {
        let mut out = Vec::new();
        payload(&Payload::json(&b"\r\n[1,\n \"a\\n\"\r\n]\n"[..]), &mut out);
        assert_eq!(out, b"[1, \"a\\n\"]");
    }
}
