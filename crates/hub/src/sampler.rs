//! So many publications a second and key: the newest wins, and the last one always comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use jackfield_model::Millis;

use crate::filter::Filter;
use crate::parcel::Parcel;
use crate::subscribers::{Dense, Special};

/// Those of one channel and worker who want the same rate of the same publications. They share what waits, so a key costs
/// once for all of them. Who filters apart waits apart: what one does not want must not take the place of what it waits for.
#[derive(Debug)]
pub(crate) struct Sampler {
    pub(crate) rate: u16,
    pub(crate) filter: Option<Arc<Filter>>,
    pub(crate) listeners: Dense<Special>,
    keys: HashMap<Arc<str>, Slot, ahash::RandomState>,
    /// When which key may speak again; only of keys that want to.
    due: BTreeSet<(Millis, Arc<str>)>,
    nameless: Arc<str>,
}

#[derive(Debug)]
struct Slot {
    /// When it may speak again.
    free: Millis,
    /// What it wants to say then.
    waits: Option<(u64, Arc<Parcel>)>,
}

/// Beats in an interval.
const BEATS: Millis = 5;

/// Nobody shall see that things move at the same time.
const LONGEST_BEAT: Millis = 20;

/// Keys beyond this are forgotten when they have been silent for an interval.
const MANY: usize = 1024;

impl Sampler {
    pub(crate) fn new(rate: u16, filter: Option<Arc<Filter>>) -> Self {
        Self {
            rate: rate.max(1),
            filter,
            listeners: Dense::default(),
            keys: HashMap::default(),
            due: BTreeSet::new(),
            nameless: "".into(),
        }
    }

    fn interval(&self) -> Millis {
        // At least a millisecond: that is how fine the clock is.
        1000_u64.div_ceil(self.rate.into())
    }

    /// What waits goes out at multiples of this. Why: a write costs a reader far more than what is in it, so keys whose
    /// moments lie near each other share one.
    fn beat(&self) -> Millis {
        (self.interval() / BEATS).clamp(1, LONGEST_BEAT)
    }

    /// Whether its listeners hear of a publication at all.
    pub(crate) fn wants(&self, parcel: &Parcel) -> bool {
        let Some(filter) = &self.filter else { return true };
        parcel.content().is_none_or(|publication| filter.matches(publication.tags()))
    }

    /// Takes a publication; true if it goes out now, else it waits in the place of whatever waited for its key.
    pub(crate) fn admit(&mut self, sequence: u64, parcel: &Arc<Parcel>, now: Millis) -> bool {
        let key = parcel.content().and_then(|publication| publication.key()).unwrap_or(&self.nameless);
        let (interval, beat) = (self.interval(), self.beat());
        if let Some(slot) = self.keys.get_mut(key) {
            if slot.free <= now && slot.waits.is_none() {
                slot.free = now + interval;
                return true;
            }
            if slot.waits.replace((sequence, Arc::clone(parcel))).is_none() {
                slot.free = slot.free.next_multiple_of(beat);
                self.due.insert((slot.free, Arc::clone(key)));
            }
            return false;
        }
        if self.keys.len() >= MANY {
            self.keys.retain(|_, slot| slot.waits.is_some() || slot.free > now);
        }
        self.keys.insert(Arc::clone(key), Slot { free: now + interval, waits: None });
        true
    }

    /// When something that waits may go out.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What may go out now, in the order in which it was published.
    pub(crate) fn release(&mut self, now: Millis) -> Vec<(u64, Arc<Parcel>)> {
        let (interval, beat) = (self.interval(), self.beat());
        let mut out = Vec::new();
        while let Some((due, key)) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
            self.due.pop_first();
            let Some(slot) = self.keys.get_mut(&key) else { continue };
            // A timer that is a little late shall not make every beat a later one.
            slot.free = if now - due < beat { due } else { now } + interval;
            out.extend(slot.waits.take());
        }
        out.sort_unstable_by_key(|(sequence, _)| *sequence);
        out
    }
}

#[cfg(test)]
mod tests {
    use jackfield_model::client::Push;
    use jackfield_model::{Payload, Publication, Rare};

    use super::*;

    fn parcel(key: &str) -> Arc<Parcel> {
        let rare = Rare { key: Some(key.into()), ..Rare::default() };
        let publication =
            Publication { rare: Some(Box::new(rare)), data: Payload::json("1"), ..Publication::default() };
        Arc::new(Parcel::new(Push::Publication("c".into(), Arc::new(publication))))
    }

    /// Whatever comes when: never more of a key than the rate, nor two within an interval without a beat, the last of each
    /// key goes out, and none goes back.
    #[test]
    fn the_rate_holds_and_the_last_one_comes() {
        let mut state = 7_u64;
        let mut dice = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for rate in [1_u16, 3, 10, 1000] {
            let mut sampler = Sampler::new(rate, None);
            let (interval, beat) = (sampler.interval(), sampler.beat());
            let (mut now, mut sent, mut last) = (0, HashMap::<String, Vec<(u64, u64)>>::new(), HashMap::new());
            for sequence in 1..=5_000_u64 {
                now += dice(interval);
                for (sequence, parcel) in sampler.release(now) {
                    let key = parcel.content().unwrap().key().unwrap().to_string();
                    sent.entry(key).or_default().push((now, sequence));
                }
                let key = format!("k{}", dice(4));
                last.insert(key.clone(), sequence);
                if sampler.admit(sequence, &parcel(&key), now) {
                    sent.entry(key).or_default().push((now, sequence));
                }
            }
            while let Some(due) = sampler.next_due() {
                now = now.max(due);
                for (sequence, parcel) in sampler.release(now) {
                    let key = parcel.content().unwrap().key().unwrap().to_string();
                    sent.entry(key).or_default().push((now, sequence));
                }
            }
            for (key, times) in &sent {
                assert_eq!(times.last().unwrap().1, last[key], "the last of {key} at {rate} a second");
                assert!(
                    times.windows(2).all(|two| two[1].0 - two[0].0 > interval - beat && two[1].1 > two[0].1),
                    "{times:?}"
                );
                let long = times.last().unwrap().0 - times[0].0;
                assert!(times.len() as u64 <= 1 + (long + beat) / interval, "{} in {long} ms", times.len());
            }
        }
    }

    /// Keys that are told of all the time, by a timer that is late: as often as they may, and together.
    #[test]
    fn what_waits_goes_out_together() {
        let (keys, seconds) = (30, 20);
        let mut sampler = Sampler::new(10, None);
        let (mut sent, mut writes) = (0_u64, 0_u64);
        for now in 0..seconds * 1000 {
            let is_awake = now % 7 != 0; // the timer of a worker that has other things to do
            let out = if is_awake { sampler.release(now) } else { Vec::new() };
            (sent, writes) = (sent + out.len() as u64, writes + u64::from(!out.is_empty()));
            let key = (now * 13) % keys;
            sent += u64::from(sampler.admit(now, &parcel(&format!("k{key}")), now));
        }
        let most = keys * (seconds * 10 + 1);
        assert!(sent > most - keys * 5 && sent <= most, "{sent} of {most}");
        assert!(writes <= seconds * 50 + 1, "{writes} writes for {sent} publications");
    }

    #[test]
    fn silent_keys_are_forgotten() {
        let mut sampler = Sampler::new(10, None);
        for n in 0..10 * MANY as u64 {
            assert!(sampler.admit(n, &parcel(&n.to_string()), n * 1000));
        }
        assert!(sampler.keys.len() <= MANY);
    }
}
