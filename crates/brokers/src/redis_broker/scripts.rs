//! The steps that Redis does in one piece.

use jackfield_cluster::{Interest, Outgoing};
use jackfield_hub::Forgetting;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisResult, Script, cmd};

use super::names::Names;
use super::reply;
use super::shard::Live;

const PUBLISH: &str = include_str!("publish.lua");
const READ: &str = include_str!("read.lua");
const FORGET: &str = include_str!("forget.lua");

/// Known by their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    publish: Script,
    read: Script,
    forget: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { publish: Script::new(PUBLISH), read: Script::new(READ), forget: Script::new(FORGET) }
    }

    /// Makes the server know them.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut load = Pipeline::new();
        for text in [PUBLISH, READ, FORGET] {
            load.cmd("SCRIPT").arg("LOAD").arg(text);
        }
        connection.req_packed_commands(&load, 0, 3).await?.into_iter().try_for_each(reply::fine)
    }

    /// A publication; one that is kept nowhere needs no script.
    pub(super) fn publish(&self, names: &Names, out: &Outgoing, (live, spread): (&Live, &'static str)) -> Cmd {
        let Outgoing { channel, body, id, again, fresh_for, keep, key, removes, idempotency_key, version } = out;
        let Some(keep) = keep else {
            let mut command = cmd(spread);
            command.arg(names.topic(channel)).arg([b"::", &body[..]].concat());
            return command;
        };
        let mut command = cmd("EVALSHA");
        command.arg(self.publish.get_hash()).arg(5);
        command.arg(names.meta(channel)).arg(names.stream(channel)).arg(names.values(channel));
        command.arg(names.result(channel, idempotency_key)).arg(names.taken(channel));
        command.arg(&body[..]).arg(&id.to_be_bytes()).arg(u8::from(*again));
        // A key that lives for less than a millisecond is none.
        command.arg(keep.size).arg(keep.ttl.max(1)).arg(keep.meta_ttl.max(1)).arg(keep.keys);
        command.arg(&*keep.epoch).arg(&live.life).arg(u8::from(live.is_safe));
        command.arg(key.as_deref().unwrap_or_default()).arg(u8::from(*removes));
        command.arg(u8::from(!idempotency_key.is_empty()));
        let (version, life) = version.as_ref().map_or((0, ""), |(version, life)| (*version, &**life));
        command.arg(version).arg(life).arg(names.topic(channel)).arg(spread);
        command.arg(fresh_for.and_then(|left| live.clock.after(left)).unwrap_or_default());
        command
    }

    /// What is kept of a channel.
    pub(super) fn read(&self, names: &Names, interest: &Interest, live: &Live) -> Cmd {
        let Interest { channel, keep, after } = interest;
        let keep = keep.clone().unwrap_or_default();
        let mut command = cmd("EVALSHA");
        command.arg(self.read.get_hash()).arg(3);
        command.arg(names.meta(channel)).arg(names.stream(channel)).arg(names.values(channel));
        command.arg(&*keep.epoch).arg(&live.life).arg(u8::from(live.is_safe)).arg(keep.meta_ttl.max(1));
        let (after, epoch) = after.as_ref().map_or((0, ""), |after| (after.offset, &*after.epoch));
        command.arg(after).arg(epoch).arg(u8::from(keep.keys > 0));
        command
    }

    pub(super) fn forget(&self, names: &Names, channel: &str, what: Forgetting) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(self.forget.get_hash()).arg(3);
        command.arg(names.meta(channel)).arg(names.stream(channel)).arg(names.values(channel));
        command.arg(u8::from(what == Forgetting::Life));
        command
    }
}
