//! Writes events: pipelined, in order, and with an eye to how many wait already.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_bridge::QueueError;
use jackfield_model::app::Event;
use redis::{Value, cmd};

use super::lines::{Lines, Request};
use super::place::slot;
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

/// Why partitions take nothing more of a batch.
type Lost = HashMap<u32, QueueError>;

impl Sender {
    pub(super) fn new(partitions: u32, limit: u64) -> Self {
        Self { backlogs: (0..partitions).map(|_| AtomicU64::new(0)).collect(), limit }
    }

    /// Sends events; after a failure nothing more of the batch is written to its partition, because the order would be
    /// lost.
    pub(super) async fn send(&self, lines: &Lines, from: From<'_>, events: &[Event]) -> Vec<Result<(), QueueError>> {
        let mut results = Vec::with_capacity(events.len());
        let mut lost = Lost::new();
        let mut rest = events;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(portion(rest));
            results.extend(self.send_part(lines, from, part, &mut lost).await);
            rest = later;
        }
        results
    }

    async fn send_part(
        &self,
        lines: &Lines,
        from: From<'_>,
        events: &[Event],
        lost: &mut Lost,
    ) -> Vec<Result<(), QueueError>> {
        let partitions: Vec<u32> = events.iter().map(|event| self.partition(event)).collect();
        self.refresh(lines, from.keys, &partitions, lost).await;
        let mut requests: Vec<Request> = Vec::with_capacity(events.len() + self.backlogs.len());
        let mut results = Vec::with_capacity(events.len());
        let mut sent = Vec::with_capacity(events.len());
        for (event, partition) in events.iter().zip(&partitions) {
            let Some(backlog) = self.backlogs.get(*partition as usize) else {
                continue;
            };
            if let Some(error) = lost.get(partition) {
                results.push(Err(error.clone()));
                continue;
            }
            let waiting = backlog.load(Ordering::Relaxed);
            if waiting >= self.limit {
                let text = format!("{waiting} events wait in partition {partition}");
                results.push(Err(QueueError::Full(text)));
                continue;
            }
            backlog.store(waiting + 1, Ordering::Relaxed);
            let key = from.keys.events(*partition);
            let mut add = cmd("XADD");
            add.arg(&key).arg("*");
            for (name, value) in event_fields::of(event, from.fields) {
                add.arg(name).arg(value.as_ref());
            }
            requests.push((slot(&key), add));
            sent.push((results.len(), *partition));
            results.push(Ok(()));
        }
        if requests.is_empty() {
            return results;
        }
        let asked = lengths(&mut requests, from.keys, sent.iter().map(|(_, partition)| *partition).collect());
        let mut replies = lines.run(requests).await.into_iter();
        for ((place, partition), reply) in sent.into_iter().zip(replies.by_ref()) {
            if let Err(error) = reply {
                if matches!(error, QueueError::Unreachable(_)) {
                    lost.entry(partition).or_insert_with(|| error.clone());
                }
                results[place] = Err(error);
            }
        }
        self.learn(&asked, replies, lost);
        results
    }

    /// Asks how many wait, where the number at hand says that the batch may not fit.
    async fn refresh(&self, lines: &Lines, keys: &Keys, partitions: &[u32], lost: &mut Lost) {
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
            return;
        }
        let mut requests = Vec::new();
        let asked = lengths(&mut requests, keys, near);
        let replies = lines.run(requests).await.into_iter();
        self.learn(&asked, replies, lost);
    }

    fn learn(&self, partitions: &[u32], replies: impl Iterator<Item = Result<Value, QueueError>>, lost: &mut Lost) {
        for (partition, reply) in partitions.iter().zip(replies) {
            match (self.backlogs.get(*partition as usize), reply) {
                (Some(backlog), Ok(Value::Int(length))) => backlog.store(length.unsigned_abs(), Ordering::Relaxed),
                (_, Err(error)) => _ = lost.entry(*partition).or_insert(error),
                _ => {}
            }
        }
    }

    fn partition(&self, event: &Event) -> u32 {
        event_fields::partition(event, u32::try_from(self.backlogs.len()).unwrap_or(1))
    }
}

/// Adds an XLEN for each partition and tells which they are.
fn lengths(requests: &mut Vec<Request>, keys: &Keys, mut partitions: Vec<u32>) -> Vec<u32> {
    partitions.sort_unstable();
    partitions.dedup();
    for partition in &partitions {
        let key = keys.events(*partition);
        let mut length = cmd("XLEN");
        length.arg(&key);
        requests.push((slot(&key), length));
    }
    partitions
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
