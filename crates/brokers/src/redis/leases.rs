//! Which partitions this node reads: leases in Redis, taken, renewed and given back.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_bridge::QueueError;
use redis::{Value, cmd};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lines::Lines;
use super::place::slot;
use crate::keys::Keys;

/// How long a lease holds without renewal, as Redis counts it.
const LEASE_MILLIS: u64 = 5000;
/// How long this node trusts it after it asked for it; less, so that it stops before another one starts.
const TRUST: Duration = Duration::from_millis(4000);
/// How often leases are renewed and free ones tried.
pub(super) const ROUND: Duration = Duration::from_secs(1);

/// Renews a lease if it is still this node's. A script, because between a look and a renewal it may change hands.
const RENEW: &str =
    "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) end return 0";
/// Gives a lease back if it is still this node's.
const RELEASE: &str = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";

/// One partition as this node sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    until: Option<Instant>,
    /// Counts how often it was taken, so that the reader sees a change of hands that it slept through.
    term: u64,
}

/// The leases of all partitions.
#[derive(Debug)]
pub(super) struct Leases {
    leases: Mutex<Vec<Lease>>,
    trouble: Mutex<Option<QueueError>>,
    /// Rings after each round.
    pub(super) round: Notify,
}

impl Leases {
    pub(super) fn new(partitions: u32) -> Self {
        let leases = Mutex::new(vec![Lease::default(); partitions as usize]);
        Self { leases, trouble: Mutex::new(None), round: Notify::new() }
    }

    /// The partitions held, each with its term.
    pub(super) fn held(&self) -> Vec<(u32, u64)> {
        let now = Instant::now();
        let leases = lock(&self.leases);
        let held = (0..).zip(leases.iter()).filter(|(_, lease)| is_held(lease, now));
        held.map(|(partition, lease)| (partition, lease.term)).collect()
    }

    /// Why the last round failed, if it did.
    pub(super) fn trouble(&self) -> Option<QueueError> {
        lock(&self.trouble).clone()
    }

    /// Renews what is held of these partitions and tries to take the rest.
    pub(super) async fn renew(&self, lines: &Lines, keys: &Keys, node: &str, partitions: Range<u32>) {
        let asked = Instant::now();
        let mut requests = Vec::new();
        let mut held = Vec::new();
        for partition in partitions.clone() {
            let is_held = lock(&self.leases).get(partition as usize).is_some_and(|lease| is_held(lease, asked));
            let key = keys.lease(partition);
            let request = if is_held {
                let mut renew = cmd("EVAL");
                renew.arg(RENEW).arg(1).arg(&key).arg(node).arg(LEASE_MILLIS);
                renew
            } else {
                let mut take = cmd("SET");
                take.arg(&key).arg(node).arg("NX").arg("PX").arg(LEASE_MILLIS);
                take
            };
            requests.push((slot(&key), request));
            held.push(is_held);
        }
        let replies = lines.run(requests).await;
        let trouble = replies.iter().find_map(|reply| reply.as_ref().err().cloned());
        let mut leases = lock(&self.leases);
        let renewed = leases.iter_mut().skip(partitions.start as usize);
        for (lease, (held, reply)) in renewed.zip(held.into_iter().zip(replies)) {
            match (held, reply) {
                (true, Ok(Value::Int(1))) => lease.until = Some(asked + TRUST),
                (true, Ok(Value::Int(_))) => lease.until = None,
                (false, Ok(Value::Okay)) => {
                    *lease = Lease { until: Some(asked + TRUST), term: lease.term + 1 };
                }
                // Not known, or another node's.
                _ => {}
            }
        }
        drop(leases);
        *lock(&self.trouble) = trouble;
        self.round.notify_waiters();
    }

    /// Gives back what is held; whoever reads has stopped before.
    pub(super) async fn release(&self, lines: &Lines, keys: &Keys, node: &str) {
        let held = self.held();
        for lease in lock(&self.leases).iter_mut() {
            lease.until = None;
        }
        let mut requests = Vec::new();
        for (partition, _) in held {
            let key = keys.lease(partition);
            let mut release = cmd("EVAL");
            release.arg(RELEASE).arg(1).arg(&key).arg(node);
            requests.push((slot(&key), release));
        }
        if !requests.is_empty()
            && let Some(error) = lines.run(requests).await.into_iter().find_map(Result::err)
        {
            tracing::debug!(%error, "Leases could not be given back; they run out by themselves.");
        }
    }
}

fn is_held(lease: &Lease, now: Instant) -> bool {
    lease.until.is_some_and(|until| now < until)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
