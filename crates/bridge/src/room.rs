//! The room between the door and the way out: what waits for the queue, in the order in which it came, and how much of it.
//!
//! Messages and calls have a place while there is one; whoever finds none is told so at once. Notices are told by nobody
//! else, so they have room of their own, of which the last part is for those that tell an end: as many as there are
//! connections that may end.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_hub::Hub;
use jackfield_model::app::EventKind;
use tokio::sync::Notify;

use crate::counters::{Counters, count};
use crate::door::{DoorError, Request};

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// How many of them are no notices.
    others: usize,
    is_closed: bool,
}

/// What waits, and who may still come in.
#[derive(Debug)]
pub(crate) struct Room {
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// Messages and calls that may wait.
    most_others: usize,
    hub: Arc<Hub>,
    counters: Arc<Counters>,
}

impl Room {
    pub(crate) fn new(most_others: usize, hub: Arc<Hub>, counters: Arc<Counters>) -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new(), most_others, hub, counters }
    }

    /// Takes a request in, or says why not. A notice that is not taken is lost, and counted.
    pub(crate) fn enter(&self, request: Request) -> Result<(), DoorError> {
        let is_notice = request.is_notice();
        if is_notice && !self.has_place(request.event.kind) {
            count(&self.counters.notices_lost);
            return Err(DoorError::Full);
        }
        let mut waiting = self.lock();
        if waiting.is_closed {
            if is_notice {
                count(&self.counters.notices_lost);
            }
            return Err(DoorError::NotAvailable);
        }
        if is_notice {
            self.counters.notices_waiting.fetch_add(1, Ordering::Relaxed);
        } else if waiting.others >= self.most_others {
            return Err(DoorError::Full);
        } else {
            waiting.others += 1;
        }
        let was_empty = waiting.requests.is_empty();
        waiting.requests.push_back(request);
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Hands out the oldest, a number of them.
    pub(crate) fn take(&self, into: &mut Vec<Request>, most: usize) {
        let mut waiting = self.lock();
        for _ in 0..most {
            let Some(request) = waiting.requests.pop_front() else { break };
            waiting.others -= usize::from(!request.is_notice());
            into.push(request);
        }
        if waiting.requests.is_empty() && waiting.requests.capacity() > 4096 {
            waiting.requests.shrink_to(64);
        }
    }

    /// Waits until there is something to take, or never will be.
    pub(crate) async fn filled(&self) {
        loop {
            {
                let waiting = self.lock();
                if !waiting.requests.is_empty() || waiting.is_closed {
                    return;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Lets nobody in any more; what waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().requests.is_empty()
    }

    /// Whether a notice may wait. The last places are for ends, one for each connection that is there.
    fn has_place(&self, kind: EventKind) -> bool {
        let all = self.counters.notice_capacity.load(Ordering::Relaxed);
        let free = all.saturating_sub(self.counters.notices_waiting.load(Ordering::Relaxed));
        if kind == EventKind::Disconnect {
            return free > 0;
        }
        // Counting who is there takes locks, and matters only where it is getting narrow.
        free > all / 2 || free > self.hub.connections() as u64
    }

    #[cfg(test)]
    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The count of others is only wrong after a panic between two lines that cannot panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
