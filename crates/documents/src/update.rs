//! The structs of an update, as far as their ends: what they say about the text is nobody's business here.

use crate::Malformed;
use crate::reader::Reader;

/// How deep a value may be nested. Readers call themselves for each level, in whatever language.
pub const MAX_DEPTH: usize = 128;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT: u8 = 0x40;
pub(crate) const HAS_KEY: u8 = 0x20;
pub(crate) const KIND: u8 = 0x1f;

pub(crate) const GC: u8 = 0;
pub(crate) const DELETED: u8 = 1;
pub(crate) const JSON: u8 = 2;
const BINARY: u8 = 3;
pub(crate) const TEXT: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
pub(crate) const ANY: u8 = 8;
const DOCUMENT: u8 = 9;
const SKIP: u8 = 10;

/// One element of a document: who made it, and the how manieth of theirs it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Id {
    pub(crate) client: u64,
    pub(crate) clock: u32,
}

/// Consecutive elements of one client, as they stand in an update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struct<'a> {
    pub(crate) id: Id,
    pub(crate) length: u32,
    pub(crate) bytes: &'a [u8],
}

/// A struct that is not garbage, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) info: u8,
    pub(crate) origin: Option<Id>,
    pub(crate) right: Option<Id>,
    pub(crate) parent: Parent<'a>,
    pub(crate) content: &'a [u8],
}

/// Where an item is, if its neighbours do not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parent<'a> {
    /// Where its neighbours are.
    Inherited,
    /// In the type that this item is; the bytes are how that is written.
    Item(Id, &'a [u8]),
    /// In a type that has a name.
    Root(&'a [u8]),
}

/// What an update is made of, told one by one.
pub(crate) trait Visit<'a> {
    fn inserted(&mut self, inserted: Struct<'a>);
    fn deleted(&mut self, from: Id, length: u32);
}

/// Reads an update to its end and keeps nothing: what a client sends is looked at before anything is done with it.
///
/// Why not yrs: it takes 8 to 9 ns a byte of edits as they are typed (0.13 us each), where `Update::decode_v1` of yrs takes
/// 16 to 19 (`tests/it/cost.rs`, optimised); and that one follows nested values until the stack ends, which ends the
/// process, overflows on clocks near 2^32, and refuses JSON values and XML hooks as Yjs writes them.
///
/// # Errors
///
/// [`Malformed`], with the place in the update.
pub fn check(update: &[u8]) -> Result<(), Malformed> {
    struct Nobody;
    impl Visit<'_> for Nobody {
        fn inserted(&mut self, _: Struct<'_>) {}
        fn deleted(&mut self, _: Id, _: u32) {}
    }
    visit(update, &mut Nobody)
}

/// Tells `visitor` each struct and each deleted range.
pub(crate) fn visit<'a>(update: &'a [u8], visitor: &mut impl Visit<'a>) -> Result<(), Malformed> {
    let mut reader = Reader::new(update);
    for _ in 0..reader.uint()? {
        let structs = reader.uint()?;
        let client = reader.uint()?;
        let mut clock = reader.count()?;
        for _ in 0..structs {
            let from = reader;
            let id = Id { client, clock };
            let length = skip(id, &mut reader)?;
            let bytes = reader.since(from.at());
            clock = end(from, clock, length)?;
            // Skips say only that somebody else has what is in between; there were clients that wrote empty items.
            if length > 0 && bytes.first() != Some(&SKIP) {
                visitor.inserted(Struct { id, length, bytes });
            }
        }
    }
    for _ in 0..reader.uint()? {
        let client = reader.uint()?;
        for _ in 0..reader.uint()? {
            let from = reader;
            let clock = reader.count()?;
            let length = reader.count()?;
            end(from, clock, length)?;
            visitor.deleted(Id { client, clock }, length);
        }
    }
    reader.end()
}

fn end(reader: Reader<'_>, clock: u32, length: u32) -> Result<u32, Malformed> {
    clock.checked_add(length).filter(|end| *end < 1 << 31).ok_or(reader.error("clock is too large, stay below 2^31"))
}

/// Goes behind a struct and tells how many elements it has.
fn skip(own: Id, reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let from = *reader;
    let info = reader.byte()?;
    if info == GC || info == SKIP {
        return match reader.count()? {
            0 => Err(from.error("struct without a length, leave it out")),
            length => Ok(length),
        };
    }
    let (origin, right, parent) = neighbours(info, reader, |reader| reader.text().map(drop))?;
    let parent = if let Parent::Item(item, _) = parent { Some(item) } else { None };
    // Yjs waits for what others have made, but throws at one who was there before themselves.
    if [origin, right, parent].into_iter().flatten().any(|near| near.client == own.client && near.clock >= own.clock) {
        return Err(
            from.error("item refers to what its client has not made yet, send items in the order of their clocks")
        );
    }
    content(info, reader)
}

