//! The calls that wait for the application's answer, and the clock that ends their waiting.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jackfield_hub::{Address, Hub};
use jackfield_model::app::{Answer, EventKind};
use jackfield_model::{ClientError, Uuid};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::counters::{Counters, count};
use crate::remembered::Asked;

/// Beyond this many the application is not there, whatever the queue says.
const MOST: usize = 65_536;

/// One call under way.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The connection.
    pub(crate) from: Address,
    /// Number of the session's question.
    pub(crate) call: u32,
    /// What kind of answer is expected.
    pub(crate) kind: EventKind,
    /// When waiting ends.
    pub(crate) deadline: Instant,
    /// To keep the answer by.
    pub(crate) asked: Option<Asked>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<Uuid, Pending>,
    by_deadline: BTreeSet<(Instant, Uuid)>,
}

/// All calls under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    table: Mutex<Table>,
    /// Rung when the earliest deadline has become earlier.
    earlier: Notify,
}

impl Calls {
    /// Registers a call, before it is sent: its answer may be faster than the queue's word that it was sent.
    /// False if there are too many, or one of this id.
    #[must_use]
    pub(crate) fn insert(&self, id: Uuid, pending: Pending) -> bool {
        let mut table = self.lock();
        if table.by_id.len() >= MOST || table.by_id.contains_key(&id) {
            return false;
        }
        table.by_deadline.insert((pending.deadline, id));
        table.by_id.insert(id, pending);
        if table.by_deadline.first().is_some_and(|(_, first)| *first == id) {
            self.earlier.notify_one();
        }
        true
    }

    /// Takes a call out; `None` if it does not wait any more.
    pub(crate) fn take(&self, id: Uuid) -> Option<Pending> {
        let mut table = self.lock();
        let pending = table.by_id.remove(&id)?;
        table.by_deadline.remove(&(pending.deadline, id));
        Some(pending)
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Ends the waiting of each call at its deadline; runs until it is dropped.
    pub(crate) async fn watch(&self, hub: &Hub, counters: &Counters) {
        loop {
            let first = self.lock().by_deadline.first().copied();
            match first {
                None => self.earlier.notified().await,
                Some((deadline, id)) if deadline <= Instant::now() => {
                    if let Some(pending) = self.take(id) {
                        count(&counters.calls_timed_out);
                        hub.resume(pending.from, pending.call, Answer::Error(ClientError::INTERNAL));
                    }
                }
                Some((deadline, _)) => tokio::select! {
                    () = sleep_until(deadline) => {}
                    () = self.earlier.notified() => {}
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing between the two changes of a table can panic, so it is whole whatever its holder did.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_taken_once() {
        let calls = Calls::default();
        let pending =
            Pending { from: Address::default(), call: 1, kind: EventKind::Rpc, deadline: Instant::now(), asked: None };
        let id = Uuid::from_u128(1);
        assert!(calls.insert(id, pending.clone()));
        assert!(!calls.insert(id, pending));
        assert!(calls.take(id).is_some());
        assert!(calls.take(id).is_none());
        assert!(calls.lock().by_deadline.is_empty());
    }
}
