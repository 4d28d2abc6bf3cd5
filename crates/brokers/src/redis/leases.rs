//! Which partitions this node reads: leases in Redis, taken, renewed and given back.
//!
//! Each node holds its share: it takes no more than that while others are there who have less, and gives back what is beyond
//! it. While shares change hands rounds follow each other more quickly, so that a partition is without a reader for some
//! tenths of a second. Before it gives one back it stops reading, waits until a read that was under way has returned, and until all it handed
//! out is settled; so the order goes on where it stopped, with the next owner. What nobody takes for some seconds is taken by
//! whoever sees it: no partition is without a reader because somebody was counted who is not there.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_bridge::QueueError;
use redis::{Value, cmd};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lines::{Lines, Request};
use super::place::slot;
use super::values;
use crate::keys::Keys;

/// How long a lease holds without renewal, as Redis counts it.
const LEASE_MILLIS: u64 = 5000;
/// How long this node trusts it after it asked for it; less, so that it stops before another one starts.
const TRUST: Duration = Duration::from_millis(4000);
/// How often leases are renewed and free ones tried.
pub(super) const ROUND: Duration = Duration::from_secs(1);
/// The same while partitions change hands.
const HURRY: Duration = Duration::from_millis(100);
/// For how long a node that came or went is a reason to hurry: what is not shared by then has another reason.
const HURRIED: Duration = Duration::from_secs(5);

/// A partition that was free for so long is taken whatever the share is.
const FREE: Duration = Duration::from_secs(3);
/// Takes a lease that is free (1), sees that it is (0), or names who has it.
const TAKE: &str = "\
local o=redis.call('get',KEYS[1]) if o then return o end
if ARGV[3]=='1' then redis.call('set',KEYS[1],ARGV[1],'PX',ARGV[2]) return 1 end
return 0";
/// Renews a lease if it is still this node's. A script, because between a look and a renewal it may change hands.
const RENEW: &str =
    "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) end return 0";
/// Gives a lease back if it is still this node's.
const RELEASE: &str = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";

/// One partition as this node sees it.
#[derive(Clone, Debug, Default)]
struct Lease {
    until: Option<Instant>,
    /// Since when it is not read any more, because another node is to have it.
    leaving: Option<Instant>,
    /// Which other node has it.
    owner: Option<String>,
    /// Since when nobody has it.
    free: Option<Instant>,
    /// Counts how often it was taken, so that the reader sees a change of hands that it slept through.
    term: u64,
}

/// The leases of all partitions.
#[derive(Debug)]
pub(super) struct Leases {
    leases: Mutex<Vec<Lease>>,
    trouble: Mutex<Option<QueueError>>,
    /// The nodes that are there, this one among them, and since when; empty as long as nobody has asked.
    nodes: Mutex<(Vec<String>, Option<Instant>)>,
    /// Rings after each round.
    pub(super) round: Notify,
}

impl Leases {
    pub(super) fn new(partitions: u32) -> Self {
        let leases = Mutex::new(vec![Lease::default(); partitions as usize]);
        Self { leases, trouble: Mutex::new(None), nodes: Mutex::default(), round: Notify::new() }
    }

    /// The partitions that are read, each with its term.
    pub(super) fn held(&self) -> Vec<(u32, u64)> {
        let now = Instant::now();
        let leases = lock(&self.leases);
        let held = (0..).zip(leases.iter()).filter(|(_, lease)| is_held(lease, now) && lease.leaving.is_none());
        held.map(|(partition, lease)| (partition, lease.term)).collect()
    }

    /// Why the last round failed, if it did.
    pub(super) fn trouble(&self) -> Option<QueueError> {
        lock(&self.trouble).clone()
    }

    /// These nodes are there.
    pub(super) fn among(&self, nodes: Vec<String>) {
        let mut known = lock(&self.nodes);
        if known.0 != nodes {
            *known = (nodes, Some(Instant::now()));
        }
    }

    /// How long until the next round.
    pub(super) fn pause(&self) -> Duration {
        let now = Instant::now();
        let is_news = lock(&self.nodes).1.is_some_and(|since| now - since < HURRIED);
        let share = self.share_of_one();
        let leases = lock(&self.leases);
        let held = leases.iter().filter(|lease| is_held(lease, now));
        let (count, leaving) =
            held.fold((0, false), |(count, leaving), lease| (count + 1, leaving || lease.leaving.is_some()));
        if leaving || is_news && count < share { HURRY } else { ROUND }
    }

