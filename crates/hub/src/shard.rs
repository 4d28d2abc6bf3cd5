//! One worker's half of the hub: which of its connections listen to what, and the loop that serves them.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jackfield_model::client::Push;

use crate::directory::Joined;
use crate::outbox::Outbox;
use crate::parcel::{Encoder, EncodingId, MAX_ENCODINGS, Parcel};
use crate::subscribers::{Subscriber, Subscribers};

/// The subscriber tables of one worker. Pure: no lock, no clock, no socket.
#[derive(Debug, Default)]
pub struct Shard {
    channels: HashMap<u64, Subscribers, ahash::RandomState>,
}

const UNKNOWN: u32 = u32::MAX;
const WORDLESS: u32 = u32::MAX - 1;

impl Shard {
    /// Lets a connection listen. Mail up to `joined.sequence` was before its time and is not delivered to it.
    pub fn join(&mut self, joined: &Joined, slot: u32, encoding: EncodingId, hears_members: bool) {
        let subscriber = Subscriber { from: joined.sequence, slot, encoding, hears_members };
        self.channels.entry(joined.key).or_default().insert(subscriber);
    }

    /// Lets a connection go; true if it was the last one of that channel on this worker.
    pub fn leave(&mut self, key: u64, slot: u32) -> bool {
        let Entry::Occupied(mut entry) = self.channels.entry(key) else { return false };
        entry.get_mut().remove(slot);
        let last = entry.get().is_empty();
        if last {
            entry.remove();
            if self.channels.capacity() > 1024 && self.channels.len() < self.channels.capacity() / 8 {
                self.channels.shrink_to(self.channels.len() * 2);
            }
        }
        last
    }

    /// Subscribers of a channel on this worker.
    #[must_use]
    pub fn count(&self, key: u64) -> usize {
        self.channels.get(&key).map_or(0, Subscribers::len)
    }

    /// The hot loop: one index per subscriber, one encoding per encoding.
    ///
    /// Returns the number of deliveries.
    pub fn deliver(&self, key: u64, sequence: u64, parcel: &Arc<Parcel>, out: (&mut Outbox, &dyn Encoder)) -> usize {
        let Some(subscribers) = self.channels.get(&key) else { return 0 };
        let (outbox, encoder) = out;
        let mut palette = [UNKNOWN; MAX_ENCODINGS];
        let mut delivered = 0;
        let to_all = !matches!(parcel.push(), Push::Join(..) | Push::Leave(..));
        for subscriber in subscribers.as_slice() {
            if subscriber.from >= sequence || !(to_all || subscriber.hears_members) {
                continue;
            }
            let known = &mut palette[usize::from(subscriber.encoding.0) % MAX_ENCODINGS];
            if *known == UNKNOWN {
                *known = parcel.frame(subscriber.encoding, encoder).map_or(WORDLESS, |frame| outbox.add(frame.clone()));
            }
            if *known == WORDLESS {
                continue;
            }
            outbox.push(subscriber.slot, *known);
            delivered += 1;
        }
        delivered
    }
}
