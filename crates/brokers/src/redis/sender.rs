//! Writes events: pipelined, in order, and with an eye to how many wait already.

use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_bridge::QueueError;
use jackfield_model::app::Event;
use redis::{Pipeline, Value};

use super::link::{Link, refusal};
use crate::event_fields;
use crate::keys::Keys;

/// The most bytes of data in one pipeline.
const PIPELINE_BYTES: usize = 4 << 20;

/// What the sender knows of the partitions' backlogs; each pipeline of events brings the numbers home.
#[derive(Debug)]
pub(super) struct Sender {
    backlogs: Vec<AtomicU64>,
    limit: u64,
}

/// Who sends and by which names.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    pub(super) keys: &'a Keys,
    pub(super) fields: event_fields::Sender<'a>,
}

impl Sender {
    pub(super) fn new(partitions: u32, limit: u64) -> Self {
        Self { backlogs: (0..partitions).map(|_| AtomicU64::new(0)).collect(), limit }
    }

    /// Sends events; after a failure nothing more of the batch is written, because the order would be lost.
    pub(super) async fn send(&self, link: &Link, from: From<'_>, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let mut results = Vec::with_capacity(events.len());
        let mut rest = events;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(portion(rest));
            match self.send_part(link, from, part).await {
                Ok(part) => results.extend(part),
                Err(error) => {
                    results.extend(rest.iter().map(|_| Err(error.clone())));
                    break;
                }
            }
            rest = later;
        }
        results
    }

    async fn send_part(
        &self,
        link: &Link,
        from: From<'_>,
        events: &[Event],
    ) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        let partitions: Vec<u32> = events.iter().map(|event| self.partition(event)).collect();
        self.refresh(link, from.keys, &partitions).await?;
        let mut pipeline = Pipeline::new();
        let mut results = Vec::with_capacity(events.len());
        for (event, partition) in events.iter().zip(&partitions) {
            let Some(backlog) = self.backlogs.get(*partition as usize) else {
                continue;
            };
            let waiting = backlog.load(Ordering::Relaxed);
            if waiting >= self.limit {
                let text = format!("{waiting} events wait in partition {partition}");
                results.push(Err(QueueError::Full(text)));
                continue;
            }
            backlog.store(waiting + 1, Ordering::Relaxed);
            let add = pipeline.cmd("XADD").arg(from.keys.events(*partition)).arg("*");
            for (name, value) in event_fields::of(event, from.fields) {
                add.arg(name).arg(value.as_ref());
            }
            results.push(Ok(()));
        }
        if pipeline.is_empty() {
            return Ok(results);
        }
        let lengths = lengths(&mut pipeline, from.keys, &partitions);
        let mut replies = link.run(&pipeline).await?.into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            if let Some(error) = replies.next().as_ref().and_then(refusal) {
                *result = Err(error);
            }
        }
        self.learn(&lengths, replies);
        Ok(results)
    }

    /// Asks how many wait, where the number at hand says that the batch may not fit.
    async fn refresh(&self, link: &Link, keys: &Keys, partitions: &[u32]) -> Result<(), QueueError> {
        let near: Vec<u32> = partitions
            .iter()
            .copied()
            .filter(|partition| {
                let backlog = self.backlogs.get(*partition as usize);
                let waiting = backlog.map_or(0, |backlog| backlog.load(Ordering::Relaxed));
                waiting.saturating_add(partitions.len() as u64) > self.limit
            })
            .collect();
        if near.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::new();
        let asked = lengths(&mut pipeline, keys, &near);
        let replies = link.run(&pipeline).await?;
        if let Some(error) = replies.iter().find_map(refusal) {
            return Err(error);
        }
        self.learn(&asked, replies.into_iter());
        Ok(())
    }

    fn learn(&self, partitions: &[u32], replies: impl Iterator<Item = Value>) {
        for (partition, reply) in partitions.iter().zip(replies) {
            if let (Some(backlog), Value::Int(length)) = (self.backlogs.get(*partition as usize), reply) {
                backlog.store(length.unsigned_abs(), Ordering::Relaxed);
            }
        }
    }

    fn partition(&self, event: &Event) -> u32 {
        event_fields::partition(event, u32::try_from(self.backlogs.len()).unwrap_or(1))
    }
}

/// Adds an XLEN for each partition and tells which they are.
fn lengths(pipeline: &mut Pipeline, keys: &Keys, partitions: &[u32]) -> Vec<u32> {
    let mut unique = partitions.to_vec();
    unique.sort_unstable();
    unique.dedup();
    for partition in &unique {
        pipeline.cmd("XLEN").arg(keys.events(*partition));
    }
    unique
}

/// How many events go into the next pipeline, at least one.
fn portion(events: &[Event]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        bytes += event.data.bytes.len() + 512;
        bytes <= PIPELINE_BYTES
    });
    fits.count().max(1)
}
