//! One worker's half of the hub: which of its connections listen to what, and the loop that serves them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jackfield_model::Millis;
use jackfield_model::client::Push;

use crate::aggregate::Aggregate;
use crate::directory::Joined;
use crate::filter::Filter;
use crate::interest::Interest;
use crate::namespace::Delivery;
use crate::outbox::{Note, Outbox};
use crate::parcel::{Encoder, EncodingId, MAX_ENCODINGS, Parcel};
use crate::subscribers::{Special, Subscriber, Subscribers};

/// A connection's place among the subscribers of a channel.
#[derive(Clone, Debug, Default)]
pub struct Seat {
    /// Index of the connection.
    pub slot: u32,
    /// How it wants its frames.
    pub encoding: EncodingId,
    /// Whether it hears who comes and goes.
    pub hears_members: bool,
    /// What it wants to hear.
    pub filter: Option<Arc<Filter>>,
    /// What of that it wants to hear just now, where the namespace has interest keys.
    pub interest: Option<Arc<Interest>>,
    /// What becomes of what it cannot take.
    pub delivery: Delivery,
    /// It wants deltas.
    pub delta: bool,
    /// It has the latest value of every key, so that it can read deltas from the first one on.
    pub has_values: bool,
    /// It hears figures of windows instead of publications.
    pub aggregate: Option<Arc<Aggregate>>,
}

/// The subscriber tables of one worker. Pure: no lock, no clock, no socket.
#[derive(Debug, Default)]
pub struct Shard {
    channels: HashMap<u64, Subscribers, ahash::RandomState>,
    /// Channels with publications that wait for their moment.
    due: BTreeSet<(Millis, u64)>,
    /// Who left a channel of which something may still wait for it: channel and slot.
    left: Vec<(u64, u32)>,
}

const UNKNOWN: u32 = u32::MAX;
const WORDLESS: u32 = u32::MAX - 1;

impl Shard {
    /// Lets a connection listen. Mail up to `joined.sequence` was before its time and is not delivered to it.
    pub fn join(&mut self, joined: &Joined, seat: Seat) {
        let Seat { slot, encoding, hears_members, filter, interest, delivery, delta, has_values, aggregate } = seat;
        let base = Subscriber { from: joined.sequence, slot, encoding, hears_members };
        let subscribers = self.channels.entry(joined.key).or_default();
        subscribers.is_gentle |= delivery != Delivery::All || joined.options.delivery != Delivery::All;
        let is_sampled = matches!(delivery, Delivery::Sampled(_));
        // A delivery that is the namespace's own needs no word about it, but for one that keeps time.
        let hears_all = filter.is_none() && interest.is_none();
        if hears_all && !delta && !is_sampled && delivery == joined.options.delivery && aggregate.is_none() {
            return subscribers.plain.insert(base);
        }
        let special = Special { base, filter, interest, delivery, delta, primed: has_values, stirs: 0 };
        match aggregate {
            Some(aggregate) => subscribers.insert_reckoned(special, &aggregate, &joined.name),
            None => subscribers.insert_special(special),
        }
    }

    /// A subscriber wants to hear something else from now on. Returns what it wanted before, and its filter; `None` if it
    /// has no interest keys, or is not there.
    pub fn turn_to(
        &mut self,
        key: u64,
        slot: u32,
        interest: Arc<Interest>,
    ) -> Option<(Arc<Interest>, Option<Arc<Filter>>)> {
        let special = self.channels.get_mut(&key)?.special_mut(slot)?;
        let before = std::mem::replace(special.interest.as_mut()?, interest);
        Some((before, special.filter.clone()))
    }

    /// Lets a connection go; true if it was the last one of that channel on this worker.
    pub fn leave(&mut self, key: u64, slot: u32) -> bool {
        let Entry::Occupied(mut entry) = self.channels.entry(key) else { return false };
        entry.get_mut().remove(slot);
        if entry.get().is_gentle {
            self.left.push((key, slot));
        }
        let last = entry.get().is_empty();
        if last {
            entry.remove();
            if self.channels.capacity() > 1024 && self.channels.len() < self.channels.capacity() / 8 {
                self.channels.shrink_to(self.channels.len() * 2);
            }
        }
        last
    }

