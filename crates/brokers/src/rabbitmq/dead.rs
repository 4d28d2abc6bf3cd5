//! Dead letters in RabbitMQ: one queue. What is looked at is out of it until the connection ends, and goes back to where it was.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::QueueError;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};

use super::topology::Topology;
use super::wire::{PERSISTENT, classify};
use super::{CONFIRM_TIMEOUT, MANDATORY, late, uri};
use crate::dead::{self, DeadLetters, Done, Job, Letter, Wanted};
use crate::registry::{OpenError, Options};

/// How often it is looked whether the queue has its letters again, and how long after each time.
const LOOKS: u32 = 100;
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// The dead letters of a RabbitMQ.
pub(crate) struct RabbitDead {
    uri: AMQPUri,
    topology: Topology,
}

impl RabbitDead {
    pub(crate) fn open(url: &str, options: &Options) -> Result<Self, OpenError> {
        let (prefix, partitions) = (options.prefix.clone(), options.partitions);
        Ok(Self { uri: uri(url)?, topology: Topology { prefix, partitions, max_backlog: options.max_backlog } })
    }

    async fn walk(
        &self,
        connection: &Connection,
        (wanted, job): (&Wanted, Job),
        done: &mut Vec<(Letter, Done)>,
    ) -> Result<(), QueueError> {
        let failed = |error: lapin::Error| classify(&error);
        let channel = connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = self.topology.dead();
        let count = match channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await {
            Ok(queue) => queue.message_count(),
            // Neither side has been here yet.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(classify(&error)),
        };
        let (mut looked, mut settled) = (0, 0);
        for _ in 0..count {
            if wanted.is_full(done.len()) {
                break;
            }
            let got = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await.map_err(failed)?;
            let Some(came) = got else { break };
            looked += 1;
            let letter = read(&came, self.topology.partitions);
            if !wanted.fits(&letter) {
                continue;
            }
            let verdict = job.verdict(&letter);
            if verdict == Done::Replayed {
                let id = job.id_of(&letter);
                let replaying = self.replay(&channel, &came, (&letter, &id));
                tokio::time::timeout(CONFIRM_TIMEOUT, replaying).await.map_err(|_| late())??;
            }
            if matches!(verdict, Done::Dropped | Done::Replayed) {
                channel.basic_ack(came.delivery_tag, BasicAckOptions::default()).await.map_err(failed)?;
                settled += 1;
            }
            done.push((letter, verdict));
        }
        if looked > settled {
            self.give_back(&channel, count - settled).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Gives back what was only looked at, and waits until the queue has it: the end of a connection does so too, but later,
    /// and who looks in between would not find it.
    async fn give_back(&self, channel: &Channel, whole: u32) -> lapin::Result<()> {
        let options = BasicNackOptions { multiple: true, requeue: true };
        channel.basic_nack(0, options).await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        for _ in 0..LOOKS {
            let queue = channel.queue_declare(self.topology.dead().into(), passive, FieldTable::default()).await?;
            // Fewer for long: somebody else takes letters at the same time.
            if queue.message_count() >= whole {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        Ok(())
    }

    /// Puts a letter back; returns when the server has it.
    async fn replay(
        &self,
        channel: &Channel,
        came: &BasicGetMessage,
        (letter, id): (&Letter, &str),
    ) -> Result<(), QueueError> {
        let mut headers = FieldTable::default();
        for (name, value) in came.properties.headers().iter().flat_map(FieldTable::inner) {
            if name.as_str() != "reason" && !name.as_str().starts_with("x-") {
                headers.insert(name.clone(), value.clone());
            }
        }
        let properties = BasicProperties::default()
            .with_message_id(id.into())
            .with_type(came.properties.kind().clone().unwrap_or_default())
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        let exchange = if letter.is_event { self.topology.events() } else { self.topology.commands() };
        let key = letter.partition.to_string();
        let sent = channel.basic_publish(exchange.into(), key.as_str().into(), MANDATORY, &came.data, properties).await;
        match sent.map_err(|error| classify(&error))?.await.map_err(|error| classify(&error))? {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Nack(_) => {
                Err(QueueError::Full("RabbitMQ refused the message: the queue is full".to_owned()))
            }
            Confirmation::Ack(Some(_)) => Err(QueueError::Refused(format!(
                "no queue takes partition {key}; is app_link.partitions the same everywhere?"
            ))),
        }
    }
}

#[async_trait]
impl DeadLetters for RabbitDead {
    fn describe(&self) -> String {
        format!("RabbitMQ at {}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    async fn settle(&self, wanted: &Wanted, job: Job, done: &mut Vec<(Letter, Done)>) -> Result<(), QueueError> {
        let name = format!("jackfield dead {}", self.topology.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connected = tokio::time::timeout(CONFIRM_TIMEOUT, connecting).await;
        let late = |_| QueueError::Unreachable("no connection in time".to_owned());
        let connection = connected.map_err(late)?.map_err(|error| classify(&error))?;
        let walked = self.walk(&connection, (wanted, job), done).await;
        // What was not acknowledged goes back with this; else it would when the server notices the end.
        let _ = tokio::time::timeout(CONFIRM_TIMEOUT, connection.close(200, "done".into())).await;
        if job == Job::List {
            dead::sort(done, wanted);
        }
        walked
    }
}

fn is_absent(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

/// Reads a letter, be it one of the server, of the application, or of RabbitMQ itself, which writes why into `x-death`.
fn read(came: &BasicGetMessage, partitions: u32) -> Letter {
    let properties = &came.properties;
    let empty = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&empty).inner();
    let text =
        |property: &Option<ShortString>| Bytes::from(property.as_ref().map_or_else(String::new, ToString::to_string));
    // Events have their version among the headers; commands have no headers of their own.
    let is_event = headers.contains_key("v");
    let (kind, body) = if is_event { ("type", "data") } else { ("method", "payload") };
    let mut fields = vec![
        ("id".to_owned(), text(properties.message_id())),
        (kind.to_owned(), text(properties.kind())),
        (body.to_owned(), Bytes::copy_from_slice(&came.data)),
    ];
    for (name, value) in headers {
        if let AMQPValue::LongString(value) = value {
            fields.push((name.to_string(), Bytes::copy_from_slice(value.as_bytes())));
        }
    }
    let mut letter = Letter::read(is_event, partitions, &fields);
    let death = death(headers.get("x-death"));
    if let Some((reason, _)) = death.as_ref().filter(|_| letter.reason.is_empty()) {
        letter.reason = format!("RabbitMQ: {reason}");
    }
    // Who wrote no time wrote it after the id was made.
    let written = properties.timestamp().or(death.map(|(_, time)| time)).map(|seconds| seconds * 1000);
    letter.time = written.unwrap_or_else(|| dead::born(&letter.id));
    letter
}

/// Why and when RabbitMQ itself buried a message.
fn death(header: Option<&AMQPValue>) -> Option<(String, u64)> {
    let AMQPValue::FieldArray(deaths) = header? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    let reason = match death.inner().get("reason")? {
        AMQPValue::LongString(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        _ => return None,
    };
    let time = match death.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => *seconds,
        _ => 0,
    };
    Some((reason, time))
}
