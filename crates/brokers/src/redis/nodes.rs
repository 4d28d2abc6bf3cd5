//! The leases of nodes in Redis; the time is that of Redis.

use std::sync::atomic::{AtomicBool, Ordering};

use jackfield_bridge::{LostNode, NODE_LEASE, NodeLease, QueueError};
use redis::{Pipeline, Value};

use super::lines::Lines;
use super::place::slot;
use super::values;
use crate::keys::Keys;

/// How long others wait before they tell a loss that somebody is about to tell.
const TELLING_MILLIS: u64 = 10_000;

/// Renews a lease, and names those that ran out (id, name, and when it was seen first) and those that hold. The former are
/// put off, so that one node tells and not all.
const RENEW: &str = "\
local t=redis.call('time') local now=t[1]*1000+math.floor(t[2]/1000)
redis.call('hdel',KEYS[3],ARGV[1])
redis.call('zadd',KEYS[1],now+ARGV[3],ARGV[1]) redis.call('hset',KEYS[2],ARGV[1],ARGV[2])
local out={}
for _,uid in ipairs(redis.call('zrangebyscore',KEYS[1],'-inf',now)) do
redis.call('hsetnx',KEYS[3],uid,redis.call('zscore',KEYS[1],uid))
redis.call('zadd',KEYS[1],now+ARGV[4],uid)
out[#out+1]=uid out[#out+1]=redis.call('hget',KEYS[2],uid) or '' out[#out+1]=redis.call('hget',KEYS[3],uid)
end
local there={}
for _,uid in ipairs(redis.call('zrangebyscore',KEYS[1],now,'+inf')) do
if redis.call('hexists',KEYS[3],uid)==0 then there[#there+1]=uid end
end
return {out,there}";
/// Those that hold, as in [`RENEW`].
const THERE: &str = "\
local t=redis.call('time') local now=t[1]*1000+math.floor(t[2]/1000)
local there={}
for _,uid in ipairs(redis.call('zrangebyscore',KEYS[1],now,'+inf')) do
if redis.call('hexists',KEYS[3],uid)==0 then there[#there+1]=uid end
end
return there";
/// Forgets a lost node, but not one that has come back.
const SETTLE: &str = "\
if redis.call('hdel',KEYS[3],ARGV[1])==1 then redis.call('zrem',KEYS[1],ARGV[1]) redis.call('hdel',KEYS[2],ARGV[1]) end
return 1";
/// Gives a lease back.
const RELEASE: &str = "\
redis.call('zrem',KEYS[1],ARGV[1]) redis.call('hdel',KEYS[2],ARGV[1]) redis.call('hdel',KEYS[3],ARGV[1]) return 1";

/// This node among the others.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Whether there is a lease to give back.
    is_leased: AtomicBool,
}

impl Nodes {
    pub(super) async fn lease(
        &self,
        lines: &Lines,
        keys: &Keys,
        node: &NodeLease,
    ) -> Result<(Vec<LostNode>, Vec<String>), QueueError> {
        self.is_leased.store(true, Ordering::Release);
        let life = NODE_LEASE.as_millis().to_string();
        let telling = TELLING_MILLIS.to_string();
        let reply = run(lines, keys, RENEW, &[&node.uid, &node.name, &life, &telling]).await?;
        let Value::Array(parts) = reply else { return Ok((Vec::new(), Vec::new())) };
        let mut lists = parts.into_iter().map(texts);
        let (lost, there) = (lists.next().unwrap_or_default(), lists.next().unwrap_or_default());
        let lost = lost.chunks_exact(3).map(|lost| LostNode {
            node: NodeLease { uid: lost[0].clone(), name: lost[1].clone() },
            lost_at: lost[2].parse().unwrap_or_default(),
        });
        Ok((lost.collect(), there))
    }

    /// The nodes whose leases hold.
    pub(super) async fn there(&self, lines: &Lines, keys: &Keys) -> Result<Vec<String>, QueueError> {
        run(lines, keys, THERE, &[]).await.map(texts)
    }

    pub(super) async fn settle(&self, lines: &Lines, keys: &Keys, lost: &LostNode) -> Result<(), QueueError> {
        run(lines, keys, SETTLE, &[&lost.node.uid]).await.map(drop)
    }

    pub(super) async fn release(&self, lines: &Lines, keys: &Keys, uid: &str) {
        if self.is_leased.load(Ordering::Acquire)
            && let Err(error) = run(lines, keys, RELEASE, &[uid]).await
        {
            tracing::debug!(%error, "The lease of this node could not be given back; it will be told as lost.");
        }
    }
}

fn texts(list: Value) -> Vec<String> {
    let Value::Array(parts) = list else { return Vec::new() };
    let texts = parts.into_iter().filter_map(values::bytes);
    texts.map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
}

async fn run(lines: &Lines, keys: &Keys, script: &str, arguments: &[&str]) -> Result<Value, QueueError> {
    let nodes = keys.nodes();
    let mut pipeline = Pipeline::new();
    let eval = pipeline.cmd("EVAL").arg(script).arg(nodes.len());
    eval.arg(&nodes[..]).arg(arguments);
    let reply = lines.run_at(slot(&nodes[0]), &pipeline).await?.pop().unwrap_or(Value::Nil);
    super::link::refusal(&reply).map_or(Ok(reply), Err)
}
