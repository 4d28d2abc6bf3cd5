//! Merges updates, and cuts off what somebody has: all structs by client and clock, each element once.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::Malformed;
use crate::reader::{Reader, write_uint};
use crate::update::{ANY, DELETED, GC, HAS_KEY, Id, Item, JSON, Parent, Struct, TEXT, Visit, value, visit};

const SKIP: u8 = 10;

/// One update that says what all of them say. What was deleted stays in it: see [`compact`](crate::compact()).
///
/// # Errors
///
/// [`Malformed`] if one of them does not pass [`check`](crate::check()).
pub fn merge<'a>(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Malformed> {
    let mut elements = Elements::default();
    for update in updates {
        visit(update, &mut elements)?;
    }
    elements.settle();
    Ok(elements.write())
}

/// What is in `update` and not yet with somebody who has `state_vector`. Deletions have no clock, so all of them are in
/// it.
///
/// # Errors
///
/// [`Malformed`] if `update` does not pass [`check`](crate::check()), or `state_vector` is not one.
pub fn diff(update: &[u8], state_vector: &[u8]) -> Result<Vec<u8>, Malformed> {
    let known = read_state_vector(state_vector)?;
    let mut elements = Elements::read(update)?;
    elements.inserted.retain_mut(|piece| piece.cut_to(known.get(&piece.client).copied().unwrap_or_default()));
    Ok(elements.write())
}

/// What somebody has who has all of `update`: of each client the elements from the first on, up to the first gap.
///
/// # Errors
///
/// [`Malformed`] if `update` does not pass [`check`](crate::check()).
pub fn state_vector(update: &[u8]) -> Result<Vec<u8>, Malformed> {
    let elements = Elements::read(update)?;
    let clients = elements.inserted.chunk_by(|one, next| one.client == next.client);
    let reach =
        |pieces: &[Piece<'_>]| pieces.iter().fold(0, |end, piece| if piece.clock() == end { piece.end() } else { end });
    let clocks: Vec<(u64, u32)> = clients
        .filter_map(|pieces| Some((pieces.first()?.client, reach(pieces))))
        .filter(|(_, end)| *end > 0)
        .collect();
    let mut out = Vec::new();
    write_uint(clocks.len() as u64, &mut out);
    for (client, clock) in clocks {
        write_uint(client, &mut out);
        write_uint(clock.into(), &mut out);
    }
    Ok(out)
}

/// Reads what [`state_vector`] writes.
pub(crate) fn read_state_vector(bytes: &[u8]) -> Result<BTreeMap<u64, u32>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut clocks = BTreeMap::new();
    for _ in 0..reader.uint()? {
        clocks.insert(reader.uint()?, reader.count()?);
    }
    reader.end()?;
    Ok(clocks)
}

/// All that updates say. Once it is settled: the highest client first, as Yjs writes it, and its lowest clock.
#[derive(Default)]
pub(crate) struct Elements<'a> {
    pub(crate) inserted: Vec<Piece<'a>>,
    pub(crate) deleted: Vec<Deleted>,
}

/// Elements that are gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deleted {
    pub(crate) client: u64,
    /// The first clock.
    pub(crate) from: u32,
    /// The clock behind the last.
    pub(crate) to: u32,
}

/// Some of the elements of a struct. It is small, as there may be one for each five bytes of an update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) client: u64,
    /// The struct.
    bytes: &'a [u8],
    /// The clock of the struct.
    start: u32,
    /// How many elements of the struct are before these.
    cut: u32,
    length: u32,
    pub(crate) fate: Fate,
}

/// What is left of elements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// All.
    Content,
    /// Their places between their neighbours.
    Place,
    /// Their numbers.
    Number,
}

impl<'a> Visit<'a> for Elements<'a> {
    fn inserted(&mut self, Struct { id, length, bytes }: Struct<'a>) {
        let Id { client, clock } = id;
        self.inserted.push(Piece { client, bytes, start: clock, cut: 0, length, fate: Fate::Content });
    }

    fn deleted(&mut self, from: Id, length: u32) {
        if length > 0 {
            self.deleted.push(Deleted { client: from.client, from: from.clock, to: from.clock + length });
        }
    }
}

impl<'a> Elements<'a> {
    pub(crate) fn read(update: &'a [u8]) -> Result<Self, Malformed> {
        let mut elements = Self::default();
        visit(update, &mut elements)?;
        elements.settle();
        Ok(elements)
    }

