//! The history of a channel: a ring of publications, numbered by offset, under an epoch.

use std::collections::VecDeque;
use std::sync::Arc;

use jackfield_model::client::HistoryPage;
use jackfield_model::{ClientError, Millis, Position, Publication};

/// History of one channel in memory.
#[derive(Debug)]
pub(crate) struct Stream {
    epoch: Arc<str>,
    /// The last publication that subscribers may know of.
    top: u64,
    /// The last number that was given out; above `top` while a journal writes.
    numbered: u64,
    ring: VecDeque<Arc<Publication>>,
    /// All that came after this number is in the ring.
    floor: u64,
    touched: Millis,
}

/// How a piece of history is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range {
    pub(crate) limit: i32,
    pub(crate) since: Option<Position>,
    pub(crate) from: Option<Millis>,
    pub(crate) reverse: bool,
}

/// How much may be recovered at once.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// Publications.
    pub count: usize,
    /// Bytes of their payloads. A reply that no backlog can hold would end the connection, which would come back to ask
    /// for the same.
    pub bytes: usize,
}

impl Stream {
    pub(crate) fn new(epoch: Arc<str>, now: Millis) -> Self {
        Self { epoch, top: 0, numbered: 0, ring: VecDeque::new(), floor: 0, touched: now }
    }

    /// A stream as a log knows it; `publications` oldest first.
    pub(crate) fn restored(position: Position, publications: Vec<Arc<Publication>>, touched: Millis) -> Self {
        let floor = whole_from(&publications, position.offset);
        Self::mirrored(position, publications, floor, touched)
    }

    /// A stream as a broker keeps it; `publications` oldest first, and all that came after `floor`.
    pub(crate) fn mirrored(
        position: Position,
        publications: Vec<Arc<Publication>>,
        floor: u64,
        touched: Millis,
    ) -> Self {
        let Position { offset, epoch } = position;
        Self { epoch, top: offset, numbered: offset, ring: publications.into(), floor, touched }
    }

    pub(crate) fn epoch(&self) -> &Arc<str> {
        &self.epoch
    }

    pub(crate) fn position(&self) -> Position {
        Position { offset: self.top, epoch: Arc::clone(&self.epoch) }
    }

