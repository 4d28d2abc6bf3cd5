//! The engine without any server: nodes of one process share a bus. For tests of several nodes, with faults on demand.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_hub::Forgetting;
use jackfield_model::Position;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::engine::{Engine, EngineError, Incoming, Interest, Outgoing, Place, Placed, Powers, Snapshot};

/// What is kept of a channel.
#[derive(Debug, Default)]
struct Topic {
    epoch: Arc<str>,
    top: u64,
    floor: u64,
    ring: VecDeque<(u64, u128, Bytes)>,
    values: BTreeMap<Arc<str>, (u64, Bytes)>,
    version: (u64, Arc<str>),
    results: HashMap<String, Placed>,
}

#[derive(Debug)]
struct Member {
    hears: HashSet<Arc<str>>,
    inbox: mpsc::UnboundedSender<Incoming>,
    is_cut: bool,
}

#[derive(Debug, Default)]
struct Inside {
    topics: HashMap<Arc<str>, Topic>,
    members: HashMap<Arc<str>, Member>,
}

/// What the nodes share.
#[derive(Clone, Debug, Default)]
pub struct MemoryBus(Arc<Mutex<Inside>>);

impl MemoryBus {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of one node.
    #[must_use]
    pub fn engine(&self, node: &str) -> MemoryEngine {
        let (inbox, incoming) = mpsc::unbounded_channel();
        let member = Member { hears: HashSet::new(), inbox, is_cut: false };
        self.lock().members.insert(node.into(), member);
        MemoryEngine { bus: self.clone(), node: node.into(), incoming: AsyncMutex::new(incoming) }
    }

    /// Cuts a node off: nothing reaches it, and it reaches nobody.
    pub fn cut(&self, node: &str) {
        if let Some(member) = self.lock().members.get_mut(node) {
            member.is_cut = true;
            member.hears.clear();
        }
    }

    /// Lets it in again.
    pub fn heal(&self, node: &str) {
        if let Some(member) = self.lock().members.get_mut(node) {
            member.is_cut = false;
            // Who hears it is told; a node that is gone is not.
            let _ = member.inbox.send(Incoming::Interrupted("it was cut off".to_owned()));
        }
    }

    /// A node goes deaf for a channel and does not know it.
    pub fn deafen(&self, node: &str, channel: &str) {
        if let Some(member) = self.lock().members.get_mut(node) {
            member.hears.remove(channel);
        }
    }

    /// It hears the channel again, and does not know what it missed.
    pub fn undeafen(&self, node: &str, channel: &str) {
        if let Some(member) = self.lock().members.get_mut(node) {
            member.hears.insert(channel.into());
        }
    }

    /// All that was kept is gone, as after a restart without a disk.
    pub fn forget_all(&self) {
        self.lock().topics.clear();
    }
}

/// A node's end of the bus.
#[derive(Debug)]
pub struct MemoryEngine {
    bus: MemoryBus,
    node: Arc<str>,
    incoming: AsyncMutex<mpsc::UnboundedReceiver<Incoming>>,
}

impl Inside {
    fn reaches(&self, node: &str) -> Result<(), EngineError> {
        match self.members.get(node) {
            Some(member) if !member.is_cut => Ok(()),
            _ => Err(EngineError::Unreachable("cut off".to_owned())),
        }
    }

    fn publish(&mut self, out: &Outgoing) -> Placed {
        let mut place = None;
        if let Some(keep) = &out.keep {
            let topic = self.topics.entry(Arc::clone(&out.channel)).or_default();
            if topic.epoch.is_empty() {
                topic.epoch = Arc::clone(&keep.epoch);
            }
            match topic.take(out) {
                Ok(at) => place = at,
                Err(placed) => return placed,
            }
        }
        for member in self.members.values().filter(|member| !member.is_cut && member.hears.contains(&out.channel)) {
            let (channel, body) = (Arc::clone(&out.channel), out.body.clone());
            let _ = member.inbox.send(Incoming::Publication { channel, place: place.clone(), body });
        }
        let position = place.map(|place| Position { offset: place.offset, epoch: place.epoch });
        Placed { position, suppressed: None }
    }
}

