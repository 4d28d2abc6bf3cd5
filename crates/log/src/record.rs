//! Records: what frames are made of. A stream's record says what is known of a channel beside its publications.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::Options;
use jackfield_model::{ClientId, ClientInfo, Content, Millis, Payload, Publication, Rare};

use crate::error::Fault;
use crate::fields::{Reader, put_bytes, put_number};

const STREAM: u8 = 1;
const PUBLICATION: u8 = 2;
const CLOSED: u8 = 3;
const OPENED: u8 = 4;

/// One life of a channel's history: a channel that begins a new epoch is another stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StreamRecord {
    /// Its number; a later life has a greater one.
    pub(crate) stream: u64,
    pub(crate) name: Arc<str>,
    pub(crate) epoch: Arc<str>,
    /// Offset of the last publication that there ever was.
    pub(crate) top: u64,
    /// When that came.
    pub(crate) touched: Millis,
    pub(crate) retention: Retention,
    pub(crate) version: Option<Version>,
    /// Of the publications before this offset only those count that are named in `values`.
    pub(crate) floor: u64,
    /// Offsets of publications that are no longer in the history but are the latest of their key, rising.
    pub(crate) values: Vec<u64>,
}

/// What is kept of a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retention {
    /// This many publications at most.
    pub size: usize,
    /// And none older than this.
    pub ttl: Millis,
    /// For how long the position outlives the publications.
    pub meta_ttl: Millis,
    /// Keys whose latest value is kept for good; 0: a value goes with its publication.
    pub keys: usize,
}

impl Retention {
    /// As a namespace wants it.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        Self {
            size: options.history_size(),
            ttl: options.history_ttl(),
            meta_ttl: options.meta_ttl(),
            keys: if options.has_state() { options.max_keys() } else { 0 },
        }
    }
}

/// The publisher's own count of what it published into a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Version {
    /// The count.
    pub number: u64,
    /// Whose count it is; counts of different epochs cannot be compared.
    pub epoch: Arc<str>,
}

/// A publication as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The publication.
    pub publication: Arc<Publication>,
    /// The version it came with.
    pub version: Option<Version>,
    /// What its key has from then on, where that is something else than what the publication says.
    pub value: Option<Payload>,
}

impl Kept {
    /// The key whose value it sets or takes away; one without a name has the empty one.
    pub(crate) fn key(&self) -> Key {
        let rare = self.publication.rare.as_ref();
        let name = rare.and_then(|rare| rare.key.clone()).unwrap_or_default();
        Key { name, is_removed: rare.is_some_and(|rare| rare.removed) }
    }
}

/// What a publication does to a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    /// It has no value any more.
    pub(crate) is_removed: bool,
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record<'a> {
    /// The server was ended in order, and nothing follows.
    Closed,
    /// A server has begun.
    Opened,
    Publication(PublicationRecord<'a>),
    /// With all its bytes.
    Stream(StreamRecord, &'a [u8]),
}

/// A publication that is not yet taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicationRecord<'a> {
    pub(crate) stream: u64,
    pub(crate) offset: u64,
    pub(crate) time: Millis,
    rest: Reader<'a>,
    /// All of the record, to be copied.
    pub(crate) whole: &'a [u8],
}

impl PartialEq for PublicationRecord<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.whole == other.whole
    }
}

/// Walks the records of a frame.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    all: &'a [u8],
}

impl<'a> Records<'a> {
    pub(crate) fn of(frame: &'a [u8]) -> Self {
        Self { all: frame }
    }

    fn step(&mut self) -> Result<Record<'a>, Fault> {
        let mut reader = Reader::new(self.all);
        let kind = reader.byte()?;
        let mut body = Reader::new(reader.bytes()?);
        let (whole, rest) = self.all.split_at(self.all.len() - reader.len());
        self.all = rest;
        match kind {
            CLOSED => Ok(Record::Closed),
            OPENED => Ok(Record::Opened),
            PUBLICATION => {
                let (stream, offset, time) = (body.number()?, body.number()?, body.number()?);
                Ok(Record::Publication(PublicationRecord { stream, offset, time, rest: body, whole }))
            }
            STREAM => Ok(Record::Stream(read_stream(body)?, whole)),
            other => Err(Fault::Kind(other)),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.all.is_empty() {
            return None;
        }
        let record = self.step();
        if record.is_err() {
            self.all = &[];
        }
        Some(record)
    }
}

