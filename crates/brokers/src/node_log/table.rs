//! What one partition's log says, read from its beginning: the same on every node, because each decision follows from
//! the records alone. No clock, no socket.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jackfield_cluster::{Incoming, Interest, Place, Placed, Snapshot};
use jackfield_model::{Millis, Position};

use super::record::{Life, Record, Terms, Word};

/// Publications of a partition that are known again by their ids.
const REMEMBERED: usize = 32_768;
/// How long an idempotency key holds, milliseconds.
const KEY_TTL: Millis = 300_000;

struct Entry {
    offset: u64,
    ends: Millis,
    body: Bytes,
}

/// What is kept of a channel.
#[derive(Default)]
struct Channel {
    /// The record that ended its life before; 0: none.
    life: u64,
    top: u64,
    floor: u64,
    ring: VecDeque<Entry>,
    /// When its position may be forgotten.
    ends: Millis,
    version: Option<(u64, Arc<str>)>,
    is_open: bool,
}

/// What ends when a record says that it is so late.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Ending {
    Key(Arc<str>, String),
    Version(Arc<str>, u64),
}

/// What became of a record.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) placed: Placed,
    pub(super) incoming: Option<Incoming>,
}

/// Who wrote a record, and its number in the log.
type Mark = (u64, u64, u64);

/// A partition. A position is one more than the number of the record in the log, so that 0 is before all of them.
#[derive(Default)]
pub(super) struct Table {
    life: Option<Life>,
    /// No record that follows can tell that the first life was another one.
    is_sure: bool,
    /// The record read last.
    last: Option<Mark>,
    /// The record read last before all was read anew.
    before: Option<Mark>,
    /// What was there then is not there any more, and something else is in its place.
    is_another: bool,
    /// Nothing is known of what came up to here.
    base: u64,
    channels: HashMap<Arc<str>, Channel>,
    ids: HashMap<(u64, u64), u64>,
    id_order: VecDeque<(u64, u64)>,
    keys: HashMap<Arc<str>, HashMap<String, Placed>>,
    endings: BinaryHeap<Reverse<(Millis, Ending)>>,
}

impl Table {
    /// The record read last.
    pub(super) fn last(&self) -> Option<u64> {
        self.last.map(|(number, ..)| number)
    }

    /// The life that counts.
    pub(super) fn life(&self) -> Option<&Life> {
        self.life.as_ref()
    }

    /// Whether this is the record read last, so that reading may go on behind it.
    pub(super) fn ends_with(&self, number: u64, record: Option<&Record>) -> bool {
        let mark = record.map_or((number, 0, 0), |record| (number, record.writer, record.seq));
        self.last == Some(mark)
    }

    /// Forgets everything, because all is read anew.
    pub(super) fn begin_again(&mut self) {
        *self = Self { before: self.last.or(self.before), ..Self::default() };
    }

    /// Records that were read are missing, though the log goes on: their numbers are given out again. Asked when all
    /// that is there was read.
    pub(super) fn lost_its_end(&mut self) -> bool {
        let is_short = self.before.take().is_some_and(|(number, ..)| self.last().is_none_or(|last| last <= number));
        std::mem::take(&mut self.is_another) || is_short
    }

    /// Nobody cares for anything any more.
    pub(super) fn close_all(&mut self) {
        self.channels.values_mut().for_each(|channel| channel.is_open = false);
    }

