//! Reads a partition's stream from where reading ended, or from its beginning.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use jackfield_cluster::EngineError;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::interval;

use super::desk::{Desk, millis};
use super::record;
use super::session::failed;

/// Records that may be on their way to this node, for each partition.
const PREFETCH: u16 = 1024;
/// Records taken at a time.
const BATCH: usize = 256;
/// How long the record that was read last may take to come again.
const MEET: Duration = Duration::from_secs(3);
/// How often what has had its time is dropped.
const SWEEP: Duration = Duration::from_secs(15);
/// Where a record stands in its stream.
const OFFSET: &str = "x-stream-offset";

/// Reads until something fails.
pub(super) async fn follow(desk: &Arc<Desk>, channel: &Channel, partition: u16) -> EngineError {
    match reading(desk, channel, partition).await {
        Ok(never) => never,
        Err(error) => failed(&error),
    }
}

async fn reading(desk: &Arc<Desk>, channel: &Channel, partition: u16) -> lapin::Result<EngineError> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let last = desk.partition(partition).table.last();
    let mut consumer = consume(desk, channel, partition, last).await?;
    if last.is_some() {
        let first = tokio::time::timeout(MEET, batch(&mut consumer)).await;
        // It must be there, and the same: else the stream was cut, or it is another one.
        let records = match first {
            Ok(came) => take(channel, came?).await?,
            Err(_) => Vec::new(),
        };
        let goes_on = records
            .first()
            .is_some_and(|(number, record)| desk.partition(partition).table.ends_with(*number, record.as_ref()));
        if goes_on {
            desk.read(partition, records);
        } else {
            tracing::warn!(partition, "a stream does not go on where it was read last: it is read from its beginning");
            channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
            desk.partition(partition).table.begin_again();
            consumer = consume(desk, channel, partition, None).await?;
        }
    }
    let mut sweep = interval(SWEEP);
    loop {
        tokio::select! {
            came = batch(&mut consumer) => {
                let Some(came) = Some(came?).filter(|came| !came.is_empty()) else {
                    return Ok(EngineError::Unreachable("RabbitMQ ended the reading of a stream".to_owned()));
                };
                let records = take(channel, came).await?;
                desk.read(partition, records);
            }
            _ = sweep.tick() => desk.partition(partition).table.sweep(millis()),
        }
    }
}

async fn consume(desk: &Desk, channel: &Channel, partition: u16, from: Option<u64>) -> lapin::Result<Consumer> {
    let from = match from.and_then(|from| i64::try_from(from).ok()) {
        Some(from) => AMQPValue::LongLongInt(from),
        None => AMQPValue::LongString(LongString::from("first")),
    };
    let mut arguments = FieldTable::default();
    arguments.insert(OFFSET.into(), from);
    let queue = desk.topology.stream(partition);
    channel.basic_consume(queue.into(), ShortString::default(), BasicConsumeOptions::default(), arguments).await
}

/// What has come, at least one; none at the end.
async fn batch(consumer: &mut Consumer) -> lapin::Result<Vec<Delivery>> {
    let mut all = Vec::new();
    std::future::poll_fn(|context| {
        while all.len() < BATCH {
            match Pin::new(&mut *consumer).poll_next(context) {
                Poll::Ready(Some(Ok(delivery))) => all.push(delivery),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => break,
                Poll::Pending if all.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(std::mem::take(&mut all)))
    })
    .await
}

/// Reads the records, and asks for more.
async fn take(channel: &Channel, came: Vec<Delivery>) -> lapin::Result<Vec<(u64, Option<record::Record>)>> {
    if let Some(last) = came.last() {
        channel.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?;
    }
    let number = |delivery: &Delivery| match delivery.properties.headers().as_ref()?.inner().get(OFFSET)? {
        AMQPValue::LongLongInt(number) => u64::try_from(*number).ok(),
        _ => None,
    };
    Ok(came.iter().filter_map(|delivery| Some((number(delivery)?, record::read(&delivery.data)))).collect())
}
