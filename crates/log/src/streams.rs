//! What the log knows of its streams: which publications count, where they lie, and how much of each segment is alive.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use jackfield_model::Millis;

use crate::record::{Key, Retention, StreamRecord, Version};
use crate::values::Values;

/// Where a record lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) bytes: u32,
}

/// A publication that is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) time: Millis,
    pub(crate) place: Place,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// What its record says, or should say.
    pub(crate) record: StreamRecord,
    /// Offset of the publication that brought the version, while that publication is kept: then its own record is
    /// enough. 0 otherwise.
    versioned_by: u64,
    /// Where its record lies; `None` if it is not written yet.
    place: Option<Place>,
    /// Oldest first.
    kept: VecDeque<Entry>,
    /// Where values of keys are kept for good.
    values: Option<Box<Values>>,
}

/// A stream as the files know it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) record: StreamRecord,
    pub(crate) place: Place,
    pub(crate) kept: Vec<Entry>,
    pub(crate) versioned_by: u64,
    pub(crate) values: Option<Box<Values>>,
}

/// How much of a segment, or of the log, counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// All bytes.
    pub total: u64,
    /// Bytes of records that count.
    pub live: u64,
}

/// All streams and all segments.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Option<Box<Stream>>>,
    vacant: Vec<u32>,
    by_name: HashMap<Arc<str>, u32, ahash::RandomState>,
    by_number: HashMap<u64, u32, ahash::RandomState>,
    next: u64,
    pub(crate) segments: BTreeMap<u32, Usage>,
    /// Streams whose record must be written (again) before anything that the log has now may go.
    pub(crate) unwritten: Vec<u32>,
}

impl Streams {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn stream(&self, slot: u32) -> Option<&Stream> {
        self.slots.get(slot as usize)?.as_deref()
    }

    fn stream_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Bytes of all segments, and how many of them count.
    pub(crate) fn usage(&self) -> Usage {
        let sum = |all: Usage, one: &Usage| Usage { total: all.total + one.total, live: all.live + one.live };
        self.segments.values().fold(Usage::default(), sum)
    }

    /// The stream of a channel in this epoch; a new one if it has none or that of another life, which then is forgotten.
    pub(crate) fn open(&mut self, name: &Arc<str>, epoch: &Arc<str>, retention: Retention, now: Millis) -> u32 {
        if let Some(slot) = self.by_name.get(name).copied() {
            if let Some(stream) = self.stream_mut(slot)
                && stream.record.epoch == *epoch
            {
                stream.record.retention = retention;
                return slot;
            }
            self.forget(slot);
        }
        let record = StreamRecord {
            stream: self.next,
            name: Arc::clone(name),
            epoch: Arc::clone(epoch),
            touched: now,
            retention,
            ..StreamRecord::default()
        };
        self.insert(record)
    }

    /// Takes in a stream whose record is not written, or not where it counts.
    pub(crate) fn insert(&mut self, record: StreamRecord) -> u32 {
        self.next = self.next.max(record.stream + 1);
        let (name, number) = (Arc::clone(&record.name), record.stream);
        let stream = Box::new(Stream { record, versioned_by: 0, place: None, kept: VecDeque::new(), values: None });
        let slot = match self.vacant.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(stream);
                slot
            }
            None => {
                self.slots.push(Some(stream));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_name.insert(name, slot);
        self.by_number.insert(number, slot);
        self.unwritten.push(slot);
        slot
    }

    /// Takes in a stream as the files know it.
    pub(crate) fn restore(&mut self, known: Known) -> u32 {
        let slot = self.insert(known.record);
        self.unwritten.pop();
        let held = known.values.iter().flat_map(|values| values.held());
        for entry in known.kept.iter().chain(held) {
            self.weigh(Some(entry.place), None);
        }
        self.weigh(Some(known.place), None);
        if let Some(stream) = self.stream_mut(slot) {
            stream.place = Some(known.place);
            stream.kept = known.kept.into();
            stream.versioned_by = known.versioned_by;
            stream.values = known.values;
        }
        slot
    }