    /// Puts everything in order and keeps each element once: where two tell of the same, the one that was there first.
    pub(crate) fn settle(&mut self) {
        self.inserted.sort_by_key(|piece| (Reverse(piece.client), piece.clock()));
        let (mut client, mut end) = (None, 0);
        self.inserted.retain_mut(|piece| {
            if client.replace(piece.client) != Some(piece.client) {
                end = 0;
            }
            let new = piece.cut_to(end);
            end = end.max(piece.end());
            new
        });
        self.deleted.sort_unstable_by_key(|range| (Reverse(range.client), range.from));
        self.deleted.dedup_by(|next, range| {
            let touches = next.client == range.client && next.from <= range.to;
            if touches {
                range.to = range.to.max(next.to);
            }
            touches
        });
    }

    /// As an update.
    pub(crate) fn write(&self) -> Vec<u8> {
        let clients = self.inserted.chunk_by(|one, next| one.client == next.client);
        let mut out = Vec::new();
        write_uint(clients.clone().count() as u64, &mut out);
        let mut writer = Writer::default();
        for pieces in clients {
            let Some(first) = pieces.first() else { continue };
            writer.start(first.clock());
            pieces.iter().for_each(|piece| writer.push(piece));
            writer.finish();
            write_uint(writer.structs, &mut out);
            write_uint(first.client, &mut out);
            write_uint(first.clock().into(), &mut out);
            out.extend_from_slice(&writer.out);
        }
        let clients = self.deleted.chunk_by(|one, next| one.client == next.client);
        write_uint(clients.clone().count() as u64, &mut out);
        for ranges in clients {
            write_uint(ranges.first().map_or(0, |range| range.client), &mut out);
            write_uint(ranges.len() as u64, &mut out);
            for Deleted { from, to, .. } in ranges {
                write_uint((*from).into(), &mut out);
                write_uint((to - from).into(), &mut out);
            }
        }
        out
    }
}

impl<'a> Piece<'a> {
    pub(crate) const fn clock(&self) -> u32 {
        self.start + self.cut
    }

    pub(crate) const fn end(&self) -> u32 {
        self.clock() + self.length
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Drops the elements before `clock`; false if none remain.
    fn cut_to(&mut self, clock: u32) -> bool {
        let surplus = clock.saturating_sub(self.clock()).min(self.length);
        self.cut += surplus;
        self.length -= surplus;
        self.length > 0
    }

    /// Takes the elements before `clock` off its front, if there are some.
    pub(crate) fn split_to(&mut self, clock: u32) -> Option<Self> {
        let mut front = *self;
        front.length = clock.saturating_sub(self.clock()).min(self.length);
        self.cut_to(clock);
        (front.length > 0).then_some(front)
    }

    /// About how many bytes of content its elements from one clock to before another take.
    pub(crate) fn weight(&self, from: u32, to: u32) -> usize {
        let elements = to.min(self.end()).saturating_sub(from.max(self.clock())) as usize;
        let all = (self.cut + self.length).max(1) as usize;
        self.item()
            .filter(|item| item.kind() != DELETED)
            .map_or(0, |item| item.content.len().saturating_mul(elements) / all)
    }

    /// What its struct says; `None` if only the numbers of its elements are left.
    pub(crate) fn item(&self) -> Option<Item<'a>> {
        if self.fate == Fate::Number { None } else { Item::read(self.bytes) }
    }

    /// The element that it stands behind.
    pub(crate) fn origin(&self, item: &Item<'_>) -> Option<Id> {
        if self.cut == 0 { item.origin } else { Some(Id { client: self.client, clock: self.clock() - 1 }) }
    }

    /// How it is written, without its content.
    fn head(&self) -> Head<'a> {
        let Some(item) = self.item() else {
            return Head { info: GC, origin: None, right: None, parent: &[] };
        };
        let origin = self.origin(&item);
        let kind = if self.fate == Fate::Place { DELETED } else { item.kind() };
        let parent = match item.parent {
            Parent::Item(_, bytes) | Parent::Root(bytes) if origin.is_none() => bytes,
            Parent::Inherited | Parent::Item(..) | Parent::Root(_) => &[],
        };
        Head { info: kind | item.info & HAS_KEY | Item::flags(origin, item.right), origin, right: item.right, parent }
    }
}

/// A struct without its content.
struct Head<'a> {
    info: u8,
    origin: Option<Id>,
    right: Option<Id>,
    parent: &'a [u8],
}