/// Writes that the log was closed.
pub(crate) fn put_closed(into: &mut Vec<u8>) {
    put_record(into, CLOSED, &[]);
}

/// Writes that a server has begun.
pub(crate) fn put_opened(into: &mut Vec<u8>) {
    put_record(into, OPENED, &[]);
}

/// Writes a stream's record; returns its length.
pub(crate) fn put_stream(into: &mut Vec<u8>, scratch: &mut Vec<u8>, stream: &StreamRecord) -> usize {
    scratch.clear();
    put_number(scratch, stream.stream);
    put_bytes(scratch, stream.name.as_bytes());
    put_bytes(scratch, stream.epoch.as_bytes());
    put_number(scratch, stream.top);
    put_number(scratch, stream.touched);
    put_number(scratch, stream.retention.size as u64);
    put_number(scratch, stream.retention.ttl);
    put_number(scratch, stream.retention.meta_ttl);
    put_number(scratch, stream.retention.keys as u64);
    scratch.push(u8::from(stream.version.is_some()));
    if let Some(version) = &stream.version {
        put_version(scratch, version);
    }
    put_number(scratch, stream.floor);
    let mut before = 0;
    for offset in &stream.values {
        put_number(scratch, offset - before);
        before = *offset;
    }
    put_record(into, STREAM, scratch)
}

/// Writes a publication's record; returns its length.
pub(crate) fn put_publication(into: &mut Vec<u8>, scratch: &mut Vec<u8>, stream: u64, kept: &Kept) -> usize {
    let publication = &*kept.publication;
    scratch.clear();
    put_number(scratch, stream);
    put_number(scratch, publication.offset);
    put_number(scratch, publication.time);
    put_payload(scratch, &publication.data);
    put_extras(scratch, kept);
    put_record(into, PUBLICATION, scratch)
}

fn put_record(into: &mut Vec<u8>, kind: u8, body: &[u8]) -> usize {
    let before = into.len();
    into.push(kind);
    put_bytes(into, body);
    into.len() - before
}

fn put_payload(into: &mut Vec<u8>, payload: &Payload) {
    into.push(match payload.content {
        Content::Binary => 0,
        Content::Json => 1,
        Content::Text => 2,
    });
    put_bytes(into, &payload.bytes);
}

fn read_payload(reader: &mut Reader<'_>) -> Result<Payload, Fault> {
    let content = match reader.byte()? {
        0 => Content::Binary,
        1 => Content::Json,
        2 => Content::Text,
        other => return Err(Fault::Kind(other)),
    };
    Ok(Payload { bytes: Bytes::copy_from_slice(reader.bytes()?), content })
}

fn put_version(into: &mut Vec<u8>, version: &Version) {
    put_number(into, version.number);
    put_bytes(into, version.epoch.as_bytes());
}

/// What most publications lack: each extra is its kind and its value behind its length.
mod extra {
    pub(super) const INFO: u8 = 1;
    pub(super) const CONN_INFO: u8 = 2;
    pub(super) const CHAN_INFO: u8 = 3;
    pub(super) const TAG: u8 = 4;
    pub(super) const RARE: u8 = 5;
    pub(super) const KEY: u8 = 6;
    pub(super) const EPOCH: u8 = 7;
    pub(super) const VERSION: u8 = 8;
    pub(super) const VALUE: u8 = 9;
}

