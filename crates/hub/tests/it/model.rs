//! What must happen: a plain model of channels and clients, without workers, mail or numbers of pushes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jackfield_model::{ClientId, Millis, Position};

/// What a client reads off its socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// The reply to `subscribe`.
    In,
    /// Somebody came.
    Join(ClientId),
    /// Somebody went.
    Leave(ClientId),
    /// The reply to `unsubscribe`.
    Out,
    /// A publication: its serial number in the test, and its offset.
    Publication(u64, u64),
}

/// One stay of a client in a channel: what it must hear, in this order.
#[derive(Debug, Default)]
struct Stay {
    due: VecDeque<Heard>,
    hears_members: bool,
    /// It has ended: what it was still due is dropped by its `Out`.
    over: bool,
}

/// The stays of one client in one channel, oldest first; those whose `Out` was read are gone.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    stays: VecDeque<Stay>,
    /// Whether the front stay's `In` was read.
    is_in: bool,
}

impl Listener {
    pub(crate) fn is_subscribed(&self) -> bool {
        self.stays.back().is_some_and(|stay| !stay.over)
    }

    pub(crate) fn join(&mut self, hears_members: bool) {
        self.stays.push_back(Stay { hears_members, ..Stay::default() });
    }

    pub(crate) fn leave(&mut self) {
        self.stays.back_mut().unwrap().over = true;
    }

    /// Something happens in the channel.
    fn owe(&mut self, what: Heard) {
        let Some(stay) = self.stays.back_mut().filter(|stay| !stay.over) else { return };
        if stay.hears_members || matches!(what, Heard::Publication(..)) {
            stay.due.push_back(what);
        }
    }

    /// The client reads one frame.
    pub(crate) fn hear(&mut self, what: Heard) -> Result<(), String> {
        match (what, self.is_in, self.stays.front_mut()) {
            (Heard::In, false, Some(_)) => self.is_in = true,
            (Heard::Out, true, Some(stay)) if stay.over => {
                self.stays.pop_front();
                self.is_in = false;
            }
            (Heard::Join(_) | Heard::Leave(_) | Heard::Publication(..), true, Some(stay)) => {
                let due = stay.due.pop_front();
                if due != Some(what) {
                    return Err(format!("heard {what:?} where {due:?} was due, before {:?}", stay.due.front()));
                }
            }
            (_, is_in, stay) => return Err(format!("heard {what:?}; in: {is_in}, stay: {stay:?}")),
        }
        Ok(())
    }

    /// All mail is delivered and all frames are read: nothing may be due.
    pub(crate) fn settled(&self) -> Result<(), String> {
        match self.stays.front() {
            None => Ok(()),
            Some(stay) if self.stays.len() == 1 && !stay.over && self.is_in && stay.due.is_empty() => Ok(()),
            Some(_) => Err(format!("never heard: {:?}", self.stays)),
        }
    }
}

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) history: Option<(usize, Millis)>,
    pub(crate) presence: bool,
    pub(crate) join_leave: bool,
    pub(crate) top: u64,
    pub(crate) epoch: Option<Arc<str>>,
    kept: VecDeque<(Millis, u64)>,
    /// Serials of all that was ever kept; the first has offset 1.
    serials: Vec<u64>,
    pub(crate) members: BTreeSet<ClientId>,
    pub(crate) listeners: HashMap<ClientId, Listener>,
}

impl Channel {
    pub(crate) fn new(name: &str, history: Option<(usize, Millis)>, presence: bool, join_leave: bool) -> Self {
        Self {
            name: name.to_owned(),
            history,
            presence,
            join_leave,
            top: 0,
            epoch: None,
            kept: VecDeque::new(),
            serials: Vec::new(),
            members: BTreeSet::new(),
            listeners: HashMap::new(),
        }
    }

    /// Something happens; everybody who is in is due to hear of it.
    pub(crate) fn happens(&mut self, what: Heard) {
        for listener in self.listeners.values_mut() {
            listener.owe(what);
        }
    }

    pub(crate) fn keep(&mut self, now: Millis, serial: u64) -> u64 {
        self.top += 1;
        self.serials.push(serial);
        self.kept.push_back((now, self.top));
        while self.kept.len() > self.history.unwrap().0 {
            self.kept.pop_front();
        }
        self.top
    }

    /// What a client that has seen `since` must get to have missed nothing (serials and offsets); `None` where that is
    /// not there any more.
    pub(crate) fn missed(&self, since: &Position, now: Millis, cap: usize) -> Option<Vec<(u64, u64)>> {
        let is_this_life = since.epoch.is_empty() || self.epoch.as_ref() == Some(&since.epoch);
        if !is_this_life || since.offset > self.top {
            return None;
        }
        let kept = self.offsets(now);
        let missed: Vec<_> = (since.offset + 1..=self.top).map(|at| (self.serials[at as usize - 1], at)).collect();
        let is_there = missed.iter().all(|(_, offset)| kept.contains(offset)) && missed.len() <= cap;
        is_there.then_some(missed)
    }

    pub(crate) fn offsets(&self, now: Millis) -> Vec<u64> {
        let ttl = self.history.unwrap().1;
        self.kept.iter().filter(|(time, _)| time + ttl > now).map(|(_, offset)| *offset).collect()
    }
}
