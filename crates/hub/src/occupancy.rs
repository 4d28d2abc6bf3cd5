//! Tells when a channel gets its first subscriber, and when it loses its last.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::directory::Channel;
use crate::hub::Hub;

/// Hears of channels that come into use and go out of it; with several nodes, of those that this one keeps count of.
///
/// Both are called under the lock of the channel's table, or by the one task that keeps count for all nodes, so they
/// alternate and come in the order in which it happened.
/// Whoever hears must not block, and must not call the hub back.
pub trait Occupancy: Send + Sync {
    /// A channel has its first subscriber.
    fn occupied(&self, channel: &Arc<str>);

    /// A channel has lost its last subscriber.
    fn vacated(&self, channel: &Arc<str>);
}

/// The one who hears it, if anybody does.
#[derive(Default)]
pub(crate) struct Observer(OnceLock<Arc<dyn Occupancy>>);

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Observer").field(&self.0.get().is_some()).finish()
    }
}

impl Hub {
    /// Has channels of namespaces with `occupancy_events` watched; false if somebody does already.
    pub fn watch_occupancy(&self, observer: Arc<dyn Occupancy>) -> bool {
        self.observer.0.set(observer).is_ok()
    }

    /// A channel has its first subscriber on any node, or has lost its last.
    pub fn tell_occupancy(&self, channel: &Arc<str>, in_use: bool) {
        if let Some(observer) = self.observer.0.get() {
            if in_use { observer.occupied(channel) } else { observer.vacated(channel) }
        }
    }

    /// Call under the lock of the channel's table, when its members have become one.
    pub(crate) fn note_occupied(&self, entry: &Channel) {
        if entry.options.occupancy_events
            && let Some(observer) = self.observer.0.get()
        {
            match self.peers.get() {
                Some(peers) => peers.occupy(&entry.name, true),
                None => observer.occupied(&entry.name),
            }
        }
    }

    /// Call under the lock of the channel's table, when its members have become none.
    pub(crate) fn note_vacated(&self, entry: &Channel) {
        if entry.options.occupancy_events
            && let Some(observer) = self.observer.0.get()
        {
            match self.peers.get() {
                Some(peers) => peers.occupy(&entry.name, false),
                None => observer.vacated(&entry.name),
            }
        }
    }
}