    pub(super) fn close(&mut self, channel: &str) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.is_open = false;
        }
    }

    /// Whether something of it is kept.
    pub(super) fn keeps(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }

    /// Takes a record that nobody could read.
    pub(super) fn skip(&mut self, number: u64) {
        if self.last().is_none_or(|last| last < number) {
            self.note_order((number, 0, 0));
        }
    }

    /// Takes the next record. None: it was read before.
    pub(super) fn read(&mut self, number: u64, record: Record) -> Option<Outcome> {
        if self.last().is_some_and(|last| number <= last) {
            return None;
        }
        self.note_order((number, record.writer, record.seq));
        let position = number + 1;
        let is_new_life = self.learn(number, &record);
        while let Some(Reverse((time, _))) = self.endings.peek()
            && *time <= record.time
        {
            if let Some(Reverse((_, ending))) = self.endings.pop() {
                self.end(ending);
            }
        }
        let outcome = match record.word {
            Word::Publication(channel, body, terms) => self.publish(position, channel, body, terms, record.time),
            Word::Heard(channel, body) => {
                let is_open = self.channels.get(&channel).is_some_and(|channel| channel.is_open);
                let incoming = is_open.then_some(Incoming::Publication { channel, place: None, body });
                Outcome { incoming, ..Outcome::default() }
            }
            Word::Forget(channel, is_life) => {
                self.forget(position, &channel, is_life);
                Outcome::default()
            }
            Word::Mark | Word::Probe(_) | Word::Begin | Word::Note(_) | Word::Unknown => Outcome::default(),
        };
        if is_new_life {
            let incoming = Some(Incoming::Interrupted("a log lost what it had: a new life began".to_owned()));
            return Some(Outcome { incoming, ..outcome });
        }
        Some(outcome)
    }

    fn note_order(&mut self, mark: Mark) {
        if self.last.is_none() {
            self.base = mark.0;
        }
        self.last = Some(mark);
        if let Some(before) = self.before
            && before.0 <= mark.0
        {
            // Equal: it is still there. Beyond without having met it: it was old and is gone, which is no loss.
            self.is_another |= before.0 == mark.0 && before != mark;
            self.before = None;
        }
    }

    /// Learns of the life of this partition; true if one ended that was known.
    fn learn(&mut self, number: u64, record: &Record) -> bool {
        let life = &record.life;
        match &self.life {
            Some(known) if life.count > known.count => {
                let is_new = self.is_sure;
                let (last, before, is_another) = (self.last, self.before, self.is_another);
                let open = std::mem::take(&mut self.channels).into_iter().filter(|(_, channel)| channel.is_open);
                let emptied = |(name, _)| (name, Channel { is_open: true, ..Channel::default() });
                let channels = open.map(emptied).collect();
                *self = Self { last, before, is_another, channels, is_sure: true, ..Self::default() };
                self.life = Some(life.clone());
                is_new
            }
            Some(known) => {
                if record.is_known && life.count == known.count {
                    if !self.is_sure && life.name != known.name {
                        self.life = Some(life.clone());
                    }
                    self.is_sure = true;
                }
                false
            }
            None if life.count > 0 => {
                self.life = Some(life.clone());
                self.is_sure = record.is_known || number == 0;
                false
            }
            None => false,
        }
    }

    fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Key(channel, key) => {
                if let Some(keys) = self.keys.get_mut(&channel) {
                    keys.remove(&key);
                    if keys.is_empty() {
                        self.keys.remove(&channel);
                    }
                }
            }
            Ending::Version(name, version) => {
                if let Some(channel) = self.channels.get_mut(&name)
                    && channel.version.as_ref().is_some_and(|(known, _)| *known == version)
                {
                    channel.version = None;
                }
            }
        }
    }

    fn epoch(life: Option<&Life>, channel: &Channel) -> Arc<str> {
        let Life { count, name } = life.cloned().unwrap_or_default();
        let own = if channel.life > 0 { format!(".{}", channel.life) } else { String::new() };
        format!("{name}{count}{own}").into()
    }

    fn channel(&mut self, name: &Arc<str>) -> &mut Channel {
        let base = self.base;
        let fresh = || Channel { top: base, floor: base, ..Channel::default() };
        self.channels.entry(Arc::clone(name)).or_insert_with(fresh)
    }

    fn publish(&mut self, position: u64, name: Arc<str>, body: Bytes, terms: Terms, time: Millis) -> Outcome {
        let life = self.life.clone();
        let known = self.ids.get(&terms.id).copied();
        let result = self.keys.get(&name).and_then(|keys| keys.get(&terms.idempotency_key)).cloned();
        let channel = self.channel(&name);
        let epoch = Self::epoch(life.as_ref(), channel);
        let at = |offset| Some(Position { offset, epoch: Arc::clone(&epoch) });
        let not_taken = |placed| Outcome { placed, incoming: None };
        if let Some(offset) = known {
            return not_taken(Placed { position: at(offset), suppressed: None });
        }
        if let Some(placed) = result {
            return not_taken(Placed { suppressed: Some("idempotency"), ..placed });
        }
        if let Some((version, publisher)) = &terms.version {
            if channel.version.as_ref().is_some_and(|(known, life)| version <= known && life == publisher) {
                return not_taken(Placed { position: at(channel.top), suppressed: Some("version") });
            }
            channel.version = Some((*version, Arc::clone(publisher)));
        }
        let place = Place { offset: position, previous: channel.top, epoch: Arc::clone(&epoch) };
        channel.top = position;
        channel.ends = time.saturating_add(terms.meta_ttl.max(terms.ttl));
        let entry = Entry { offset: position, ends: time.saturating_add(terms.ttl), body: body.clone() };
        channel.ring.push_back(entry);
        while channel.ring.len() > terms.size {
            channel.floor = channel.ring.pop_front().map_or(channel.floor, |entry| entry.offset);
        }
        let is_open = channel.is_open;
        let placed = Placed { position: at(position), suppressed: None };
        self.remember(position, &name, terms, time, &placed);
        let incoming = is_open.then_some(Incoming::Publication { channel: name, place: Some(place), body });
        Outcome { placed, incoming }
    }

    fn remember(&mut self, position: u64, name: &Arc<str>, terms: Terms, time: Millis, placed: &Placed) {
        if self.id_order.len() == REMEMBERED
            && let Some(oldest) = self.id_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.id_order.push_back(terms.id);
        self.ids.insert(terms.id, position);
        if let Some((version, _)) = terms.version {
            let ending = Ending::Version(Arc::clone(name), version);
            self.endings.push(Reverse((time.saturating_add(terms.ttl), ending)));
        }
        if !terms.idempotency_key.is_empty() {
            let ending = Ending::Key(Arc::clone(name), terms.idempotency_key.clone());
            self.endings.push(Reverse((time.saturating_add(KEY_TTL), ending)));
            let keys = self.keys.entry(Arc::clone(name)).or_default();
            keys.insert(terms.idempotency_key, placed.clone());
        }
    }

    fn forget(&mut self, position: u64, name: &Arc<str>, is_life: bool) {
        let channel = self.channel(name);
        channel.ring.clear();
        if is_life {
            *channel = Channel { life: position, is_open: channel.is_open, ends: channel.ends, ..Channel::default() };
        } else {
            channel.floor = channel.top;
        }
    }

    /// Opens a channel and tells what is kept of it.
    pub(super) fn open(&mut self, interest: &Interest, now: Millis) -> Snapshot {
        let life = self.life.clone();
        let channel = self.channel(&interest.channel);
        channel.is_open = true;
        channel.expire(now);
        let position = Position { offset: channel.top, epoch: Self::epoch(life.as_ref(), channel) };
        let after = interest
            .after
            .as_ref()
            .filter(|after| after.epoch == position.epoch && (channel.floor..=position.offset).contains(&after.offset));
        let floor = after.map_or(channel.floor, |after| after.offset);
        let newer = channel.ring.iter().filter(|entry| entry.offset > floor);
        let bodies = newer.map(|entry| (entry.offset, entry.body.clone())).collect();
        Snapshot { position, bodies, floor, values: Vec::new() }
    }

    /// Drops what has had its time. What is decided does not depend on it: a version that still counts keeps its channel.
    pub(super) fn sweep(&mut self, now: Millis) {
        let base = &mut self.base;
        self.channels.retain(|_, channel| {
            channel.expire(now);
            let stays = channel.is_open || !channel.ring.is_empty() || channel.version.is_some() || channel.ends > now;
            if !stays {
                *base = (*base).max(channel.top);
            }
            stays
        });
    }
}

impl Channel {
    fn expire(&mut self, now: Millis) {
        while self.ring.front().is_some_and(|entry| entry.ends <= now) {
            self.floor = self.ring.pop_front().map_or(self.floor, |entry| entry.offset);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
