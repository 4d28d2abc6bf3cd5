//! A stream: numbered entries, and groups that know what was handed out and not settled.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;
use jackfield_model::Millis;

/// What an entry costs beside its bytes; a round figure for the tree's node and the allocation.
const ENTRY_OVERHEAD_BYTES: usize = 96;
/// What a handed-out entry costs in its group.
const PENDING_OVERHEAD_BYTES: usize = 128;

/// The id of an entry: milliseconds, and a number within them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct StreamId {
    pub(super) millis: u64,
    pub(super) number: u64,
}

impl StreamId {
    pub(super) const MAX: Self = Self { millis: u64::MAX, number: u64::MAX };

    /// Reads `millis-number` or `millis`, which gets `number`.
    pub(super) fn parse(text: &[u8], number: u64) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (millis, number) = match text.split_once('-') {
            Some((millis, rest)) if digits(rest) => (millis, rest.parse().ok()?),
            Some(_) => return None,
            None => (text, number),
        };
        if !digits(millis) {
            return None;
        }
        Some(Self { millis: millis.parse().ok()?, number })
    }

    /// The id after this one; the last one has none.
    pub(super) fn next(self) -> Option<Self> {
        match self.number.checked_add(1) {
            Some(number) => Some(Self { number, ..self }),
            None => self.millis.checked_add(1).map(|millis| Self { millis, number: 0 }),
        }
    }

    /// The id before this one; the first one has none.
    pub(super) fn previous(self) -> Option<Self> {
        match self.number.checked_sub(1) {
            Some(number) => Some(Self { number, ..self }),
            None => self.millis.checked_sub(1).map(|millis| Self { millis, number: u64::MAX }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.millis, self.number)
    }
}

/// The id a new entry asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NewId {
    /// `*`: the clock decides.
    Clock,
    /// `millis-*`: the next number within them.
    Millis(u64),
    /// Exactly this one.
    Given(StreamId),
}

/// One entry on loan to a consumer.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) consumer: Bytes,
    pub(super) since: Millis,
    pub(super) times: u64,
}

/// Readers that share a stream.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) last: StreamId,
    pub(super) pending: BTreeMap<StreamId, Pending>,
}

/// What one XAUTOCLAIM did.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// Where the next one starts; zero at the end.
    pub(super) cursor: StreamId,
    pub(super) entries: Vec<(StreamId, Bytes)>,
    /// Were on loan but are no longer in the stream.
    pub(super) deleted: Vec<StreamId>,
}

/// Entries by id. The body of an entry is its fields as a RESP array, the form in which it is sent: one allocation per
/// entry, and reading it is a copy.
#[derive(Debug, Default)]
pub(super) struct Stream {
    entries: BTreeMap<StreamId, Bytes>,
    pub(super) last: StreamId,
    groups: BTreeMap<Bytes, Group>,
    weight_bytes: usize,
}

impl Stream {
    /// What it costs to keep, loans included.
    pub(super) fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    pub(super) fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Makes a group that has read up to `last`; false where there is one of that name.
    pub(super) fn create_group(&mut self, name: &[u8], last: StreamId) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.weight_bytes += name.len() + PENDING_OVERHEAD_BYTES;
        let group = Group { last, ..Group::default() };
        self.groups.insert(Bytes::copy_from_slice(name), group);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The id an entry would get; none where it would not be above the last one.
    pub(super) fn new_id(&self, wanted: NewId, now: Millis) -> Option<StreamId> {
        let next = self.last.next()?;
        match wanted {
            NewId::Clock => Some(next.max(StreamId { millis: now, number: 0 })),
            NewId::Millis(millis) if millis > self.last.millis => Some(StreamId { millis, number: 0 }),
            NewId::Millis(millis) => (next.millis == millis).then_some(next),
            NewId::Given(id) => (id >= next).then_some(id),
        }
    }

