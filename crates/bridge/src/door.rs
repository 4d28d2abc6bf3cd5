//! The worker's end of the bridge: takes events for the application and never blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_hub::Address;
use jackfield_model::app::Event;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::counters::Counters;

/// An event on its way to the application, and who waits for what comes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The connection.
    pub from: Address,
    /// Number of the session's question; `None` for a notice, which nobody waits for.
    pub call: Option<u32>,
    /// The event; with a deadline where the application's own answer is awaited.
    pub event: Event,
}

impl Request {
    /// A notice is told afterwards, so it is kept while the queue is down; all else is refused at once.
    pub(crate) fn is_notice(&self) -> bool {
        self.call.is_none()
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DoorError {
    /// More waits already than the queue takes; temporary.
    #[error("too many events wait for the application")]
    Full,
    /// No application is configured, or the server goes down.
    #[error("there is no way to the application")]
    NotAvailable,
}

/// The worker's end: cheap to clone, never blocks.
#[derive(Clone, Debug)]
pub struct Door {
    sender: Option<(Sender<Request>, Arc<Counters>)>,
}

impl Door {
    /// A door in front of a wall: no application link is configured.
    #[must_use]
    pub fn closed() -> Self {
        Self { sender: None }
    }

    /// A door, and what stands behind it.
    pub(crate) fn open(capacity: usize, counters: Arc<Counters>) -> (Self, Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { sender: Some((sender, counters)) }, receiver)
    }

    /// Whether there is an application behind it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sender.as_ref().is_some_and(|(sender, _)| !sender.is_closed())
    }

    /// Hands an event over. What comes of it arrives through `Hub::resume`.
    pub fn submit(&self, request: Request) -> Result<(), DoorError> {
        let Some((sender, counters)) = &self.sender else { return Err(DoorError::NotAvailable) };
        let (request, error) = match sender.try_send(request) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(request)) => (request, DoorError::Full),
            Err(TrySendError::Closed(request)) => (request, DoorError::NotAvailable),
        };
        if request.is_notice() {
            counters.notices_lost.fetch_add(1, Ordering::Relaxed);
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use jackfield_model::app::{EventKind, Origin};
    use jackfield_model::{Payload, Uuid};

    use super::*;

    fn notice() -> Request {
        let event = Event {
            id: Uuid::nil(),
            kind: EventKind::Disconnect,
            origin: Origin::default(),
            channel: None,
            name: String::new(),
            data: Payload::default(),
            seq: 1,
            time: 0,
            deadline: None,
            hello: None,
        };
        Request { from: Address::default(), call: None, event }
    }

    #[test]
    fn a_door_is_closed_open_full_or_left() {
        assert!(!Door::closed().is_open());
        assert_eq!(Door::closed().submit(notice()), Err(DoorError::NotAvailable));
        let counters = Arc::new(Counters::default());
        let (door, receiver) = Door::open(1, Arc::clone(&counters));
        assert!(door.is_open());
        assert_eq!(door.submit(notice()), Ok(()));
        assert_eq!(door.submit(notice()), Err(DoorError::Full));
        drop(receiver);
        assert!(!door.is_open());
        assert_eq!(door.submit(notice()), Err(DoorError::NotAvailable));
        assert_eq!(counters.notices_lost.load(Ordering::Relaxed), 2);
    }
}