impl Head<'_> {
    const fn kind(&self) -> u8 {
        self.info & crate::update::KIND
    }

    /// Whether `next`, whose first element is `first`, is written as more of the same struct: somebody who types makes
    /// one item after each key, and all of them together are one.
    fn goes_on_with(&self, next: &Self, first: Id) -> bool {
        let before = first.clock.checked_sub(1).map(|clock| Id { client: first.client, clock });
        match self.kind() {
            _ if self.kind() != next.kind() => false,
            GC => true,
            // A key of a map has one value, so what follows is not more of it; what is deleted has none.
            kind @ (TEXT | ANY | JSON | DELETED) => {
                (kind == DELETED || (self.info | next.info) & HAS_KEY == 0)
                    && self.info & HAS_KEY == next.info & HAS_KEY
                    && next.origin == before
                    && next.right == self.right
            }
            _ => false,
        }
    }
}

/// Writes the structs of a client.
#[derive(Default)]
struct Writer<'a> {
    out: Vec<u8>,
    structs: u64,
    clock: u32,
    open: Option<Head<'a>>,
    /// How many elements the open struct has so far, and their content.
    length: u32,
    content: Vec<u8>,
    cursor: Option<Cursor<'a>>,
}

/// Where in the content of a struct the last piece of it ended. Why: a struct may be cut into many, and nobody goes
/// through it from its beginning for each.
struct Cursor<'a> {
    whole: &'a [u8],
    /// How many elements are before it.
    element: u32,
    text: &'a str,
    values: Reader<'a>,
}

impl<'a> Writer<'a> {
    fn start(&mut self, clock: u32) {
        self.out.clear();
        self.structs = 0;
        self.clock = clock;
    }

    fn push(&mut self, piece: &Piece<'a>) {
        let gap = piece.clock() - self.clock;
        if gap > 0 {
            self.finish();
            self.structs += 1;
            self.out.push(SKIP);
            write_uint(gap.into(), &mut self.out);
        }
        let head = piece.head();
        let first = Id { client: piece.client, clock: piece.clock() };
        let kind = head.kind();
        if gap > 0 || !self.open.as_ref().is_some_and(|open| open.goes_on_with(&head, first)) {
            self.finish();
            self.open = Some(head);
        }
        self.length += piece.length;
        self.take(piece, kind);
        self.clock = piece.end();
    }

    /// Appends the content of a piece, without the number that stands before one of several elements.
    fn take(&mut self, piece: &Piece<'a>, kind: u8) {
        let Some(item) = piece.item() else { return };
        let end = piece.cut + piece.length;
        match kind {
            GC | DELETED => {}
            TEXT | ANY | JSON => {
                let known = self
                    .cursor
                    .take()
                    .filter(|cursor| std::ptr::eq(cursor.whole, piece.bytes) && cursor.element <= piece.cut);
                let mut cursor = known.unwrap_or_else(|| Cursor::new(piece.bytes, &item));
                if kind == TEXT {
                    cursor.text(piece.cut, end, &mut self.content);
                } else {
                    cursor.skip(kind, piece.cut);
                    let values = cursor.values;
                    cursor.skip(kind, end);
                    self.content.extend_from_slice(cursor.values.since(values.at()));
                }
                self.cursor = Some(cursor);
            }
            _ => self.content.extend_from_slice(item.content),
        }
    }

    /// Closes the open struct.
    fn finish(&mut self) {
        let Some(head) = self.open.take() else { return };
        self.structs += 1;
        self.out.push(head.info);
        for near in [head.origin, head.right].into_iter().flatten() {
            write_uint(near.client, &mut self.out);
            write_uint(near.clock.into(), &mut self.out);
        }
        self.out.extend_from_slice(head.parent);
        match head.kind() {
            GC | DELETED | ANY | JSON => write_uint(self.length.into(), &mut self.out),
            TEXT => write_uint(self.content.len() as u64, &mut self.out),
            _ => {}
        }
        self.out.append(&mut self.content);
        self.length = 0;
    }
}

impl<'a> Cursor<'a> {
    fn new(whole: &'a [u8], item: &Item<'a>) -> Self {
        let mut values = Reader::new(item.content);
        // All of this was read before: nothing in it can be wrong.
        let text = if item.kind() == TEXT {
            values.text().unwrap_or_default()
        } else {
            values.uint().map(|_| "").unwrap_or_default()
        };
        Self { whole, element: 0, text, values }
    }

