//! Tells the application of channels that come into use and go out of it, and of what found nobody.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_hub::{Address, Occupancy, Undelivered};
use jackfield_model::app::{Event, EventKind, Origin};
use jackfield_model::{Payload, Uuid};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

use crate::bridge::millis;
use crate::door::Request;
use crate::room::Room;

/// What the application wants to hear of channels and users.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeraldOptions {
    /// A channel got its first subscriber.
    pub occupied: bool,
    /// A channel lost its last subscriber.
    pub vacated: bool,
    /// How long a channel must be empty before that is told.
    pub vacated_delay: Duration,
    /// A message for a user found nobody.
    pub undelivered: bool,
    /// How the names of personal channels begin, where users have them.
    pub personal: Option<String>,
}

/// Channels that are empty, and of which that is not told yet.
#[derive(Debug, Default)]
struct Empty {
    since: HashMap<Arc<str>, Instant>,
    /// In the order in which they are told; one that was entered again in between is in no `since`, or in a later one.
    due: VecDeque<(Instant, Arc<str>)>,
}

/// Tells it.
#[derive(Debug)]
pub(crate) struct Herald {
    room: Arc<Room>,
    options: HeraldOptions,
    empty: Mutex<Empty>,
    /// Rung when there is a first channel to wait for.
    first: Notify,
}

impl Herald {
    pub(crate) fn new(room: Arc<Room>, options: HeraldOptions) -> Self {
        Self { room, options, empty: Mutex::default(), first: Notify::new() }
    }

    /// Tells of channels that have been empty for long enough; runs until it is dropped.
    pub(crate) async fn run(&self) {
        loop {
            let first = self.lock().due.front().map(|(due, _)| *due);
            match first {
                None => self.first.notified().await,
                Some(due) => {
                    sleep_until(due).await;
                    self.tell_vacated(Some(Instant::now()));
                }
            }
        }
    }

    /// Tells of all that are empty, at the end.
    pub(crate) fn finish(&self) {
        self.tell_vacated(None);
    }

    fn tell_vacated(&self, until: Option<Instant>) {
        let mut empty = self.lock();
        while let Some((due, channel)) = empty.due.front().cloned() {
            if until.is_some_and(|until| due > until) {
                break;
            }
            empty.due.pop_front();
            if empty.since.get(&channel) == Some(&due) {
                empty.since.remove(&channel);
                // Under the lock: whoever enters now is told of after this.
                self.tell(EventKind::Vacated, channel);
            }
        }
    }

    pub(crate) fn undelivered(&self, word: Undelivered) {
        let Undelivered { command, user, channel, data } = word;
        let origin = Origin { user, ..Origin::default() };
        let event =
            Event { origin, channel, name: command.to_string(), data, ..about_channels(EventKind::Undelivered) };
        self.submit(event);
    }

    fn tell(&self, kind: EventKind, channel: Arc<str>) {
        let is_wanted = if kind == EventKind::Occupied { self.options.occupied } else { self.options.vacated };
        if is_wanted {
            self.submit(Event { channel: Some(channel), ..about_channels(kind) });
        }
    }

    fn submit(&self, event: Event) {
        // One that is not taken is counted at the door.
        let _ = self.room.enter(Request { from: Address::default(), call: None, event });
    }

    fn lock(&self) -> MutexGuard<'_, Empty> {
        // What a panic between two changes leaves behind is at worst a channel that is not told of.
        self.empty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Occupancy for Herald {
    fn occupied(&self, channel: &Arc<str>) {
        let mut empty = self.lock();
        if empty.since.remove(channel).is_none() {
            self.tell(EventKind::Occupied, Arc::clone(channel));
        }
    }

    fn vacated(&self, channel: &Arc<str>) {
        let mut empty = self.lock();
        if self.options.vacated_delay.is_zero() {
            return self.tell(EventKind::Vacated, Arc::clone(channel));
        }
        let due = Instant::now() + self.options.vacated_delay;
        empty.since.insert(Arc::clone(channel), due);
        empty.due.push_back((due, Arc::clone(channel)));
        if empty.due.len() == 1 {
            self.first.notify_one();
        }
    }
}

/// An event of no connection.
fn about_channels(kind: EventKind) -> Event {
    Event {
        id: Uuid::now_v7(),
        kind,
        origin: Origin::default(),
        channel: None,
        name: String::new(),
        data: Payload::json("{}"),
        seq: 0,
        time: millis(),
        deadline: None,
        hello: None,
    }
}
