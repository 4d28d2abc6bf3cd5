//! The web application's end of a queue in RabbitMQ.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use jackfield_testkit::queue_contract::{AppSide, Fields, SentCommand};
use jackfield_testkit::servers::{RabbitCounter, RabbitServer};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind};

const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// Connects anew with each use, so that a server may go and come.
pub(crate) struct RabbitApp {
    url: String,
    prefix: String,
    max_backlog: i64,
    counter: RabbitCounter,
    dead: Vec<Fields>,
    /// Waits on the channel it asked on.
    asked: Option<(Connection, Consumer)>,
}

impl RabbitApp {
    pub(crate) fn new(server: &RabbitServer, prefix: &str, max_backlog: i64) -> Self {
        Self {
            url: server.url(),
            prefix: prefix.to_owned(),
            max_backlog,
            counter: server.counter(),
            dead: Vec::new(),
            asked: None,
        }
    }

    /// A connection and a channel on which everything is declared, in the words of the specification.
    async fn channel(&self) -> (Connection, Channel) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.url, properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let (commands, events) = (self.name("commands"), self.name("events"));
        let dead = self.name("dead");
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for (name, kind) in
            [(&commands, ExchangeKind::Direct), (&events, ExchangeKind::Direct), (&dead, ExchangeKind::Fanout)]
        {
            let table = FieldTable::default();
            channel.exchange_declare(name.as_str().into(), kind, durable, table).await.unwrap();
        }
        let text = |text: &str| AMQPValue::LongString(text.into());
        let quorum = ("x-queue-type", text("quorum"));
        let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
        let letters = ("x-dead-letter-exchange", text(&dead));
        self.queue(&channel, &dead, &dead, vec![quorum.clone()]).await;
        for partition in 0..8 {
            let arguments = vec![quorum.clone(), single.clone(), letters.clone()];
            self.queue(&channel, &format!("{commands}.{partition}"), &commands, arguments.clone()).await;
            let more = [
                ("x-overflow", text("reject-publish")),
                ("x-max-length", AMQPValue::LongLongInt(self.max_backlog)),
                ("x-delivery-limit", AMQPValue::LongLongInt(20)),
            ];
            let arguments = arguments.into_iter().chain(more).collect();
            self.queue(&channel, &format!("{events}.{partition}"), &events, arguments).await;
        }
        (connection, channel)
    }

    async fn queue(&self, channel: &Channel, name: &str, exchange: &str, arguments: Vec<(&str, AMQPValue)>) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert(name.into(), value);
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), durable, table).await.unwrap();
        let key = name.strip_prefix(&format!("{exchange}.")).unwrap_or_default();
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(name.into(), exchange.into(), key.into(), options, table).await.unwrap();
    }

    fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    async fn publish(&self, channel: &Channel, command: &SentCommand, properties: BasicProperties) {
        let properties = properties
            .with_message_id(command.id.as_str().into())
            .with_type(command.method.as_str().into())
            .with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (self.name("commands"), command.partition.to_string());
        let body = &command.payload;
        let confirm = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        assert_eq!(confirm.unwrap().await.unwrap(), Confirmation::Ack(None));
    }

    /// Takes and settles what lies among the dead letters.
    async fn dead_letters(&self, channel: &Channel) -> Vec<Delivery> {
        let mut taken = Vec::new();
        loop {
            let (queue, options) = (self.name("dead"), BasicGetOptions::default());
            let got = channel.basic_get(queue.into(), options).await.unwrap();
            let Some(message) = got else { return taken };
            channel.basic_ack(message.delivery_tag, BasicAckOptions::default()).await.unwrap();
            taken.push(message.delivery);
        }
    }
}

#[async_trait]
impl AppSide for RabbitApp {
    async fn send(&mut self, commands: &[SentCommand]) {
        let (connection, channel) = self.channel().await;
        for command in commands {
            self.publish(&channel, command, BasicProperties::default()).await;
        }
        connection.close(200, "".into()).await.unwrap();
    }

    async fn ask(&mut self, command: &SentCommand) {
        let (connection, channel) = self.channel().await;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let table = FieldTable::default();
        let consumer = channel.basic_consume(DIRECT_REPLY.into(), "".into(), options, table).await.unwrap();
        let properties = BasicProperties::default()
            .with_reply_to(DIRECT_REPLY.into())
            .with_correlation_id(command.id.as_str().into());
        self.publish(&channel, command, properties).await;
        self.asked = Some((connection, consumer));
    }

