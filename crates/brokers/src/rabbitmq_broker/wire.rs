//! One connection to RabbitMQ with its channels.

use std::pin::Pin;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use jackfield_bridge::QueueError;
use jackfield_cluster::EngineError;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, PublisherConfirm,
};
use tokio::sync::Mutex;

use super::topology::Topology;
use crate::node_log::{To, Wire};
use crate::rabbitmq::classify;

/// Records that may be on their way to this node, for each partition.
const PREFETCH: u16 = 1024;
/// Messages taken at a time.
const BATCH: usize = 256;
/// Where a record stands in its stream, or from where on it is read.
const OFFSET: &str = "x-stream-offset";
/// Survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A connection.
pub(super) struct RabbitWire {
    topology: Topology,
    /// This node's.
    queue: String,
    connection: Connection,
    /// Declares and binds.
    binding: Channel,
    /// To this node's queue and to others'; confirmed.
    spreading: Channel,
    /// To the streams; this node reads what it wrote, which says more than a confirmation.
    writing: Channel,
    inbox: Mutex<Consumer>,
}

impl RabbitWire {
    /// Connects, declares, and hears what comes to this node's queue.
    pub(super) async fn connect(uri: &AMQPUri, topology: &Topology) -> lapin::Result<Self> {
        let name = format!("jackfield nodes {}", topology.prefix);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(uri.clone(), properties).await?;
        let binding = connection.create_channel().await?;
        let spreading = connection.create_channel().await?;
        let writing = connection.create_channel().await?;
        let queue = topology.fresh_queue();
        topology.declare(&binding, &queue).await?;
        spreading.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let tag = ShortString::default();
        let inbox = binding.basic_consume(queue.as_str().into(), tag, options, FieldTable::default()).await?;
        let (topology, inbox) = (topology.clone(), Mutex::new(inbox));
        Ok(Self { topology, queue, connection, binding, spreading, writing, inbox })
    }

    async fn send(
        &self,
        channel: &Channel,
        (exchange, key): (&str, &str),
        record: &[u8],
    ) -> Result<PublisherConfirm, EngineError> {
        if self.connection.status().blocked() {
            let text = "RabbitMQ takes no messages: it is short of memory or disk";
            return Err(EngineError::Unreachable(text.to_owned()));
        }
        let properties = BasicProperties::default();
        let properties = if exchange.is_empty() { properties.with_delivery_mode(PERSISTENT) } else { properties };
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(exchange.into(), key.into(), options, record, properties);
        sent.await.map_err(|error| failed(&error))
    }
}

#[async_trait]
impl Wire for RabbitWire {
    type Reading = (Channel, Consumer);
    type Sent = PublisherConfirm;

    async fn write(&self, partition: u16, record: Vec<u8>) -> Result<(), EngineError> {
        self.send(&self.writing, ("", &self.topology.stream(partition)), &record).await.map(drop)
    }

    async fn read(&self, partition: u16, from: Option<u64>) -> Result<Self::Reading, EngineError> {
        let consuming = async {
            // Its own, because acknowledgements that let more come are counted for each channel.
            let channel = self.connection.create_channel().await?;
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
            let from = match from.and_then(|from| i64::try_from(from).ok()) {
                Some(from) => AMQPValue::LongLongInt(from),
                None => AMQPValue::LongString(LongString::from("first")),
            };
            let mut arguments = FieldTable::default();
            arguments.insert(OFFSET.into(), from);
            let (queue, tag) = (self.topology.stream(partition).into(), ShortString::default());
            let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), arguments).await?;
            Ok((channel, consumer))
        };
        consuming.await.map_err(|error: lapin::Error| failed(&error))
    }

    async fn next(&self, (channel, consumer): &mut Self::Reading) -> Result<Vec<(u64, Bytes)>, EngineError> {
        let came = batch(consumer).await?;
        if let Some(last) = came.last() {
            let acknowledged = channel.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await;
            acknowledged.map_err(|error| failed(&error))?;
        }
        let number = |delivery: &Delivery| match delivery.properties.headers().as_ref()?.inner().get(OFFSET)? {
            AMQPValue::LongLongInt(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let record = |delivery: Delivery| Some((number(&delivery)?, Bytes::from(delivery.data)));
        Ok(came.into_iter().filter_map(record).collect())
    }

    async fn spread(&self, to: &To, record: Vec<u8>) -> Result<Self::Sent, EngineError> {
        self.send(&self.spreading, (&self.topology.exchange(), &to.to_string()), &record).await
    }

    async fn arrived(&self, sent: Self::Sent) -> Result<(), EngineError> {
        match sent.await {
            Ok(Confirmation::Nack(_)) => Err(EngineError::Unreachable("RabbitMQ did not take it".to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn join(&self, groups: &[u16]) -> Result<(), EngineError> {
        for group in groups {
            let bound = self.topology.bind(&self.binding, &self.queue, &To::Group(*group)).await;
            bound.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn leave(&self, groups: &[u16]) -> Result<(), EngineError> {
        for group in groups {
            let unbound = self.topology.unbind(&self.binding, &self.queue, &To::Group(*group)).await;
            unbound.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn hear(&self) -> Result<Vec<Bytes>, EngineError> {
        let came = batch(&mut *self.inbox.lock().await).await?;
        if came.is_empty() {
            return Err(EngineError::Unreachable("RabbitMQ removed this node's queue".to_owned()));
        }
        Ok(came.into_iter().map(|delivery| Bytes::from(delivery.data)).collect())
    }

    async fn close(&self) {
        // It is over either way.
        let _ = self.connection.close(200, "closed".into()).await;
    }
}

/// What has come, at least one; none at the end.
async fn batch(consumer: &mut Consumer) -> Result<Vec<Delivery>, EngineError> {
    let mut all = Vec::new();
    let filled = std::future::poll_fn(|context| {
        while all.len() < BATCH {
            match Pin::new(&mut *consumer).poll_next(context) {
                Poll::Ready(Some(Ok(delivery))) => all.push(delivery),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => break,
                Poll::Pending if all.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    });
    filled.await.map_err(|error| failed(&error))?;
    Ok(all)
}

/// What an error means to the caller.
pub(super) fn failed(error: &lapin::Error) -> EngineError {
    if let ErrorKind::ProtocolError(protocol) = error.kind()
        && matches!(protocol.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
    {
        // A stream without a leader, or one that somebody removed: the next session declares it again.
        return EngineError::Unreachable(error.to_string());
    }
    match classify(error) {
        QueueError::Refused(text) => EngineError::Refused(text),
        QueueError::Full(text) | QueueError::Unreachable(text) => EngineError::Unreachable(text),
    }
}