fn put_extras(into: &mut Vec<u8>, kept: &Kept) {
    let publication = &*kept.publication;
    let mut value = Vec::new();
    let mut put = |kind: u8, write: &dyn Fn(&mut Vec<u8>)| {
        value.clear();
        write(&mut value);
        into.push(kind);
        put_bytes(into, &value);
    };
    if let Some(info) = &publication.info {
        put(extra::INFO, &|into| {
            into.extend_from_slice(info.client.as_bytes());
            into.extend_from_slice(info.user.as_bytes());
        });
        for (kind, bytes) in [(extra::CONN_INFO, &info.conn_info), (extra::CHAN_INFO, &info.chan_info)] {
            if let Some(bytes) = bytes {
                put(kind, &|into| into.extend_from_slice(bytes));
            }
        }
    }
    // A list and not a map: an empty map of tags is none.
    for (name, tag) in publication.tags.iter().flat_map(|tags| tags.iter()) {
        put(extra::TAG, &|into| {
            put_bytes(into, name.as_bytes());
            put_bytes(into, tag.as_bytes());
        });
    }
    if let Some(rare) = &publication.rare {
        put(extra::RARE, &|into| {
            into.push(u8::from(rare.removed));
            into.extend_from_slice(&rare.score.to_le_bytes());
            put_number(into, rare.version);
        });
        for (kind, text) in [(extra::KEY, &rare.key), (extra::EPOCH, &rare.epoch)] {
            if let Some(text) = text {
                put(kind, &|into| into.extend_from_slice(text.as_bytes()));
            }
        }
    }
    if let Some(version) = &kept.version {
        put(extra::VERSION, &|into| put_version(into, version));
    }
    if let Some(value) = &kept.value {
        put(extra::VALUE, &|into| put_payload(into, value));
    }
}

fn read_stream(mut body: Reader<'_>) -> Result<StreamRecord, Fault> {
    let count = |number: u64| usize::try_from(number).map_err(|_| Fault::Number);
    let mut record = StreamRecord {
        stream: body.number()?,
        name: body.text()?.into(),
        epoch: body.text()?.into(),
        top: body.number()?,
        touched: body.number()?,
        retention: Retention {
            size: count(body.number()?)?,
            ttl: body.number()?,
            meta_ttl: body.number()?,
            keys: count(body.number()?)?,
        },
        version: if body.byte()? == 0 { None } else { Some(read_version(&mut body)?) },
        floor: body.number()?,
        values: Vec::new(),
    };
    let mut before = 0_u64;
    while !body.is_empty() {
        before = before.checked_add(body.number()?).ok_or(Fault::Number)?;
        record.values.push(before);
    }
    Ok(record)
}

fn read_version(body: &mut Reader<'_>) -> Result<Version, Fault> {
    Ok(Version { number: body.number()?, epoch: body.text()?.into() })
}

impl PublicationRecord<'_> {
    /// Takes it apart; everything is copied, so that nothing holds on to the file's bytes.
    pub(crate) fn kept(self) -> Result<Kept, Fault> {
        let mut rest = self.rest;
        let data = read_payload(&mut rest)?;
        let mut publication = Publication { offset: self.offset, time: self.time, data, ..Publication::default() };
        let mut kept = Kept::default();
        let mut info: Option<ClientInfo> = None;
        let mut tags = BTreeMap::new();
        while !rest.is_empty() {
            let kind = rest.byte()?;
            let value = rest.bytes()?;
            let mut reader = Reader::new(value);
            let text = || std::str::from_utf8(value).map_err(|_| Fault::Text);
            match kind {
                extra::INFO => {
                    let client = ClientId::from_bytes(reader.array()?);
                    let user = std::str::from_utf8(&value[16..]).map_err(|_| Fault::Text)?.into();
                    info = Some(ClientInfo { client, user, ..ClientInfo::default() });
                }
                extra::CONN_INFO => info.get_or_insert_default().conn_info = Some(Bytes::copy_from_slice(value)),
                extra::CHAN_INFO => info.get_or_insert_default().chan_info = Some(Bytes::copy_from_slice(value)),
                extra::TAG => _ = tags.insert(reader.text()?.to_owned(), reader.text()?.to_owned()),
                extra::RARE => publication.rare = Some(Box::new(read_rare(&mut reader)?)),
                extra::KEY => publication.rare.get_or_insert_default().key = Some(text()?.into()),
                extra::EPOCH => publication.rare.get_or_insert_default().epoch = Some(text()?.into()),
                extra::VERSION => kept.version = Some(read_version(&mut reader)?),
                extra::VALUE => kept.value = Some(read_payload(&mut reader)?),
                other => return Err(Fault::Kind(other)),
            }
        }
        publication.info = info.map(Arc::new);
        publication.tags = (!tags.is_empty()).then(|| Arc::new(tags));
        kept.publication = Arc::new(publication);
        Ok(kept)
    }
}

