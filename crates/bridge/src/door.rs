//! The worker's end of the bridge: takes events for the application and never blocks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jackfield_hub::{Address, Hub};
use jackfield_model::app::Event;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::counters::Counters;
use crate::routes::{Carrier, Routes};

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
    /// Whether the application's own answer is awaited.
    pub(crate) fn is_call(&self) -> bool {
        self.call.is_some() && self.event.deadline.is_some()
    }

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
    ends: Option<Arc<Ends>>,
}

/// What stands behind a door.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) hub: Arc<Hub>,
    pub(crate) routes: Arc<Routes>,
    /// To the queue, where there is one.
    pub(crate) link: Option<Sender<Request>>,
    /// To who hands out the calls that do not go there.
    pub(crate) courier: Sender<Request>,
    pub(crate) counters: Arc<Counters>,
}

impl Door {
    /// A door in front of a wall: no application link is configured.
    #[must_use]
    pub fn closed() -> Self {
        Self { ends: None }
    }

    pub(crate) fn open(ends: Ends) -> Self {
        Self { ends: Some(Arc::new(ends)) }
    }

    /// Whether there is an application behind it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| !ends.link.as_ref().unwrap_or(&ends.courier).is_closed())
    }

    /// Hands an event over. What comes of it arrives through `Hub::resume`.
    pub fn submit(&self, request: Request) -> Result<(), DoorError> {
        let Some(ends) = &self.ends else { return Err(DoorError::NotAvailable) };
        let Some(sender) = ends.sender(&request) else { return Err(DoorError::NotAvailable) };
        let (request, error) = match sender.try_send(request) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(request)) => (request, DoorError::Full),
            Err(TrySendError::Closed(request)) => (request, DoorError::NotAvailable),
        };
        if request.is_notice() {
            ends.counters.notices_lost.fetch_add(1, Ordering::Relaxed);
        }
        Err(error)
    }
}

impl Ends {
    /// The end that a request goes to. Only calls have a choice; the rest is for the queue.
    fn sender(&self, request: &Request) -> Option<&Sender<Request>> {
        if request.is_call()
            && self.routes.way(&request.event, self.hub.namespaces()).is_none_or(|way| way.by != Carrier::Link)
        {
            Some(&self.courier)
        } else {
            self.link.as_ref()
        }
    }
}

#[cfg(test)]
mod tests {
    use jackfield_hub::Namespaces;
    use jackfield_model::app::{EventKind, Origin};
    use jackfield_model::{Payload, Uuid};
    use tokio::sync::mpsc;
    use tokio::time::Duration;

    use super::*;
    use crate::routes::Way;

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(Namespaces::default(), Vec::new(), 1, 1))
    }

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
        let (link, receiver) = mpsc::channel(1);
        let (courier, _calls) = mpsc::channel(1);
        let routes = Arc::new(Routes::default());
        let door = Door::open(Ends { hub: hub(), routes, link: Some(link), courier, counters: Arc::clone(&counters) });
        assert!(door.is_open());
        assert_eq!(door.submit(notice()), Ok(()));
        assert_eq!(door.submit(notice()), Err(DoorError::Full));
        drop(receiver);
        assert!(!door.is_open());
        assert_eq!(door.submit(notice()), Err(DoorError::NotAvailable));
        assert_eq!(counters.notices_lost.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn calls_go_where_their_way_leads() {
        let (link, mut by_link) = mpsc::channel(4);
        let (courier, mut by_courier) = mpsc::channel(4);
        let way = Way { by: Carrier::Link, timeout: Duration::from_secs(1) };
        let routes = Arc::new(Routes { refresh: Some(way), ..Routes::default() });
        let door = Door::open(Ends { hub: hub(), routes, link: Some(link), courier, counters: Arc::default() });
        let request = |kind, deadline| {
            let notice = notice();
            Request { call: Some(1), event: Event { kind, deadline, ..notice.event }, ..notice }
        };
        for kind in [EventKind::Message, EventKind::Connect, EventKind::Refresh] {
            door.submit(request(kind, (kind != EventKind::Message).then_some(1))).unwrap();
        }
        let kinds = |receiver: &mut mpsc::Receiver<Request>| {
            std::iter::from_fn(|| receiver.try_recv().ok()).map(|request| request.event.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&mut by_link), [EventKind::Message, EventKind::Refresh]);
        assert_eq!(kinds(&mut by_courier), [EventKind::Connect], "to be told that it goes nowhere");
    }
}
