//! Which partitions this node reads: leases in Redis, taken, renewed and given back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_bridge::QueueError;
use redis::{Pipeline, Value};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::Link;
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

    /// Renews what is held and tries to take the rest.
    pub(super) async fn renew(&self, link: &Link, keys: &Keys, node: &str) {
        let asked = Instant::now();
        let held: Vec<bool> = lock(&self.leases).iter().map(|lease| is_held(lease, asked)).collect();
        let mut pipeline = Pipeline::new();
        for (partition, held) in (0..).zip(&held) {
            let key = keys.lease(partition);
            if *held {
                pipeline.cmd("EVAL").arg(RENEW).arg(1).arg(key).arg(node).arg(LEASE_MILLIS);
            } else {
                let set = pipeline.cmd("SET").arg(key).arg(node);
                set.arg("NX").arg("PX").arg(LEASE_MILLIS);
            }
        }
        let result = link.run(&pipeline).await;
        let trouble = match &result {
            Ok(replies) => replies.iter().find_map(super::link::refusal),
            Err(error) => Some(error.clone()),
        };
        for (lease, (held, reply)) in lock(&self.leases).iter_mut().zip(held.iter().zip(result.unwrap_or_default())) {
            match (held, reply) {
                (true, Value::Int(1)) => lease.until = Some(asked + TRUST),
                (true, Value::Int(_)) => lease.until = None,
                (false, Value::Okay) => {
                    *lease = Lease { until: Some(asked + TRUST), term: lease.term + 1 };
                }
                // Not known, or another node's.
                _ => {}
            }
        }
        *lock(&self.trouble) = trouble;
        self.round.notify_waiters();
    }

    /// Gives back what is held; whoever reads has stopped before.
    pub(super) async fn release(&self, link: &Link, keys: &Keys, node: &str) {
        let held = self.held();
        for lease in lock(&self.leases).iter_mut() {
            lease.until = None;
        }
        let mut pipeline = Pipeline::new();
        for (partition, _) in held {
            pipeline.cmd("EVAL").arg(RELEASE).arg(1).arg(keys.lease(partition)).arg(node);
        }
        if !pipeline.is_empty()
            && let Err(error) = link.run(&pipeline).await
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
