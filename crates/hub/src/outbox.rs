//! The outbox of a worker: what this round has to say to each connection, as indexes into a palette of shared frames.

use std::sync::Arc;

use bytes::Bytes;

use crate::namespace::{Delivery, Gauges};

const NONE: u32 = u32::MAX;

/// The pending frames of one connection: the ends of a list in [`Outbox::entries`]. Eight bytes, idle or not.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    head: u32,
    tail: u32,
}

impl Lane {
    const EMPTY: Self = Self { head: NONE, tail: NONE };
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    frame: u32,
    next: u32,
}

/// The bytes of one frame, and what becomes of it where a socket refuses it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What goes out.
    pub bytes: Bytes,
    /// `None`: it is kept for the reader, whatever comes after it.
    pub note: Option<Arc<Note>>,
    /// The reader asked for it: that does not make the reader slow.
    pub is_answer: bool,
}

/// What may happen to a publication on its way to a slow reader.
///
/// Why not with the parcel: that has room for the frames of all encodings, and what waits would keep it alive.
#[derive(Debug)]
pub struct Note {
    /// Number of the channel.
    pub channel: u64,
    /// What the publication is the latest value of, where a channel carries several side by side.
    pub key: Option<Arc<str>>,
    /// What is counted in the namespace.
    pub gauges: Arc<Gauges>,
    /// Whether it waits, gives way, or is replaced.
    pub delivery: Delivery,
    /// What waits in the place of the frame: the same bytes, or where it is a delta the whole, for a reader that may miss
    /// what the delta was made against.
    pub whole: Bytes,
}

/// Whether a connection takes what it is sent.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    is_blocked: bool,
    /// How often it was blocked.
    stirs: u16,
}

/// Pending frames of all connections of one worker.
///
/// Why lists in one arena: a delivery is one push onto a vector that keeps its room from round to round; no connection
/// owns a buffer, and nothing is allocated per delivery.
#[derive(Debug, Default)]
pub struct Outbox {
    lanes: Vec<Lane>,
    entries: Vec<Entry>,
    palette: Vec<Frame>,
    /// Only as long as any connection was ever blocked.
    flows: Vec<Flow>,
    dirty: Vec<u32>,
    flushed: usize,
}

impl Outbox {
    /// Prepares the lane of a connection; whatever an earlier owner of the slot left is gone.
    pub fn open(&mut self, slot: u32) {
        let index = slot as usize;
        if index >= self.lanes.len() {
            self.lanes.resize(index + 1, Lane::EMPTY);
        }
        self.lanes[index] = Lane::EMPTY;
        self.unblock(slot);
    }

    /// A connection does not take what it is sent; from now on its frames wait.
    pub fn block(&mut self, slot: u32) {
        let index = slot as usize;
        if index >= self.flows.len() {
            self.flows.resize(index + 1, Flow::default());
        }
        let flow = &mut self.flows[index];
        flow.is_blocked = true;
        flow.stirs = flow.stirs.wrapping_add(1);
    }

    /// Everything that waited for a connection is out.
    pub fn unblock(&mut self, slot: u32) {
        if let Some(flow) = self.flows.get_mut(slot as usize) {
            flow.is_blocked = false;
        }
    }

    /// How often a connection was blocked; `None` while it is.
    pub(crate) fn stirs(&self, slot: u32) -> Option<u16> {
        match self.flows.get(slot as usize) {
            Some(flow) if flow.is_blocked => None,
            Some(flow) => Some(flow.stirs),
            None => Some(0),
        }
    }

    /// Puts a frame on the palette of this round.
    pub fn add(&mut self, bytes: Bytes) -> u32 {
        self.add_noted(bytes, None)
    }

    /// As [`Self::add`], for a publication that need not wait for ever.
    pub fn add_noted(&mut self, bytes: Bytes, note: Option<Arc<Note>>) -> u32 {
        self.palette.push(Frame { bytes, note, is_answer: false });
        (self.palette.len() - 1) as u32
    }

    /// Queues a frame of the palette for a connection.
    #[inline]
    pub fn push(&mut self, slot: u32, frame: u32) {
        let entry = self.entries.len() as u32;
        self.entries.push(Entry { frame, next: NONE });
        let Some(lane) = self.lanes.get_mut(slot as usize) else { return };
        if lane.tail == NONE {
            lane.head = entry;
            self.dirty.push(slot);
        } else if let Some(last) = self.entries.get_mut(lane.tail as usize) {
            last.next = entry;
        }
        lane.tail = entry;
    }

    /// Queues a frame for one connection only.
    pub fn send(&mut self, slot: u32, frame: Bytes) {
        let frame = self.add(frame);
        self.push(slot, frame);
    }

