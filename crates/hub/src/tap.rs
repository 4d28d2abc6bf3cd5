//! The tap: who hears whole channels without subscribing, on the node that takes their publications.

use std::fmt::Debug;
use std::sync::Arc;

use jackfield_model::{Millis, Position, Publication, Rare};

use crate::directory::Channel;
use crate::hub::Hub;
use crate::journal::Ticket;
use crate::publish::{Published, Publishing};

/// What hears the publications of channels of its choice, each once in the cluster: where it was taken.
pub trait Tap: Debug + Send + Sync {
    /// Whether it hears a channel. Asked when the hub begins to know the channel, not with each publication.
    fn wants(&self, channel: &str) -> bool;

    /// Hears a publication, in the order of the channel. It is called under the lock that publications are numbered under:
    /// it must not block and not call the hub.
    fn heard(&self, channel: &Arc<str>, publication: &Arc<Publication>, position: Option<Position>);
}

impl Hub {
    /// Who hears whole channels; before the first channel is known.
    pub fn set_tap(&mut self, tap: Arc<dyn Tap>) {
        self.tap = Some(tap);
    }

    /// Whether somebody hears the whole channel.
    pub(crate) fn is_tapped(&self, channel: &str) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.wants(channel))
    }

    /// Tells who hears the whole channel. What a broker shows was told by the node that sent it.
    pub(crate) fn tell_tap(&self, entry: &Channel, publication: &Arc<Publication>) {
        let Some(tap) = self.tap.as_ref().filter(|_| entry.is_tapped && !self.is_shared()) else { return };
        let stream = entry.stream.as_ref().filter(|_| publication.offset > 0);
        let position = stream.map(|stream| Position { offset: publication.offset, epoch: Arc::clone(stream.epoch()) });
        tap.heard(&entry.name, publication, position);
    }

    /// A ticket that tells who hears the whole channel when a broker has a publication, and then whoever waits for that.
    pub(crate) fn tap_ticket(
        &self,
        channel: &str,
        publishing: &Publishing,
        ticket: Option<Ticket>,
        now: Millis,
    ) -> Option<Ticket> {
        let Some(tap) = self.tap.as_ref().filter(|tap| tap.wants(channel)) else { return ticket };
        let (tap, hub, name) = (Arc::clone(tap), self.me.get().cloned(), Arc::<str>::from(channel));
        let publication = told(publishing, now);
        Some(Ticket::Then(Box::new(move |outcome| {
            if let Ok(Published { position, suppressed: None }) = &outcome {
                let offset = position.as_ref().map_or(0, |position| position.offset);
                tap.heard(&name, &Arc::new(Publication { offset, ..publication }), position.clone());
            }
            if let Some(hub) = hub.and_then(|hub| hub.upgrade()) {
                hub.settle(ticket, outcome);
            }
        })))
    }
}

/// A publication as its publisher made it.
fn told(publishing: &Publishing, now: Millis) -> Publication {
    let more = publishing.more.as_deref();
    let key = more.map(|more| more.key.as_str()).filter(|key| !key.is_empty()).map(Arc::from);
    let score = more.map_or(0, |more| more.score);
    let rare = Rare { key, removed: publishing.removes, score, ..Rare::default() };
    Publication {
        offset: 0,
        data: more.and_then(|more| more.stream_data.clone()).unwrap_or_else(|| publishing.data.clone()),
        info: publishing.info.clone(),
        tags: publishing.tags.clone(),
        time: now,
        rare: (rare != Rare::default()).then(|| Box::new(rare)),
    }
}
