//! The subscribers of one channel on one worker: dense lists that the hot loop walks.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::aggregate::Aggregate;
use crate::aggregator::Aggregator;
use crate::filter::Filter;
use crate::interest::Interest;
use crate::namespace::Delivery;
use crate::parcel::EncodingId;
use crate::sampler::Sampler;

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

/// A subscriber with wishes of its own.
#[derive(Clone, Debug)]
pub(crate) struct Special {
    pub(crate) base: Subscriber,
    /// What it wants to hear.
    pub(crate) filter: Option<Arc<Filter>>,
    /// What of that it wants to hear just now, where the namespace has interest keys.
    pub(crate) interest: Option<Arc<Interest>>,
    /// What becomes of what it cannot take.
    pub(crate) delivery: Delivery,
    /// It wants deltas.
    pub(crate) delta: bool,
    /// It has the publication before, so it can read a delta.
    pub(crate) primed: bool,
    /// How often its connection had been blocked when it got that.
    pub(crate) stirs: u16,
}

/// Anything that has a slot.
pub(crate) trait InSlot {
    fn slot(&self) -> u32;
}

impl InSlot for Subscriber {
    fn slot(&self) -> u32 {
        self.slot
    }
}

impl InSlot for Special {
    fn slot(&self) -> u32 {
        self.base.slot
    }
}

/// Up to this many a walk through the list finds a slot as fast as a map would.
const WALK: usize = 32;

/// A dense list, and an index of it once it is long.
#[derive(Debug)]
pub(crate) struct Dense<T> {
    list: Vec<T>,
    places: Option<Box<HashMap<u32, u32, ahash::RandomState>>>,
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { list: Vec::new(), places: None }
    }
}

