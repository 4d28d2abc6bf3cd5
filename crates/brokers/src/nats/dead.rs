//! Dead letters in NATS: one stream, with a subject for commands and one for events.

use async_nats::jetstream::context::{ContextBuilder, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{HeaderMap, HeaderValue};
use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::QueueError;

use super::session::{Address, REPLY_TIMEOUT};
use super::wire::{self, Names};
use crate::dead::{DeadLetters, Done, Job, Letter, Wanted};
use crate::registry::{OpenError, Options};

/// The dead letters of a NATS.
pub(crate) struct NatsDead {
    address: Address,
    names: Names,
    partitions: u32,
}

impl NatsDead {
    pub(crate) fn open(url: &str, options: &Options) -> Result<Self, OpenError> {
        let address = Address::parse(url, options.ca_file.as_deref())?;
        Ok(Self { address, names: Names::new(&options.prefix), partitions: options.partitions })
    }

    /// Puts a letter back. The server knows by an id of its own what it has put back already, because it would drop a command
    /// whose id it has seen in five minutes.
    async fn replay(&self, context: &Context, came: &StreamMessage, to: (&Letter, &str)) -> Result<(), QueueError> {
        let (letter, id) = to;
        let mut headers = HeaderMap::new();
        for (name, values) in came.headers.iter() {
            let name: &str = name.as_ref();
            if let Some(value) =
                values.first().filter(|_| !matches!(name, "id" | "reason") && !name.starts_with("Nats-"))
            {
                headers.insert(name, value.clone());
            }
        }
        headers.insert("v", "1");
        headers.insert("id", wire::encoded(id.as_bytes()));
        let mark = format!("dead {} {}", came.sequence, came.time.unix_timestamp_nanos());
        headers.insert(wire::MESSAGE_ID, HeaderValue::from(mark));
        let subject = if letter.is_event { Names::events } else { Names::commands };
        let message = PublishMessage::build().payload(came.payload.clone()).headers(headers);
        let sent = context.send_publish(subject(&self.names, letter.partition), message).await;
        wire::kept(match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        })
    }

    fn read(&self, came: &StreamMessage) -> Letter {
        let is_event = came.subject.ends_with(".app");
        let mut fields = Vec::new();
        for (name, values) in came.headers.iter() {
            let value = values.first().map(|value| Bytes::from(wire::decoded(value.as_str())));
            fields.extend(value.map(|value| (name.to_string(), value)));
        }
        fields.push((if is_event { "data" } else { "payload" }.to_owned(), came.payload.clone()));
        let time = u64::try_from(came.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Letter { time, ..Letter::read(is_event, self.partitions, &fields) }
    }
}

#[async_trait]
impl DeadLetters for NatsDead {
    fn describe(&self) -> String {
        self.address.describe()
    }

    async fn settle(&self, wanted: &Wanted, job: Job, done: &mut Vec<(Letter, Done)>) -> Result<(), QueueError> {
        let client = self.address.connect_once().await?;
        let context = ContextBuilder::new().timeout(REPLY_TIMEOUT).ack_timeout(REPLY_TIMEOUT).build(client);
        let stream = match context.get_stream(self.names.stream("dead")).await {
            Ok(stream) => stream,
            // Neither side has been here yet.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(wire::refused(&error)),
        };
        let state = &stream.cached_info().state;
        let mut next = state.first_sequence.max(1);
        while next <= state.last_sequence && !wanted.is_full(done.len()) {
            let came = match stream.raw_message_builder().sequence(next).next_by_subject(">").send().await {
                Ok(came) => came,
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => break,
                Err(error) => return Err(wire::refused(&error)),
            };
            next = came.sequence + 1;
            let letter = self.read(&came);
            if !wanted.fits(&letter) {
                continue;
            }
            let verdict = job.verdict(&letter);
            if verdict == Done::Replayed {
                self.replay(&context, &came, (&letter, &job.id_of(&letter))).await?;
            }
            if matches!(verdict, Done::Dropped | Done::Replayed) {
                stream.delete_message(came.sequence).await.map_err(|error| wire::refused(&error))?;
            }
            done.push((letter, verdict));
        }
        Ok(())
    }
}

fn is_absent(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
