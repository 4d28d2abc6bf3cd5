//! What this node holds: which partitions and until when, and which of their commands are with the bridge.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::Subject;
use jackfield_bridge::Receipt;
use tokio::time::Instant;

/// How many settled commands are remembered, because the server may hand them out once more.
const MOST_SETTLED: usize = 16_384;

/// A command of a partition, by its place in the stream.
type Place = (u32, u64);

/// One partition as this node sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Term {
    /// Counts how often it was taken over.
    number: u64,
    until: Option<Instant>,
}

/// All that is held.
#[derive(Debug)]
pub(super) struct Ledger {
    terms: Mutex<Vec<Term>>,
    commands: Mutex<Commands>,
}

#[derive(Debug, Default)]
struct Commands {
    /// With the bridge: where to acknowledge them.
    open: HashMap<Place, Subject>,
    settled: HashSet<Place>,
    /// The settled in their order.
    order: VecDeque<Place>,
}

/// What is to be done with a command that came.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Came {
    /// It was handed out and is not settled.
    Again,
    /// It is to be handed out.
    New,
    /// It was settled; the server has not heard of it, or has forgotten.
    Settled,
}

impl Ledger {
    pub(super) fn new(partitions: u32) -> Self {
        Self { terms: Mutex::new(vec![Term::default(); partitions as usize]), commands: Mutex::default() }
    }

    /// A partition was taken over; returns the number of the term.
    pub(super) fn begin(&self, partition: u32, until: Instant) -> u64 {
        let mut terms = lock(&self.terms);
        let Some(term) = terms.get_mut(partition as usize) else { return 0 };
        *term = Term { number: term.number + 1, until: Some(until) };
        term.number
    }

    /// It is held longer.
    pub(super) fn prolong(&self, partition: u32, until: Instant) {
        if let Some(term) = lock(&self.terms).get_mut(partition as usize) {
            term.until = Some(until);
        }
    }

    /// It is held no more.
    pub(super) fn end(&self, partition: u32) {
        if let Some(term) = lock(&self.terms).get_mut(partition as usize) {
            term.until = None;
        }
    }

    /// Whether a term goes on.
    pub(super) fn holds(&self, partition: u32, number: u64) -> bool {
        let terms = lock(&self.terms);
        let term = terms.get(partition as usize).filter(|term| term.number == number);
        term.and_then(|term| term.until).is_some_and(|until| Instant::now() < until)
    }

    /// Looks a command up that came with this place for its acknowledgement.
    pub(super) fn came(&self, place: Place, acknowledge: &Subject) -> Came {
        let mut commands = lock(&self.commands);
        if let Some(open) = commands.open.get_mut(&place) {
            *open = acknowledge.clone();
            return Came::Again;
        }
        if commands.settled.contains(&place) { Came::Settled } else { Came::New }
    }

    /// The bridge has it from now on.
    pub(super) fn hand_out(&self, receipt: &Receipt, acknowledge: Subject) {
        lock(&self.commands).open.insert((receipt.partition, receipt.number.0), acknowledge);
    }

    /// Where to acknowledge a command; none where it was settled before.
    pub(super) fn acknowledge(&self, receipt: &Receipt) -> Option<Subject> {
        lock(&self.commands).open.get(&(receipt.partition, receipt.number.0)).cloned()
    }

    /// The server has heard of it.
    pub(super) fn settle(&self, receipt: &Receipt) {
        let place = (receipt.partition, receipt.number.0);
        let mut commands = lock(&self.commands);
        if commands.open.remove(&place).is_some() && commands.settled.insert(place) {
            commands.order.push_back(place);
            if commands.order.len() > MOST_SETTLED
                && let Some(oldest) = commands.order.pop_front()
            {
                commands.settled.remove(&oldest);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_command_is_new_once() {
        let ledger = Ledger::new(2);
        let receipt = Receipt { partition: 1, number: (7, 0), ..Receipt::default() };
        let (first, second) = (Subject::from("a"), Subject::from("b"));
        assert_eq!(ledger.came((1, 7), &first), Came::New);
        ledger.hand_out(&receipt, first);
        assert_eq!(ledger.came((1, 7), &second), Came::Again);
        assert_eq!(ledger.acknowledge(&receipt), Some(second.clone()));
        ledger.settle(&receipt);
        assert_eq!((ledger.came((1, 7), &second), ledger.acknowledge(&receipt)), (Came::Settled, None));
        assert_eq!(ledger.came((0, 7), &second), Came::New);
    }

    #[tokio::test]
    async fn a_term_ends_by_word_by_time_and_by_another() {
        let ledger = Ledger::new(1);
        let until = Instant::now() + Duration::from_secs(600);
        let first = ledger.begin(0, until);
        assert!(ledger.holds(0, first) && !ledger.holds(9, first));
        let second = ledger.begin(0, until);
        assert!(!ledger.holds(0, first) && ledger.holds(0, second));
        ledger.prolong(0, Instant::now());
        assert!(!ledger.holds(0, second));
        ledger.begin(0, until);
        ledger.end(0);
        assert!(!ledger.holds(0, 3));
    }
}
