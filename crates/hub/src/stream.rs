//! The history of a channel: a ring of publications, numbered by offset, under an epoch.

use std::collections::VecDeque;
use std::sync::Arc;

use jackfield_model::client::HistoryPage;
use jackfield_model::{ClientError, Millis, Position, Publication};

/// History of one channel in memory.
#[derive(Debug)]
pub(crate) struct Stream {
    epoch: Arc<str>,
    top: u64,
    ring: VecDeque<Arc<Publication>>,
    touched: Millis,
}

/// How a piece of history is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range {
    pub(crate) limit: i32,
    pub(crate) since: Option<Position>,
    pub(crate) reverse: bool,
}

impl Stream {
    pub(crate) fn new(epoch: Arc<str>, now: Millis) -> Self {
        Self { epoch, top: 0, ring: VecDeque::new(), touched: now }
    }

    pub(crate) fn position(&self) -> Position {
        Position { offset: self.top, epoch: Arc::clone(&self.epoch) }
    }

    /// The offset that the next publication gets.
    pub(crate) fn next_offset(&mut self) -> u64 {
        self.top += 1;
        self.top
    }

    pub(crate) fn keep(&mut self, publication: Arc<Publication>, size: usize) {
        self.touched = publication.time;
        self.ring.push_back(publication);
        while self.ring.len() > size {
            self.ring.pop_front();
        }
    }

    /// Forgets publications older than `ttl`.
    pub(crate) fn expire(&mut self, now: Millis, ttl: Millis) {
        while self.ring.front().is_some_and(|oldest| oldest.time + ttl <= now) {
            self.ring.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Whether anything was ever published.
    pub(crate) fn has_past(&self) -> bool {
        self.top > 0
    }

    /// When the last publication came; the epoch and top outlive the publications by the meta TTL.
    pub(crate) fn touched(&self) -> Millis {
        self.touched
    }

    /// What came after `since`; `None` unless that is all of it, without a gap, and at most `cap` publications.
    pub(crate) fn recover(&self, since: &Position, cap: usize) -> Option<Vec<Arc<Publication>>> {
        if !since.epoch.is_empty() && since.epoch != self.epoch {
            return None;
        }
        if since.offset == self.top {
            return Some(Vec::new());
        }
        let seen = self.ring.partition_point(|publication| publication.offset <= since.offset);
        let (first, last) = (self.ring.get(seen)?, self.ring.back()?);
        let is_whole = first.offset - since.offset == 1 && last.offset == self.top && self.ring.len() - seen <= cap;
        is_whole.then(|| self.ring.range(seen..).cloned().collect())
    }

    pub(crate) fn read(&self, range: &Range, cap: usize) -> Result<HistoryPage, ClientError> {
        let position = self.position();
        if let Some(since) = &range.since
            && !since.epoch.is_empty()
            && since.epoch != self.epoch
        {
            return Err(ClientError::UNRECOVERABLE_POSITION);
        }
        let limit = if range.limit < 0 { cap } else { (range.limit as usize).min(cap) };
        let offset = range.since.as_ref().map(|since| since.offset);
        let publications = if range.reverse {
            let below = |p: &&Arc<Publication>| offset.is_none_or(|offset| p.offset < offset);
            self.ring.iter().rev().filter(below).take(limit).cloned().collect()
        } else {
            let above = |p: &&Arc<Publication>| offset.is_none_or(|offset| p.offset > offset);
            self.ring.iter().filter(above).take(limit).cloned().collect()
        };
        Ok(HistoryPage { publications, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(count: u64, size: usize) -> Stream {
        let mut stream = Stream::new("e".into(), 0);
        for time in 1..=count {
            let offset = stream.next_offset();
            stream.keep(Arc::new(Publication { offset, time, ..Publication::default() }), size);
        }
        stream
    }

    fn offsets(stream: &Stream, limit: i32, since: Option<u64>, reverse: bool) -> Vec<u64> {
        let since = since.map(|offset| Position { offset, epoch: "e".into() });
        let page = stream.read(&Range { limit, since, reverse }, 300).unwrap();
        page.publications.iter().map(|p| p.offset).collect()
    }

    #[test]
    fn reads_both_ways_and_within_limits() {
        let stream = stream(10, 5);
        assert_eq!(offsets(&stream, -1, None, false), [6, 7, 8, 9, 10]);
        assert_eq!(offsets(&stream, 0, None, false), [0; 0]);
        assert_eq!(offsets(&stream, 2, Some(7), false), [8, 9]);
        assert_eq!(offsets(&stream, 2, None, true), [10, 9]);
        assert_eq!(offsets(&stream, -1, Some(8), true), [7, 6]);
        assert_eq!(stream.position().offset, 10);
    }

    #[test]
    fn a_foreign_epoch_is_unrecoverable() {
        let since = Some(Position { offset: 1, epoch: "other".into() });
        let error = stream(3, 5).read(&Range { limit: 1, since, reverse: false }, 300).unwrap_err();
        assert_eq!(error.code, 112);
    }

    #[test]
    fn recovery_is_all_or_nothing() {
        let stream = stream(10, 5);
        let missed = |offset: u64, epoch: &str, cap: usize| {
            let since = Position { offset, epoch: epoch.into() };
            let publications = stream.recover(&since, cap)?;
            Some(publications.iter().map(|publication| publication.offset).collect::<Vec<_>>())
        };
        assert_eq!(missed(7, "e", 300), Some(vec![8, 9, 10]));
        assert_eq!(missed(7, "", 300), Some(vec![8, 9, 10]));
        assert_eq!(missed(10, "e", 0), Some(vec![]));
        assert_eq!(missed(5, "e", 5), Some(vec![6, 7, 8, 9, 10]));
        assert_eq!(missed(5, "e", 4), None, "more than may be read at once");
        assert_eq!(missed(4, "e", 300), None, "5 is forgotten");
        assert_eq!(missed(0, "e", 300), None);
        assert_eq!(missed(11, "e", 300), None, "it was never published");
        assert_eq!(missed(u64::MAX, "e", 300), None);
        assert_eq!(missed(7, "other", 300), None);
        assert_eq!(missed(10, "_", 300), None);
    }

    #[test]
    fn what_expired_is_not_recovered_and_an_empty_past_is() {
        let mut stream = stream(3, 5);
        stream.expire(100, 10);
        let since = |offset| Position { offset, epoch: "e".into() };
        assert_eq!(stream.recover(&since(2), 300), None);
        assert_eq!(stream.recover(&since(3), 300), Some(Vec::new()));
        assert_eq!(Stream::new("e".into(), 0).recover(&since(0), 300), Some(Vec::new()));
        assert_eq!(Stream::new("e".into(), 0).recover(&since(1), 300), None);
    }

    #[test]
    fn old_ones_expire_and_the_top_stays() {
        let mut stream = stream(10, 10);
        stream.expire(15, 10);
        assert_eq!(offsets(&stream, -1, None, false), [6, 7, 8, 9, 10]);
        stream.expire(100, 10);
        assert!(stream.is_empty());
        assert_eq!(stream.position().offset, 10);
    }
}
