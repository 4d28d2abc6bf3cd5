//! Publications into an exchange of RabbitMQ, confirmed.

use std::collections::VecDeque;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use crate::amqp;
use crate::sink::event;
use crate::sink::inbox::Item;
use crate::sink::line::Sent;
use crate::template::Template;
use crate::trouble::{Trouble, in_time};

/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// Where publications go.
#[derive(Clone, Debug)]
pub struct ExchangeSink {
    /// Where.
    pub uri: AMQPUri,
    /// The exchange; the empty one takes routing keys for names of queues.
    pub exchange: String,
    /// The routing key of each.
    pub routing_key: Template,
}

/// A connection that publishes.
pub(crate) struct ExchangeSession {
    sink: ExchangeSink,
    /// Kept, because it ends when it is dropped.
    connection: Connection,
    channel: Channel,
}

impl ExchangeSink {
    pub(crate) async fn connect(&self, name: &str) -> Result<ExchangeSession, Trouble> {
        let connection = amqp::connect(&self.uri, name).await?;
        let channel = in_time(amqp::PATIENCE, "opening a channel", connection.create_channel()).await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        in_time(amqp::PATIENCE, "asking for confirms", confirms).await?;
        Ok(ExchangeSession { sink: self.clone(), connection, channel })
    }
}

impl ExchangeSession {
    pub(crate) async fn send(&self, items: &VecDeque<Item>) -> Sent {
        let mut done = Vec::with_capacity(items.len());
        let sending = self.publish(items, &mut done);
        let trouble = match tokio::time::timeout(amqp::PATIENCE, sending).await {
            Ok(sent) => sent.err(),
            Err(_) => Some(Trouble::new("RabbitMQ did not confirm in time")),
        };
        if trouble.is_some() {
            amqp::close(&self.connection).await;
        }
        Sent { done, trouble }
    }

    /// Sends all, then waits for the confirms in the same order.
    async fn publish(&self, items: &VecDeque<Item>, done: &mut Vec<Result<(), String>>) -> Result<(), Trouble> {
        let mut confirms = Vec::with_capacity(items.len());
        for item in items {
            let key = match self.sink.routing_key.name(|_| Some(&*item.channel)) {
                Ok(key) => key,
                Err(unfit) => {
                    confirms.push(Err(unfit.0));
                    continue;
                }
            };
            let (exchange, data) = (self.sink.exchange.as_str().into(), &item.publication.data.bytes);
            let options = BasicPublishOptions::default();
            let confirm = self.channel.basic_publish(exchange, key.into(), options, data, properties(item)).await?;
            confirms.push(Ok(confirm));
        }
        for confirm in confirms {
            done.push(match confirm {
                Ok(confirm) => match confirm.await? {
                    Confirmation::Ack(_) | Confirmation::NotRequested => Ok(()),
                    Confirmation::Nack(_) => return Err(Trouble::new("RabbitMQ refused a message: a queue is full")),
                },
                Err(reason) => Err(reason),
            });
        }
        Ok(())
    }
}

fn properties(item: &Item) -> BasicProperties {
    let publication = &item.publication;
    let mut headers = FieldTable::default();
    let mut header = |name: &str, value: String| {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    };
    header("channel", item.channel.to_string());
    if let Some(position) = &item.position {
        header("offset", position.offset.to_string());
        header("epoch", position.epoch.to_string());
    }
    if let Some(key) = publication.key() {
        header("key", key.to_string());
    }
    if let Some(tags) = event::tags(item) {
        header("tags", tags);
    }
    BasicProperties::default()
        .with_message_id(item.id.to_string().into())
        .with_type(event::kind(item).into())
        .with_content_type(event::media_type(publication.data.content).into())
        .with_timestamp(publication.time / 1000)
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}
