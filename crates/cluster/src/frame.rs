//! What goes into a channel, as bytes between nodes: tag, length, value. Who meets an unknown tag skips it, so nodes of
//! adjacent versions understand each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use jackfield_hub::Forgetting;
use jackfield_model::{ClientInfo, Content, Millis, Payload, Publication, Rare, Uuid};

/// Before everything: the layout, and the id by which the same frame is known again.
const LAYOUT: u8 = 1;
/// Bytes before the kind: layout and id.
const HEAD: usize = 17;

const PUBLICATION: u8 = 1;
const JOIN: u8 = 2;
const LEAVE: u8 = 3;
const FORGOTTEN: u8 = 4;

const DATA: u8 = 1;
const TIME: u8 = 2;
const INFO: u8 = 3;
const TAG: u8 = 4;
const KEY: u8 = 5;
const FLAGS: u8 = 6;
const SCORE: u8 = 7;

const USER: u8 = 1;
const CLIENT: u8 = 2;
const CONN_INFO: u8 = 3;
const CHAN_INFO: u8 = 4;

const REMOVED: u8 = 1;
const DELTA: u8 = 2;
const LIFE: u8 = 1;

/// What goes into a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// What was kept is forgotten.
    Forgotten(Forgetting),
    /// Somebody came.
    Join(Arc<ClientInfo>),
    /// Somebody left.
    Leave(Arc<ClientInfo>),
    /// A publication without its number, and whether deltas may be made of it.
    Publication(Box<Publication>, bool),
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Another layout, or another kind: of a newer node.
    #[error("layout or kind {0} is not known here: a newer node sent it")]
    Foreign(u8),
    /// It ends in the middle, or says something impossible.
    #[error("the frame is damaged")]
    Damaged,
}

/// Writes a frame.
#[must_use]
pub fn encode(body: &Body, id: u128) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(LAYOUT);
    out.put_u128(id);
    match body {
        Body::Forgotten(what) => {
            out.put_u8(FORGOTTEN);
            field(&mut out, FLAGS, &[u8::from(*what == Forgetting::Life) * LIFE]);
        }
        Body::Join(info) => {
            out.put_u8(JOIN);
            put_info(&mut out, info);
        }
        Body::Leave(info) => {
            out.put_u8(LEAVE);
            put_info(&mut out, info);
        }
        Body::Publication(publication, delta) => {
            out.put_u8(PUBLICATION);
            put_publication(&mut out, publication, *delta);
        }
    }
    out.freeze()
}

fn put_publication(out: &mut BytesMut, publication: &Publication, delta: bool) {
    let Publication { data, info, tags, time, rare, .. } = publication;
    out.reserve(data.bytes.len() + 32);
    out.put_u8(DATA);
    varint(out, data.bytes.len() as u64 + 1);
    out.put_u8(match data.content {
        Content::Json => 0,
        Content::Text => 1,
        Content::Binary => 2,
    });
    out.put_slice(&data.bytes);
    field(out, TIME, &time.to_be_bytes());
    if let Some(info) = info {
        put_info(out, info);
    }
    for (name, value) in tags.iter().flat_map(|tags| tags.iter()) {
        let mut pair = BytesMut::new();
        varint(&mut pair, name.len() as u64);
        pair.put_slice(name.as_bytes());
        pair.put_slice(value.as_bytes());
        field(out, TAG, &pair);
    }
    let mut flags = if delta { DELTA } else { 0 };
    if let Some(rare) = rare {
        if let Some(key) = &rare.key {
            field(out, KEY, key.as_bytes());
        }
        if rare.score != 0 {
            field(out, SCORE, &rare.score.to_be_bytes());
        }
        flags |= if rare.removed { REMOVED } else { 0 };
    }
    if flags != 0 {
        field(out, FLAGS, &[flags]);
    }
}

fn put_info(out: &mut BytesMut, info: &ClientInfo) {
    let mut inner = BytesMut::new();
    field(&mut inner, USER, info.user.as_bytes());
    field(&mut inner, CLIENT, info.client.as_bytes());
    if let Some(json) = &info.conn_info {
        field(&mut inner, CONN_INFO, json);
    }
    if let Some(json) = &info.chan_info {
        field(&mut inner, CHAN_INFO, json);
    }
    field(out, INFO, &inner);
}

