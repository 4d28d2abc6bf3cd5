//! The readers of all partitions: one where one server has all of them, and in a cluster one for each partition, so
//! that a lost master holds up its own partitions and no other.

use std::sync::Arc;
use std::time::Duration;

use jackfield_bridge::{Delivery, QueueError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Inner;
use super::reader::Reader;
use crate::batch::WAIT;

/// How long a reader that failed waits before it tries again; what others read goes on meanwhile.
const PAUSE: Duration = Duration::from_millis(300);

/// A reader that is not reading just now.
struct Resting {
    reader: Reader,
    failed: Option<(Instant, QueueError)>,
}

/// All readers of a queue. Reads go on between calls; dropping it ends them.
pub(super) struct Readers {
    resting: Vec<Resting>,
    reading: JoinSet<(Reader, Result<(), QueueError>)>,
}

impl Readers {
    pub(super) fn new(readers: Vec<Reader>) -> Self {
        let resting = readers.into_iter().map(|reader| Resting { reader, failed: None }).collect();
        Self { resting, reading: JoinSet::new() }
    }

    /// Waits up to about a second for commands of the partitions held. An error means that nothing at all can be read.
    pub(super) async fn receive(&mut self, inner: &Arc<Inner>) -> Result<Vec<Delivery>, QueueError> {
        let deadline = Instant::now() + WAIT;
        loop {
            let ready = self.hand_out(inner);
            if !ready.is_empty() {
                return Ok(ready);
            }
            self.start(inner, Resting::may_start);
            if self.reading.is_empty() {
                return self.resting.iter().find_map(|one| one.failure()).map_or(Ok(Vec::new()), Err);
            }
            let Ok(Some(done)) = tokio::time::timeout_at(deadline, self.reading.join_next()).await else {
                return Ok(Vec::new());
            };
            if let Ok((reader, result)) = done {
                let is_quiet = result.is_ok() && self.reading.is_empty();
                let failed = result.err().map(|error| (Instant::now() + PAUSE, error));
                if let Some((_, error)) = &failed {
                    tracing::debug!(%error, "Commands of some partitions cannot be read.");
                }
                self.resting.push(Resting { reader, failed });
                if is_quiet {
                    return Ok(self.hand_out(inner));
                }
            }
        }
    }

    /// What may be handed out; the next read goes on while it is done.
    fn hand_out(&mut self, inner: &Arc<Inner>) -> Vec<Delivery> {
        let ready = self.take(inner);
        if !ready.is_empty() {
            self.start(inner, |resting| resting.failed.is_none() && resting.reader.is_ready_ahead());
        }
        ready
    }

    /// What was read and may still be handed out, of one reader; another one's turn is next.
    fn take(&mut self, inner: &Inner) -> Vec<Delivery> {
        let held = inner.leases.held();
        let mut ready = Vec::new();
        for resting in &mut self.resting {
            if ready.is_empty() {
                resting.reader.follow(&held);
                ready = resting.reader.take(&inner.outstanding);
            }
        }
        ready
    }

    /// Lets some read who rest.
    fn start(&mut self, inner: &Arc<Inner>, is_due: impl Fn(&Resting) -> bool) {
        let now = Instant::now();
        let (starting, resting) = std::mem::take(&mut self.resting).into_iter().partition(is_due);
        self.resting = resting;
        for Resting { mut reader, .. } in starting {
            let inner = Arc::clone(inner);
            inner.outstanding.begin(reader.first(), now);
            self.reading.spawn(async move {
                let held = || inner.leases.held();
                let result = reader.read(&inner.reads, &inner.keys, &inner.outstanding, held).await;
                inner.outstanding.end(reader.first());
                (reader, result)
            });
        }
    }

    /// Waits until nothing is read any more. Why not end it: what a server hands to a reader that is gone would be
    /// missed by who reads next.
    pub(super) async fn rest(&mut self) {
        while self.reading.join_next().await.is_some() {}
    }
}

impl Resting {
    /// Whether there is something to read, where nothing is left to hand out.
    fn may_start(&self) -> bool {
        !self.reader.is_idle() && self.failed.as_ref().is_none_or(|(until, _)| *until <= Instant::now())
    }

    fn failure(&self) -> Option<QueueError> {
        let (_, error) = self.failed.as_ref().filter(|_| !self.reader.is_idle())?;
        Some(error.clone())
    }
}
