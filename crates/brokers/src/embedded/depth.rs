//! How much waits in the queue of this process.

use std::time::Duration;

use jackfield_bridge::{Depth, Oldest};

use super::Shared;
use super::stream::{Stream, StreamId};
use crate::keys::Keys;

/// Looks at every partition.
pub(super) fn read(shared: &Shared, keys: &Keys, partitions: u32) -> Depth {
    let (mut depth, mut oldest) = (Depth::default(), Oldest::default());
    let store = shared.store();
    // A key of another kind is none of ours.
    let stream = |key: String| store.stream(key.as_bytes()).ok().flatten();
    let length = |key: String| stream(key).map_or(0, |stream| stream.len() as u64);
    let now = shared.now();
    let age = |stream: &Stream| {
        let first = stream.range(StreamId::default(), StreamId::MAX, 1);
        first.first().map_or(Duration::ZERO, |(id, _)| Duration::from_millis(now.saturating_sub(id.millis)))
    };
    for partition in 0..partitions {
        if let Some(commands) = stream(keys.commands(partition)) {
            depth.commands += commands.len() as u64;
            oldest.command = oldest.command.max(age(commands));
        }
        if let Some(events) = stream(keys.events(partition)) {
            depth.events += events.len() as u64;
            oldest.event = oldest.event.max(age(events));
        }
        depth.dead += length(keys.dead(partition)) + length(keys.dead_events(partition));
    }
    depth.oldest = Some(oldest);
    depth
}
