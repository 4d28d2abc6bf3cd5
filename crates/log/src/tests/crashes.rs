//! Nodes that publish at random and end at random: whatever was acknowledged is there when they come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_model::{Payload, Publication, Rare};

use super::memory::Memory;
use crate::{JUMP, Kept, Log, LogOptions, Restored, Retention, Version};

const RETENTION: Retention = Retention { size: 7, ttl: 1_000, meta_ttl: 1_000_000, keys: 4 };
const CHANNELS: usize = 5;
const SEGMENT: u64 = 2_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// What a channel's subscribers have seen.
#[derive(Clone, Debug, Default)]
struct Channel {
    epoch: Arc<str>,
    /// The last number that was given out.
    top: u64,
    seen: Vec<Kept>,
    /// What had left the history when the node came back, and was the latest of its key.
    values: Vec<Kept>,
    /// Taken by the log, perhaps, but nobody was told.
    unsure: Vec<Kept>,
    version: Option<Version>,
}

/// The values of all keys are those that the last publications have given them.
fn assert_values(name: &str, found: &Restored, known: &[Kept], may_lose: bool) {
    let mut there = BTreeMap::new();
    for kept in found.values.iter().chain(&found.publications) {
        assert!(known.contains(kept), "{name}: {kept:?} was never taken");
        there.insert(kept.key().name, kept);
    }
    there.retain(|_, kept| !kept.key().is_removed);
    let until = found.values.iter().chain(&found.publications).map(|kept| kept.publication.offset).max();
    // What was lost is at the end; if that is not there, one cannot tell which values were meant.
    if may_lose && until != known.last().map(|kept| kept.publication.offset) {
        return;
    }
    let mut meant = BTreeMap::new();
    for kept in known.iter().filter(|kept| kept.publication.offset <= until.unwrap_or(found.top)) {
        meant.insert(kept.key().name, kept);
    }
    meant.retain(|_, kept| !kept.key().is_removed);
    assert_eq!(there, meant, "{name}");
}

struct Node {
    random: Random,
    disk: Memory,
    log: Option<Log>,
    channels: BTreeMap<Arc<str>, Channel>,
    is_careful: bool,
    boot: u8,
    now: u64,
    lives: u64,
}

impl Node {
    fn new(seed: u64, is_careful: bool) -> Self {
        let mut node = Self {
            random: Random(seed),
            disk: Memory::default(),
            log: None,
            channels: BTreeMap::new(),
            is_careful,
            boot: 1,
            now: 1_000_000,
            lives: 0,
        };
        for channel in 0..CHANNELS {
            let epoch = format!("e{channel}").into();
            node.channels.insert(format!("c{channel}").into(), Channel { epoch, ..Channel::default() });
        }
        node
    }

    fn options(&self) -> LogOptions {
        LogOptions { is_careful: self.is_careful, segment_bytes: SEGMENT, max_bytes: 0, boot: [self.boot; 16] }
    }

    /// Comes back and looks at what is there; `lost`: the last thing seen need not be there, but the top must tell.
    fn open(&mut self, may_lose: bool) {
        self.disk.mend();
        let opened = Log::open(Box::new(self.disk.clone()), self.options(), &|_| Some(RETENTION), self.now);
        let (log, opening) = opened.unwrap();
        assert_eq!(opening.has_jumped, may_lose, "life {}, boot {}", self.lives, self.boot);
        let mut restored: BTreeMap<_, _> =
            opening.restored.into_iter().map(|restored| (Arc::clone(&restored.channel), restored)).collect();
        for (name, channel) in &mut self.channels {
            let found = restored.remove(name).filter(|restored| restored.epoch == channel.epoch);
            let found = match found {
                Some(found) => found,
                // A life that nobody was told anything of may never have been.
                None if channel.seen.is_empty() || may_lose => {
                    let epoch = format!("{}+", channel.epoch).into();
                    *channel = Channel { epoch, ..Channel::default() };
                    continue;
                }
                None => panic!("{name} is gone, life {}", self.lives),
            };
            let mut known = channel.seen.clone();
            known.append(&mut channel.unsure);
            let all: Vec<_> = channel.values.iter().chain(&known).cloned().collect();
            assert_values(name, &found, &all, may_lose);
            let is_known = |kept: &Kept| known.contains(kept);
            assert!(found.publications.iter().all(is_known), "{name}: {found:?} has what was never taken");
            let last = found.publications.last().map_or(0, |kept| kept.publication.offset);
            let seen_top = channel.seen.last().map_or(0, |kept| kept.publication.offset);
            assert!(found.top >= seen_top, "{name}: {} < {seen_top}", found.top);
            if may_lose {
                assert!(found.top >= JUMP);
            } else {
                assert!(
                    last >= seen_top || found.publications.is_empty(),
                    "{name}: the last is {last}, not {seen_top}"
                );
            }
            // Whatever is there is the end of what was taken, without a gap, as far as it is to be kept.
            let until = if last == 0 { found.top } else { last };
            known.retain(|kept| kept.publication.offset <= until);
            let surplus = known.len().saturating_sub(RETENTION.size);
            known.drain(..surplus);
            known.retain(|kept| kept.publication.time + RETENTION.ttl > self.now);
            if may_lose && found.publications.is_empty() {
                // All of it was lost.
                known.clear();
            }
            assert_eq!(found.publications, known, "{name}, life {}", self.lives);
            if !may_lose {
                let version = known.iter().rev().find_map(|kept| kept.version.clone()).or(channel.version.clone());
                assert_eq!(found.version, version, "{name}, life {}", self.lives);
            }
            channel.version = found.version;
            channel.top = found.top;
            channel.seen = known;
            channel.values = found.values;
        }
        assert!(restored.is_empty() || self.lives > 0, "{restored:?}");
        self.log = Some(log);
        self.lives += 1;
    }

