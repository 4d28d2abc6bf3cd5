//! Requests by the key they are about: to the one server, or to the member of a cluster that serves the key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_bridge::QueueError;
use redis::{Cmd, Pipeline, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::link::{Link, Redirect, classify, redirect, refusal};
use super::place::{Address, Place};
use super::slots::Slots;

/// How often a request follows a redirection before it fails.
const REDIRECTIONS: usize = 4;
/// How often at most a cluster is asked who serves what.
const LEARN_PAUSE: Duration = Duration::from_millis(250);

/// A request and the slot of its key.
pub(super) type Request = (u16, Cmd);

/// What a connection is kept for: the one server; a member; or a slot of a member, where waiting for it must hold
/// nothing else up.
type Which = (Option<Address>, Option<u16>);

/// Connections of one kind to all servers of a place.
pub(super) struct Lines {
    place: Place,
    wait: Duration,
    links: Mutex<HashMap<Which, Arc<Link>>>,
    map: Mutex<Map>,
    // Tokio's lock: those who come while a cluster is asked want to know the same.
    learning: tokio::sync::Mutex<()>,
}

/// What is known of a cluster.
#[derive(Default)]
struct Map {
    slots: Slots,
    /// It is to be asked again, because somebody was not where he should be.
    is_stale: bool,
    asked: Option<Instant>,
    /// Why it could not be asked.
    error: Option<QueueError>,
    /// Slots that moved since it was asked.
    moved: HashMap<u16, Address>,
}

impl Lines {
    /// Connections that are made with the first request. `wait` is what a server itself waits before it replies; where
    /// it does, requests for several slots of a cluster do not share a connection.
    pub(super) fn new(place: Place, wait: Duration) -> Self {
        let map = Mutex::new(Map { is_stale: true, ..Map::default() });
        Self { place, wait, links: Mutex::default(), map, learning: tokio::sync::Mutex::default() }
    }

    /// Sends requests, those to one server together and in their order, and returns the reply of each. A server that
    /// is lost costs the requests to it and no other.
    pub(super) async fn run(&self, requests: Vec<Request>) -> Vec<Result<Value, QueueError>> {
        if !self.place.is_cluster() {
            let mut pipeline = Pipeline::with_capacity(requests.len());
            let count = requests.len();
            for (_, request) in requests {
                pipeline.add_command(request);
            }
            return match self.link((None, None)).run(&pipeline).await {
                Ok(replies) => replies.into_iter().map(judged).collect(),
                Err(error) => vec![Err(error); count],
            };
        }
        let mut results: Vec<Option<Result<Value, QueueError>>> = vec![None; requests.len()];
        let mut open: Vec<(usize, Option<Redirect>)> = (0..requests.len()).map(|number| (number, None)).collect();
        for _ in 0..REDIRECTIONS {
            open = self.round(&requests, open, &mut results).await;
            if open.is_empty() {
                break;
            }
        }
        let lost = || Err(QueueError::Unreachable("the members of the cluster disagree who serves the key".to_owned()));
        results.into_iter().map(|result| result.unwrap_or_else(lost)).collect()
    }

    /// Sends what is open, and returns what has to go elsewhere.
    async fn round(
        &self,
        requests: &[Request],
        open: Vec<(usize, Option<Redirect>)>,
        results: &mut [Option<Result<Value, QueueError>>],
    ) -> Vec<(usize, Option<Redirect>)> {
        let mut groups: HashMap<Address, Vec<(usize, bool)>> = HashMap::new();
        for (number, redirected) in open {
            let passing = redirected.filter(|redirect| redirect.is_passing).and_then(|redirect| redirect.to);
            let is_passing = passing.is_some();
            let address = match passing {
                Some(address) => Ok(address),
                None => self.address(requests[number].0).await,
            };
            match address {
                Ok(address) => groups.entry(address).or_default().push((number, is_passing)),
                Err(error) => results[number] = Some(Err(error)),
            }
        }
        let mut running = JoinSet::new();
        for (address, group) in groups {
            let mut pipeline = Pipeline::new();
            for (number, is_passing) in &group {
                if *is_passing {
                    pipeline.cmd("ASKING").ignore();
                }
                pipeline.add_command(requests[*number].1.clone());
            }
            let link = self.link((Some(address), None));
            running.spawn(async move { (group, link.run(&pipeline).await) });
        }
        let mut again = Vec::new();
        while let Some(done) = running.join_next().await {
            let Ok((group, replies)) = done else { continue };
            match replies {
                Ok(replies) => self.digest(requests, (&group, replies), results, &mut again),
                Err(error) => {
                    self.doubt();
                    group.iter().for_each(|(number, _)| results[*number] = Some(Err(error.clone())));
                }
            }
        }
        // Requests for one key stay in their order.
        again.sort_unstable_by_key(|(number, _)| *number);
        again
    }

    fn digest(
        &self,
        requests: &[Request],
        (group, replies): (&[(usize, bool)], Vec<Value>),
        results: &mut [Option<Result<Value, QueueError>>],
        again: &mut Vec<(usize, Option<Redirect>)>,
    ) {
        let mut replies = replies.into_iter();
        for (number, is_passing) in group {
            if *is_passing {
                // That of ASKING.
                replies.next();
            }
            let Some(reply) = replies.next() else { continue };
            match redirect(&reply) {
                Some(redirect) => {
                    self.redirected(requests[*number].0, &redirect);
                    again.push((*number, Some(redirect)));
                }
                None => results[*number] = Some(judged(reply)),
            }
        }
    }

    /// Sends requests that are about keys of one slot, as [`Link::run`] does, over a connection of the slot's own where
    /// they make the server wait. What was redirected fails, and goes right the next time.
    pub(super) async fn run_at(&self, slot: u16, pipeline: &Pipeline) -> Result<Vec<Value>, QueueError> {
        if !self.place.is_cluster() {
            return self.link((None, None)).run(pipeline).await;
        }
        let address = self.address(slot).await?;
        let own = (!self.wait.is_zero()).then_some(slot);
        let replies = self.link((Some(address), own)).run(pipeline).await.inspect_err(|_| self.doubt())?;
        for reply in &replies {
            if let Some(redirect) = redirect(reply) {
                self.redirected(slot, &redirect);
                return Err(refusal(reply).unwrap_or_else(|| QueueError::Unreachable("it has moved".to_owned())));
            }
        }
        Ok(replies)
    }

    fn link(&self, which: Which) -> Arc<Link> {
        let mut links = lock(&self.links);
        let link = links
            .entry(which)
            .or_insert_with_key(|(member, _)| Arc::new(Link::new(self.place.clone(), member.clone(), self.wait)));
        Arc::clone(link)
    }

    async fn address(&self, slot: u16) -> Result<Address, QueueError> {
        if lock(&self.map).must_be_asked() {
            self.learn().await;
        }
        let map = lock(&self.map);
        let address = map.moved.get(&slot).or_else(|| map.slots.of(slot)).cloned();
        address.ok_or_else(|| {
            let unserved = || QueueError::Unreachable(format!("no member of the cluster serves slot {slot}"));
            map.error.clone().unwrap_or_else(unserved)
        })
    }

    /// Asks the cluster who serves what. What is known counts on where nobody answers.
    async fn learn(&self) {
        let _learning = self.learning.lock().await;
        let known = {
            let map = lock(&self.map);
            if !map.must_be_asked() {
                return;
            }
            map.slots.members().to_vec()
        };
        let slots = self.place.slots(&known).await;
        let mut map = lock(&self.map);
        map.asked = Some(Instant::now());
        match slots {
            Ok(slots) => {
                let members = slots.members().to_vec();
                let served = slots.clone();
                *map = Map { slots, asked: map.asked, ..Map::default() };
                drop(map);
                // A connection that nobody needs any more would be kept for ever.
                lock(&self.links).retain(|(member, slot), _| {
                    let is_member = member.as_ref().is_none_or(|member| members.contains(member));
                    is_member && slot.is_none_or(|slot| served.of(slot) == member.as_ref())
                });
            }
            Err(error) => map.error = Some(classify(&error)),
        }
    }

    fn redirected(&self, slot: u16, redirect: &Redirect) {
        if redirect.is_passing {
            return;
        }
        let mut map = lock(&self.map);
        map.is_stale = true;
        if let Some(to) = &redirect.to {
            map.moved.insert(slot, to.clone());
        }
    }

    fn doubt(&self) {
        lock(&self.map).is_stale = true;
    }
}

impl Map {
    fn must_be_asked(&self) -> bool {
        self.is_stale && self.asked.is_none_or(|asked| asked.elapsed() >= LEARN_PAUSE)
    }
}

fn judged(reply: Value) -> Result<Value, QueueError> {
    match refusal(&reply) {
        None => Ok(reply),
        Some(error) => Err(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
