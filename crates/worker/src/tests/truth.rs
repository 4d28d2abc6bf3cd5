//! What must be: a plain model of a channel, without workers, mail, numbers of pushes, and without a look into the hub.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jackfield_hub::Options;
use jackfield_hub::namespace::{MapMode, RecoveryMode};
use jackfield_model::Millis;
use jackfield_model::app::KeyMode;

use super::Checked;
use super::channels::CAP;

/// A publication, by its serial number in the test.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    /// The life of the channel that it belongs to.
    pub(super) life: usize,
    /// 0 where it has none, or none yet.
    pub(super) offset: u64,
    pub(super) time: Millis,
    pub(super) key: &'static str,
    pub(super) tag: &'static str,
    pub(super) removes: bool,
    pub(super) text: String,
}

/// How a publication is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    pub(super) serial: usize,
    pub(super) key: &'static str,
    pub(super) removes: bool,
    pub(super) skips_history: bool,
    pub(super) idempotency: &'static str,
    /// 0: none.
    pub(super) version: (u64, &'static str),
    pub(super) key_mode: KeyMode,
}

/// What is decided when a publication is numbered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Decided {
    /// Why it is not taken, and the offset that its publisher is told.
    Suppressed(&'static str, Option<u64>),
    /// Its offset, where it is kept, and whether it becomes a value.
    Taken(Option<u64>, bool),
    /// Nobody is there to hear it, and nothing keeps it.
    Unheard,
}

/// One life of a channel's history.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    /// Its place among the lives of the channel.
    pub(super) number: usize,
    pub(super) top: u64,
    /// Numbers that are given out and not shown.
    pub(super) under_way: u64,
    pub(super) touched: Millis,
    /// Serials.
    pub(super) kept: VecDeque<usize>,
}

/// A channel.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) name: Arc<str>,
    pub(super) options: Arc<Options>,
    pub(super) life: Option<Life>,
    /// Epochs of all lives, as soon as anybody was told.
    pub(super) epochs: Vec<Option<Arc<str>>>,
    pub(super) state: BTreeMap<&'static str, usize>,
    /// When values of a map run out; those that were told to have are not here.
    pub(super) ends: BTreeMap<&'static str, Millis>,
    pub(super) version: (u64, &'static str),
    /// Results of idempotent publications.
    pub(super) results: BTreeMap<&'static str, Option<u64>>,
    pub(super) subscribers: usize,
}

/// What a subscriber is told, and what it gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) offset: Option<u64>,
    pub(super) recovered: bool,
    pub(super) serials: Vec<usize>,
}

impl Truth {
    pub(super) fn new(name: Arc<str>, options: Arc<Options>) -> Self {
        Self {
            name,
            options,
            life: None,
            epochs: Vec::new(),
            state: BTreeMap::new(),
            ends: BTreeMap::new(),
            version: (0, ""),
            results: BTreeMap::new(),
            subscribers: 0,
        }
    }

    pub(super) fn top(&self) -> u64 {
        self.life.as_ref().map_or(0, |life| life.top)
    }

    pub(super) fn epoch(&self) -> Option<&Arc<str>> {
        self.epochs.get(self.life.as_ref()?.number)?.as_ref()
    }

    /// The number of this life.
    pub(super) fn number(&self) -> usize {
        self.life.as_ref().map_or(0, |life| life.number)
    }

    /// Somebody asked; from then on the channel has a history.
    pub(super) fn begin(&mut self, now: Millis) {
        if self.options.has_history() && self.life.is_none() {
            self.life = Some(Life { number: self.epochs.len(), touched: now, ..Life::default() });
            self.epochs.push(None);
        }
    }

    /// An epoch is told of a life: always the same, and never that of another life.
    pub(super) fn learn(&mut self, number: usize, epoch: &str) -> Checked {
        if !self.options.has_history() {
            return if epoch.is_empty() {
                Ok(())
            } else {
                Err(format!("{} has no history and tells {epoch}", self.name))
            };
        }
        let is_others = |(nth, known): (usize, &Option<Arc<str>>)| nth != number && known.as_deref() == Some(epoch);
        if epoch.is_empty() || self.epochs.iter().enumerate().any(is_others) {
            return Err(format!("the epoch of life {number} of {} cannot be {epoch:?}", self.name));
        }
        match self.epochs.get_mut(number) {
            Some(Some(known)) if **known == *epoch => Ok(()),
            Some(slot @ None) => {
                *slot = Some(epoch.into());
                Ok(())
            }
            known => Err(format!("the epoch of life {number} of {} was {known:?} and is {epoch}", self.name)),
        }
    }

