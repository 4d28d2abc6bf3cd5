//! Messages of a RabbitMQ exchange or queue, acknowledged when the hub has them.

use bytes::Bytes;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, Consumer, ErrorKind};

use crate::amqp;
use crate::intake::Fate;
use crate::message::Message;
use crate::source::Reader;
use crate::trouble::{Trouble, in_time};

/// What is read in RabbitMQ.
#[derive(Clone, Debug)]
pub struct RabbitSource {
    /// Where.
    pub uri: AMQPUri,
    /// The exchange that the queue is bound to; empty: the queue is read as it is.
    pub exchange: String,
    /// Which of its messages.
    pub routing_key: String,
    /// A queue that outlives us and that several nodes read together; empty: one of our own, for as long as we are connected.
    pub queue: String,
    /// Messages that may be on loan to us.
    pub prefetch: u16,
}

impl RabbitSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let connection = amqp::connect(&self.uri, &reader.intake.options.name).await?;
        let read = self.read_by(&connection, reader).await;
        amqp::close(&connection).await;
        read
    }

    async fn read_by(&self, connection: &Connection, reader: &mut Reader) -> Result<(), Trouble> {
        let mut consumer = in_time(amqp::PATIENCE, "declaring the queue", self.consumer(connection)).await?;
        reader.is_up();
        while let Some(first) = reader.unless_stopped(amqp::next(&mut consumer)).await? {
            let mut deliveries = vec![first];
            while deliveries.len() < usize::from(self.prefetch)
                && let Some(next) = amqp::ready(&mut consumer).await?
            {
                deliveries.push(next);
            }
            let messages = deliveries.iter_mut().map(message).collect();
            let fates = reader.intake.take(messages).await;
            settle(&deliveries, &fates).await?;
        }
        Ok(())
    }

    async fn consumer(&self, connection: &Connection) -> Result<Consumer, Trouble> {
        let channel = connection.create_channel().await?;
        let (channel, queue) = self.declared(connection, channel).await?;
        if !self.exchange.is_empty() {
            let (name, exchange, key) =
                (queue.as_str().into(), self.exchange.as_str().into(), self.routing_key.as_str());
            let options = QueueBindOptions::default();
            channel.queue_bind(name, exchange, key.into(), options, FieldTable::default()).await?;
        }
        channel.basic_qos(self.prefetch.max(1), BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        Ok(channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?)
    }

    /// The queue, and a channel that is still of use.
    async fn declared(&self, connection: &Connection, channel: Channel) -> Result<(Channel, String), Trouble> {
        if self.queue.is_empty() {
            let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
            return Ok((channel, queue.name().as_str().to_owned()));
        }
        // Whoever has declared it first decides how it is.
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(self.queue.as_str().into(), options, FieldTable::default()).await {
            Ok(_) => return Ok((channel, self.queue.clone())),
            Err(error) if !is_missing(&error) => return Err(error.into()),
            Err(_) if self.exchange.is_empty() => {
                return Err(Trouble::new(format!(
                    "there is no queue {:?}; declare it, or name the exchange that it is to be bound to",
                    self.queue
                )));
            }
            Err(_) => {}
        }
        // The refusal has closed the first channel.
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
        // One node at a time, so that the order of the queue is the order of the channel.
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        channel.queue_declare(self.queue.as_str().into(), options, arguments).await?;
        Ok((channel, self.queue.clone()))
    }
}

fn is_missing(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

/// Acknowledges what the hub has; what can never be published goes where the queue has its dead letters.
async fn settle(deliveries: &[Delivery], fates: &[Fate]) -> Result<(), Trouble> {
    let all_taken = fates.iter().all(|fate| *fate == Fate::Taken);
    if let Some(last) = deliveries.last().filter(|_| all_taken) {
        last.ack(BasicAckOptions { multiple: true }).await?;
        return Ok(());
    }
    for (delivery, fate) in deliveries.iter().zip(fates) {
        match fate {
            Fate::Taken => delivery.ack(BasicAckOptions::default()).await?,
            Fate::Refused => delivery.reject(BasicRejectOptions { requeue: false }).await?,
        };
    }
    Ok(())
}

fn message(delivery: &mut Delivery) -> Message {
    let properties = &delivery.properties;
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let fields = headers.into_iter().flatten();
    Message {
        origin: delivery.routing_key.to_string(),
        fields: fields.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect(),
        id: properties.message_id().as_ref().map_or_else(String::new, ToString::to_string),
        body: Some(Bytes::from(std::mem::take(&mut delivery.data))),
        is_unique: false,
        again: delivery.redelivered,
    }
}

/// A header as text, where it is something that has a text.
fn text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok()?,
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        _ => return None,
    })
}
