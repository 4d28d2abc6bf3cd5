//! What Redis answers, and how a publication looks on its way.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_cluster::{EngineError, Place, Placed, Snapshot};
use jackfield_model::Position;
use redis::{RedisError, RedisResult, Value};

use super::shard::classify;

/// The error in a reply, if it is one.
pub(super) fn error(reply: &Value) -> Option<RedisError> {
    match reply {
        Value::ServerError(error) => Some(RedisError::from(error.clone())),
        _ => None,
    }
}

/// Nothing, unless it is an error.
pub(super) fn fine(reply: Value) -> RedisResult<()> {
    error(&reply).map_or(Ok(()), Err)
}

/// `OFFSET:EPOCH:BODY`, or `::BODY` where nothing is kept.
pub(super) fn message(payload: Bytes) -> Option<(Option<Place>, Bytes)> {
    let first = payload.iter().position(|byte| *byte == b':')?;
    let second = first + 1 + payload[first + 1..].iter().position(|byte| *byte == b':')?;
    let body = payload.slice(second + 1..);
    if first == 0 {
        return Some((None, body));
    }
    let offset: u64 = std::str::from_utf8(&payload[..first]).ok()?.parse().ok()?;
    let epoch = std::str::from_utf8(&payload[first + 1..second]).ok()?;
    Some((Some(Place { offset, previous: offset.checked_sub(1)?, epoch: epoch.into() }), body))
}

fn wrong() -> EngineError {
    EngineError::Refused("Redis answered something else than what was asked".to_owned())
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// What became of a publication that is kept.
pub(super) fn placed(reply: &Value) -> Result<Placed, EngineError> {
    if let Some(error) = error(reply) {
        return Err(classify(&error));
    }
    let read = || {
        let Value::Array(parts) = reply else { return None };
        let [reason, offset, epoch] = &parts[..] else { return None };
        let suppressed = match text(reason)? {
            "" => None,
            "idempotency" => Some("idempotency"),
            "version" => Some("version"),
            _ => return None,
        };
        let epoch: Arc<str> = text(epoch)?.into();
        let position = (!epoch.is_empty()).then_some(Position { offset: number(offset)?, epoch });
        Some(Placed { position, suppressed })
    };
    read().ok_or_else(wrong)
}

/// What is kept of a channel.
pub(super) fn snapshot(reply: Value) -> Result<Snapshot, EngineError> {
    if let Some(error) = error(&reply) {
        return Err(classify(&error));
    }
    let read = || {
        let Value::Array(parts) = reply else { return None };
        let [epoch, top, floor, Value::Array(entries), Value::Array(values)] = &parts[..] else { return None };
        let position = Position { offset: number(top)?, epoch: text(epoch)?.into() };
        let bodies = entries.iter().map(entry).collect::<Option<Vec<_>>>()?;
        let mut values = values.iter().map(value).collect::<Option<Vec<_>>>()?;
        values.sort_by_key(|(offset, _)| *offset);
        Some(Snapshot { position, bodies, floor: number(floor)?, values })
    };
    read().ok_or_else(wrong)
}

fn entry(entry: &Value) -> Option<(u64, Bytes)> {
    let Value::Array(parts) = entry else { return None };
    let [id, Value::Array(fields)] = &parts[..] else { return None };
    let offset = text(id)?.split_once('-')?.0.parse().ok()?;
    let [_, Value::BulkString(body)] = &fields[..] else { return None };
    Some((offset, Bytes::copy_from_slice(body)))
}

fn value(value: &Value) -> Option<(u64, Bytes)> {
    let Value::BulkString(bytes) = value else { return None };
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let offset = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    Some((offset, Bytes::copy_from_slice(&bytes[colon + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let read = |text: &'static [u8]| message(Bytes::from_static(text));
        let place = Place { offset: 12, previous: 11, epoch: "abc".into() };
        assert_eq!(read(b"12:abc:a:b"), Some((Some(place), Bytes::from_static(b"a:b"))));
        assert_eq!(read(b"::x"), Some((None, Bytes::from_static(b"x"))));
        for broken in [&b"12"[..], b"12:abc", b"x:y:z", b"0:e:b", b""] {
            assert_eq!(message(Bytes::from_static(broken)), None);
        }
    }
}
