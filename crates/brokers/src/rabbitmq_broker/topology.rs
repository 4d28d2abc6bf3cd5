//! Names and arguments of what the nodes declare.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};
use uuid::Uuid;

use crate::node_log::{PARTITIONS, Retention, To};

/// A stream is cut a segment at a time, so a segment is a small part of it.
const SEGMENTS: u64 = 8;
const LEAST_SEGMENT: u64 = 1 << 20;

/// Names, and what the streams hold.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) prefix: String,
    pub(super) node: String,
    pub(super) retention: Retention,
}

impl Topology {
    /// The exchange of what is not kept.
    pub(super) fn exchange(&self) -> String {
        format!("{}.to", self.prefix)
    }

    /// A queue of this node. Another name with each connection: RabbitMQ may hold the one before for some seconds more.
    pub(super) fn fresh_queue(&self) -> String {
        format!("{}.node.{}.{:08x}", self.prefix, self.node, Uuid::new_v4().as_fields().0)
    }

    /// The stream of a partition.
    pub(super) fn stream(&self, partition: u16) -> String {
        format!("{}.history.{partition}", self.prefix)
    }

    /// Declares all of it. The broker refuses what is there with other arguments.
    pub(super) async fn declare(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchange = self.exchange();
        channel.exchange_declare(exchange.into(), ExchangeKind::Direct, options, FieldTable::default()).await?;
        for partition in 0..PARTITIONS {
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(self.stream(partition).into(), options, self.stream_arguments()).await?;
        }
        // Its connection's, and gone with it: what a node that is cut off would have got does not pile up for longer
        // than it takes to see that it is.
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        for to in [To::All, To::Node(self.node.clone())] {
            self.bind(channel, queue, &to).await?;
        }
        Ok(())
    }

    fn stream_arguments(&self) -> FieldTable {
        let Retention { age, bytes } = self.retention;
        let bytes = (bytes / u64::from(PARTITIONS)).max(2 * LEAST_SEGMENT);
        let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("stream"));
        arguments.insert("x-max-age".into(), text(&format!("{}s", age.as_secs().max(1))));
        arguments.insert("x-max-length-bytes".into(), number(bytes));
        let segment = (bytes / SEGMENTS).max(LEAST_SEGMENT);
        arguments.insert("x-stream-max-segment-size-bytes".into(), number(segment));
        arguments
    }

    /// Brings what goes there to a queue.
    pub(super) async fn bind(&self, channel: &Channel, queue: &str, to: &To) -> lapin::Result<()> {
        let (queue, exchange) = (queue.into(), self.exchange().into());
        channel
            .queue_bind(queue, exchange, to.to_string().into(), QueueBindOptions::default(), FieldTable::default())
            .await
    }

    /// Ends that.
    pub(super) async fn unbind(&self, channel: &Channel, queue: &str, to: &To) -> lapin::Result<()> {
        let (queue, exchange) = (queue.into(), self.exchange().into());
        channel.queue_unbind(queue, exchange, to.to_string().into(), FieldTable::default()).await
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}