fn field(out: &mut BytesMut, tag: u8, value: &[u8]) {
    out.put_u8(tag);
    varint(out, value.len() as u64);
    out.put_slice(value);
}

fn varint(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number as u8) | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Reads a frame; payloads are slices of it.
pub fn decode(frame: &Bytes) -> Result<Body, FrameError> {
    let layout = *frame.first().ok_or(FrameError::Damaged)?;
    if layout != LAYOUT {
        return Err(FrameError::Foreign(layout));
    }
    let kind = *frame.get(HEAD).ok_or(FrameError::Damaged)?;
    let fields = Fields { bytes: frame.slice(HEAD + 1..) };
    match kind {
        PUBLICATION => publication(fields),
        JOIN => Ok(Body::Join(info_of(fields)?)),
        LEAVE => Ok(Body::Leave(info_of(fields)?)),
        FORGOTTEN => {
            let mut what = Forgetting::Publications;
            each(fields, |tag, value| {
                if tag == FLAGS && value.first().is_some_and(|flags| flags & LIFE != 0) {
                    what = Forgetting::Life;
                }
                Ok(())
            })?;
            Ok(Body::Forgotten(what))
        }
        kind => Err(FrameError::Foreign(kind)),
    }
}

/// What is left of a frame.
struct Fields {
    bytes: Bytes,
}

impl Fields {
    fn next(&mut self) -> Option<Result<(u8, Bytes), FrameError>> {
        if self.bytes.is_empty() {
            return None;
        }
        let tag = self.bytes.split_to(1)[0];
        Some(self.number().and_then(|length| {
            let length = usize::try_from(length).map_err(|_| FrameError::Damaged)?;
            if length > self.bytes.len() {
                return Err(FrameError::Damaged);
            }
            Ok((tag, self.bytes.split_to(length)))
        }))
    }

