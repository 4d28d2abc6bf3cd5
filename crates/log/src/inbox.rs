//! The inbox: where publications wait to be written, in order and in bounds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_hub::{Forgetting, Journal, Order};

/// Orders that may wait.
const MOST: usize = 65_536;
/// Bytes of payloads that may wait, so that large ones cannot fill the memory.
const MOST_BYTES: usize = 64 << 20;

/// What the scribe is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// To forget something of a channel.
    Forget(Arc<str>, Forgetting),
    /// To write a publication.
    Publish(Order),
}

/// Orders on their way to the log.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    arrival: Condvar,
    /// What is measured; written by the scribe.
    pub counters: Counters,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    bytes: usize,
    is_closed: bool,
}

/// What a log tells its operators.
#[derive(Debug, Default)]
pub struct Counters {
    /// Publications that were written.
    pub publications: AtomicU64,
    /// How often the disk was told to make safe what it has.
    pub syncs: AtomicU64,
    /// Bytes on the disk.
    pub bytes: AtomicU64,
    /// Publications that could not be written, and syncs that failed.
    pub failures: AtomicU64,
    /// Orders that the scribe has taken and not finished.
    writing: AtomicU64,
}

impl Journal for Inbox {
    fn take(&self, order: Order) -> Result<(), Order> {
        let mut waiting = self.lock();
        if waiting.is_closed || waiting.jobs.len() >= MOST || waiting.bytes >= MOST_BYTES {
            return Err(order);
        }
        waiting.bytes += order.publishing.data.bytes.len();
        self.push(waiting, Job::Publish(order));
        Ok(())
    }

    fn forget(&self, channel: &str, what: Forgetting) {
        // However much waits: it comes from the application, and takes little room.
        self.push(self.lock(), Job::Forget(channel.into(), what));
    }
}

impl Inbox {
    /// How many orders wait, or are being written.
    #[must_use]
    pub fn queue(&self) -> u64 {
        self.lock().jobs.len() as u64 + self.counters.writing.load(Ordering::Relaxed)
    }

    /// Takes nothing more; what waits is still written.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrival.notify_one();
    }

    /// Takes all that waits, in exchange for an empty vector; waits for it a while if there is nothing. False once the
    /// inbox is closed and empty.
    pub(crate) fn wait(&self, empty: &mut Vec<Job>, patience: Duration) -> bool {
        let waiting = self.lock();
        let is_idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.is_closed;
        let waited = self.arrival.wait_timeout_while(waiting, patience, is_idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.jobs, empty);
        waiting.bytes = 0;
        self.counters.writing.store(empty.len() as u64, Ordering::Relaxed);
        !(waiting.is_closed && empty.is_empty())
    }

    /// What was taken is finished.
    pub(crate) fn finished(&self) {
        self.counters.writing.store(0, Ordering::Relaxed);
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, job: Job) {
        waiting.jobs.push(job);
        let is_first = waiting.jobs.len() == 1;
        drop(waiting);
        if is_first {
            self.arrival.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A vector of orders is whole after any panic of its holder.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
