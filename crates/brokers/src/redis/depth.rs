//! How much waits in Redis. Ages are by Redis' own clock, which the numbers of entries are made by.

use std::time::Duration;

use jackfield_bridge::{Depth, Oldest, QueueError};
use redis::{Cmd, Value, cmd};

use super::lines::{Lines, Request};
use super::place::slot;
use super::values;
use crate::keys::Keys;

/// Partitions that are looked at in one go, so that events wait behind little.
const TOGETHER: u32 = 64;
/// Requests for one partition.
const REQUESTS: usize = 7;

/// Looks at every partition. A part of a cluster that is away makes the whole unknown.
pub(super) async fn read(lines: &Lines, keys: &Keys, partitions: u32) -> Result<Depth, QueueError> {
    let (mut depth, mut oldest, mut first) = (Depth::default(), Oldest::default(), 0);
    while first < partitions {
        let last = partitions.min(first + TOGETHER);
        let requests: Vec<Request> = (first..last).flat_map(|partition| requests(keys, partition)).collect();
        let replies: Vec<Value> = lines.run(requests).await.into_iter().collect::<Result<_, _>>()?;
        for replies in replies.chunks_exact(REQUESTS) {
            let [commands, events, dead, dead_events, now, command, event] = replies else { continue };
            depth.commands += length(commands);
            depth.events += length(events);
            depth.dead += length(dead) + length(dead_events);
            let now = values::millis(now);
            oldest.command = oldest.command.max(age(now, command));
            oldest.event = oldest.event.max(age(now, event));
        }
        first = last;
    }
    depth.oldest = Some(oldest);
    Ok(depth)
}

fn requests(keys: &Keys, partition: u32) -> [Request; REQUESTS] {
    let (commands, events) = (keys.commands(partition), keys.events(partition));
    let at = slot(&commands);
    let length = |key: &str| cmd("XLEN").arg(key).to_owned();
    let oldest = |key: &str| cmd("XRANGE").arg(key).arg("-").arg("+").arg("COUNT").arg(1).to_owned();
    let asked: [Cmd; REQUESTS] = [
        length(&commands),
        length(&events),
        length(&keys.dead(partition)),
        length(&keys.dead_events(partition)),
        cmd("TIME"),
        oldest(&commands),
        oldest(&events),
    ];
    asked.map(|request| (at, request))
}

fn length(reply: &Value) -> u64 {
    match reply {
        Value::Int(length) => u64::try_from(*length).unwrap_or_default(),
        _ => 0,
    }
}

fn age(now: u64, oldest: &Value) -> Duration {
    let born = values::first(oldest).map_or(now, |(millis, _)| millis);
    Duration::from_millis(now.saturating_sub(born))
}