    fn number(&mut self) -> Result<u64, FrameError> {
        let mut number = 0;
        for place in 0..5 {
            if self.bytes.is_empty() {
                return Err(FrameError::Damaged);
            }
            let byte = self.bytes.split_to(1)[0];
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(FrameError::Damaged)
    }
}

fn each(mut fields: Fields, mut take: impl FnMut(u8, Bytes) -> Result<(), FrameError>) -> Result<(), FrameError> {
    while let Some(field) = fields.next() {
        let (tag, value) = field?;
        take(tag, value)?;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, FrameError> {
    std::str::from_utf8(bytes).map_err(|_| FrameError::Damaged)
}

fn eight(bytes: &[u8]) -> Result<[u8; 8], FrameError> {
    bytes.try_into().map_err(|_| FrameError::Damaged)
}

fn publication(fields: Fields) -> Result<Body, FrameError> {
    let (mut made, mut delta) = (Publication::default(), false);
    let (mut tags, mut rare) = (BTreeMap::new(), Rare::default());
    each(fields, |tag, value| {
        match tag {
            DATA => {
                let content = match value.first() {
                    Some(0) => Content::Json,
                    Some(1) => Content::Text,
                    Some(2) => Content::Binary,
                    _ => return Err(FrameError::Damaged),
                };
                made.data = Payload { bytes: value.slice(1..), content };
                // A JSON or text client would be sent a broken frame otherwise.
                if content != Content::Binary {
                    text(&made.data.bytes)?;
                }
            }
            TIME => made.time = Millis::from_be_bytes(eight(&value)?),
            INFO => made.info = Some(info(Fields { bytes: value })?),
            TAG => {
                let mut pair = Fields { bytes: value };
                let length = usize::try_from(pair.number()?).map_err(|_| FrameError::Damaged)?;
                if length > pair.bytes.len() {
                    return Err(FrameError::Damaged);
                }
                let name = pair.bytes.split_to(length);
                tags.insert(text(&name)?.to_owned(), text(&pair.bytes)?.to_owned());
            }
            KEY => rare.key = Some(text(&value)?.into()),
            SCORE => rare.score = i64::from_be_bytes(eight(&value)?),
            FLAGS => {
                let flags = value.first().copied().unwrap_or_default();
                rare.removed = flags & REMOVED != 0;
                delta = flags & DELTA != 0;
            }
            _ => {}
        }
        Ok(())
    })?;
    made.tags = (!tags.is_empty()).then(|| Arc::new(tags));
    made.rare = (rare != Rare::default()).then(|| Box::new(rare));
    Ok(Body::Publication(Box::new(made), delta))
}

fn info_of(fields: Fields) -> Result<Arc<ClientInfo>, FrameError> {
    let mut found = None;
    each(fields, |tag, value| {
        if tag == INFO {
            found = Some(info(Fields { bytes: value })?);
        }
        Ok(())
    })?;
    found.ok_or(FrameError::Damaged)
}

fn info(fields: Fields) -> Result<Arc<ClientInfo>, FrameError> {
    let mut made = ClientInfo::default();
    each(fields, |tag, value| {
        match tag {
            USER => made.user = text(&value)?.into(),
            CLIENT => made.client = Uuid::from_slice(&value).map_err(|_| FrameError::Damaged)?,
            CONN_INFO => made.conn_info = Some(value),
            CHAN_INFO => made.chan_info = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Arc::new(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Body> {
        let info = Arc::new(ClientInfo {
            user: "ann\u{0}\"é".into(),
            client: Uuid::from_u128(7),
            conn_info: Some(Bytes::from_static(b"{\"a\":1}")),
            chan_info: Some(Bytes::from_static(b"[]")),
        });
        let tags = BTreeMap::from([("a".to_owned(), "b".to_owned()), (String::new(), "\u{1f600}".to_owned())]);
        let rare = Rare { key: Some("k\0".into()), removed: true, score: -5, ..Rare::default() };
        let full = Publication {
            data: Payload::json("{\"x\":[1,2,3]}"),
            info: Some(Arc::clone(&info)),
            tags: Some(Arc::new(tags)),
            time: 1_700_000_000_123,
            rare: Some(Box::new(rare)),
            offset: 0,
        };
        vec![
            Body::Publication(Box::new(full), true),
            Body::Publication(Box::default(), false),
            Body::Publication(
                Box::new(Publication { data: Payload::binary(vec![0xff; 300]), ..Publication::default() }),
                false,
            ),
            Body::Publication(Box::new(Publication { data: Payload::text("hé"), ..Publication::default() }), false),
            Body::Join(Arc::clone(&info)),
            Body::Leave(info),
            Body::Forgotten(Forgetting::Life),
            Body::Forgotten(Forgetting::Publications),
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        for body in samples() {
            assert_eq!(decode(&encode(&body, u128::MAX - 3)).as_ref(), Ok(&body));
        }
    }

    #[test]
    fn nothing_that_is_damaged_passes_as_something_else() {
        for (nth, body) in samples().into_iter().enumerate() {
            let frame = encode(&body, 1);
            for end in 0..frame.len() {
                // A frame that ends between two fields is a frame with less in it; anywhere else it is damaged. Only of
                // the first nothing is as it would be without its field.
                if let Ok(read) = decode(&frame.slice(..end)) {
                    assert!(nth > 0 || read != body, "cut at {end}");
                }
            }
            for place in 0..frame.len() {
                for bit in 0..8 {
                    let mut changed = frame.to_vec();
                    changed[place] ^= 1 << bit;
                    let _ = decode(&Bytes::from(changed));
                }
            }
        }
        let broken_text = encode(
            &Body::Publication(
                Box::new(Publication { data: Payload::text(vec![0xff, 0xfe]), ..Publication::default() }),
                false,
            ),
            1,
        );
        assert_eq!(decode(&broken_text), Err(FrameError::Damaged));
    }

    #[test]
    fn newer_nodes_are_understood_as_far_as_they_are_known() {
        let body =
            Body::Publication(Box::new(Publication { data: Payload::json("1"), ..Publication::default() }), false);
        let mut frame = BytesMut::from(&*encode(&body, 1));
        field(&mut frame, 99, b"something new");
        assert_eq!(decode(&frame.freeze()), Ok(body));
        let foreign = [&[9; 1][..], &[0; 20]].concat();
        assert_eq!(decode(&Bytes::from(foreign)), Err(FrameError::Foreign(9)));
    }
}