    /// One batch of publications; true if it was written.
    fn publish(&mut self) -> bool {
        let Some(log) = &mut self.log else { return false };
        let count = 1 + self.random.below(6);
        let mut batch = Vec::new();
        for _ in 0..count {
            let name: Arc<str> = format!("c{}", self.random.below(CHANNELS)).into();
            let channel = self.channels.get_mut(&name).unwrap();
            if self.random.below(200) == 0 {
                // The hub forgot it and begins anew.
                let epoch = format!("{}'", channel.epoch).into();
                *channel = Channel { epoch, ..Channel::default() };
            }
            channel.top += 1;
            let data = vec![self.random.below(256) as u8; self.random.below(200)];
            // The last channels are maps: their publications set and remove keys.
            let rare = (name.ends_with(['3', '4'])).then(|| {
                let key = Some(format!("k{}", self.random.below(4)).into());
                Box::new(Rare { key, removed: self.random.below(3) == 0, ..Rare::default() })
            });
            let (offset, data, time) = (channel.top, Payload::binary(data), self.now);
            let publication = Publication { offset, data, time, rare, ..Publication::default() };
            let number = channel.top + 100;
            let version = (self.random.below(4) == 0).then(|| Version { number, epoch: "v".into() });
            let kept = Kept { publication: Arc::new(publication), version, value: None };
            log.add(&name, &channel.epoch, RETENTION, &kept);
            batch.push((name, Arc::clone(&channel.epoch), kept));
        }
        let written = log.commit().is_ok();
        if written {
            // What failed was cut off before.
            self.channels.values_mut().for_each(|channel| channel.unsure.clear());
        }
        for (name, epoch, kept) in batch {
            let channel = self.channels.get_mut(&name).unwrap();
            if channel.epoch != epoch {
                continue;
            }
            if written {
                channel.version = kept.version.clone().or(channel.version.take());
                channel.seen.push(kept);
            } else {
                // The number is given out again.
                channel.top = channel.top.min(kept.publication.offset - 1);
                channel.unsure.push(kept);
            }
        }
        written
    }

    fn run(&mut self, steps: usize) {
        self.open(false);
        for _ in 0..steps {
            self.now += self.random.below(40) as u64;
            match self.random.below(100) {
                0..2 => self.kill(),
                2 => self.cut_power(),
                3 => self.close(),
                4 => self.full(),
                5 => self.broken(),
                6..20 => {
                    let now = self.now;
                    let Some(log) = &mut self.log else { continue };
                    log.tend(now).unwrap();
                }
                20..30 => {
                    if let Some(log) = &mut self.log
                        && let Some((sync, sequence)) = log.sync().unwrap()
                    {
                        sync().unwrap();
                        log.has_synced(sequence);
                    }
                }
                _ => assert!(self.publish()),
            }
            let usage = self.log.as_ref().unwrap().usage();
            // A node with few publications has many starts' small segments beside them.
            assert!(usage.total <= usage.live * 2 + SEGMENT * 12, "{usage:?}");
            assert!(self.disk.bytes_in_all() as u64 <= usage.total + 1_000, "files that do not count");
        }
        self.close();
    }

    /// kill -9 in the middle of a write, of this batch or one soon after.
    fn kill(&mut self) {
        let life = self.random.below(3_000);
        self.disk.kill_after(life);
        while self.publish() {}
        self.log = None;
        self.open(false);
    }

    fn cut_power(&mut self) {
        if self.random.below(2) == 0 {
            self.disk.kill_after(self.random.below(2_000));
            while self.publish() {}
        }
        self.log = None;
        let random = &mut self.random;
        self.disk.cut_power(|bound| random.below(bound));
        self.boot = self.boot.wrapping_add(1).max(1);
        self.open(!self.is_careful);
    }

    fn close(&mut self) {
        self.log.take().unwrap().close().unwrap();
        self.boot = self.boot.wrapping_add(1).max(1);
        self.open(false);
    }

    /// The disk is full for a while: some publications fail, and are never seen.
    fn full(&mut self) {
        self.disk.fill(self.random.below(1_500));
        while self.publish() {}
        for _ in 0..self.random.below(3) {
            self.publish();
        }
        self.disk.mend();
        self.forget_failed();
    }

    /// The disk writes but does not get it safe.
    fn broken(&mut self) {
        self.disk.break_syncs();
        if self.is_careful {
            assert!(!self.publish());
            assert!(!self.publish());
        }
        self.disk.mend();
        self.forget_failed();
    }

    /// What failed is cut off before anything else is written.
    fn forget_failed(&mut self) {
        assert!(self.publish());
        assert!(self.channels.values().all(|channel| channel.unsure.is_empty()));
    }
}

#[test]
fn a_careful_node_loses_nothing() {
    for seed in 0..60 {
        Node::new(seed, true).run(400);
    }
}

#[test]
fn a_node_that_syncs_now_and_then_loses_nothing_when_killed_and_tells_when_the_power_failed() {
    for seed in 1_000..1_060 {
        Node::new(seed, false).run(400);
    }
}
