//! What one connection must hear, in which order, and what it has heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jackfield_hub::namespace::Delivery;
use jackfield_model::ClientId;

use super::Checked;
use super::frames::{Publication, Subscribed, text};
use super::truth::{Item, Told};

/// What is pushed to a subscriber.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    Item(usize),
    Join(ClientId),
    Leave(ClientId),
}

/// What the reply to `subscribe` must say.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) is_map: bool,
    pub(super) life: usize,
    pub(super) recoverable: bool,
    pub(super) was_recovering: bool,
    pub(super) told: Told,
    pub(super) is_delta: bool,
    pub(super) delivery: Delivery,
    pub(super) filter: Option<&'static str>,
    pub(super) hears_members: bool,
}

/// One stay in a channel.
#[derive(Debug)]
pub(super) struct Stay {
    entry: Entry,
    /// The server has it in the channel.
    pub(super) is_active: bool,
    /// The client has read that it is in.
    is_in: bool,
    due: VecDeque<Heard>,
    /// The last publication of each key that was due, and that was heard; where not all need be heard.
    newest: BTreeMap<&'static str, usize>,
    heard: BTreeMap<&'static str, usize>,
    /// What the next delta is made against; in a map, for each key.
    before: BTreeMap<&'static str, String>,
    /// What the client has of a map.
    pub(super) view: View,
    /// Its end was told by a push, not by a reply.
    pub(super) is_lost: bool,
}

/// What a client has of a map: serials by key.
pub(super) type View = BTreeMap<&'static str, usize>;

/// What the reply to a step into a map must be.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// `None`: there is more; else what the map is, as the client gets in.
    pub(super) live: Option<View>,
    /// The next page is one of the state.
    pub(super) has_cursor: bool,
    pub(super) is_delta: bool,
    pub(super) recovers: bool,
    pub(super) recoverable: bool,
    pub(super) life: usize,
}

/// What the reply to a command must be.
#[derive(Clone, Debug)]
pub(super) enum Due {
    Connect,
    /// `None`: it is on its way to the log.
    Publish(Option<Result<(), u32>>),
    /// Into a channel, or not.
    Subscribe(usize, Result<(), u32>),
    /// Into a map, a step further, or not.
    Map(usize, Result<Step, u32>),
    /// Out of a channel; whether it was in.
    Unsubscribe(usize, bool),
    /// Channel and life, serials, and the top.
    History((usize, usize), Vec<usize>, u64),
    Presence(BTreeSet<ClientId>),
    Stats(u32, u32),
    /// An error.
    Error(u32),
}

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Ear {
    pub(super) stays: BTreeMap<usize, VecDeque<Stay>>,
    pub(super) awaited: Vec<(u32, Due)>,
    /// Its socket was full at some time: from then on what need not reach it may be missing.
    pub(super) was_blocked: bool,
}

