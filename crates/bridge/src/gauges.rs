//! Looks now and then how things stand: how much lies in the queue, and how many calls wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Duration, MissedTickBehavior, interval};
use tracing::warn;

use crate::calls::Calls;
use crate::counters::Counters;
use crate::queue::{Queue, QueueError};

/// Looks again and again; runs until it is dropped. What a queue does not tell, and what it told before it went down, is
/// unknown: an old number would hide that nobody can look.
pub(crate) async fn look(queue: Arc<dyn Queue>, calls: Arc<Calls>, counters: Arc<Counters>, every: Duration) {
    let mut every = interval(every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_refused = false;
    loop {
        every.tick().await;
        counters.calls_waiting.store(calls.count() as u64, Ordering::Relaxed);
        let depth = queue.depth().await;
        // A queue that is away is told by those who need it.
        if let Err(QueueError::Refused(reason)) = &depth {
            if !was_refused {
                let queue = queue.describe();
                warn!(
                    queue,
                    reason, "the queue does not tell how much lies in it; metrics jackfield_queue_* are missing"
                );
            }
            was_refused = true;
        }
        was_refused &= depth.is_err();
        counters.set_depth(depth.ok().flatten());
    }
}