    /// Queues a frame for one connection only, which asked for it.
    pub fn answer(&mut self, slot: u32, bytes: Bytes) {
        let frame = self.palette.len() as u32;
        self.palette.push(Frame { bytes, note: None, is_answer: true });
        self.push(slot, frame);
    }

    /// Whether anything waits to be written.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.flushed < self.dirty.len()
    }

    /// How many entries this round holds; a measure of the memory it pins.
    #[must_use]
    pub fn pressure(&self) -> usize {
        self.entries.len()
    }

    /// The next connection that has something to say, oldest first.
    pub fn next_dirty(&mut self) -> Option<u32> {
        let slot = *self.dirty.get(self.flushed)?;
        self.flushed += 1;
        Some(slot)
    }

    /// Takes the pending frames of a connection out of its lane.
    pub fn take(&mut self, slot: u32) -> Lane {
        self.lanes.get_mut(slot as usize).map_or(Lane::EMPTY, |lane| std::mem::replace(lane, Lane::EMPTY))
    }

    /// A connection has left a channel: what it has not been sent of it, and need not be, is forgotten.
    ///
    /// Why: such publications may be overtaken by replies, and none may come after the reply to `unsubscribe`.
    pub fn forget(&mut self, slot: u32, channel: u64) {
        let Some(lane) = self.lanes.get(slot as usize) else { return };
        let (mut at, mut nothing) = (lane.head, None);
        while let Some(entry) = self.entries.get_mut(at as usize) {
            let note = self.palette.get(entry.frame as usize).and_then(|frame| frame.note.as_ref());
            if note.is_some_and(|note| note.channel == channel) {
                entry.frame = *nothing.get_or_insert_with(|| {
                    self.palette.push(Frame { bytes: Bytes::new(), note: None, is_answer: false });
                    (self.palette.len() - 1) as u32
                });
            }
            at = entry.next;
        }
    }

    /// The only frame of a lane, where it has just one: it is written straight from the shared bytes.
    #[must_use]
    #[inline]
    pub fn single(&self, lane: Lane) -> Option<&Bytes> {
        if lane.head == NONE || lane.head != lane.tail {
            return None;
        }
        let entry = self.entries.get(lane.head as usize)?;
        self.palette.get(entry.frame as usize).map(|frame| &frame.bytes)
    }

    /// The frames of a lane in order.
    pub fn frames(&self, lane: Lane) -> impl Iterator<Item = &Frame> {
        let mut at = lane.head;
        std::iter::from_fn(move || {
            let entry = self.entries.get(at as usize)?;
            at = entry.next;
            self.palette.get(entry.frame as usize)
        })
    }

    /// Ends the round: the palette and the lists are empty again. Call when nothing is dirty.
    pub fn finish(&mut self) {
        const KEEP: usize = 1 << 16;
        self.palette.clear();
        self.dirty.clear();
        self.entries.clear();
        self.flushed = 0;
        // A rare giant round must not hold its room for ever.
        if self.entries.capacity() > 16 * KEEP {
            self.entries.shrink_to(KEEP);
            self.dirty.shrink_to(KEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_reports_each_connection_once() {
        let mut outbox = Outbox::default();
        outbox.open(0);
        outbox.open(5);
        let a = outbox.add(Bytes::from_static(b"a"));
        let b = outbox.add(Bytes::from_static(b"b"));
        outbox.push(5, a);
        outbox.push(0, a);
        outbox.push(5, b);
        assert_eq!(outbox.next_dirty(), Some(5));
        let lane = outbox.take(5);
        assert!(outbox.single(lane).is_none());
        assert_eq!(outbox.frames(lane).map(|f| f.bytes[0]).collect::<Vec<_>>(), b"ab");
        assert_eq!(outbox.next_dirty(), Some(0));
        let lane = outbox.take(0);
        assert_eq!(outbox.single(lane).unwrap().as_ref(), b"a");
        assert!(!outbox.is_dirty());
        outbox.finish();
        assert_eq!(outbox.frames(Lane::EMPTY).count(), 0);
    }

    #[test]
    fn a_reused_slot_hears_nothing_of_its_predecessor() {
        let mut outbox = Outbox::default();
        outbox.open(1);
        outbox.send(1, Bytes::from_static(b"old"));
        outbox.open(1);
        outbox.send(1, Bytes::from_static(b"new"));
        let slot = outbox.next_dirty().unwrap();
        let lane = outbox.take(slot);
        assert_eq!(outbox.single(lane).unwrap().as_ref(), b"new");
    }
}