    /// Numbers below this have been streams; what is new begins here.
    pub(crate) fn reserve(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Notes where a stream's record lies; the one before it counts no longer.
    pub(crate) fn place(&mut self, slot: u32, place: Place) {
        let Some(stream) = self.stream_mut(slot) else { return };
        let before = stream.place.replace(place);
        // The record names the values that count, so nobody needs the removals of others any more.
        let graves = stream.values.as_mut().map(|values| values.take_graves()).unwrap_or_default();
        self.weigh(Some(place), before);
        for grave in graves {
            self.weigh(None, Some(grave.place));
        }
    }

    /// The record of a stream as it is to be written.
    pub(crate) fn record(&self, slot: u32) -> Option<StreamRecord> {
        let stream = self.stream(slot)?;
        let floor = stream.kept.front().map_or(stream.record.top.saturating_add(1), |entry| entry.offset);
        let values = stream.values.as_ref().map(|values| values.offsets()).unwrap_or_default();
        Some(StreamRecord { floor, values, ..stream.record.clone() })
    }

    /// Notes a publication that is written.
    pub(crate) fn keep(&mut self, slot: u32, entry: Entry, version: Option<Version>, key: Option<Key>) {
        let Some(stream) = self.stream_mut(slot) else { return };
        stream.record.top = stream.record.top.max(entry.offset);
        stream.record.touched = stream.record.touched.max(entry.time);
        if let Some(version) = version {
            stream.record.version = Some(version);
            stream.versioned_by = entry.offset;
        }
        stream.kept.push_back(entry);
        let keys = stream.record.retention.keys;
        let gone = key
            .filter(|_| keys > 0)
            .and_then(|key| stream.values.get_or_insert_default().hear(entry.offset, key, keys));
        self.weigh(Some(entry.place), gone.map(|gone| gone.place));
        self.trim(slot, entry.time);
    }

    /// Lets go of all publications and values of a channel.
    pub(crate) fn clear(&mut self, channel: &str) {
        let Some(slot) = self.by_name.get(channel).copied() else { return };
        let Some(stream) = self.stream_mut(slot) else { return };
        let kept = std::mem::take(&mut stream.kept);
        let values = stream.values.take();
        stream.versioned_by = 0;
        self.unwritten.push(slot);
        for entry in kept.iter().chain(values.iter().flat_map(|values| values.held())) {
            self.weigh(None, Some(entry.place));
        }
    }

    /// Lets go of what a stream keeps no longer.
    fn trim(&mut self, slot: u32, now: Millis) {
        loop {
            let Some(stream) = self.stream_mut(slot) else { return };
            let Retention { size, ttl, .. } = stream.record.retention;
            let is_too_much = stream.kept.len() > size;
            let is_old = |entry: &Entry| entry.time.saturating_add(ttl) <= now;
            let Some(entry) = stream.kept.pop_front_if(|entry| is_too_much || is_old(entry)) else { return };
            let was_last_word = stream.kept.is_empty() || stream.versioned_by == entry.offset;
            let (is_held, has_many_graves) = match &mut stream.values {
                Some(values) => (values.hold(entry), values.has_many_graves()),
                None => (false, false),
            };
            if was_last_word {
                stream.versioned_by = 0;
            }
            if was_last_word || has_many_graves {
                self.unwritten.push(slot);
            }
            if !is_held {
                self.weigh(None, Some(entry.place));
            }
        }
    }

    /// Forgets what is too old among some streams; the caller goes round all of them. Returns where to go on.
    pub(crate) fn expire(&mut self, from: usize, count: usize, now: Millis) -> usize {
        let end = self.slots.len().min(from.saturating_add(count));
        for slot in from..end {
            let slot = slot as u32;
            self.trim(slot, now);
            let is_over = self.stream(slot).is_some_and(|stream| {
                stream.kept.is_empty()
                    && stream.record.touched.saturating_add(stream.record.retention.meta_ttl) < now
                    && stream.values.as_ref().is_none_or(|values| values.is_empty())
            });
            if is_over {
                self.forget(slot);
            }
        }
        if end == self.slots.len() { 0 } else { end }
    }

    /// Nothing of a stream counts any more.
    fn forget(&mut self, slot: u32) {
        let Some(stream) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        self.by_name.remove(&stream.record.name);
        self.by_number.remove(&stream.record.stream);
        self.vacant.push(slot);
        self.weigh(None, stream.place);
        let values = stream.values.iter().flat_map(|values| values.held());
        for entry in stream.kept.iter().chain(values) {
            self.weigh(None, Some(entry.place));
        }
    }

    fn weigh(&mut self, more: Option<Place>, less: Option<Place>) {
        if let Some(place) = more
            && let Some(usage) = self.segments.get_mut(&place.segment)
        {
            usage.live += u64::from(place.bytes);
        }
        if let Some(place) = less
            && let Some(usage) = self.segments.get_mut(&place.segment)
        {
            usage.live = usage.live.saturating_sub(u64::from(place.bytes));
        }
    }

    /// Where the stream of this number is, unless it is forgotten.
    pub(crate) fn slot(&self, number: u64) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    /// Whether a publication counts where it lies in this segment.
    pub(crate) fn holds(&self, number: u64, offset: u64, segment: u32) -> bool {
        let stream = self.slot(number).and_then(|slot| self.stream(slot));
        stream.and_then(|stream| stream.entry(offset)).is_some_and(|entry| entry.place.segment == segment)
    }

    /// The publication was copied: what counts lies there from here on.
    pub(crate) fn moved(&mut self, slot: u32, offset: u64, to: Place) {
        let Some(stream) = self.stream_mut(slot) else { return };
        let kept = match stream.kept.binary_search_by_key(&offset, |entry| entry.offset) {
            Ok(index) => stream.kept.get_mut(index),
            Err(_) => stream.values.as_mut().and_then(|values| values.entry_mut(offset)),
        };
        let Some(entry) = kept else { return };
        let before = std::mem::replace(&mut entry.place, to);
        self.weigh(Some(to), Some(before));
    }

    /// Demands that a stream's record be written again, if the one that counts is in this segment.
    pub(crate) fn rewrite(&mut self, number: u64, segment: u32) {
        let Some(slot) = self.slot(number) else { return };
        if self.stream(slot).and_then(|stream| stream.place).is_some_and(|place| place.segment == segment) {
            self.unwritten.push(slot);
        }
    }

    /// Demands it of all streams, at tops that are this much greater.
    pub(crate) fn jump(&mut self, by: u64) {
        for (slot, stream) in self.slots.iter_mut().enumerate() {
            if let Some(stream) = stream {
                stream.record.top = stream.record.top.saturating_add(by);
                self.unwritten.push(slot as u32);
            }
        }
    }
}

impl Stream {
    fn entry(&self, offset: u64) -> Option<&Entry> {
        match self.kept.binary_search_by_key(&offset, |entry| entry.offset) {
            Ok(index) => self.kept.get(index),
            Err(_) => self.values.as_ref()?.entry(offset),
        }
    }
}
