//! What waits for a sink: bounded in number and in bytes, filled under the locks of the hub.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_model::{Position, Publication, Uuid};
use tokio::sync::Notify;

/// What an item weighs beside its data.
const OVERHEAD_BYTES: usize = 256;

/// A publication on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The same with every attempt.
    pub(crate) id: Uuid,
    pub(crate) channel: Arc<str>,
    pub(crate) publication: Arc<Publication>,
    pub(crate) position: Option<Position>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.publication.data.bytes.len() + self.channel.len() + OVERHEAD_BYTES
    }
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Of all that is not finished, whoever has it.
    count: usize,
    bytes: usize,
}

/// The inbox of one sink.
#[derive(Debug)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrival: Notify,
    most: usize,
    most_bytes: usize,
}

impl Inbox {
    pub(crate) fn new(most: usize, most_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), arrival: Notify::new(), most, most_bytes }
    }

    /// Puts an item in; false where there is no room.
    pub(crate) fn put(&self, item: Item) -> bool {
        let mut waiting = self.lock();
        let bytes = waiting.bytes + item.bytes();
        // One that is larger than all room there is may wait alone.
        if waiting.count >= self.most || (bytes > self.most_bytes && waiting.count > 0) {
            return false;
        }
        waiting.count += 1;
        waiting.bytes = bytes;
        waiting.items.push_back(item);
        drop(waiting);
        self.arrival.notify_one();
        true
    }

    /// Takes what waits, in order; it counts until it is [finished](Self::finished).
    pub(crate) fn take(&self, most: usize) -> Vec<Item> {
        let mut waiting = self.lock();
        let count = waiting.items.len().min(most);
        waiting.items.drain(..count).collect()
    }

    /// An item needs no room any more.
    pub(crate) fn finished(&self, item: &Item) {
        let mut waiting = self.lock();
        waiting.count = waiting.count.saturating_sub(1);
        waiting.bytes = waiting.bytes.saturating_sub(item.bytes());
    }

    /// Waits until something may have come.
    pub(crate) async fn arrival(&self) {
        self.arrival.notified().await;
    }

    /// How many are not finished, and their bytes.
    pub(crate) fn fill(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.count, waiting.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing between its changes can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use jackfield_model::Payload;

    use super::*;

    pub(crate) fn item(channel: &str, data: &str) -> Item {
        let publication = Publication { data: Payload::json(data.to_owned()), ..Publication::default() };
        Item { id: Uuid::nil(), channel: channel.into(), publication: Arc::new(publication), position: None }
    }

    #[test]
    fn it_is_bounded_in_number_and_in_bytes() {
        let inbox = Inbox::new(2, 1000);
        assert!(inbox.put(item("a", "1")) && inbox.put(item("a", "2")) && !inbox.put(item("a", "3")));
        let taken = inbox.take(10);
        assert_eq!(taken.len(), 2);
        assert!(!inbox.put(item("a", "4")), "what is under way counts");
        inbox.finished(&taken[0]);
        assert!(!inbox.put(item("a", &"x".repeat(900))));
        inbox.finished(&taken[1]);
        assert_eq!(inbox.fill(), (0, 0));
        assert!(inbox.put(item("a", &"x".repeat(5000))), "alone it may be larger than the room");
        assert!(!inbox.put(item("a", "5")));
    }
}