impl Stay {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            is_active: true,
            is_in: false,
            due: VecDeque::new(),
            newest: BTreeMap::new(),
            heard: BTreeMap::new(),
            before: BTreeMap::new(),
            view: View::new(),
            is_lost: false,
        }
    }

    /// Whether everything must be heard, in order.
    fn is_exact(&self, was_blocked: bool) -> bool {
        match self.entry.delivery {
            Delivery::All => true,
            // What it has not been sent is forgotten when it leaves.
            Delivery::Latest | Delivery::DropOldest => !was_blocked && self.is_active,
            Delivery::Sampled(_) => false,
        }
    }

    fn owe(&mut self, what: Heard, items: &[Item]) {
        if !self.is_active {
            return;
        }
        match what {
            Heard::Join(_) | Heard::Leave(_) if !self.entry.hears_members => return,
            Heard::Item(serial) if self.entry.filter.is_some_and(|tag| items[serial].tag != tag) => return,
            Heard::Item(serial) => drop(self.newest.insert(items[serial].key, serial)),
            _ => {}
        }
        self.due.push_back(what);
    }

    /// Reads the reply that lets it in.
    fn come_in(&mut self, reply: &Subscribed<'_>, items: &[Item]) -> Checked {
        let Entry { recoverable, was_recovering, told, is_delta, .. } = &self.entry;
        let flags = (reply.recoverable, reply.was_recovering, reply.recovered, reply.delta);
        let due = (*recoverable, *was_recovering, told.recovered, *is_delta);
        if flags != due || reply.positioned != *recoverable || reply.offset != told.offset.unwrap_or(0) {
            return Err(format!("came in with {reply:?} where {:?} was due", self.entry));
        }
        let is_delta = *is_delta;
        let serials = self.entry.told.serials.clone();
        if reply.publications.len() != serials.len() {
            let offsets: Vec<u64> = reply.publications.iter().map(|one| one.offset).collect();
            return Err(format!("was told of {offsets:?} where {serials:?} of {:?} were due", self.entry));
        }
        for (publication, serial) in reply.publications.iter().zip(serials) {
            self.read(publication, (serial, is_delta), items)?;
            self.heard.insert(items[serial].key, serial);
        }
        self.is_in = true;
        Ok(())
    }

    /// Reads one publication that must be the one with this serial.
    fn read(&mut self, publication: &Publication<'_>, (serial, is_delta): (usize, bool), items: &[Item]) -> Checked {
        let item = &items[serial];
        let chain = if self.entry.is_map { item.key } else { "" };
        let text = text(publication, is_delta, self.before.get(chain).map(String::as_str))?;
        let is_same =
            publication.offset == item.offset && publication.key == item.key && publication.removed == item.removes;
        if !is_same || (text != item.text && !item.removes) {
            return Err(format!("heard {publication:?} ({text}) where {serial} was due: {item:?}"));
        }
        if !item.removes {
            self.before.insert(chain, text);
            self.view.insert(item.key, serial);
        } else {
            self.view.remove(item.key);
            if self.entry.is_map {
                self.before.remove(item.key);
            }
        }
        Ok(())
    }

    /// Hears a publication where not all need be heard.
    fn hear_loosely(&mut self, publication: &Publication<'_>, items: &[Item]) -> Checked {
        let chain = if self.entry.is_map { publication.key } else { "" };
        let said = text(publication, self.entry.is_delta, self.before.get(chain).map(String::as_str))?;
        let is_it = |what: &Heard| match what {
            Heard::Item(serial) => {
                let item = &items[*serial];
                let is_same =
                    item.offset == publication.offset && item.key == publication.key && item.time == publication.time;
                is_same && item.removes == publication.removed && (item.text == said || item.removes)
            }
            _ => false,
        };
        let found = self.due.iter().position(is_it);
        let Some(at) = found else {
            return Err(format!("heard {publication:?} that was not due, or before; due: {:?}", self.due));
        };
        let Some(Heard::Item(serial)) = self.due.get(at).copied() else { return Ok(()) };
        self.read(publication, (serial, self.entry.is_delta), items)?;
        let is_ordered = self.entry.delivery == Delivery::DropOldest;
        let key = items[serial].key;
        // What was passed over will never come; of one key nothing older comes at all.
        let mut nth = 0;
        self.due.retain(|what| {
            let is_past = nth <= at;
            nth += 1;
            let is_over = matches!(what, Heard::Item(one) if is_past && (is_ordered || items[*one].key == key));
            !is_over
        });
        self.heard.insert(key, serial);
        Ok(())
    }

    /// Everything has arrived.
    fn settled(&self, was_blocked: bool) -> Checked {
        let is_exact = self.is_exact(was_blocked);
        let members = self.due.iter().filter(|what| !matches!(what, Heard::Item(_))).count();
        if !self.is_in || (is_exact && !self.due.is_empty()) || members > 0 {
            return Err(format!("never heard {:?}; in: {}, entry: {:?}", self.due, self.is_in, self.entry));
        }
        let missing = match self.entry.delivery {
            _ if is_exact => None,
            // Whatever waits may have given way to what must reach it.
            Delivery::DropOldest => None,
            _ => self.newest.iter().find(|(key, last)| self.heard.get(*key) != Some(last)).map(|(_, last)| last),
        };
        missing.map_or(Ok(()), |serial| Err(format!("the newest of its key never came: {serial}; {:?}", self.entry)))
    }
}

impl Ear {
    pub(super) fn stay(&self, channel: usize) -> Option<&Stay> {
        self.stays.get(&channel)?.back().filter(|stay| stay.is_active)
    }

    pub(super) fn enter(&mut self, channel: usize, entry: Entry) {
        self.stays.entry(channel).or_default().push_back(Stay::new(entry));
    }

    /// The server takes it out.
    pub(super) fn leave(&mut self, channel: usize, is_lost: bool) -> bool {
        let Some(stay) = self.stays.get_mut(&channel).and_then(VecDeque::back_mut) else { return false };
        let was_in = stay.is_active;
        stay.is_active = false;
        stay.is_lost |= is_lost && was_in;
        was_in
    }

