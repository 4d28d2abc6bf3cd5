//! Entries of a Redis stream, shared by all who read in one group, acknowledged when the hub has them.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Client, Value, cmd};
use tokio::time::Instant;

use crate::message::Message;
use crate::resp;
use crate::source::Reader;
use crate::trouble::Trouble;

/// How long Redis waits for a new entry; as long as a stop may take to be heard.
const BLOCK: Duration = Duration::from_millis(500);

/// What is read in Redis.
#[derive(Clone, Debug)]
pub struct StreamSource {
    /// Where.
    pub client: Client,
    /// The stream.
    pub stream: String,
    /// The consumer group.
    pub group: String,
    /// Who we are in it.
    pub consumer: String,
    /// We are the same after a restart, so what we had not finished is ours.
    pub is_lasting: bool,
    /// The field that is the body; empty: all fields, as a JSON object.
    pub field: String,
    /// After so long without an acknowledgement an entry of another consumer is ours.
    pub claim_after: Duration,
    /// Entries that are read at a time.
    pub batch: usize,
}

/// One entry.
struct Entry {
    id: String,
    /// `None` where it has been deleted from the stream.
    message: Option<Message>,
}

impl StreamSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let mut connection = resp::connect(&self.client, BLOCK).await?;
        // A group that was there and is not any more was deleted with its stream: all of the new one is for us.
        self.create_group(&mut connection, if reader.was_up { "0" } else { "$" }).await?;
        reader.is_up();
        // What we have had and not acknowledged, in an earlier connection or life.
        while !reader.is_stopped() && self.read_some(&mut connection, reader, "0").await? {}
        let mut claim = Instant::now();
        while !reader.is_stopped() {
            if claim <= Instant::now() {
                while self.claim(&mut connection, reader).await? && !reader.is_stopped() {}
                claim = Instant::now() + self.claim_after / 2;
            }
            self.read_some(&mut connection, reader, ">").await?;
        }
        if !self.is_lasting {
            // Nothing is with it: every batch was acknowledged before the next.
            let mut leave = cmd("XGROUP");
            leave.arg("DELCONSUMER").arg(&self.stream).arg(&self.group).arg(&self.consumer);
            resp::ask(&mut connection, &leave).await?;
        }
        Ok(())
    }

    /// Begins a group where there is none; `from` is where it begins.
    async fn create_group(&self, connection: &mut MultiplexedConnection, from: &str) -> Result<(), Trouble> {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(&self.stream).arg(&self.group).arg(from).arg("MKSTREAM");
        match resp::ask(connection, &create).await {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads a batch and publishes it; whether there was one.
    async fn read_some(
        &self,
        connection: &mut MultiplexedConnection,
        reader: &Reader,
        from: &str,
    ) -> Result<bool, Trouble> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(self.batch);
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS").arg(&self.stream).arg(from);
        let reply = match resp::ask(connection, &read).await {
            Err(error) if matches!(error.code(), Some("NOGROUP" | "UNBLOCKED")) => {
                // The stream was deleted under us: what came into the new one since is for us too.
                self.create_group(connection, "0").await?;
                return Ok(false);
            }
            reply => reply?,
        };
        let streams = resp::items(reply).into_iter().map(resp::items);
        let entries = streams.filter_map(|mut stream| stream.pop()).flat_map(resp::items);
        let entries: Vec<Entry> = entries.filter_map(|entry| self.entry(entry, from != ">")).collect();
        self.publish(connection, reader, entries).await
    }

    /// Takes over what others have had for too long; whether there was any.
    async fn claim(&self, connection: &mut MultiplexedConnection, reader: &Reader) -> Result<bool, Trouble> {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&self.stream).arg(&self.group).arg(&self.consumer).arg(self.claim_after.as_millis() as u64);
        claim.arg("0-0").arg("COUNT").arg(self.batch);
        let reply = match resp::ask(connection, &claim).await {
            Err(error) if error.code() == Some("NOGROUP") => return Ok(false),
            reply => reply?,
        };
        let entries = resp::items(reply).into_iter().nth(1).map(resp::items).unwrap_or_default();
        let entries: Vec<Entry> = entries.into_iter().filter_map(|entry| self.entry(entry, true)).collect();
        self.publish(connection, reader, entries).await
    }

    async fn publish(
        &self,
        connection: &mut MultiplexedConnection,
        reader: &Reader,
        entries: Vec<Entry>,
    ) -> Result<bool, Trouble> {
        if entries.is_empty() {
            return Ok(false);
        }
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        // What cannot be published is done with too: a stream has no place for it.
        reader.intake.take(entries.into_iter().filter_map(|entry| entry.message).collect()).await;
        let mut acknowledge = cmd("XACK");
        acknowledge.arg(&self.stream).arg(&self.group).arg(&ids);
        resp::ask(connection, &acknowledge).await?;
        Ok(true)
    }

    fn entry(&self, value: Value, again: bool) -> Option<Entry> {
        let mut parts = resp::items(value).into_iter();
        let id = String::from_utf8(resp::bytes(parts.next()?)?).ok()?;
        let message = match parts.next() {
            Some(Value::Array(fields)) => Some(self.message(&id, fields, again)),
            Some(_) | None => None,
        };
        Some(Entry { id, message })
    }

    fn message(&self, id: &str, fields: Vec<Value>, again: bool) -> Message {
        let mut parts = fields.into_iter().map(|part| resp::bytes(part).unwrap_or_default());
        let (mut fields, mut named, mut is_text) = (Vec::new(), None, true);
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            if !self.field.is_empty() && name == self.field.as_bytes() {
                named = Some(Bytes::from(value.clone()));
            }
            match (String::from_utf8(name), String::from_utf8(value)) {
                (Ok(name), Ok(value)) => fields.push((name, value)),
                _ => is_text = false,
            }
        }
        let body = if self.field.is_empty() { object(&fields).filter(|_| is_text) } else { named };
        Message { origin: self.stream.clone(), fields, body, id: id.to_owned(), is_unique: true, again }
    }
}

