//! Redis between nodes: each channel is numbered, kept and spread by one script; nodes hear the channels they care for.

mod clock;
mod names;
mod reply;
mod scripts;
mod shard;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use jackfield_cluster::{Engine, EngineError, Incoming, Interest, Outgoing, Placed, Powers, Snapshot};
use jackfield_hub::Forgetting;
use redis::{Pipeline, cmd};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use self::names::{Names, PARTITIONS};
use self::scripts::Scripts;
use self::shard::{Plan, Shard};
use crate::redis::place::{Address, Place, PlaceError, slot};

/// How often at most a cluster is asked who serves what.
const LEARN_PAUSE: Duration = Duration::from_millis(200);
/// Words of which it is remembered that they came: those to all nodes come once through each server of a cluster.
const REMEMBERED: usize = 256;

/// Which server serves which part.
struct Map {
    shards: Vec<Arc<Shard>>,
    /// Index of the shard, by part; none that nobody serves.
    parts: Vec<Option<usize>>,
}

/// What is known of the servers.
struct Known {
    map: Option<Arc<Map>>,
    asked: Option<Instant>,
}

/// What came, and which words came before.
struct Inbox {
    incoming: mpsc::UnboundedReceiver<Incoming>,
    words: VecDeque<[u8; 16]>,
}

/// An engine in Redis.
pub struct RedisEngine {
    plan: Arc<Plan>,
    known: Mutex<Known>,
    inbox: AsyncMutex<Inbox>,
}