    /// The life is over.
    pub(super) fn end(&mut self) {
        self.life = None;
        self.version = (0, "");
    }

    pub(super) fn is_there(&self) -> bool {
        self.life.is_some() || self.subscribers > 0 || !self.state.is_empty()
    }

    /// Numbers a publication, or says why not.
    pub(super) fn decide(&mut self, made: &Made, now: Millis) -> Decided {
        if let Some(offset) = self.results.get(made.idempotency).filter(|_| !made.idempotency.is_empty()) {
            return Decided::Suppressed("idempotency", *offset);
        }
        let has_state = self.options.has_state();
        let keeps = self.options.has_history() && !made.skips_history;
        if !keeps && !has_state && !self.is_there() {
            // Nobody is there to hear it; that it was there is all that is known.
            if !made.idempotency.is_empty() {
                self.results.insert(made.idempotency, None);
            }
            return Decided::Unheard;
        }
        let told = |truth: &mut Self| {
            truth.begin(now);
            truth.life.as_ref().map(|life| life.top)
        };
        if made.version.0 > 0 && made.version.0 <= self.version.0 && made.version.1 == self.version.1 {
            return Decided::Suppressed("version", told(self));
        }
        let is_new = !self.state.contains_key(made.key);
        if made.key_mode == KeyMode::IfNew && !is_new {
            if let Some(ends) = self.ends_at(now) {
                self.ends.insert(made.key, ends);
            }
            return Decided::Suppressed("key_exists", told(self));
        }
        if is_new && ((made.removes && has_state) || made.key_mode == KeyMode::IfExists) {
            return Decided::Suppressed("key_not_found", told(self));
        }
        let holds = has_state
            && !made.removes
            && (made.key.is_empty() || !is_new || self.state.len() < self.options.max_keys());
        let offset = keeps.then(|| {
            self.begin(now);
            let life = self.life.as_mut().unwrap();
            life.under_way += 1;
            life.top + life.under_way
        });
        if made.version.0 > 0 {
            self.version = made.version;
        }
        if !made.idempotency.is_empty() {
            self.results.insert(made.idempotency, offset);
        }
        Decided::Taken(offset, holds)
    }

    /// A publication that was numbered is shown.
    pub(super) fn show(&mut self, items: &mut [Item], made: &Made, (offset, holds): (Option<u64>, bool), time: Millis) {
        let item = &mut items[made.serial];
        item.time = time;
        item.offset = offset.unwrap_or(0);
        item.life = self.life.as_ref().map_or(0, |life| life.number);
        if offset.is_some() {
            let life = self.life.as_mut().unwrap();
            life.under_way -= 1;
            life.top += 1;
            life.touched = time;
            life.kept.push_back(made.serial);
            while life.kept.len() > self.options.history_size() {
                life.kept.pop_front();
            }
        }
        if holds {
            self.state.insert(made.key, made.serial);
            if let Some(ends) = self.ends_at(time) {
                self.ends.insert(made.key, ends);
            }
        } else if made.removes {
            self.state.remove(made.key);
            self.ends.remove(made.key);
        }
    }

    /// When a value that is set now runs out.
    fn ends_at(&self, now: Millis) -> Option<Millis> {
        let map = &self.options.map;
        (self.options.is_map() && map.mode != MapMode::Persistent && map.key_ttl > 0).then_some(now + map.key_ttl)
    }