fn read_rare(reader: &mut Reader<'_>) -> Result<Rare, Fault> {
    Ok(Rare {
        removed: reader.byte()? != 0,
        score: i64::from_le_bytes(reader.array()?),
        version: reader.number()?,
        ..Rare::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Kept {
        let info = ClientInfo {
            user: "ann".into(),
            client: ClientId::from_u128(7),
            conn_info: Some(Bytes::from_static(b"{\"a\":1}")),
            chan_info: Some(Bytes::new()),
        };
        let rare = Rare { key: Some("k".into()), removed: true, score: -3, epoch: Some("e".into()), version: 12 };
        let tags = [("a", "b"), ("", "")].map(|(name, tag)| (name.to_owned(), tag.to_owned()));
        let publication = Publication {
            offset: 300,
            data: Payload::binary(&b"\0\xff"[..]),
            info: Some(Arc::new(info)),
            tags: Some(Arc::new(tags.into())),
            time: 1_790_000_000_000,
            rare: Some(Box::new(rare)),
        };
        Kept {
            publication: Arc::new(publication),
            version: Some(Version { number: 5, epoch: "v".into() }),
            value: Some(Payload::json("1")),
        }
    }

    fn stream() -> StreamRecord {
        StreamRecord {
            stream: 1 << 40,
            name: "news:1".into(),
            epoch: "abcdef".into(),
            top: 9,
            touched: 10,
            retention: Retention { size: 11, ttl: 12, meta_ttl: 13, keys: 14 },
            version: Some(Version { number: 13, epoch: "".into() }),
            floor: 200,
            values: vec![1, 2, 199],
        }
    }

    fn frame() -> Vec<u8> {
        let (mut into, mut scratch) = (Vec::new(), Vec::new());
        put_stream(&mut into, &mut scratch, &stream());
        put_publication(&mut into, &mut scratch, 1 << 40, &everything());
        let plain = Publication { offset: 1, data: Payload::text("t"), ..Publication::default() };
        put_publication(&mut into, &mut scratch, 2, &Kept { publication: Arc::new(plain), ..Kept::default() });
        put_closed(&mut into);
        into
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = frame();
        let records: Vec<_> = Records::of(&bytes).collect::<Result<_, _>>().unwrap();
        let [Record::Stream(read, _), Record::Publication(first), Record::Publication(second), Record::Closed] =
            &records[..]
        else {
            panic!("{records:?}");
        };
        assert_eq!(*read, stream());
        assert_eq!((first.stream, first.offset, first.time), (1 << 40, 300, 1_790_000_000_000));
        assert_eq!(first.kept(), Ok(everything()));
        assert_eq!(second.kept().unwrap().publication.data, Payload::text("t"));
        assert_eq!(second.whole.len(), 8, "few bytes beside the data: {second:?}");
    }

    #[test]
    fn a_cut_or_bent_record_is_a_fault_and_no_panic() {
        let bytes = frame();
        let read = |bytes: &[u8]| {
            Records::of(bytes).try_for_each(|record| match record? {
                Record::Publication(record) => record.kept().map(drop),
                Record::Closed | Record::Opened | Record::Stream(..) => Ok(()),
            })
        };
        assert_eq!(read(&bytes), Ok(()));
        assert_eq!(read(&bytes[..bytes.len() - 1]), Err(Fault::Short));
        assert_eq!(read(&[9, 0]), Err(Fault::Kind(9)));
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bent = bytes.clone();
                bent[at] = value;
                _ = read(&bent);
            }
        }
    }
}
