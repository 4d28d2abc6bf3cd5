//! Whose turn it is: one publication of a channel at a time where order is kept, and pauses between attempts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::sink::inbox::Item;

/// A publication with what has been tried.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) item: Item,
    /// Attempts so far.
    pub(crate) tries: usize,
    /// The last attempt reached nobody.
    pub(crate) unreached: bool,
}

/// All jobs that are not under way.
#[derive(Debug)]
pub(crate) struct Lanes {
    is_ordered: bool,
    ready: VecDeque<Job>,
    /// What waits for the publication before it; a channel is in here while one of its publications is anywhere.
    behind: HashMap<Arc<str>, VecDeque<Job>>,
    paused: BTreeMap<(Instant, u64), Job>,
    /// Tells pauses apart that end together.
    number: u64,
}

impl Lanes {
    pub(crate) fn new(is_ordered: bool) -> Self {
        Self { is_ordered, ready: VecDeque::new(), behind: HashMap::new(), paused: BTreeMap::new(), number: 0 }
    }

    /// Takes a new one.
    pub(crate) fn admit(&mut self, item: Item) {
        let job = Job { item, tries: 0, unreached: false };
        if self.is_ordered {
            if let Some(lane) = self.behind.get_mut(&job.item.channel) {
                lane.push_back(job);
                return;
            }
            self.behind.insert(Arc::clone(&job.item.channel), VecDeque::new());
        }
        self.ready.push_back(job);
    }

    /// The next whose turn it is.
    pub(crate) fn next(&mut self) -> Option<Job> {
        self.ready.pop_front()
    }

    /// It failed and is tried again then.
    pub(crate) fn pause(&mut self, job: Job, until: Instant) {
        self.number += 1;
        self.paused.insert((until, self.number), job);
    }

    /// Those whose pause is over are ready.
    pub(crate) fn wake(&mut self, now: Instant) {
        let later = self.paused.split_off(&(now, u64::MAX));
        self.ready.extend(std::mem::replace(&mut self.paused, later).into_values());
    }

    /// The other side is back: those that did not reach it need not wait any longer.
    pub(crate) fn hurry(&mut self) {
        let (unreached, other) = std::mem::take(&mut self.paused).into_iter().partition(|(_, job)| job.unreached);
        let unreached: BTreeMap<_, _> = unreached;
        self.paused = other;
        self.ready.extend(unreached.into_values());
    }

    /// One of a channel is done with: the next of it is ready.
    pub(crate) fn finished(&mut self, channel: &Arc<str>) {
        let Some(lane) = self.behind.get_mut(channel) else { return };
        match lane.pop_front() {
            Some(job) => self.ready.push_back(job),
            None => _ = self.behind.remove(channel),
        }
    }

    /// When the next pause is over.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.paused.first_key_value().map(|((until, _), _)| *until)
    }

    /// Those that pause, which nobody waits for any more.
    pub(crate) fn take_paused(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.paused).into_values().collect()
    }

    /// All of them, in the order of each channel.
    pub(crate) fn take_all(&mut self) -> Vec<Job> {
        let mut all = self.take_paused();
        all.extend(std::mem::take(&mut self.ready));
        all.extend(std::mem::take(&mut self.behind).into_values().flatten());
        all
    }

    /// Whether there is nothing but what is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.paused.is_empty() && self.behind.values().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sink::inbox::tests::item;

    fn next(lanes: &mut Lanes) -> Option<(String, String)> {
        let job = lanes.next()?;
        Some((job.item.channel.to_string(), String::from_utf8_lossy(&job.item.publication.data.bytes).into_owned()))
    }

    fn pair(channel: &str, data: &str) -> Option<(String, String)> {
        Some((channel.to_owned(), data.to_owned()))
    }

    #[test]
    fn a_channel_goes_one_by_one_and_others_beside_it() {
        let mut lanes = Lanes::new(true);
        for (channel, data) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "3")] {
            lanes.admit(item(channel, data));
        }
        assert_eq!(next(&mut lanes), pair("a", "1"));
        assert_eq!(next(&mut lanes), pair("b", "1"));
        assert_eq!(next(&mut lanes), None);
        lanes.finished(&"a".into());
        assert_eq!(next(&mut lanes), pair("a", "2"));
        lanes.finished(&"b".into());
        assert_eq!(next(&mut lanes), None);
        lanes.finished(&"a".into());
        assert_eq!(next(&mut lanes), pair("a", "3"));
        lanes.finished(&"a".into());
        assert!(lanes.is_empty());
        lanes.admit(item("a", "4"));
        assert_eq!(next(&mut lanes), pair("a", "4"));
    }

    #[test]
    fn without_order_nobody_waits() {
        let mut lanes = Lanes::new(false);
        for data in ["1", "2"] {
            lanes.admit(item("a", data));
        }
        assert_eq!(next(&mut lanes), pair("a", "1"));
        assert_eq!(next(&mut lanes), pair("a", "2"));
        lanes.finished(&"a".into());
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_pause_holds_its_channel_only() {
        let (mut lanes, start, second) = (Lanes::new(true), Instant::now(), Duration::from_secs(1));
        for (channel, data) in [("a", "1"), ("a", "2"), ("b", "1")] {
            lanes.admit(item(channel, data));
        }
        let job = lanes.next().unwrap();
        lanes.pause(job, start + second);
        assert_eq!(next(&mut lanes), pair("b", "1"));
        assert_eq!((next(&mut lanes), lanes.next_wake()), (None, Some(start + second)));
        lanes.wake(start);
        assert_eq!(next(&mut lanes), None);
        lanes.wake(start + second);
        assert_eq!(next(&mut lanes), pair("a", "1"));
        assert!(!lanes.is_empty());
    }

    #[test]
    fn who_reached_nobody_is_hurried_and_who_was_refused_is_not() {
        let (mut lanes, start) = (Lanes::new(true), Instant::now());
        for (channel, unreached) in [("a", true), ("b", false), ("c", true)] {
            lanes.admit(item(channel, "1"));
            let job = lanes.next().unwrap();
            lanes.pause(Job { unreached, ..job }, start);
        }
        lanes.hurry();
        assert_eq!((next(&mut lanes), next(&mut lanes)), (pair("a", "1"), pair("c", "1")));
        assert_eq!((next(&mut lanes), lanes.take_paused().len()), (None, 1));
    }

    #[test]
    fn all_that_is_left_comes_in_the_order_of_its_channel() {
        let mut lanes = Lanes::new(true);
        for data in ["1", "2", "3"] {
            lanes.admit(item("a", data));
        }
        let job = lanes.next().unwrap();
        lanes.pause(job, Instant::now());
        let all = lanes.take_all();
        let data: Vec<&[u8]> = all.iter().map(|job| &*job.item.publication.data.bytes).collect();
        assert_eq!(data, [b"1", b"2", b"3"]);
        assert!(lanes.is_empty());
    }
}