fn id(reader: &mut Reader<'_>) -> Result<Id, Malformed> {
    Ok(Id { client: reader.uint()?, clock: reader.count()? })
}

/// Reads what is between the first byte and the content of an item; `name` goes behind a name.
fn neighbours<'a>(
    info: u8,
    reader: &mut Reader<'a>,
    name: fn(&mut Reader<'a>) -> Result<(), Malformed>,
) -> Result<(Option<Id>, Option<Id>, Parent<'a>), Malformed> {
    let origin = if info & HAS_ORIGIN == 0 { None } else { Some(id(reader)?) };
    let right = if info & HAS_RIGHT == 0 { None } else { Some(id(reader)?) };
    if origin.is_some() || right.is_some() {
        return Ok((origin, right, Parent::Inherited));
    }
    let from = *reader;
    let item = match reader.uint()? {
        0 => Some(id(reader)?),
        1 => {
            name(reader)?;
            None
        }
        _ => return Err(from.error("unknown kind of parent, send 0 (an item) or 1 (a name)")),
    };
    if info & HAS_KEY != 0 {
        name(reader)?;
    }
    let bytes = reader.since(from.at());
    Ok((None, None, item.map_or(Parent::Root(bytes), |item| Parent::Item(item, bytes))))
}

/// Goes behind the content of an item and tells how many elements it has.
fn content(info: u8, reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let from = *reader;
    match info & KIND {
        DELETED => return reader.count(),
        TEXT => {
            return u32::try_from(units(reader.text()?))
                .map_err(|_| from.error("text is too long, send less than 2^31 characters"));
        }
        kind @ (ANY | JSON) => {
            let length = reader.count()?;
            for _ in 0..length {
                value(kind, reader)?;
            }
            return Ok(length);
        }
        BINARY => drop(reader.bytes()?),
        EMBED => drop(reader.json()?),
        FORMAT => drop((reader.text()?, reader.json()?)),
        TYPE => match reader.uint()? {
            0..=2 | 4 | 6 => {}
            3 | 5 => drop(reader.text()?),
            _ => {
                return Err(from
                    .error("unknown shared type, send 0 to 6 (array, map, text, XML element, fragment, hook, text)"));
            }
        },
        DOCUMENT => {
            reader.text()?;
            any(reader, 0)?;
        }
        _ => return Err(from.error("unknown content, send 1 to 9")),
    }
    Ok(1)
}

/// How many elements a text is: JavaScript counts in halves of UTF-16.
fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// Goes behind one of the values of an item with content `kind`.
pub(crate) fn value(kind: u8, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    if kind == ANY {
        return any(reader, 0);
    }
    let mut ahead = *reader;
    if ahead.text()? == "undefined" {
        *reader = ahead;
    } else {
        reader.json()?;
    }
    Ok(())
}

fn any(reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
    let from = *reader;
    if depth == MAX_DEPTH {
        return Err(from.error("value is nested too deep, stay below 128 levels"));
    }
    match reader.byte()? {
        126 | 127 | 120 | 121 => {}
        125 => reader.int()?,
        124 => drop(reader.take(4)?),
        122 | 123 => drop(reader.take(8)?),
        119 => drop(reader.text()?),
        118 => {
            for _ in 0..reader.uint()? {
                reader.text()?;
                any(reader, depth + 1)?;
            }
        }
        117 => {
            for _ in 0..reader.uint()? {
                any(reader, depth + 1)?;
            }
        }
        116 => drop(reader.bytes()?),
        _ => return Err(from.error("unknown kind of value, send 116 to 127")),
    }
    Ok(())
}

impl<'a> Item<'a> {
    /// Takes a struct apart; `None` if it is garbage. The bytes were read before, so nothing in them can be wrong.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let info = reader.byte().ok().filter(|info| *info != GC)?;
        let (origin, right, parent) = neighbours(info, &mut reader, |reader| reader.bytes().map(drop)).ok()?;
        Some(Self { info, origin, right, parent, content: reader.rest() })
    }

    pub(crate) const fn kind(&self) -> u8 {
        self.info & KIND
    }

    /// The bits that say which neighbours are written.
    pub(crate) const fn flags(origin: Option<Id>, right: Option<Id>) -> u8 {
        (if origin.is_some() { HAS_ORIGIN } else { 0 }) | (if right.is_some() { HAS_RIGHT } else { 0 })
    }
}
