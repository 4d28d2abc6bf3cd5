//! What the bridge counts, for the metrics page and for tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::failure::{CommandFailure, EventFailure, Tally};
use crate::queue::Depth;

/// Counts since the start. They only rise, but for `notices_waiting` and what tells how things are.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commands done.
    pub commands_applied: AtomicU64,
    /// Commands in the dead letters.
    pub commands_buried: AtomicU64,
    /// Commands that had been done before.
    pub commands_repeated: AtomicU64,
    /// Events that the queue has.
    pub events_sent: AtomicU64,
    /// Messages and calls answered with a temporary error, because the queue did not take them.
    pub events_refused: AtomicU64,
    /// Notices that the queue does not have yet.
    pub notices_waiting: AtomicU64,
    /// Notices that may wait.
    pub notice_capacity: AtomicU64,
    /// Notices that the application will never hear.
    pub notices_lost: AtomicU64,
    /// Answers that came home.
    pub answers: AtomicU64,
    /// Calls answered from memory, as the application allowed.
    pub answers_remembered: AtomicU64,
    /// Answers for nobody: too late, twice, or of another life of the node.
    pub answers_late: AtomicU64,
    /// Answers that made no sense.
    pub answers_spoilt: AtomicU64,
    /// Questions of the application that a client answered.
    pub client_answers: AtomicU64,
    /// Questions of the application that no client answered, or with an error.
    pub client_failures: AtomicU64,
    /// Calls without an answer in time.
    pub calls_timed_out: AtomicU64,
    /// Calls that wait for an answer, as of the last look.
    pub calls_waiting: AtomicU64,
    /// 1 while the queue does not work and is tried now and then, else 0.
    pub breaker_open: AtomicU64,
    /// Commands that were not done, by the reason, whether the application heard it in a reply or they are dead letters.
    pub command_failures: Tally<CommandFailure>,
    /// Events that the queue did not take, by the reason; a notice counts with each try.
    pub event_failures: Tally<EventFailure>,
    /// How much lies in the queue, as of the last look.
    depth: Mutex<Option<Depth>>,
}

impl Counters {
    /// How much lies in the queue; `None` while nobody has looked, the queue is down, or where it does not tell.
    pub fn depth(&self) -> Option<Depth> {
        *self.at_depth()
    }

    pub(crate) fn set_depth(&self, depth: Option<Depth>) {
        *self.at_depth() = depth;
    }

    fn at_depth(&self) -> MutexGuard<'_, Option<Depth>> {
        self.depth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
