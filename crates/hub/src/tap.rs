//! The tap: who hears whole channels without subscribing, on the node that takes their publications.

use std::fmt::Debug;
use std::sync::Arc;

use jackfield_model::{Position, Publication};

use crate::directory::Channel;
use crate::hub::Hub;

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

    /// Tells who hears the whole channel.
    pub(crate) fn tell_tap(&self, entry: &Channel, publication: &Arc<Publication>) {
        let Some(tap) = self.tap.as_ref().filter(|_| entry.is_tapped) else { return };
        let stream = entry.stream.as_ref().filter(|_| publication.offset > 0);
        let position = stream.map(|stream| Position { offset: publication.offset, epoch: Arc::clone(stream.epoch()) });
        tap.heard(&entry.name, publication, position);
    }
}