impl<T: InSlot> Dense<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        &self.list
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.list
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn in_slot_mut(&mut self, slot: u32) -> Option<&mut T> {
        let place = match &self.places {
            Some(places) => *places.get(&slot)? as usize,
            None => self.list.iter().position(|one| one.slot() == slot)?,
        };
        self.list.get_mut(place)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn insert(&mut self, one: T) {
        let place = self.list.len() as u32;
        let slot = one.slot();
        self.list.push(one);
        if let Some(places) = &mut self.places {
            places.insert(slot, place);
        } else if self.list.len() > WALK {
            self.places = Some(Box::new(self.list.iter().enumerate().map(|(i, s)| (s.slot(), i as u32)).collect()));
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let place = match &mut self.places {
            Some(places) => places.remove(&slot).map(|place| place as usize),
            None => self.list.iter().position(|s| s.slot() == slot),
        };
        let Some(place) = place else { return false };
        self.list.swap_remove(place);
        if let (Some(places), Some(moved)) = (&mut self.places, self.list.get(place)) {
            places.insert(moved.slot(), place as u32);
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

/// All subscribers of one channel on one worker.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// The many, who hear everything as it comes.
    pub(crate) plain: Dense<Subscriber>,
    /// The few.
    pub(crate) more: Option<Box<Wishful>>,
    /// Some of them, now or before, need not get everything.
    pub(crate) is_gentle: bool,
}

/// Subscribers with wishes of their own.
#[derive(Debug, Default)]
pub(crate) struct Wishful {
    pub(crate) specials: Dense<Special>,
    /// Those who hear so many a second, by that number and what they want to hear.
    pub(crate) samplers: Vec<Sampler>,
    /// Those who hear figures instead, by what they want reckoned.
    pub(crate) aggregators: Vec<Aggregator>,
}

impl Wishful {
    fn lists(&self) -> impl Iterator<Item = &Dense<Special>> {
        let sampled = self.samplers.iter().map(|sampler| &sampler.listeners);
        let reckoned = self.aggregators.iter().map(|aggregator| &aggregator.listeners);
        std::iter::once(&self.specials).chain(sampled).chain(reckoned)
    }
}

impl Subscribers {
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.more.as_ref().map_or(0, |more| more.lists().map(Dense::len).sum())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.more.is_none()
    }

    /// Every slot that listens.
    pub(crate) fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = self.plain.as_slice().iter().map(|one| one.slot).collect();
        if let Some(more) = &self.more {
            slots.extend(more.lists().flat_map(Dense::as_slice).map(InSlot::slot));
        }
        slots
    }

    pub(crate) fn insert_special(&mut self, special: Special) {
        let more = self.more.get_or_insert_default();
        let Delivery::Sampled(rate) = special.delivery else { return more.specials.insert(special) };
        let is_same = |sampler: &&mut Sampler| sampler.rate == rate && sampler.filter == special.filter;
        match more.samplers.iter_mut().find(is_same) {
            Some(sampler) => sampler.listeners.insert(special),
            None => {
                let mut sampler = Sampler::new(rate, special.filter.clone());
                sampler.listeners.insert(special);
                more.samplers.push(sampler);
            }
        }
    }

    /// Lets one in that hears figures instead of publications.
    pub(crate) fn insert_reckoned(&mut self, special: Special, aggregate: &Arc<Aggregate>, channel: &Arc<str>) {
        let aggregators = &mut self.more.get_or_insert_default().aggregators;
        let is_same = |one: &&mut Aggregator| one.aggregate == *aggregate && one.filter == special.filter;
        match aggregators.iter_mut().find(is_same) {
            Some(aggregator) => aggregator.listeners.insert(special),
            None => {
                let place = (Arc::clone(channel), special.base.from);
                let mut aggregator = Aggregator::new(Arc::clone(aggregate), special.filter.clone(), place);
                aggregator.listeners.insert(special);
                aggregators.push(aggregator);
            }
        }
    }

    /// A subscriber with wishes of its own.
    pub(crate) fn special_mut(&mut self, slot: u32) -> Option<&mut Special> {
        let more = self.more.as_mut()?;
        let sampled = more.samplers.iter_mut().find_map(|sampler| sampler.listeners.in_slot_mut(slot));
        // Why in this order: the borrow of the one must not outlast the search in the others.
        if sampled.is_some() { sampled } else { more.specials.in_slot_mut(slot) }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        if self.plain.remove(slot) {
            return;
        }
        let Some(more) = &mut self.more else { return };
        if !more.specials.remove(slot) {
            for sampler in &mut more.samplers {
                sampler.listeners.remove(slot);
            }
            more.samplers.retain(|sampler| !sampler.listeners.is_empty());
            for aggregator in &mut more.aggregators {
                aggregator.listeners.remove(slot);
            }
            more.aggregators.retain(|aggregator| !aggregator.listeners.is_empty());
        }
        if more.specials.is_empty() && more.samplers.is_empty() && more.aggregators.is_empty() {
            self.more = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_again_in_any_order() {
        let mut subscribers = Subscribers::default();
        let base = |slot| Subscriber { from: 0, slot, encoding: EncodingId(0), hears_members: false };
        for slot in 0..1000 {
            match slot % 3 {
                0 => subscribers.plain.insert(base(slot)),
                kind => subscribers.insert_special(Special {
                    base: base(slot),
                    filter: None,
                    interest: None,
                    delivery: if kind == 1 { Delivery::Latest } else { Delivery::Sampled((slot % 5) as u16 + 1) },
                    delta: false,
                    primed: false,
                    stirs: 0,
                }),
            }
        }
        assert_eq!((subscribers.len(), subscribers.slots().len()), (1000, 1000));
        for (gone, slot) in (0..1000).map(|i| (i * 7919) % 1000).enumerate() {
            subscribers.remove(slot);
            subscribers.remove(slot);
            assert_eq!(subscribers.len(), 999 - gone);
            assert!(!subscribers.slots().contains(&slot));
        }
        assert!(subscribers.is_empty());
        assert!(subscribers.plain.places.is_none());
    }
}