    /// Appends; `id` comes from [`Self::new_id`].
    pub(super) fn append(&mut self, id: StreamId, body: Bytes) {
        self.last = id;
        self.weight_bytes += body.len() + ENTRY_OVERHEAD_BYTES;
        self.entries.insert(id, body);
    }

    /// Removes an entry; false where there is none.
    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let Some(body) = self.entries.remove(&id) else {
            return false;
        };
        self.weight_bytes -= body.len() + ENTRY_OVERHEAD_BYTES;
        true
    }

    /// Removes the oldest until `length` are left; tells how many.
    pub(super) fn trim(&mut self, length: usize) -> usize {
        let mut count = 0;
        while self.entries.len() > length {
            let Some((_, body)) = self.entries.pop_first() else {
                break;
            };
            self.weight_bytes -= body.len() + ENTRY_OVERHEAD_BYTES;
            count += 1;
        }
        count
    }

    /// What lies between two ids, both included.
    pub(super) fn range(&self, from: StreamId, to: StreamId, count: usize) -> Vec<(StreamId, Bytes)> {
        if from > to {
            return Vec::new();
        }
        self.entries.range(from..=to).take(count).map(|(id, body)| (*id, body.clone())).collect()
    }

    /// Hands new entries to a consumer, until `count` or `bytes` are reached; at least one.
    pub(super) fn take_new(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        now: Millis,
        limit: (usize, usize),
    ) -> Vec<(StreamId, Bytes)> {
        let Some(group) = self.groups.get_mut(group) else {
            return Vec::new();
        };
        let (count, bytes) = limit;
        let (mut taken, mut weight) = (Vec::new(), 0);
        for (id, body) in self.entries.range((Bound::Excluded(group.last), Bound::Unbounded)) {
            if taken.len() >= count || (weight > 0 && weight + body.len() > bytes) {
                break;
            }
            weight += body.len();
            taken.push((*id, body.clone()));
        }
        self.weight_bytes += taken.len() * PENDING_OVERHEAD_BYTES;
        // One copy for all of them, which does not hold on to the request it came in.
        let consumer = Bytes::copy_from_slice(consumer);
        for (id, _) in &taken {
            group.last = *id;
            group.pending.insert(*id, Pending { consumer: consumer.clone(), since: now, times: 1 });
        }
        taken
    }

    /// What a consumer has on loan above an id; an entry without a body is no longer in the stream.
    pub(super) fn loans(
        &self,
        group: &[u8],
        consumer: &[u8],
        above: StreamId,
        count: usize,
    ) -> Vec<(StreamId, Option<Bytes>)> {
        let Some(group) = self.groups.get(group) else {
            return Vec::new();
        };
        let range = group.pending.range((Bound::Excluded(above), Bound::Unbounded));
        range
            .filter(|(_, pending)| pending.consumer == consumer)
            .take(count)
            .map(|(id, _)| (*id, self.entries.get(id).cloned()))
            .collect()
    }

    /// Settles entries; tells how many were on loan.
    pub(super) fn acknowledge(&mut self, group: &[u8], ids: &[StreamId]) -> usize {
        let Some(group) = self.groups.get_mut(group) else {
            return 0;
        };
        let count = ids.iter().filter(|id| group.pending.remove(id).is_some()).count();
        self.weight_bytes -= count * PENDING_OVERHEAD_BYTES;
        count
    }

    /// Moves loans that are at least `idle` old to a consumer.
    pub(super) fn claim(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        now: Millis,
        ask: (StreamId, Millis, usize),
    ) -> Claimed {
        let (start, idle, count) = ask;
        let mut claimed = Claimed::default();
        let Some(group) = self.groups.get_mut(group) else {
            return claimed;
        };
        let consumer = Bytes::copy_from_slice(consumer);
        for (id, pending) in group.pending.range_mut(start..) {
            if claimed.entries.len() + claimed.deleted.len() >= count {
                claimed.cursor = *id;
                break;
            }
            if now.saturating_sub(pending.since) < idle {
                continue;
            }
            match self.entries.get(id) {
                None => claimed.deleted.push(*id),
                Some(body) => {
                    let times = pending.times + 1;
                    *pending = Pending { consumer: consumer.clone(), since: now, times };
                    claimed.entries.push((*id, body.clone()));
                }
            }
        }
        for id in &claimed.deleted {
            group.pending.remove(id);
        }
        self.weight_bytes -= claimed.deleted.len() * PENDING_OVERHEAD_BYTES;
        claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(count: u64) -> Stream {
        let mut stream = Stream::default();
        for number in 1..=count {
            stream.append(StreamId { millis: 1, number }, Bytes::from_static(b"*0\r\n"));
        }
        assert!(stream.create_group(b"g", StreamId::default()));
        assert!(!stream.create_group(b"g", StreamId::default()));
        stream
    }

    #[test]
    fn ids_are_read_and_written() {
        assert_eq!(StreamId::parse(b"5-6", 0), Some(StreamId { millis: 5, number: 6 }));
        assert_eq!(StreamId::parse(b"5", 9), Some(StreamId { millis: 5, number: 9 }));
        for wrong in ["", "-", "5-", "-5", "x", "5-x", "+5", "99999999999999999999", "5-6-7"] {
            assert_eq!(StreamId::parse(wrong.as_bytes(), 0), None, "{wrong}");
        }
        assert_eq!(StreamId { millis: 5, number: u64::MAX }.next().unwrap().to_string(), "6-0");
        assert_eq!(StreamId { millis: 6, number: 0 }.previous().unwrap().millis, 5);
        assert_eq!((StreamId::MAX.next(), StreamId::default().previous()), (None, None));
    }

    #[test]
    fn new_ids_rise_even_when_the_clock_falls() {
        let stream = stream(3);
        let id = |wanted, now| stream.new_id(wanted, now).map(|id| id.to_string());
        assert_eq!(id(NewId::Clock, 0).unwrap(), "1-4");
        assert_eq!(id(NewId::Clock, 7).unwrap(), "7-0");
        assert_eq!(id(NewId::Millis(1), 0).unwrap(), "1-4");
        assert_eq!(id(NewId::Millis(2), 0).unwrap(), "2-0");
        assert_eq!(id(NewId::Millis(0), 0), None);
        assert_eq!(id(NewId::Given(StreamId { millis: 1, number: 3 }), 0), None);
    }

    #[test]
    fn what_is_on_loan_can_be_claimed_and_settled() {
        let mut stream = stream(5);
        assert_eq!(stream.take_new(b"g", b"one", 10, (3, usize::MAX)).len(), 3);
        assert_eq!(stream.take_new(b"g", b"one", 10, (9, 1)).len(), 1);
        assert!(stream.remove(StreamId { millis: 1, number: 2 }));
        let claimed = stream.claim(b"g", b"two", 20, (StreamId::default(), 0, 2));
        assert_eq!((claimed.entries.len(), claimed.deleted.len()), (1, 1));
        assert_eq!(claimed.cursor.number, 3);
        let rest = stream.claim(b"g", b"two", 20, (claimed.cursor, 0, 9));
        assert_eq!((rest.entries.len(), rest.cursor), (2, StreamId::default()));
        assert_eq!(stream.claim(b"g", b"one", 25, (StreamId::default(), 6, 9)).entries.len(), 0);
        assert_eq!(stream.loans(b"g", b"two", StreamId::default(), 9).len(), 3);
        assert_eq!(stream.acknowledge(b"g", &[claimed.entries[0].0, StreamId::MAX]), 1);
        assert_eq!(stream.trim(1), 3);
        assert_eq!(stream.range(StreamId::default(), StreamId::MAX, 9).len(), 1);
        let settled: Vec<StreamId> = (1..=5).map(|number| StreamId { millis: 1, number }).collect();
        stream.acknowledge(b"g", &settled);
        stream.trim(0);
        assert_eq!(stream.weight_bytes(), 1 + PENDING_OVERHEAD_BYTES);
    }
}