    /// Appends the elements from `from` to before `to` of a text. Half of a character becomes U+FFFD, as Yjs does it.
    fn text(&mut self, from: u32, to: u32, out: &mut Vec<u8>) {
        // As many bytes as elements are left: all of them are ASCII.
        if self.element == from && self.text.len() == (to - from) as usize {
            return out.extend_from_slice(self.text.as_bytes());
        }
        let mut characters = self.text.chars();
        while self.element < to
            && let Some(character) = characters.next()
        {
            let end = self.element + if character.len_utf16() == 1 { 1 } else { 2 };
            let half = end > to || (self.element < from && end > from);
            if half {
                out.extend_from_slice("\u{fffd}".as_bytes());
            } else if self.element >= from {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            // Who wants the other half comes back to it.
            if end > to {
                break;
            }
            self.element = end;
            self.text = characters.as_str();
        }
    }

    fn skip(&mut self, kind: u8, to: u32) {
        while self.element < to && value(kind, &mut self.values).is_ok() {
            self.element += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(updates: &[&[u8]]) -> Vec<u8> {
        merge(updates.iter().copied()).unwrap()
    }

    /// `a` of client 7 in the type `t`.
    const A: &[u8] = &[1, 1, 7, 0, 4, 1, 1, b't', 1, b'a', 0];

    #[test]
    fn what_is_typed_is_one_item() {
        let b = [1, 1, 7, 1, 0x84, 7, 0, 1, b'b', 0];
        let ab = [1, 1, 7, 0, 4, 1, 1, b't', 2, b'a', b'b', 0];
        assert_eq!(merged(&[A, &b]), ab);
        assert_eq!(merged(&[&b, A]), ab);
        assert_eq!(merged(&[&ab, &b, A]), ab);
        assert_eq!(diff(&ab, &[1, 7, 1]), Ok(b.to_vec()));
    }

    #[test]
    fn what_is_beside_something_else_is_another() {
        for b in [
            &[1, 1, 7, 1, 0xc4, 7, 0, 8, 0, 1, b'b', 0][..],
            &[1, 1, 7, 1, 0x84, 8, 0, 1, b'b', 0],
            &[1, 1, 7, 1, 0x88, 7, 0, 1, 126, 0],
        ] {
            let both = merged(&[A, b]);
            assert_eq!(both[..2], [1, 2], "{both:?}");
            assert_eq!(both.len(), A.len() + b.len() - 5, "{both:?}");
        }
        // A value of a key in a map, and the one that takes its place: only when both are deleted it does not matter.
        let value = |kind: u8, content: &[u8]| {
            let first = [&[1, 1, 7, 0, 0x20 | kind, 1, 1, b'm', 1, b'k'][..], content, &[0]].concat();
            let second = [&[1, 1, 7, 1, 0xa0 | kind, 7, 0][..], content, &[0]].concat();
            merged(&[&first, &second])
        };
        assert_eq!(value(ANY, &[1, 126])[..2], [1, 2]);
        assert_eq!(value(DELETED, &[1]), [1, 1, 7, 0, 0x21, 1, 1, b'm', 1, b'k', 2, 0]);
    }

    #[test]
    fn a_gap_is_told_and_ends_what_one_has() {
        let c = [1, 1, 7, 3, 0x84, 7, 2, 1, b'c', 0];
        let both = merged(&[A, &c]);
        assert_eq!(both, [1, 3, 7, 0, 4, 1, 1, b't', 1, b'a', 10, 2, 0x84, 7, 2, 1, b'c', 0]);
        assert_eq!(state_vector(&both), Ok(vec![1, 7, 1]));
        assert_eq!(state_vector(&c), Ok(vec![0]));
        assert_eq!(merged(&[&both]), both);
        assert_eq!(diff(&both, &[1, 7, 2]), Ok(c.to_vec()), "a gap is not the first to be told");
    }

    #[test]
    fn deleted_ranges_are_joined() {
        let deleted = |ranges: &[u8]| [&[0, 1, 7, u8::try_from(ranges.len() / 2).unwrap()][..], ranges].concat();
        assert_eq!(
            merged(&[&deleted(&[4, 2, 0, 3]), &deleted(&[6, 1]), &deleted(&[1, 1, 9, 0])]),
            deleted(&[0, 3, 4, 3])
        );
        assert_eq!(
            merged(&[&deleted(&[3, 1]), &deleted(&[0, 3]), &[0, 1, 8, 1, 0, 1]]),
            [0, 2, 8, 1, 0, 1, 7, 1, 0, 4]
        );
    }

    #[test]
    fn a_place_is_joined_to_the_next() {
        assert_eq!(merged(&[&[1, 1, 7, 0, 0, 3, 0], &[1, 1, 7, 2, 0, 4, 0]]), [1, 1, 7, 0, 0, 6, 0]);
    }
}