impl RedisEngine {
    /// Makes the engine; it connects with the first call. `authority` is a file of certificates that servers with TLS are
    /// trusted by instead of the system's.
    pub fn open(url: &str, prefix: &str, node: &str, authority: Option<&Path>) -> Result<Self, PlaceError> {
        let place = Place::parse(url, authority)?;
        let (sender, incoming) = mpsc::unbounded_channel();
        let hearing = place.hearing();
        let (names, scripts) = (Names::new(prefix, node), Scripts::new());
        let is_cluster = place.is_cluster();
        let plan = Arc::new(Plan { place, hearing, names, scripts, incoming: sender });
        let whole =
            || Map { shards: vec![Arc::new(Shard::new(None, 0, 0))], parts: vec![Some(0); usize::from(PARTITIONS)] };
        let map = (!is_cluster).then(|| Arc::new(whole()));
        Ok(Self {
            plan,
            known: Mutex::new(Known { map, asked: None }),
            inbox: AsyncMutex::new(Inbox { incoming, words: VecDeque::new() }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which server serves what. A cluster is asked again when one of its servers is lost.
    async fn map(&self) -> Result<Arc<Map>, EngineError> {
        if !self.plan.place.is_cluster() {
            return self.lock().map.clone().ok_or_else(|| EngineError::Unreachable("no server".to_owned()));
        }
        let known = {
            let mut known = self.lock();
            let is_whole = known.map.as_ref().is_some_and(|map| map.shards.iter().all(|shard| shard.is_live()));
            let is_recent = known.asked.is_some_and(|asked| asked.elapsed() < LEARN_PAUSE);
            if let Some(map) = known.map.as_ref().filter(|_| is_whole || is_recent) {
                return Ok(Arc::clone(map));
            }
            known.asked = Some(Instant::now());
            known.map.clone()
        };
        let members: Vec<Address> =
            known.iter().flat_map(|map| &map.shards).filter_map(|shard| shard.address.clone()).collect();
        let slots = self.plan.place.slots(&members).await;
        let slots = match (slots, known.clone()) {
            (Ok(slots), _) => slots,
            (Err(_), Some(map)) => return Ok(map),
            (Err(error), None) => return Err(shard::classify(&error)),
        };
        let mut shards: Vec<Arc<Shard>> = Vec::new();
        let mut parts = vec![None; usize::from(PARTITIONS)];
        for partition in 0..PARTITIONS {
            let Some(address) = slots.of(slot(&self.plan.names.tag(partition))) else { continue };
            let place = shards.iter().position(|shard| shard.address.as_ref() == Some(address));
            let place = place.unwrap_or_else(|| {
                let old = known.iter().flat_map(|map| &map.shards);
                // Its number is its path, so it keeps both or neither.
                let index = shards.len();
                let mut old = old.filter(|shard| shard.address.as_ref() == Some(address) && shard.is(index, partition));
                let shard = old.next().cloned();
                shards.push(shard.unwrap_or_else(|| Arc::new(Shard::new(Some(address.clone()), index, partition))));
                index
            });
            parts[usize::from(partition)] = Some(place);
        }
        let map = Arc::new(Map { shards, parts });
        let old = self.lock().map.replace(Arc::clone(&map));
        let gone = |shard: &&Arc<Shard>| !map.shards.iter().any(|new| Arc::ptr_eq(new, shard));
        for shard in old.iter().flat_map(|map| &map.shards).filter(gone) {
            // What was heard through it is heard through another one.
            shard.reset(&self.plan);
        }
        if known.is_some() && old.is_some_and(|old| old.parts != map.parts) {
            let moved = "parts of the cluster moved".to_owned();
            let _ = self.plan.incoming.send(Incoming::Interrupted(moved));
        }
        Ok(map)
    }

    /// Items by the server that their channel lies on, with their places in the list.
    async fn spread<T>(
        &self,
        items: impl Iterator<Item = T>,
        channel: impl Fn(&T) -> Arc<str>,
    ) -> Result<(BTreeMap<usize, Vec<(usize, T)>>, Vec<usize>, Arc<Map>), EngineError> {
        let map = self.map().await?;
        let (mut by_shard, mut nobodys) = (BTreeMap::new(), Vec::new());
        for (nth, item) in items.enumerate() {
            match map.parts[usize::from(Names::partition(&channel(&item)))] {
                Some(shard) => by_shard.entry(shard).or_insert_with(Vec::new).push((nth, item)),
                None => nobodys.push(nth),
            }
        }
        Ok((by_shard, nobodys, map))
    }
}

fn nobody() -> EngineError {
    EngineError::Unreachable("no server of the cluster serves this part: a master is lost".to_owned())
}

/// Results in the order of what was asked.
fn in_order<T>(count: usize, found: Vec<(usize, Result<T, EngineError>)>) -> Vec<Result<T, EngineError>> {
    let mut results: Vec<_> = std::iter::repeat_with(|| Err(nobody())).take(count).collect();
    for (nth, result) in found {
        results[nth] = result;
    }
    results
}

/// Publications of one server, in order.
async fn publish(
    plan: Arc<Plan>,
    shard: Arc<Shard>,
    items: Vec<(usize, Outgoing)>,
) -> Vec<(usize, Result<Placed, EngineError>)> {
    let all = |error: EngineError, items: &[(usize, Outgoing)]| -> Vec<_> {
        items.iter().map(|(nth, _)| (*nth, Err(error.clone()))).collect()
    };
    let live = match shard.live(&plan).await {
        Ok(live) => live,
        Err(error) => return all(error, &items),
    };
    let mut pipeline = Pipeline::with_capacity(items.len());
    for (_, out) in &items {
        pipeline.add_command(plan.scripts.publish(&plan.names, out, (&live, shard.publishes())));
    }
    // With those that must not come late, the clock is set.
    let is_timed = live.clock.is_set() && items.iter().any(|(_, out)| out.fresh_for.is_some());
    if is_timed {
        pipeline.add_command(cmd("TIME"));
    }
    match shard.ask(&plan, &live, &pipeline).await {
        Err(error) => all(error, &items),
        Ok(mut replies) => {
            if is_timed && let Some(time) = replies.pop() {
                live.clock.set(&time);
            }
            let placed = |((nth, out), reply): (&(usize, Outgoing), redis::Value)| {
                let placed = match (&out.keep, reply::error(&reply)) {
                    (None, None) => Ok(Placed::default()),
                    (None, Some(error)) => Err(shard::classify(&error)),
                    (Some(_), _) => reply::placed(&reply),
                };
                (*nth, placed)
            };
            items.iter().zip(replies).map(placed).collect()
        }
    }
}

/// Channels of one server.
async fn open(
    plan: Arc<Plan>,
    shard: Arc<Shard>,
    items: Vec<(usize, Interest)>,
) -> Vec<(usize, Result<Option<Snapshot>, EngineError>)> {
    let opening = async {
        let live = shard.live(&plan).await?;
        let mut subscribe = Pipeline::with_capacity(items.len());
        for (_, interest) in &items {
            subscribe.add_command(shard.subscription(&plan.names.topic(&interest.channel), true));
        }
        for reply in shard.hear(&plan, &live, &subscribe).await? {
            reply::fine(reply).map_err(|error| shard::classify(&error))?;
        }
        let mut read = Pipeline::new();
        let kept = || items.iter().filter(|(_, interest)| interest.keep.is_some());
        for (_, interest) in kept() {
            read.add_command(plan.scripts.read(&plan.names, interest, &live));
        }
        if read.is_empty() { Ok(Vec::new()) } else { shard.ask(&plan, &live, &read).await }
    };
    let mut replies = match opening.await {
        Ok(replies) => replies.into_iter(),
        Err(error) => return items.iter().map(|(nth, _)| (*nth, Err(EngineError::clone(&error)))).collect(),
    };
    let result = |(nth, interest): &(usize, Interest)| {
        let snapshot = interest.keep.as_ref().map(|_| replies.next().map_or_else(|| Err(nobody()), reply::snapshot));
        (*nth, snapshot.transpose())
    };
    items.iter().map(result).collect()
}

#[async_trait]
impl Engine for RedisEngine {
    fn describe(&self) -> String {
        self.plan.place.to_string()
    }

    fn powers(&self) -> Powers {
        Powers { history: true, values: true, conditions: true }
    }

    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<Placed, EngineError>> {
        match self.spread(batch.iter().cloned(), |out| Arc::clone(&out.channel)).await {
            Err(error) => vec![Err(error); batch.len()],
            Ok((mut by_shard, _, map)) => {
                if by_shard.len() == 1
                    && let Some((shard, items)) = by_shard.pop_first()
                {
                    return in_order(
                        batch.len(),
                        publish(Arc::clone(&self.plan), Arc::clone(&map.shards[shard]), items).await,
                    );
                }
                let mut tasks = JoinSet::new();
                for (shard, items) in by_shard {
                    tasks.spawn(publish(Arc::clone(&self.plan), Arc::clone(&map.shards[shard]), items));
                }
                in_order(batch.len(), tasks.join_all().await.into_iter().flatten().collect())
            }
        }
    }

    async fn open(&self, interests: &[Interest]) -> Vec<Result<Option<Snapshot>, EngineError>> {
        match self.spread(interests.iter().cloned(), |interest| Arc::clone(&interest.channel)).await {
            Err(error) => std::iter::repeat_with(|| Err(error.clone())).take(interests.len()).collect(),
            Ok((by_shard, _, map)) => {
                let mut tasks = JoinSet::new();
                for (shard, items) in by_shard {
                    tasks.spawn(open(Arc::clone(&self.plan), Arc::clone(&map.shards[shard]), items));
                }
                in_order(interests.len(), tasks.join_all().await.into_iter().flatten().collect())
            }
        }
    }

    async fn close(&self, channels: &[Arc<str>]) -> Result<(), EngineError> {
        let (by_shard, _, map) = self.spread(channels.iter().cloned(), Arc::clone).await?;
        for (shard, items) in by_shard {
            let shard = &map.shards[shard];
            if !shard.is_live() {
                continue;
            }
            let live = shard.live(&self.plan).await?;
            let mut unsubscribe = Pipeline::with_capacity(items.len());
            for (_, channel) in &items {
                unsubscribe.add_command(shard.subscription(&self.plan.names.topic(channel), false));
            }
            shard.hear(&self.plan, &live, &unsubscribe).await?;
        }
        Ok(())
    }

    async fn forget(&self, channel: &Arc<str>, what: Forgetting) -> Result<(), EngineError> {
        let map = self.map().await?;
        let place = map.parts[usize::from(Names::partition(channel))].ok_or_else(nobody)?;
        let shard = &map.shards[place];
        let live = shard.live(&self.plan).await?;
        let mut pipeline = Pipeline::new();
        pipeline.add_command(self.plan.scripts.forget(&self.plan.names, channel, what));
        let replies = shard.ask(&self.plan, &live, &pipeline).await?;
        replies.into_iter().try_for_each(reply::fine).map_err(|error| shard::classify(&error))
    }

    async fn tell(&self, node: Option<&str>, note: Bytes) -> Result<(), EngineError> {
        let map = self.map().await?;
        // Any server brings it to all: what is no topic of a part goes round the whole cluster.
        let shard = map.shards.iter().find(|shard| shard.is_live()).or(map.shards.first()).ok_or_else(nobody)?;
        let live = shard.live(&self.plan).await?;
        let mut word = BytesMut::with_capacity(16 + note.len());
        word.put_slice(Uuid::new_v4().as_bytes());
        word.put_slice(&note);
        let mut pipeline = Pipeline::new();
        pipeline.add_command(cmd("PUBLISH").arg(self.plan.names.notes(node)).arg(&word[..]).clone());
        shard.ask(&self.plan, &live, &pipeline).await.map(drop)
    }

    async fn probe(&self, token: u64) -> Result<(), EngineError> {
        let map = self.map().await?;
        let mut outcome = Ok(());
        for shard in &map.shards {
            let probing = async {
                let live = shard.live(&self.plan).await?;
                let mut pipeline = Pipeline::new();
                let topic = self.plan.names.probe(shard.partition());
                pipeline.add_command(cmd(shard.publishes()).arg(topic).arg(token).clone());
                shard.ask(&self.plan, &live, &pipeline).await
            };
            // A server that is lost must not keep the others from being looked at.
            if let Err(error) = probing.await {
                outcome = Err(error);
            }
        }
        outcome
    }

    fn paths(&self) -> usize {
        self.lock().map.as_ref().map_or(1, |map| map.shards.len())
    }

    fn reset(&self) {
        let map = self.lock().map.clone();
        for shard in map.iter().flat_map(|map| &map.shards) {
            shard.reset(&self.plan);
        }
    }

    async fn hear(&self) -> Vec<Incoming> {
        let mut inbox = self.inbox.lock().await;
        let Inbox { incoming, words } = &mut *inbox;
        let mut all = Vec::new();
        // It never ends: the plan holds the other end.
        incoming.recv_many(&mut all, 1024).await;
        all.into_iter().filter_map(|incoming| first_time(incoming, words)).collect()
    }

    async fn end(&self) {
        self.reset();
    }
}

/// A word without its number, unless it came before.
fn first_time(incoming: Incoming, words: &mut VecDeque<[u8; 16]>) -> Option<Incoming> {
    let Incoming::Note(word) = incoming else { return Some(incoming) };
    let number: [u8; 16] = word.get(..16)?.try_into().ok()?;
    if words.contains(&number) {
        return None;
    }
    if words.len() == REMEMBERED {
        words.pop_front();
    }
    words.push_back(number);
    Some(Incoming::Note(word.slice(16..)))
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe())
    }
}