/// The fields as a JSON object, in their order.
fn object(fields: &[(String, String)]) -> Option<Bytes> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(if out.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut out, name).ok()?;
        out.push(b':');
        serde_json::to_writer(&mut out, value).ok()?;
    }
    out.push(b'}');
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(field: &str) -> StreamSource {
        StreamSource {
            client: resp::address("redis://localhost").unwrap(),
            stream: "prices".to_owned(),
            group: "g".to_owned(),
            consumer: "c".to_owned(),
            is_lasting: false,
            field: field.to_owned(),
            claim_after: Duration::from_secs(1),
            batch: 10,
        }
    }

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    fn entry(fields: &[&[u8]]) -> Value {
        Value::Array(vec![bulk(b"1-2"), Value::Array(fields.iter().map(|part| bulk(part)).collect())])
    }

    #[test]
    fn an_entry_is_an_object_of_its_fields_or_one_of_them() {
        let fields: [&[u8]; 4] = [b"z", b"1\n", b"a", "ä\"".as_bytes()];
        let found = source("").entry(entry(&fields), false).unwrap();
        let message = found.message.unwrap();
        assert_eq!((found.id.as_str(), message.id.as_str(), message.origin.as_str()), ("1-2", "1-2", "prices"));
        assert_eq!(message.body.unwrap(), r#"{"z":"1\n","a":"ä\""}"#);
        assert_eq!(source("a").entry(entry(&fields), false).unwrap().message.unwrap().body.unwrap(), "ä\"");
        assert_eq!(source("b").entry(entry(&fields), false).unwrap().message.unwrap().body, None);
    }

    #[test]
    fn bytes_are_a_body_and_no_part_of_an_object() {
        let fields: [&[u8]; 2] = [b"a", b"\xff"];
        assert_eq!(source("").entry(entry(&fields), false).unwrap().message.unwrap().body, None);
        assert_eq!(source("a").entry(entry(&fields), false).unwrap().message.unwrap().body.unwrap(), &b"\xff"[..]);
    }

    #[test]
    fn an_entry_that_was_deleted_is_acknowledged_all_the_same() {
        let found = source("").entry(Value::Array(vec![bulk(b"1-2"), Value::Nil]), false).unwrap();
        assert!(found.message.is_none());
        assert!(source("").entry(Value::Nil, false).is_none());
    }
}