    /// The keys whose values have run out, in that order; each is told once.
    pub(super) fn run_out(&mut self, now: Millis) -> Vec<&'static str> {
        let mut over: Vec<_> =
            self.ends.iter().filter(|(_, ends)| **ends <= now).map(|(key, ends)| (*ends, *key)).collect();
        over.sort_unstable();
        for (_, key) in &over {
            self.ends.remove(key);
        }
        over.into_iter().map(|(_, key)| key).collect()
    }

    /// What is kept and not too old.
    pub(super) fn kept(&self, items: &[Item], now: Millis) -> Vec<usize> {
        let ttl = self.options.history_ttl();
        let kept = self.life.iter().flat_map(|life| &life.kept).copied();
        kept.filter(|serial| items[*serial].time + ttl > now).collect()
    }

    /// What a client that has seen up to `since` must get to have missed nothing; `None` where that is not there.
    pub(super) fn missed(&self, items: &[Item], since: (u64, &str), now: Millis) -> Option<Vec<usize>> {
        let life = self.life.as_ref()?;
        let is_this_life = since.1.is_empty() || self.epoch().is_some_and(|epoch| **epoch == *since.1);
        if !is_this_life || since.0 > life.top {
            return None;
        }
        let kept = self.kept(items, now);
        let missed: Vec<usize> = kept.into_iter().filter(|serial| items[*serial].offset > since.0).collect();
        let bytes: usize = missed.iter().map(|serial| items[*serial].text.len()).sum();
        let is_all = missed.len() as u64 == life.top - since.0;
        (is_all && missed.len() <= CAP.count && bytes <= CAP.bytes).then_some(missed)
    }

    fn latest(&self, items: &[Item], now: Millis) -> Vec<usize> {
        if !self.options.has_state() {
            return self.kept(items, now).last().copied().into_iter().collect();
        }
        let mut latest: Vec<usize> = self.state.values().copied().collect();
        latest.sort_by_key(|serial| items[*serial].offset);
        latest
    }

    /// What a subscriber is told. `is_cache`: all it can be brought up to date with is the latest values.
    pub(super) fn tell(&self, items: &[Item], since: Option<(u64, &str)>, is_cache: bool, now: Millis) -> Told {
        if !self.options.has_history() {
            return Told::default();
        }
        let offset = Some(self.top());
        let passes_by = is_cache || self.options.delivery.skips();
        let is_cache = is_cache || self.options.recovery_mode == RecoveryMode::Cache;
        let Some(since) = since else {
            let begins = self.options.snapshot || (is_cache && self.options.auto_cache_recover);
            let serials = if begins { self.latest(items, now) } else { Vec::new() };
            return Told { offset, recovered: false, serials };
        };
        if is_cache {
            let is_at_top = since.0 == self.top() && self.epoch().is_some_and(|epoch| **epoch == *since.1);
            // Who has the last publication may have been passed by another key's.
            let serials = if is_at_top && !passes_by { Vec::new() } else { self.latest(items, now) };
            let is_latest = serials.last().is_some_and(|serial| items[*serial].offset == self.top());
            let recovered = is_at_top || is_latest || (self.options.snapshot && self.top() > 0);
            return Told { offset, recovered, serials };
        }
        match self.missed(items, since, now) {
            Some(serials) => Told { offset: Some(since.0), recovered: true, serials },
            None => Told { offset, recovered: false, serials: Vec::new() },
        }
    }

    /// Time passes: what nobody can remember is forgotten.
    pub(super) fn sweep(&mut self, items: &[Item], now: Millis) {
        let kept = self.kept(items, now);
        let Some(life) = &mut self.life else { return };
        life.kept = kept.into();
        let ttl = if life.top > 0 { self.options.meta_ttl() } else { self.options.history_ttl() };
        let is_over = life.kept.is_empty() && life.under_way == 0 && life.touched + ttl < now;
        if is_over && self.subscribers == 0 && self.state.is_empty() {
            self.end();
        }
    }

    /// The application forgets what was published.
    pub(super) fn forget(&mut self) {
        if let Some(life) = &mut self.life {
            life.kept.clear();
        }
        self.clear();
    }

    /// No key has a value any more.
    pub(super) fn clear(&mut self) {
        self.state.clear();
        self.ends.clear();
    }

    /// The last subscriber is gone.
    pub(super) fn leave(&mut self) {
        self.subscribers -= 1;
        if !self.is_there() {
            self.version = (0, "");
        }
    }
}
