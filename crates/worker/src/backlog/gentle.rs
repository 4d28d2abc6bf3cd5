//! Publications that wait for a blocked reader and need not all reach it: one place per key, or as many as there is room for.
//!
//! A place is 16 bytes, and one number of an index where a newer publication may take it; the frames are shared with all other
//! readers. A newer one takes the place of the older where that stands in the queue. Why not at the end: then a key that
//! changes all the time would never be its turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hashbrown::HashTable;
use jackfield_hub::Note;
use jackfield_hub::namespace::{Delivery, Gauges};

/// A publication that waits.
#[derive(Debug)]
struct Place {
    note: Arc<Note>,
    /// Since when the reader waits for news of this key, in milliseconds.
    since: u32,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Gentle {
    /// `None`: it gave way.
    places: VecDeque<Option<Place>>,
    /// Number of the first place; the others follow.
    first: u32,
    /// How many places hold something.
    held: u32,
    /// Bytes of publications that may be replaced.
    shared: usize,
    /// Places before this number hold nothing that may give way.
    gave_way: u32,
    /// Numbers of places whose publication a newer one replaces, by channel and key.
    index: HashTable<u32>,
    hasher: ahash::RandomState,
    /// The last words, behind everything.
    end: VecDeque<Bytes>,
}

/// What tells publications apart that replace each other.
fn name(note: &Note) -> (u64, &str) {
    (note.channel, note.key.as_deref().unwrap_or_default())
}

fn gives_way(note: &Note) -> bool {
    note.delivery == Delivery::DropOldest
}

impl Gentle {
    fn at(places: &VecDeque<Option<Place>>, number: u32, first: u32) -> Option<&Place> {
        places.get(number.wrapping_sub(first) as usize)?.as_ref()
    }

    /// Adds a publication; the bytes of the one whose place it took, if it did.
    pub(super) fn push(&mut self, note: &Arc<Note>, now: u32) -> Option<usize> {
        let (places, first) = (&mut self.places, self.first);
        if !gives_way(note) {
            let hash = self.hasher.hash_one(name(note));
            let is_same =
                |number: &u32| Self::at(places, *number, first).is_some_and(|place| name(&place.note) == name(note));
            if let Some(number) = self.index.find(hash, is_same).copied()
                && let Some(Some(place)) = places.get_mut(number.wrapping_sub(first) as usize)
            {
                let old = std::mem::replace(&mut place.note, Arc::clone(note));
                self.shared = self.shared + note.whole.len() - old.whole.len();
                return Some(old.whole.len());
            }
            let number = first.wrapping_add(places.len() as u32);
            let rehash = |number: &u32| {
                Self::at(places, *number, first).map_or(0, |place| self.hasher.hash_one(name(&place.note)))
            };
            self.index.insert_unique(hash, number, rehash);
            self.shared += note.whole.len();
        }
        places.push_back(Some(Place { note: Arc::clone(note), since: now }));
        self.held += 1;
        None
    }

    /// Adds what nothing may come after.
    pub(super) fn end(&mut self, frame: Bytes) {
        self.end.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0 && self.end.is_empty()
    }

    /// How many may be replaced, and their bytes.
    pub(super) fn replaceable(&self) -> (usize, usize) {
        (self.index.len(), self.shared)
    }

    /// All of them in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.places.iter().flatten().map(|place| &place.note.whole).chain(&self.end)
    }

    /// The first of them.
    pub(super) fn front(&self) -> Option<&Bytes> {
        self.frames().next()
    }

    /// Who has waited longest: places are in the order of their beginning, and the first holds something.
    pub(super) fn stalest(&self) -> Option<(&Arc<Gauges>, u32)> {
        let place = self.places.iter().flatten().next()?;
        Some((&place.note.gauges, place.since))
    }

    /// Takes the first of them out, because it goes out.
    pub(super) fn pop(&mut self, now: u32) -> Option<Bytes> {
        self.trim();
        if self.places.is_empty() {
            return self.end.pop_front();
        }
        let place = self.take(self.first)?;
        self.trim();
        let gauges = &place.note.gauges;
        gauges.late.fetch_add(1, Ordering::Relaxed);
        gauges.late_millis.fetch_add(now.wrapping_sub(place.since).into(), Ordering::Relaxed);
        Some(place.note.whole.clone())
    }

    /// Takes the oldest out that may give way.
    pub(super) fn give_way(&mut self) -> Option<Arc<Note>> {
        let from = self.gave_way.wrapping_sub(self.first) as usize;
        // Behind the first place, or left behind by places that went out.
        let from = if from > self.places.len() { 0 } else { from };
        let found = self.places.range(from..).position(|place| place.as_ref().is_some_and(|one| gives_way(&one.note)));
        let Some(found) = found else {
            self.gave_way = self.first.wrapping_add(self.places.len() as u32);
            return None;
        };
        let number = self.first.wrapping_add((from + found) as u32);
        self.gave_way = number;
        let place = self.take(number)?;
        self.settle();
        Some(place.note)
    }

    /// Takes out all of a channel; how many bytes they had.
    pub(super) fn forget(&mut self, channel: u64) -> usize {
        let mut bytes = 0;
        for at in 0..self.places.len() as u32 {
            let number = self.first.wrapping_add(at);
            let place = Self::at(&self.places, number, self.first);
            if place.is_some_and(|place| name(&place.note).0 == channel) {
                bytes += self.take(number).map_or(0, |place| place.note.whole.len());
            }
        }
        self.settle();
        bytes
    }

    /// Empties a place.
    fn take(&mut self, number: u32) -> Option<Place> {
        let place = self.places.get_mut(number.wrapping_sub(self.first) as usize)?.take()?;
        self.held -= 1;
        if !gives_way(&place.note) {
            self.shared -= place.note.whole.len();
            let hash = self.hasher.hash_one(name(&place.note));
            if let Ok(entry) = self.index.find_entry(hash, |known| *known == number) {
                entry.remove();
            }
        }
        Some(place)
    }

    /// Lets go of empty places at the front.
    fn trim(&mut self) {
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// Lets go of empty places wherever they are, once they are most of all.
    fn settle(&mut self) {
        self.trim();
        if self.places.len() < 2 * self.held as usize + 16 {
            return;
        }
        self.places.retain(Option::is_some);
        self.places.shrink_to(self.places.len() + 16);
        (self.first, self.gave_way) = (0, 0);
        self.index = HashTable::with_capacity(self.held as usize);
        let (places, hasher) = (&self.places, &self.hasher);
        let hash = |number: &u32| Self::at(places, *number, 0).map_or(0, |place| hasher.hash_one(name(&place.note)));
        for number in 0..places.len() as u32 {
            if Self::at(places, number, 0).is_some_and(|place| !gives_way(&place.note)) {
                self.index.insert_unique(hash(&number), number, hash);
            }
        }
    }

    /// Bytes of its own, without the frames.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        // Eight places for seven numbers, and a byte of control each.
        let buckets = (self.index.capacity() * 8 / 7).next_power_of_two();
        size_of::<Self>() + self.places.capacity() * size_of::<Option<Place>>() + buckets * (size_of::<u32>() + 1)
    }
}