    /// Channels that somebody has left since this was last asked, and their slots; only of those whose publications need
    /// not reach everybody. Whoever keeps publications for them calls [`Outbox::forget`].
    pub fn take_left(&mut self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.left)
    }

    /// Subscribers of a channel on this worker.
    #[must_use]
    pub fn count(&self, key: u64) -> usize {
        self.channels.get(&key).map_or(0, Subscribers::len)
    }

    /// Their slots.
    #[must_use]
    pub fn slots(&self, key: u64) -> Vec<u32> {
        self.channels.get(&key).map(Subscribers::slots).unwrap_or_default()
    }

    /// The hot loop: one index per subscriber, one encoding per encoding.
    ///
    /// Returns the number of deliveries.
    pub fn deliver(
        &mut self,
        key: u64,
        sequence: u64,
        parcel: &Arc<Parcel>,
        now: Millis,
        (outbox, encoder): (&mut Outbox, &dyn Encoder),
    ) -> usize {
        let Some(subscribers) = self.channels.get_mut(&key) else { return 0 };
        let mut palette = [UNKNOWN; MAX_ENCODINGS];
        let mut delivered = 0;
        let to_all = !matches!(parcel.push(), Push::Join(..) | Push::Leave(..));
        for subscriber in subscribers.plain.as_slice() {
            if subscriber.from >= sequence || !(to_all || subscriber.hears_members) {
                continue;
            }
            let known = &mut palette[usize::from(subscriber.encoding.0) % MAX_ENCODINGS];
            if *known == UNKNOWN {
                *known = parcel.frame(subscriber.encoding, encoder).map_or(WORDLESS, |frame| {
                    let delivery = parcel.origin().map_or(Delivery::All, |origin| origin.options.delivery);
                    outbox.add_noted(frame.clone(), note(parcel, delivery, frame))
                });
            }
            if *known == WORDLESS {
                continue;
            }
            outbox.push(subscriber.slot, *known);
            delivered += 1;
        }
        let Some(more) = &mut subscribers.more else { return delivered };
        let mut round = Round { sequence, parcel, outbox, encoder, made: Vec::new() };
        for special in more.specials.as_mut_slice() {
            delivered += usize::from(round.serve(special));
        }
        for sampler in &mut more.samplers {
            let is_publication = parcel.content().is_some();
            if !is_publication || (sampler.wants(parcel) && sampler.admit(sequence, parcel, now)) {
                for special in sampler.listeners.as_mut_slice() {
                    delivered += usize::from(round.serve(special));
                }
            }
            self.due.extend(sampler.next_due().map(|due| (due, key)));
        }
        for aggregator in &mut more.aggregators {
            let Some(publication) = parcel.content() else {
                delivered += aggregator
                    .listeners
                    .as_mut_slice()
                    .iter_mut()
                    .filter_map(|one| round.serve(one).then_some(()))
                    .count();
                continue;
            };
            aggregator.take(sequence, publication, now);
            self.due.extend(aggregator.next_due().map(|due| (due, key)));
        }
        delivered
    }

    /// When [`Self::keep_time`] wants to be called.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Sends what waited for its moment. Returns the number of deliveries.
    pub fn keep_time(&mut self, now: Millis, (outbox, encoder): (&mut Outbox, &dyn Encoder)) -> usize {
        let mut delivered = 0;
        while let Some((due, key)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, key));
            let Some(more) = self.channels.get_mut(&key).and_then(|subscribers| subscribers.more.as_mut()) else {
                continue;
            };
            for sampler in &mut more.samplers {
                for (sequence, parcel) in sampler.release(now) {
                    let mut round = Round { sequence, parcel: &parcel, outbox, encoder, made: Vec::new() };
                    for special in sampler.listeners.as_mut_slice() {
                        delivered += usize::from(round.serve(special));
                    }
                }
                self.due.extend(sampler.next_due().map(|due| (due, key)));
            }
            for aggregator in &mut more.aggregators {
                if let Some(parcel) = aggregator.release(now) {
                    let mut round = Round { sequence: u64::MAX, parcel: &parcel, outbox, encoder, made: Vec::new() };
                    for special in aggregator.listeners.as_slice() {
                        // Neither filter nor interest: these were asked of what was reckoned.
                        delivered += usize::from(round.send(special, Shape::Bare));
                    }
                }
                self.due.extend(aggregator.next_due().map(|due| (due, key)));
            }
        }
        delivered
    }
}