    pub(super) fn owe(&mut self, channel: usize, what: Heard, items: &[Item]) {
        if let Some(stay) = self.stays.get_mut(&channel).and_then(VecDeque::back_mut) {
            stay.owe(what, items);
        }
    }

    fn front(&mut self, channel: usize) -> Result<&mut Stay, String> {
        self.stays.get_mut(&channel).and_then(VecDeque::front_mut).ok_or_else(|| "it never entered".to_owned())
    }

    /// The life of the channel that a stay began in.
    pub(super) fn life(&mut self, channel: usize) -> Result<usize, String> {
        self.front(channel).map(|stay| stay.entry.life)
    }

    /// Whether every number that is given out must be heard.
    pub(super) fn is_dense(&mut self, channel: usize) -> Result<bool, String> {
        self.front(channel).map(|stay| stay.entry.delivery == Delivery::All && stay.entry.filter.is_none())
    }

    /// The reply to `subscribe` is read.
    pub(super) fn come_in(&mut self, channel: usize, reply: &Subscribed<'_>, items: &[Item]) -> Checked {
        let stay = self.front(channel)?;
        if stay.is_in { Err("it came in twice".to_owned()) } else { stay.come_in(reply, items) }
    }

    /// The reply that lets it into a map is read.
    pub(super) fn come_into_map(&mut self, channel: usize, view: View, items: &[Item]) -> Checked {
        let stay = self.front(channel)?;
        if stay.is_in {
            return Err("it came in twice".to_owned());
        }
        stay.before = view.iter().map(|(key, serial)| (*key, items[*serial].text.clone())).collect();
        stay.view = view;
        stay.is_in = true;
        Ok(())
    }

    /// What the client has of a map that it is in.
    pub(super) fn view(&mut self, channel: usize) -> Result<&View, String> {
        self.front(channel).map(|stay| &stay.view)
    }

    /// The end of a stay is read; `is_lost`: in a push.
    pub(super) fn go_out(&mut self, channel: usize, is_lost: bool) -> Checked {
        let stay = self.front(channel)?;
        if stay.is_active || !stay.is_in || stay.is_lost != is_lost {
            return Err(format!("went out of a stay that goes on: {stay:?}"));
        }
        self.stays.get_mut(&channel).and_then(VecDeque::pop_front);
        Ok(())
    }

    pub(super) fn hear(&mut self, channel: usize, what: Heard) -> Checked {
        let was_blocked = self.was_blocked;
        let stay = self.front(channel)?;
        let at = if stay.is_exact(was_blocked) {
            0
        } else {
            stay.due.iter().position(|what| !matches!(what, Heard::Item(_))).unwrap_or(0)
        };
        let due = stay.due.remove(at);
        if due == Some(what) && stay.is_in { Ok(()) } else { Err(format!("heard {what:?} where {due:?} was due")) }
    }

    /// A publication is read; the serial it had to be, where that is known.
    pub(super) fn read(&mut self, channel: usize, publication: &Publication<'_>, items: &[Item]) -> Checked {
        let was_blocked = self.was_blocked;
        let stay = self.front(channel)?;
        if !stay.is_in {
            return Err(format!("heard {publication:?} before it was in"));
        }
        if !stay.is_exact(was_blocked) {
            return stay.hear_loosely(publication, items);
        }
        match stay.due.pop_front() {
            Some(Heard::Item(serial)) => {
                stay.heard.insert(items[serial].key, serial);
                stay.read(publication, (serial, stay.entry.is_delta), items)
            }
            due => Err(format!("heard {publication:?} where {due:?} was due, then {:?}", stay.due.front())),
        }
    }

    pub(super) fn answer(&mut self, id: u32) -> Result<Due, String> {
        let at = self.awaited.iter().position(|(awaited, _)| *awaited == id);
        at.map(|at| self.awaited.remove(at).1).ok_or_else(|| format!("a reply to {id}, which nobody said"))
    }

    /// Everything has arrived: nothing may be due.
    pub(super) fn settled(&self) -> Checked {
        if let Some((id, due)) = self.awaited.first() {
            return Err(format!("command {id} had no reply: {due:?}"));
        }
        for (channel, stays) in &self.stays {
            for stay in stays {
                if !stay.is_active {
                    return Err(format!("never heard that it is out of channel {channel}"));
                }
                stay.settled(self.was_blocked).map_err(|what| format!("channel {channel}: {what}"))?;
            }
        }
        Ok(())
    }
}