    /// The offset that the next publication gets.
    pub(crate) fn next_offset(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    /// Whether numbers are given out of which nobody knows yet whether they will be seen.
    pub(crate) fn is_awaited(&self) -> bool {
        self.numbered != self.top
    }

    /// Takes back every number above the top: nobody has seen what had them.
    pub(crate) fn take_back(&mut self) {
        self.numbered = self.top;
    }

    pub(crate) fn keep(&mut self, publication: Arc<Publication>, size: usize) {
        self.touched = publication.time;
        self.top = publication.offset;
        self.numbered = self.numbered.max(self.top);
        self.ring.push_back(publication);
        while self.ring.len() > size {
            self.drop_oldest();
        }
    }

    /// What stands below this number and is not in the ring is nowhere.
    pub(crate) fn rise_to(&mut self, top: u64) {
        if top > self.top {
            (self.top, self.numbered, self.floor) = (top, top, top);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.floor = self.floor.max(oldest.offset);
        }
    }

    /// Forgets publications older than `ttl`.
    pub(crate) fn expire(&mut self, now: Millis, ttl: Millis) {
        while self.ring.front().is_some_and(|oldest| oldest.time + ttl <= now) {
            self.drop_oldest();
        }
    }

    /// Forgets all publications; the position stays.
    pub(crate) fn clear(&mut self) {
        self.ring.clear();
        self.floor = self.top;
    }

    /// The latest publication, if it is still kept.
    pub(crate) fn latest(&self) -> Option<&Arc<Publication>> {
        self.ring.back()
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

    /// Whether a position is one of this stream's life. An empty epoch is of any.
    pub(crate) fn knows(&self, since: &Position) -> bool {
        since.epoch.is_empty() || since.epoch == self.epoch
    }

    /// What came after `since`; `None` unless that is all of it, without a gap, and within the cap.
    pub(crate) fn recover(&self, since: &Position, cap: Cap) -> Option<Vec<Arc<Publication>>> {
        let seen = self.place_after(since)?;
        let bytes = || self.ring.range(seen..).map(|publication| publication.data.bytes.len()).sum::<usize>();
        let fits = self.ring.len() - seen <= cap.count && bytes() <= cap.bytes;
        fits.then(|| self.ring.range(seen..).cloned().collect())
    }

    /// At most `limit` publications after `since`; `None` if there is a gap or the epoch is another.
    pub(crate) fn after(&self, since: &Position, limit: usize) -> Option<Vec<Arc<Publication>>> {
        let seen = self.place_after(since)?;
        Some(self.ring.range(seen..).take(limit).cloned().collect())
    }

    /// Where in the ring begins what came after `since`; `None` if not all of that is there.
    fn place_after(&self, since: &Position) -> Option<usize> {
        if !self.knows(since) || since.offset > self.top {
            return None;
        }
        if since.offset == self.top {
            return Some(self.ring.len());
        }
        let seen = self.ring.partition_point(|publication| publication.offset <= since.offset);
        (since.offset >= self.floor).then_some(seen)
    }

    pub(crate) fn read(&self, range: &Range, cap: usize) -> Result<HistoryPage, ClientError> {
        let position = self.position();
        if range.from.is_none() && range.since.as_ref().is_some_and(|since| !self.knows(since)) {
            return Err(ClientError::UNRECOVERABLE_POSITION);
        }
        let limit = if range.limit < 0 { cap } else { (range.limit as usize).min(cap) };
        let offset = match range.from {
            Some(from) => self.place_of(from, range.reverse),
            None => range.since.as_ref().map(|since| since.offset),
        };
        let publications = if range.reverse {
            let below = |p: &&Arc<Publication>| offset.is_none_or(|offset| p.offset < offset);
            self.ring.iter().rev().filter(below).take(limit).cloned().collect()
        } else {
            let above = |p: &&Arc<Publication>| offset.is_none_or(|offset| p.offset > offset);
            self.ring.iter().filter(above).take(limit).cloned().collect()
        };
        Ok(HistoryPage { publications, position })
    }

    /// The exclusive start that a moment stands for.
    ///
    /// Forwards: all from the first publication at or after it. Backwards: all up to the last one at or before it.
    /// A walk, because a clock that was set back leaves times that do not rise.
    fn place_of(&self, from: Millis, reverse: bool) -> Option<u64> {
        if reverse {
            let last = self.ring.iter().rev().find(|publication| publication.time <= from);
            // Nothing is as old: below the first number there is none.
            return Some(last.map_or(0, |publication| publication.offset + 1));
        }
        let first = self.ring.iter().find(|publication| publication.time >= from);
        Some(first.map_or(self.top, |publication| publication.offset - 1))
    }
}

/// The number from which on a log that counts by ones has everything up to `top`.
fn whole_from(publications: &[Arc<Publication>], top: u64) -> u64 {
    let mut floor = top;
    for publication in publications.iter().rev().take_while(|publication| publication.offset > 0) {
        if publication.offset != floor {
            break;
        }
        floor -= 1;
    }
    floor
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Cap = Cap { count: 300, bytes: 1 << 20 };

    #[test]
    fn a_moment_stands_for_a_place() {
        // Offset n was published at time n.
        let stream = stream(10, 5);
        let offsets = |from, reverse| {
            let page = stream.read(&Range { limit: -1, since: None, from: Some(from), reverse }, 300).unwrap();
            page.publications.iter().map(|p| p.offset).collect::<Vec<_>>()
        };
        assert_eq!(offsets(8, false), [8, 9, 10]);
        assert_eq!(offsets(0, false), [6, 7, 8, 9, 10]);
        assert_eq!(offsets(11, false), [0; 0]);
        assert_eq!(offsets(8, true), [8, 7, 6]);
        assert_eq!(offsets(99, true), [10, 9, 8, 7, 6]);
        assert_eq!(offsets(5, true), [0; 0]);
    }

    #[test]
    fn nobody_recovers_over_a_gap() {
        let publications = [3, 4, 9, 10].map(|offset| Arc::new(Publication { offset, ..Publication::default() }));
        let stream = Stream::restored(Position { offset: 10, epoch: "e".into() }, publications.into(), 0);
        let count = |offset| {
            let since = Position { offset, epoch: "e".into() };
            let recovered = stream.recover(&since, CAP).map(|publications| publications.len());
            assert_eq!(recovered, stream.after(&since, 300).map(|publications| publications.len()));
            recovered
        };
        assert_eq!([2, 3, 4, 7].map(count), [None; 4]);
        assert_eq!([8, 9, 10].map(count), [Some(2), Some(1), Some(0)]);
    }

    #[test]
    fn what_is_numbered_is_not_yet_seen() {
        let mut stream = stream(3, 5);
        assert_eq!((stream.next_offset(), stream.next_offset()), (4, 5));
        assert_eq!(stream.position().offset, 3);
        let since = Position { offset: 3, epoch: "e".into() };
        assert_eq!(stream.recover(&since, CAP), Some(Vec::new()), "nobody has missed what nobody was shown");
        stream.take_back();
        assert_eq!(stream.next_offset(), 4);
        stream.keep(Arc::new(Publication { offset: 4, ..Publication::default() }), 5);
        assert_eq!(stream.recover(&since, CAP).unwrap().len(), 1);
    }

    #[test]
    fn a_recovery_that_no_backlog_can_hold_is_none() {
        let mut stream = Stream::new("e".into(), 0);
        for _ in 0..3 {
            let offset = stream.next_offset();
            let data = jackfield_model::Payload::json("0123456789");
            stream.keep(Arc::new(Publication { offset, data, ..Publication::default() }), 5);
        }
        let since = Position { offset: 0, epoch: "e".into() };
        assert!(stream.recover(&since, Cap { count: 3, bytes: 30 }).is_some());
        assert!(stream.recover(&since, Cap { count: 3, bytes: 29 }).is_none());
    }

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
        let page = stream.read(&Range { limit, since, from: None, reverse }, 300).unwrap();
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
        let error = stream(3, 5).read(&Range { limit: 1, since, ..Range::default() }, 300).unwrap_err();
        assert_eq!(error.code, 112);
    }

    #[test]
    fn recovery_is_all_or_nothing() {
        let stream = stream(10, 5);
        let missed = |offset: u64, epoch: &str, cap: usize| {
            let since = Position { offset, epoch: epoch.into() };
            let publications = stream.recover(&since, Cap { count: cap, bytes: 1 << 20 })?;
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
        assert_eq!(stream.recover(&since(2), CAP), None);
        assert_eq!(stream.recover(&since(3), CAP), Some(Vec::new()));
        assert_eq!(Stream::new("e".into(), 0).recover(&since(0), CAP), Some(Vec::new()));
        assert_eq!(Stream::new("e".into(), 0).recover(&since(1), CAP), None);
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