fn note(parcel: &Parcel, delivery: Delivery, whole: &Bytes) -> Option<Arc<Note>> {
    if delivery == Delivery::All {
        return None;
    }
    let (publication, origin) = (parcel.content()?, parcel.origin()?);
    Some(Arc::new(Note {
        channel: origin.channel,
        key: publication.key().cloned(),
        gauges: Arc::clone(&origin.options.gauges),
        delivery,
        whole: whole.clone(),
    }))
}

/// Which of the three forms of a publication a subscriber hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    Bare,
    Whole,
    Patch,
}

type Made = ((EncodingId, Delivery, Shape), u32);

/// One parcel on its way to subscribers with wishes of their own.
struct Round<'r> {
    sequence: u64,
    parcel: &'r Arc<Parcel>,
    outbox: &'r mut Outbox,
    encoder: &'r dyn Encoder,
    /// The few frames that were needed so far.
    made: Vec<Made>,
}

impl Round<'_> {
    fn serve(&mut self, special: &mut Special) -> bool {
        if special.base.from >= self.sequence {
            return false;
        }
        let Some(publication) = self.parcel.content() else {
            let to_all = !matches!(self.parcel.push(), Push::Join(..) | Push::Leave(..));
            return (to_all || special.base.hears_members) && self.send(special, Shape::Bare);
        };
        if special.filter.as_ref().is_some_and(|filter| !filter.matches(publication.tags())) {
            return false;
        }
        if let Some(interest) = &special.interest
            && let Some(by) = self.parcel.origin().and_then(|origin| origin.options.interest.as_ref())
            && !interest.wants(by, publication)
        {
            return false;
        }
        let shape = if !special.delta || publication.is_removal() { Shape::Bare } else { self.shape(special) };
        self.send(special, shape)
    }

    /// A delta, if it is certain that the reader has what it is made against.
    fn shape(&self, special: &mut Special) -> Shape {
        // Who does not hear every publication may not have the one before; of a map, that is the one of the same key.
        let is_map = self.parcel.origin().is_some_and(|origin| origin.options.is_map());
        let skips = match special.delivery {
            Delivery::Sampled(_) => true,
            Delivery::DropOldest => is_map,
            Delivery::All | Delivery::Latest => false,
        } || special.filter.is_some()
            || special.interest.is_some();
        let stirs = self.outbox.stirs(special.base.slot);
        let is_steady = special.delivery == Delivery::All || stirs == Some(special.stirs);
        let has_before = special.primed && is_steady && !skips;
        special.primed = true;
        special.stirs = stirs.unwrap_or(special.stirs);
        if special.delivery != Delivery::All && stirs.is_none() {
            // What waits may be replaced; after that the reader begins with a whole one.
            special.primed = false;
        }
        if has_before && self.parcel.patch().is_some() { Shape::Patch } else { Shape::Whole }
    }

    fn send(&mut self, special: &Special, shape: Shape) -> bool {
        let encoding = special.base.encoding;
        let wanted = (encoding, special.delivery, shape);
        let known = match self.made.iter().find(|(made, _)| *made == wanted) {
            Some((_, frame)) => *frame,
            None => {
                let frame = self.make(wanted);
                self.made.push((wanted, frame));
                frame
            }
        };
        if known != WORDLESS {
            self.outbox.push(special.base.slot, known);
        }
        known != WORDLESS
    }

    fn make(&mut self, (encoding, delivery, shape): (EncodingId, Delivery, Shape)) -> u32 {
        let parcel = match shape {
            Shape::Bare => Some(&**self.parcel),
            Shape::Whole => Some(self.parcel.whole()),
            Shape::Patch => self.parcel.patch(),
        };
        let Some(frame) = parcel.and_then(|parcel| parcel.frame(encoding, self.encoder)) else { return WORDLESS };
        let whole = match shape {
            Shape::Patch => self.parcel.whole().frame(encoding, self.encoder).unwrap_or(frame),
            Shape::Bare | Shape::Whole => frame,
        };
        self.outbox.add_noted(frame.clone(), note(self.parcel, delivery, whole))
    }
}
