//! The exchanges and queues of the app link, declared exactly as the application declares them.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

/// How often the broker hands out an event before it is a dead letter.
const DELIVERY_LIMIT: i64 = 20;

/// Names, and the numbers that are arguments of the queues.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) prefix: String,
    pub(super) partitions: u32,
    pub(super) max_backlog: u64,
}

impl Topology {
    /// The exchange and the queue of dead letters.
    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The exchange of commands.
    pub(super) fn commands(&self) -> String {
        format!("{}.commands", self.prefix)
    }

    /// The exchange of events.
    pub(super) fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The exchange over which nodes say that they live, and the queue of their tokens.
    pub(super) fn nodes(&self) -> String {
        format!("{}.nodes", self.prefix)
    }

    /// The queue of a partition's commands.
    pub(super) fn commands_of(&self, partition: u32) -> String {
        format!("{}.commands.{partition}", self.prefix)
    }

    /// Declares all of it. The broker refuses what is there with other arguments.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let (commands, events, dead) = (self.commands(), self.events(), self.dead());
        exchange(channel, &dead, ExchangeKind::Fanout).await?;
        queue(channel, &dead, quorum()).await?;
        bind(channel, (&dead, &dead), "").await?;
        exchange(channel, &self.nodes(), ExchangeKind::Fanout).await?;
        queue(channel, &self.nodes(), Self::token_arguments()).await?;
        exchange(channel, &commands, ExchangeKind::Direct).await?;
        exchange(channel, &events, ExchangeKind::Direct).await?;
        for partition in 0..self.partitions {
            let key = partition.to_string();
            let name = self.commands_of(partition);
            queue(channel, &name, self.command_arguments()).await?;
            bind(channel, (&name, &commands), &key).await?;
            let name = format!("{events}.{partition}");
            queue(channel, &name, self.event_arguments()).await?;
            bind(channel, (&name, &events), &key).await?;
        }
        Ok(())
    }

    /// A queue of this connection's own, that hears all nodes.
    pub(super) async fn hear_nodes(&self, channel: &Channel) -> lapin::Result<String> {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare("".into(), options, FieldTable::default()).await?;
        let name = declared.name().to_string();
        bind(channel, (&name, &self.nodes()), "").await?;
        Ok(name)
    }

    fn token_arguments() -> FieldTable {
        let mut arguments = quorum();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments
    }

    fn command_arguments(&self) -> FieldTable {
        let mut arguments = quorum();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-dead-letter-exchange".into(), text(&self.dead()));
        arguments
    }

    fn event_arguments(&self) -> FieldTable {
        let mut arguments = self.command_arguments();
        // Checked to fit when the options were.
        let length = i64::try_from(self.max_backlog).unwrap_or(i64::MAX);
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(length));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
        arguments
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
}

async fn queue(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments).await.map(drop)
}

async fn bind(channel: &Channel, queue_to: (&str, &str), key: &str) -> lapin::Result<()> {
    let (queue, exchange) = (queue_to.0.into(), queue_to.1.into());
    let options = QueueBindOptions::default();
    channel.queue_bind(queue, exchange, key.into(), options, FieldTable::default()).await
}
