//! Replies of Redis, read into what they mean; a reply of another form reads as nothing.

use bytes::Bytes;
use jackfield_bridge::{Delivery, Receipt};
use redis::Value;

use crate::command_fields;

/// An entry as it came: its number, and its fields unless it is gone from the stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: (u64, u64),
    fields: Option<Vec<Value>>,
}

impl Entry {
    fn read(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else {
            return None;
        };
        let mut parts = parts.into_iter();
        let number = number(&parts.next()?)?;
        match parts.next()? {
            Value::Array(fields) => Some(Self { number, fields: Some(fields) }),
            _ => Some(Self { number, fields: None }),
        }
    }

    /// Its fields by name; a name that is no text reads as near as can be.
    pub(super) fn fields(self) -> Vec<(String, Bytes)> {
        let strings: Vec<Bytes> = self.fields.into_iter().flatten().filter_map(bytes).collect();
        let pairs = strings.chunks_exact(2);
        pairs.map(|pair| (String::from_utf8_lossy(&pair[0]).into_owned(), pair[1].clone())).collect()
    }

    /// The command in it; none where the entry is gone.
    pub(super) fn delivery(self, partition: u32) -> Option<Delivery> {
        let receipt = Receipt { partition, generation: 0, number: self.number };
        let mut values = self.fields?.into_iter();
        let pairs = std::iter::from_fn(|| Some((bytes(values.next()?)?, bytes(values.next()?)?)));
        Some(command_fields::read(receipt, pairs))
    }
}

/// The reply of XREADGROUP: the entries of each stream by its key.
pub(super) fn streams(reply: Value) -> Vec<(Bytes, Vec<Entry>)> {
    let Value::Array(streams) = reply else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for stream in streams {
        let Value::Array(parts) = stream else {
            continue;
        };
        let mut parts = parts.into_iter();
        if let (Some(key), Some(list)) = (parts.next().and_then(bytes), parts.next()) {
            found.push((key, entries(list)));
        }
    }
    found
}

/// The reply of XAUTOCLAIM: where to go on, none at the end, and the entries.
pub(super) fn claimed(reply: Value) -> (Option<(u64, u64)>, Vec<Entry>) {
    let Value::Array(parts) = reply else {
        return (None, Vec::new());
    };
    let mut parts = parts.into_iter();
    let cursor = parts.next().as_ref().and_then(number).filter(|cursor| *cursor != (0, 0));
    (cursor, parts.next().map(entries).unwrap_or_default())
}

/// The reply of XRANGE: the number of its first entry.
pub(super) fn first(reply: &Value) -> Option<(u64, u64)> {
    let Value::Array(entries) = reply else { return None };
    match entries.first()? {
        Value::Array(parts) => number(parts.first()?),
        _ => None,
    }
}

/// The reply of TIME: milliseconds since 1970; 0 where it is none.
pub(super) fn millis(reply: &Value) -> u64 {
    let Value::Array(parts) = reply else { return 0 };
    let number = |part: &Value| match part {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    match parts.as_slice() {
        [seconds, micros] => number(seconds).zip(number(micros)).map_or(0, |(s, us)| s * 1000 + us / 1000),
        _ => 0,
    }
}

/// A byte string, without a copy.
pub(super) fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        Value::SimpleString(text) => Some(Bytes::from(text)),
        _ => None,
    }
}

/// An entry's id as Redis writes it.
pub(super) fn id(number: (u64, u64)) -> String {
    format!("{}-{}", number.0, number.1)
}

pub(super) fn entries(value: Value) -> Vec<Entry> {
    let Value::Array(entries) = value else {
        return Vec::new();
    };
    // Redis 6.2 puts a nil where a claimed entry is gone.
    entries.into_iter().filter_map(Entry::read).collect()
}

/// An entry's number as Redis writes it.
pub(super) fn number(value: &Value) -> Option<(u64, u64)> {
    let text = match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        Value::SimpleString(text) => text,
        _ => return None,
    };
    let (millis, number) = text.split_once('-')?;
    Some((millis.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str) -> Value {
        let fields = ["id", "7", "payload", "{}"].map(text);
        Value::Array(vec![text(id), Value::Array(fields.to_vec())])
    }

    #[test]
    fn what_was_read_is_a_delivery() {
        let stream = Value::Array(vec![text("key"), Value::Array(vec![entry("5-1")])]);
        let mut streams = streams(Value::Array(vec![stream]));
        let (key, mut entries) = streams.pop().unwrap();
        assert_eq!(key, "key");
        let delivery = entries.pop().unwrap().delivery(2).unwrap();
        assert_eq!((delivery.id.as_str(), delivery.receipt.number), ("7", (5, 1)));
        assert_eq!(id(delivery.receipt.number), "5-1");
    }

    #[test]
    fn a_claim_tells_where_to_go_on() {
        let list = Value::Array(vec![Value::Nil, entry("5-1")]);
        let (cursor, entries) = claimed(Value::Array(vec![text("5-2"), list]));
        assert_eq!((cursor, entries.len()), (Some((5, 2)), 1));
        let (cursor, entries) = claimed(Value::Array(vec![text("0-0"), Value::Array(vec![])]));
        assert_eq!((cursor, entries.len()), (None, 0));
        assert_eq!(claimed(Value::Nil).0, None);
    }

    #[test]
    fn other_forms_read_as_nothing() {
        assert!(streams(Value::Nil).is_empty());
        assert!(streams(Value::Array(vec![Value::Int(1), Value::Array(vec![])])).is_empty());
        let gone = Value::Array(vec![text("5-1"), Value::Nil]);
        assert!(Entry::read(gone).unwrap().delivery(0).is_none());
        assert!(Entry::read(Value::Array(vec![text("x"), Value::Nil])).is_none());
    }
}
