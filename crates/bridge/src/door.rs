//! The worker's end of the bridge: takes events for the application and never blocks.

use std::sync::Arc;

use jackfield_hub::{Address, Hub};
use jackfield_model::app::Event;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::room::Room;
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
    pub(crate) link: Option<Arc<Room>>,
    /// To who hands out the calls that do not go there.
    pub(crate) courier: Sender<Request>,
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
        self.ends.as_ref().is_some_and(|ends| match &ends.link {
            Some(room) => !room.is_closed(),
            None => !ends.courier.is_closed(),
        })
    }

    /// Hands an event over. What comes of it arrives through `Hub::resume`.
    ///
    /// What is taken for the queue gets the next number of its connection, of which `seq` is the last.
    pub fn submit(&self, mut request: Request, seq: &mut u64) -> Result<(), DoorError> {
        let Some(ends) = &self.ends else { return Err(DoorError::NotAvailable) };
        if ends.goes_elsewhere(&request) {
            return ends.courier.try_send(request).map_err(|error| match error {
                TrySendError::Full(_) => DoorError::Full,
                TrySendError::Closed(_) => DoorError::NotAvailable,
            });
        }
        let Some(room) = &ends.link else { return Err(DoorError::NotAvailable) };
        request.event.seq = *seq + 1;
        room.enter(request)?;
        *seq += 1;
        Ok(())
    }
}

impl Ends {
    /// Whether it is not for the queue. Only calls have a choice.
    fn goes_elsewhere(&self, request: &Request) -> bool {
        request.is_call()
            && self.routes.way(&request.event, self.hub.namespaces()).is_none_or(|way| way.by != Carrier::Link)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use jackfield_hub::Namespaces;
    use jackfield_model::app::{EventKind, Origin};
    use jackfield_model::{Payload, Uuid};
    use tokio::sync::mpsc;
    use tokio::time::Duration;

    use super::*;
    use crate::counters::Counters;
    use crate::routes::Way;

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(Namespaces::default(), Vec::new(), 1, 1))
    }

    fn request(kind: EventKind, call: Option<u32>) -> Request {
        let event = Event {
            id: Uuid::nil(),
            kind,
            origin: Origin::default(),
            channel: None,
            name: String::new(),
            data: Payload::default(),
            seq: 0,
            time: 0,
            deadline: None,
            hello: None,
        };
        Request { from: Address::default(), call, event }
    }

    fn open(most_others: usize, capacity: u64, routes: Routes) -> (Door, Arc<Room>, mpsc::Receiver<Request>) {
        let counters = Arc::new(Counters::default());
        counters.notice_capacity.store(capacity, Ordering::Relaxed);
        let room = Arc::new(Room::new(most_others, hub(), counters));
        let (courier, calls) = mpsc::channel(4);
        let ends = Ends { hub: hub(), routes: Arc::new(routes), link: Some(Arc::clone(&room)), courier };
        (Door::open(ends), room, calls)
    }

    #[test]
    fn a_door_is_closed_open_full_or_left() {
        let message = || request(EventKind::Message, Some(1));
        let mut seq = 0;
        assert!(!Door::closed().is_open());
        assert_eq!(Door::closed().submit(message(), &mut seq), Err(DoorError::NotAvailable));
        let (door, room, _calls) = open(1, 8, Routes::default());
        assert!(door.is_open());
        assert_eq!(door.submit(message(), &mut seq), Ok(()));
        assert_eq!(door.submit(message(), &mut seq), Err(DoorError::Full));
        assert_eq!(door.submit(request(EventKind::Disconnect, None), &mut seq), Ok(()));
        room.close();
        assert!(!door.is_open());
        assert_eq!(door.submit(message(), &mut seq), Err(DoorError::NotAvailable));
        let mut taken = Vec::new();
        room.take(&mut taken, 8);
        let taken: Vec<_> = taken.iter().map(|request| (request.event.kind, request.event.seq)).collect();
        assert_eq!(taken, [(EventKind::Message, 1), (EventKind::Disconnect, 2)], "what was refused took no number");
        assert!(room.is_empty());
    }

    #[test]
    fn the_last_places_are_for_ends() {
        let (connect, disconnect) = (|| request(EventKind::Connect, None), || request(EventKind::Disconnect, None));
        let (door, room, _calls) = open(1, 4, Routes::default());
        for client in 1..=2 {
            let info = jackfield_model::ClientInfo { client: Uuid::from_u128(client), ..Default::default() };
            assert!(room.hub().arrive(&info, Address::default(), 0));
        }
        let mut seq = 0;
        assert_eq!([door.submit(connect(), &mut seq), door.submit(connect(), &mut seq)], [Ok(()), Ok(())]);
        assert_eq!(door.submit(connect(), &mut seq), Err(DoorError::Full), "two may end");
        assert_eq!([door.submit(disconnect(), &mut seq), door.submit(disconnect(), &mut seq)], [Ok(()), Ok(())]);
        assert_eq!(door.submit(disconnect(), &mut seq), Err(DoorError::Full));
        assert_eq!(seq, 4);
    }

    #[test]
    fn calls_go_where_their_way_leads() {
        let way = Way { by: Carrier::Link, timeout: Duration::from_secs(1) };
        let (door, room, mut calls) = open(4, 4, Routes { refresh: Some(way), ..Routes::default() });
        let mut seq = 0;
        for kind in [EventKind::Message, EventKind::Connect, EventKind::Refresh] {
            let mut request = request(kind, Some(1));
            request.event.deadline = (kind != EventKind::Message).then_some(1);
            door.submit(request, &mut seq).unwrap();
        }
        let mut by_link = Vec::new();
        room.take(&mut by_link, 8);
        let by_link: Vec<_> = by_link.iter().map(|request| (request.event.kind, request.event.seq)).collect();
        assert_eq!(by_link, [(EventKind::Message, 1), (EventKind::Refresh, 2)]);
        let by_courier = std::iter::from_fn(|| calls.try_recv().ok()).map(|request| request.event.kind);
        assert_eq!(by_courier.collect::<Vec<_>>(), [EventKind::Connect], "to be told that it goes nowhere");
    }
}