    async fn reply(&mut self) -> Bytes {
        let (connection, mut consumer) = self.asked.take().unwrap();
        let next = std::future::poll_fn(|context| Pin::new(&mut consumer).poll_next(context)).await;
        let reply = next.unwrap().unwrap();
        assert!(reply.properties.correlation_id().is_some());
        connection.close(200, "".into()).await.unwrap();
        reply.data.into()
    }

    async fn events(&mut self, count: usize) -> Vec<Fields> {
        let (connection, channel) = self.channel().await;
        // One at a time, so that what is not asked for yet stays where it is.
        channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
        let mut consumers = Vec::new();
        for partition in 0..8 {
            let queue = format!("{}.{partition}", self.name("events"));
            let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel.basic_consume(queue.into(), "".into(), options, table).await;
            consumers.push(consumer.unwrap());
        }
        let mut events = Vec::new();
        while events.len() < count {
            let event = std::future::poll_fn(|context| {
                let mut ready =
                    consumers.iter_mut().filter_map(|consumer| match Pin::new(consumer).poll_next(context) {
                        Poll::Ready(event) => event,
                        Poll::Pending => None,
                    });
                ready.next().map_or(Poll::Pending, Poll::Ready)
            });
            let event = event.await.unwrap();
            channel.basic_ack(event.delivery_tag, BasicAckOptions::default()).await.unwrap();
            events.push(fields(event));
        }
        connection.close(200, "".into()).await.unwrap();
        events
    }

    async fn answer(&mut self, call: &Fields, body: &str) {
        let (connection, channel) = self.channel().await;
        let text = |name: &str| String::from_utf8(call[name].clone()).unwrap();
        let properties = BasicProperties::default().with_correlation_id(text("id").into());
        let (key, options) = (text("reply_to"), BasicPublishOptions::default());
        let confirm = channel.basic_publish("".into(), key.into(), options, body.as_bytes(), properties).await;
        confirm.unwrap().await.unwrap();
        connection.close(200, "".into()).await.unwrap();
    }

    async fn dead(&mut self, count: usize) -> Vec<Fields> {
        let (connection, channel) = self.channel().await;
        loop {
            let letters = self.dead_letters(&channel).await;
            self.dead.extend(letters.into_iter().map(|letter| {
                let mut fields = fields(letter);
                for (old, new) in [("type", "method"), ("data", "payload")] {
                    let value = fields.remove(old).unwrap_or_default();
                    fields.insert(new.to_owned(), value);
                }
                fields
            }));
            if self.dead.len() >= count {
                connection.close(200, "".into()).await.unwrap();
                return self.dead.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn bury_event(&mut self, event: &[(&str, &str)], reason: &str) {
        let (connection, channel) = self.channel().await;
        let (mut headers, mut data) = (FieldTable::default(), "");
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        headers.insert("reason".into(), AMQPValue::LongString(reason.into()));
        for (name, value) in event {
            match *name {
                "data" => data = *value,
                "id" => properties = properties.with_message_id((*value).into()),
                "type" => properties = properties.with_type((*value).into()),
                name => _ = headers.insert(name.into(), AMQPValue::LongString((*value).into())),
            }
        }
        let (exchange, options) = (self.name("dead"), BasicPublishOptions::default());
        let properties = properties.with_headers(headers).with_timestamp(1_700_000_000);
        let confirm = channel.basic_publish(exchange.into(), "".into(), options, data.as_bytes(), properties).await;
        confirm.unwrap().await.unwrap();
        connection.close(200, "".into()).await.unwrap();
    }

    async fn commands_left(&mut self) -> usize {
        let (counter, start) = (self.counter.clone(), format!("{}.commands.", self.prefix));
        let count = tokio::task::spawn_blocking(move || counter.messages(&start)).await.unwrap();
        count.unwrap_or(usize::MAX)
    }
}

/// What the specification puts into properties, headers and body, as flat fields.
fn fields(message: Delivery) -> Fields {
    let properties = &message.properties;
    let mut fields = Fields::new();
    let own = [("id", properties.message_id()), ("type", properties.kind()), ("reply_to", properties.reply_to())];
    for (name, value) in own {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value.as_str().as_bytes().to_vec());
        }
    }
    if let Some(correlation) = properties.correlation_id() {
        assert_eq!(correlation.as_str().as_bytes(), fields["id"]);
    }
    for (name, value) in properties.headers().iter().flat_map(|headers| headers.inner()) {
        let AMQPValue::LongString(value) = value else {
            continue;
        };
        fields.insert(name.to_string(), value.as_bytes().to_vec());
    }
    let names: HashSet<&str> = fields.keys().map(String::as_str).collect();
    assert!(!names.contains("data"));
    fields.insert("data".to_owned(), message.data);
    fields
}