impl Topic {
    /// Decides, numbers and keeps; what is told instead where it is not taken.
    fn take(&mut self, out: &Outgoing) -> Result<Option<Place>, Placed> {
        let Some(keep) = &out.keep else { return Ok(None) };
        let at = |offset| Position { offset, epoch: Arc::clone(&self.epoch) };
        if out.again
            && let Some((offset, ..)) = self.ring.iter().find(|(_, id, _)| *id == out.id)
        {
            return Err(Placed { position: Some(at(*offset)), suppressed: None });
        }
        if let Some(known) = self.results.get(&out.idempotency_key) {
            return Err(Placed { suppressed: Some("idempotency"), ..known.clone() });
        }
        if let Some((version, life)) = &out.version {
            if *version <= self.version.0 && *life == self.version.1 {
                return Err(Placed { position: Some(at(self.top)), suppressed: Some("version") });
            }
            self.version = (*version, Arc::clone(life));
        }
        let mut place = None;
        if keep.size > 0 {
            self.top += 1;
            self.ring.push_back((self.top, out.id, out.body.clone()));
            while self.ring.len() > keep.size {
                self.floor = self.ring.pop_front().map_or(self.floor, |(offset, ..)| offset);
            }
            place = Some(Place { offset: self.top, previous: self.top - 1, epoch: Arc::clone(&self.epoch) });
        }
        if keep.keys > 0 {
            let key = out.key.clone().unwrap_or_default();
            if out.removes {
                self.values.remove(&key);
            } else if self.values.contains_key(&key) || self.values.len() < keep.keys {
                self.values.insert(key, (self.top, out.body.clone()));
            }
        }
        if !out.idempotency_key.is_empty() {
            let position = place.as_ref().map(|place| at(place.offset));
            self.results.insert(out.idempotency_key.clone(), Placed { position, suppressed: None });
        }
        Ok(place)
    }

    fn snapshot(&self) -> Snapshot {
        let mut values: Vec<_> = self.values.values().cloned().collect();
        values.sort_by_key(|(offset, _)| *offset);
        Snapshot {
            position: Position { offset: self.top, epoch: Arc::clone(&self.epoch) },
            bodies: self.ring.iter().map(|(offset, _, body)| (*offset, body.clone())).collect(),
            floor: self.floor,
            values,
        }
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    fn describe(&self) -> String {
        format!("memory of {}", self.node)
    }

    fn powers(&self) -> Powers {
        Powers { history: true, values: true, conditions: true }
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<Placed, EngineError>> {
        let mut inside = self.bus.lock();
        batch.iter().map(|out| inside.reaches(&self.node).map(|()| inside.publish(out))).collect()
    }

    async fn open(&self, interests: &[Interest]) -> Vec<Result<Option<Snapshot>, EngineError>> {
        let mut inside = self.bus.lock();
        let mut results = Vec::with_capacity(interests.len());
        for Interest { channel, keep, .. } in interests {
            if let Err(error) = inside.reaches(&self.node) {
                results.push(Err(error));
                continue;
            }
            if let Some(member) = inside.members.get_mut(&self.node) {
                member.hears.insert(Arc::clone(channel));
            }
            results.push(Ok(keep.as_ref().map(|keep| {
                let topic = inside.topics.entry(Arc::clone(channel)).or_default();
                if topic.epoch.is_empty() {
                    topic.epoch = Arc::clone(&keep.epoch);
                }
                topic.snapshot()
            })));
        }
        results
    }

    async fn close(&self, channels: &[Arc<str>]) -> Result<(), EngineError> {
        let mut inside = self.bus.lock();
        inside.reaches(&self.node)?;
        if let Some(member) = inside.members.get_mut(&self.node) {
            for channel in channels {
                member.hears.remove(channel);
            }
        }
        Ok(())
    }

    async fn forget(&self, channel: &Arc<str>, what: Forgetting) -> Result<(), EngineError> {
        let mut inside = self.bus.lock();
        inside.reaches(&self.node)?;
        match what {
            Forgetting::Life => {
                inside.topics.remove(channel);
            }
            Forgetting::Publications => {
                if let Some(topic) = inside.topics.get_mut(channel) {
                    topic.ring.clear();
                    topic.values.clear();
                    topic.floor = topic.top;
                }
            }
        }
        Ok(())
    }

    async fn tell(&self, node: Option<&str>, note: Bytes) -> Result<(), EngineError> {
        let inside = self.bus.lock();
        inside.reaches(&self.node)?;
        for (name, member) in inside.members.iter().filter(|(_, member)| !member.is_cut) {
            if node.is_none_or(|node| **name == *node) {
                let _ = member.inbox.send(Incoming::Note(note.clone()));
            }
        }
        Ok(())
    }

    async fn probe(&self, token: u64) -> Result<(), EngineError> {
        let inside = self.bus.lock();
        inside.reaches(&self.node)?;
        if let Some(member) = inside.members.get(&self.node) {
            let _ = member.inbox.send(Incoming::Probe { path: 0, token });
        }
        Ok(())
    }

    fn paths(&self) -> usize {
        1
    }

    fn reset(&self) {
        let mut inside = self.bus.lock();
        if let Some(member) = inside.members.get_mut(&self.node).filter(|member| !member.is_cut) {
            member.hears.clear();
            let _ = member.inbox.send(Incoming::Interrupted("it was reset".to_owned()));
        }
    }

    async fn hear(&self) -> Vec<Incoming> {
        let mut incoming = self.incoming.lock().await;
        let mut all = Vec::new();
        if incoming.recv_many(&mut all, 1024).await == 0 {
            // Its member is gone for good: nothing comes any more.
            std::future::pending::<()>().await;
        }
        all
    }

    async fn end(&self) {
        self.bus.lock().members.remove(&self.node);
    }
}
