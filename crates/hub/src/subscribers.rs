//! The subscribers of one channel on one worker: a dense list that the hot loop walks.

use hashbrown::HashMap;

use crate::parcel::EncodingId;

/// One subscriber, as the hot loop needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    /// Publications numbered up to here were before its time.
    pub(crate) from: u64,
    /// Index of the connection.
    pub(crate) slot: u32,
    /// How it wants its frames.
    pub(crate) encoding: EncodingId,
    /// Whether it hears who comes and goes.
    pub(crate) hears_members: bool,
}

/// Up to this many a walk through the list finds a slot as fast as a map would.
const WALK: usize = 32;

/// The list, and an index of it once it is long.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    list: Vec<Subscriber>,
    places: Option<Box<HashMap<u32, u32, ahash::RandomState>>>,
}

impl Subscribers {
    pub(crate) fn as_slice(&self) -> &[Subscriber] {
        &self.list
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn insert(&mut self, subscriber: Subscriber) {
        let place = self.list.len() as u32;
        self.list.push(subscriber);
        if let Some(places) = &mut self.places {
            places.insert(subscriber.slot, place);
        } else if self.list.len() > WALK {
            self.places = Some(Box::new(self.list.iter().enumerate().map(|(i, s)| (s.slot, i as u32)).collect()));
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let place = match &mut self.places {
            Some(places) => places.remove(&slot).map(|place| place as usize),
            None => self.list.iter().position(|s| s.slot == slot),
        };
        let Some(place) = place else { return false };
        self.list.swap_remove(place);
        if let (Some(places), Some(moved)) = (&mut self.places, self.list.get(place)) {
            places.insert(moved.slot, place as u32);
        }
        if self.list.len() <= WALK / 2 {
            self.places = None;
        }
        if self.list.capacity() > 64 && self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
            if let Some(places) = &mut self.places {
                places.shrink_to(self.list.len() * 2);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_again_in_any_order() {
        let mut subscribers = Subscribers::default();
        for slot in 0..1000 {
            subscribers.insert(Subscriber { from: 0, slot, encoding: EncodingId(0), hears_members: false });
        }
        for slot in (0..1000).map(|i| (i * 7919) % 1000) {
            assert!(subscribers.remove(slot), "slot {slot}");
            assert!(!subscribers.remove(slot));
            assert!(subscribers.as_slice().iter().all(|s| s.slot != slot));
        }
        assert!(subscribers.is_empty());
        assert!(subscribers.places.is_none());
    }
}