    /// Renews what is held of these partitions, tries to take what is due of the rest, and gives back what is beyond the
    /// share. `is_busy`: whether
    /// commands of a partition that was given up then are handed out and not settled, or may still come.
    pub(super) async fn renew(
        &self,
        lines: &Lines,
        (keys, node): (&Keys, &str),
        partitions: Range<u32>,
        is_busy: impl Fn(u32, Instant) -> bool,
    ) {
        let asked = Instant::now();
        let (steps, requests) = self.plan(asked, (keys, node), partitions.clone(), is_busy);
        let replies = lines.run(requests).await;
        let trouble = replies.iter().find_map(|reply| reply.as_ref().err().cloned());
        let mut leases = lock(&self.leases);
        let renewed = leases.iter_mut().skip(partitions.start as usize);
        for (lease, (step, reply)) in renewed.zip(steps.into_iter().zip(replies)) {
            match (step, reply) {
                (Step::Renew, Ok(Value::Int(1))) => lease.until = Some(asked + TRUST),
                (Step::Renew, Ok(_)) | (Step::Release, _) => {
                    *lease = Lease { term: lease.term, ..Lease::default() };
                }
                (Step::Take, Ok(Value::Int(1))) => {
                    *lease = Lease { until: Some(asked + TRUST), term: lease.term + 1, ..Lease::default() };
                }
                (Step::Take, Ok(Value::Int(_))) => (lease.free, lease.owner) = (lease.free.or(Some(asked)), None),
                (Step::Take, Ok(owner)) => {
                    let owner = values::bytes(owner).map(|owner| String::from_utf8_lossy(&owner).into_owned());
                    (lease.free, lease.owner) = (None, owner);
                }
                // Not known.
                (_, Err(_)) => {}
            }
        }
        drop(leases);
        self.share(asked);
        *lock(&self.trouble) = trouble;
        self.round.notify_waiters();
    }

    /// What is to be done about each partition.
    fn plan(
        &self,
        now: Instant,
        (keys, node): (&Keys, &str),
        partitions: Range<u32>,
        is_busy: impl Fn(u32, Instant) -> bool,
    ) -> (Vec<Step>, Vec<Request>) {
        let share = self.share_of_one();
        let leases = lock(&self.leases);
        let mut room = share.saturating_sub(leases.iter().filter(|lease| is_held(lease, now)).count());
        let (mut steps, mut requests) = (Vec::new(), Vec::new());
        for (partition, lease) in (0..).zip(leases.iter()).filter(|(partition, _)| partitions.contains(partition)) {
            let key = keys.lease(partition);
            let is_left = lease.leaving.is_some_and(|since| !is_busy(partition, since));
            let mut eval = cmd("EVAL");
            steps.push(match is_held(lease, now) {
                true if is_left => {
                    eval.arg(RELEASE).arg(1).arg(&key).arg(node);
                    Step::Release
                }
                true => {
                    eval.arg(RENEW).arg(1).arg(&key).arg(node).arg(LEASE_MILLIS);
                    Step::Renew
                }
                false => {
                    let is_due = room > 0 || lease.free.is_some_and(|since| now - since >= FREE);
                    // One that another node has takes no room.
                    if lease.owner.is_none() {
                        room = room.saturating_sub(1);
                    }
                    eval.arg(TAKE).arg(1).arg(&key).arg(node).arg(LEASE_MILLIS).arg(u8::from(is_due));
                    Step::Take
                }
            });
            requests.push((slot(&key), eval));
        }
        (steps, requests)
    }

    /// How many partitions a node may have while others have less.
    fn share_of_one(&self) -> usize {
        lock(&self.leases).len().div_ceil(lock(&self.nodes).0.len().max(1))
    }

    /// Stops reading what another node is to have.
    fn share(&self, now: Instant) {
        let share = self.share_of_one();
        let nodes = lock(&self.nodes).0.clone();
        let mut leases = lock(&self.leases);
        let has = |node: &String| leases.iter().filter(|lease| lease.owner.as_ref() == Some(node)).count();
        // This node is among them, and no owner in its own list.
        let wanted: usize = nodes.iter().map(|node| share.saturating_sub(has(node))).sum();
        let wanted = wanted.saturating_sub(share);
        let held = leases.iter().filter(|lease| is_held(lease, now)).count();
        let already = leases.iter().filter(|lease| is_held(lease, now) && lease.leaving.is_some()).count();
        let beyond = held.saturating_sub(share).min(wanted).saturating_sub(already);
        let staying = leases.iter_mut().rev().filter(|lease| is_held(lease, now) && lease.leaving.is_none());
        for lease in staying.take(beyond) {
            lease.leaving = Some(now);
        }
    }

    /// Gives back what is held; whoever reads has stopped before.
    pub(super) async fn release(&self, lines: &Lines, keys: &Keys, node: &str) {
        let mut held = Vec::new();
        for (partition, lease) in (0..).zip(lock(&self.leases).iter_mut()) {
            if is_held(lease, Instant::now()) {
                held.push(partition);
            }
            lease.until = None;
        }
        let mut requests = Vec::new();
        for partition in held {
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

/// What is asked of Redis about a partition.
#[derive(Clone, Copy, Debug)]
enum Step {
    Renew,
    Release,
    Take,
}

fn is_held(lease: &Lease, now: Instant) -> bool {
    lease.until.is_some_and(|until| now < until)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
