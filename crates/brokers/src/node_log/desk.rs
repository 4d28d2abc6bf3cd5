//! What all sessions share: the partitions with who waits for their own records, and the way to whoever hears.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_cluster::{Incoming, Placed};
use jackfield_model::Millis;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::record::{Life, Record, Word};
use super::table::Table;
use super::wire::PARTITIONS;

/// More may wait than publish at a time only where some gave up.
const MANY: usize = 4096;

/// One partition.
#[derive(Default)]
pub(super) struct Partition {
    pub(super) table: Table,
    /// Who waits until this node reads what it wrote.
    waiters: HashMap<u64, oneshot::Sender<Placed>>,
}

/// What outlives a session.
pub(super) struct Desk {
    pub(super) incoming: mpsc::UnboundedSender<Incoming>,
    writer: u64,
    count: AtomicU64,
    partitions: Vec<Mutex<Partition>>,
    /// Records that were read, to see that reading goes on.
    read: AtomicU64,
}

impl Desk {
    pub(super) fn new(incoming: mpsc::UnboundedSender<Incoming>) -> Self {
        let partitions = std::iter::repeat_with(Mutex::default).take(usize::from(PARTITIONS)).collect();
        let writer = Uuid::new_v4().as_u64_pair().1;
        Self { incoming, writer, count: AtomicU64::new(0), partitions, read: AtomicU64::new(0) }
    }

    pub(super) fn partition(&self, partition: u16) -> MutexGuard<'_, Partition> {
        self.partitions[usize::from(partition)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many records were read.
    pub(super) fn progress(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A record of this node that goes to nobody's table.
    pub(super) fn loose(&self, word: Word) -> Record {
        let seq = self.count.fetch_add(1, Ordering::Relaxed);
        Record { word, writer: self.writer, seq, time: millis(), life: Life::default(), is_known: false }
    }

    /// A record for a partition, and what comes when this node reads it there.
    pub(super) fn record(&self, partition: u16, word: Word) -> (Record, oneshot::Receiver<Placed>) {
        let mut record = self.loose(word);
        let (waiter, echo) = oneshot::channel();
        let mut partition = self.partition(partition);
        let known = partition.table.life().cloned();
        record.is_known = known.is_some() && record.word != Word::Begin;
        record.life = match known {
            Some(life) if record.word == Word::Begin => Life { count: life.count + 1, name: fresh_name() },
            Some(life) => life,
            None => Life { count: 1, name: fresh_name() },
        };
        if partition.waiters.len() > MANY {
            // Whoever gave up waiting is not waited for.
            partition.waiters.retain(|_, waiter| !waiter.is_closed());
        }
        partition.waiters.insert(record.seq, waiter);
        (record, echo)
    }

    /// Takes records with their numbers, in the order of the log.
    pub(super) fn read(&self, number: u16, records: Vec<(u64, Option<Record>)>) {
        self.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        let mut partition = self.partition(number);
        let Partition { table, waiters } = &mut *partition;
        for (at, record) in records {
            let Some(record) = record else {
                table.skip(at);
                continue;
            };
            let is_own = record.writer == self.writer;
            let seq = record.seq;
            let probe = if let Word::Probe(token) = record.word { Some(token) } else { None };
            let Some(outcome) = table.read(at, record) else { continue };
            // Under the lock, so that what is heard keeps the order of the log. The engine holds the other end.
            if let Some(incoming) = outcome.incoming {
                let _ = self.incoming.send(incoming);
            }
            if !is_own {
                continue;
            }
            if let Some(token) = probe {
                let _ = self.incoming.send(Incoming::Probe { path: usize::from(number) + 1, token });
            }
            if let Some(waiter) = waiters.remove(&seq) {
                // Who does not wait any more needs no answer.
                let _ = waiter.send(outcome.placed);
            }
        }
    }

    /// A session is over: nobody cares for anything, and nobody waits.
    pub(super) fn close(&self) {
        for number in 0..PARTITIONS {
            let mut partition = self.partition(number);
            partition.table.close_all();
            partition.waiters.clear();
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn millis() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Millis::try_from(now).unwrap_or(Millis::MAX)
}

/// Letters that nobody had before.
fn fresh_name() -> Arc<str> {
    let random = Uuid::new_v4().into_bytes();
    random[8..].iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>().into()
}
