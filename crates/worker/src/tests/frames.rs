//! What a client reads: bytes become frames, frames become what they say.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One JSON object off the wire.
#[derive(Debug, Deserialize)]
pub(super) struct Said<'a> {
    #[serde(default)]
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) push: Option<Push<'a>>,
    pub(super) error: Option<Refused>,
    pub(super) connect: Option<Welcome<'a>>,
    pub(super) subscribe: Option<Box<Subscribed<'a>>>,
    pub(super) unsubscribe: Option<Empty>,
    pub(super) publish: Option<Empty>,
    pub(super) history: Option<History<'a>>,
    pub(super) presence: Option<Presence<'a>>,
    pub(super) presence_stats: Option<Stats>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Empty {}

#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    pub(super) code: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Welcome<'a> {
    pub(super) client: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct Push<'a> {
    #[serde(default)]
    pub(super) channel: &'a str,
    #[serde(borrow, rename = "pub")]
    pub(super) publication: Option<Publication<'a>>,
    pub(super) join: Option<Member<'a>>,
    pub(super) leave: Option<Member<'a>>,
    pub(super) unsubscribe: Option<Refused>,
    pub(super) disconnect: Option<Refused>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Member<'a> {
    #[serde(borrow)]
    pub(super) info: Info<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Info<'a> {
    pub(super) client: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct Publication<'a> {
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) offset: u64,
    #[serde(default)]
    pub(super) time: u64,
    #[serde(default)]
    pub(super) key: &'a str,
    #[serde(default)]
    pub(super) removed: bool,
    #[serde(default)]
    pub(super) delta: bool,
    #[serde(default)]
    pub(super) epoch: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscribed<'a> {
    pub(super) recoverable: bool,
    pub(super) epoch: &'a str,
    #[serde(borrow)]
    pub(super) publications: Vec<Publication<'a>>,
    pub(super) recovered: bool,
    pub(super) offset: u64,
    pub(super) positioned: bool,
    pub(super) was_recovering: bool,
    pub(super) delta: bool,
    pub(super) phase: u32,
    pub(super) cursor: &'a str,
    #[serde(borrow)]
    pub(super) state: Vec<Publication<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct History<'a> {
    #[serde(borrow)]
    pub(super) publications: Vec<Publication<'a>>,
    pub(super) epoch: &'a str,
    pub(super) offset: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Presence<'a> {
    #[serde(borrow)]
    pub(super) presence: BTreeMap<&'a str, Info<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    pub(super) num_clients: u32,
    pub(super) num_users: u32,
}

/// How frames are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Carrier {
    Lines,
    WebSocket,
}

/// One whole frame at the beginning of `bytes`: what it holds, and how long it is.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Frame<'b> {
    Text(&'b [u8], usize),
    /// The code of a Close frame.
    Close(u32),
}

impl Carrier {
    pub(super) fn first(self, bytes: &[u8]) -> Option<Frame<'_>> {
        if self == Self::Lines {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            return Some(Frame::Text(&bytes[..end], end + 1));
        }
        let (begin, length) = match *bytes.get(1)? {
            126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
            short => (2, usize::from(short)),
        };
        let body = bytes.get(begin..begin + length)?;
        Some(match bytes[0] {
            0x81 => Frame::Text(body, begin + length),
            0x88 => Frame::Close(u32::from(u16::from_be_bytes([body[0], body[1]]))),
            other => panic!("a frame that begins with {other:#x}"),
        })
    }
}

/// The text of a publication as its publisher wrote it. `before`: what a delta is made against.
pub(super) fn text(publication: &Publication<'_>, is_delta: bool, before: Option<&str>) -> Result<String, String> {
    let data = publication.data.map_or("", |data| data.get());
    if !is_delta || publication.removed {
        return if publication.delta { Err("a delta for who did not ask".to_owned()) } else { Ok(data.to_owned()) };
    }
    let said: String = serde_json::from_str(data).map_err(|error| format!("{data} is no string: {error}"))?;
    if !publication.delta {
        return Ok(said);
    }
    let before = before.ok_or("a delta against nothing")?;
    apply(before.as_bytes(), said.as_bytes()).ok_or_else(|| format!("{said:?} is no delta of {before:?}"))
}

/// Applies a delta in the Fossil format, checksum and all; written from its description, apart from the one that is shipped.
fn apply(before: &[u8], delta: &[u8]) -> Option<String> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let mut value = 0_u32;
        while let Some(digit) = delta.get(*at).and_then(|byte| DIGITS.iter().position(|known| known == byte)) {
            value = (value << 6) | digit as u32;
            *at += 1;
        }
        value
    };
    let size = number(&mut at) as usize;
    at += usize::from(*delta.get(at)? == b'\n');
    let mut out = Vec::with_capacity(size);
    loop {
        let count = number(&mut at);
        let kind = *delta.get(at)?;
        at += 1;
        match kind {
            b'@' => {
                let from = number(&mut at) as usize;
                at += usize::from(*delta.get(at)? == b',');
                out.extend_from_slice(before.get(from..from + count as usize)?);
            }
            b':' => {
                out.extend_from_slice(delta.get(at..at + count as usize)?);
                at += count as usize;
            }
            b';' if out.len() == size && checksum(&out) == count => return String::from_utf8(out).ok(),
            _ => return None,
        }
    }
}

const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

fn checksum(bytes: &[u8]) -> u32 {
    let word = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_be_bytes(word)
    };
    bytes.chunks(4).map(word).fold(0, u32::wrapping_add)
}
