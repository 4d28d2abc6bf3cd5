//! Opening: reads all segments, tells a torn end from damage, and finds what counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use jackfield_model::Millis;

use crate::disk::Disk;
use crate::error::{Fault, LogError};
use crate::frame;
use crate::header::{Header, file_name, number_of};
use crate::record::{Kept, Record, Records, Retention, StreamRecord, Version};
use crate::streams::{Entry, Known, Place, Streams, Usage};
use crate::values::Values;

/// A channel as the log knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// The channel's name.
    pub channel: Arc<str>,
    /// The life of its history.
    pub epoch: Arc<str>,
    /// Offset of the last publication that there ever was.
    pub top: u64,
    /// When that came.
    pub touched: Millis,
    /// The version that the publisher was at.
    pub version: Option<Version>,
    /// What is kept, oldest first.
    pub publications: Vec<Kept>,
    /// What has left the history but is the latest of its key, oldest first.
    pub values: Vec<Kept>,
}

/// What the files hold.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) streams: Streams,
    pub(crate) restored: Vec<Restored>,
    /// The newest segment's head; `None` where there was no log.
    pub(crate) newest: Option<Header>,
    /// Where the newest segment's whole part ends.
    pub(crate) whole_bytes: u64,
    /// Bytes of something torn behind that.
    pub(crate) torn_bytes: u64,
    /// Sequence of the next frame.
    pub(crate) sequence: u64,
    /// Whether the server was ended in order.
    pub(crate) is_closed: bool,
    /// Whether the start of the server that wrote last has got beyond opening the log.
    pub(crate) is_begun: bool,
    /// Files that do not count.
    pub(crate) leftovers: Vec<String>,
    /// Streams of channels that the configuration keeps no durable history of.
    pub(crate) orphans: usize,
}

/// What the configuration says about a channel; `None` where it is not durable.
pub type Rules<'a> = &'a dyn Fn(&str) -> Option<Retention>;

/// Reads everything; changes nothing.
pub(crate) fn read(disk: &dyn Disk, rules: Rules<'_>, now: Millis) -> Result<Contents, LogError> {
    let names = disk.names().map_err(LogError::io("list the files of", "the log"))?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    let Some(newest) = numbers.pop() else { return Ok(Contents { sequence: 1, ..Contents::default() }) };
    let (header, _) = read_header(&load(disk, newest)?, newest)?;
    for other in &header.others {
        if numbers.binary_search(other).is_err() {
            return Err(LogError::Missing(file_name(*other)));
        }
    }
    let (counting, leftovers): (Vec<u32>, Vec<u32>) =
        numbers.into_iter().partition(|number| header.others.contains(number));
    let mut gathering = Gathering { rules, streams: HashMap::default(), segments: BTreeMap::new(), is_closed: false };
    for number in counting {
        gathering.segment(&load(disk, number)?, number, false)?;
    }
    let file = load(disk, newest)?;
    let (sequence, whole_bytes) = gathering.segment(&file, newest, true)?;
    let mut contents = Contents {
        is_begun: !header.is_start || sequence > header.first,
        newest: Some(header),
        whole_bytes,
        torn_bytes: file.len() as u64 - whole_bytes,
        sequence,
        is_closed: gathering.is_closed,
        leftovers: leftovers.into_iter().map(file_name).collect(),
        ..Contents::default()
    };
    gathering.settle(&mut contents, now);
    Ok(contents)
}

fn load(disk: &dyn Disk, number: u32) -> Result<Vec<u8>, LogError> {
    let name = file_name(number);
    disk.read(&name).map_err(LogError::io("read", name))
}

fn read_header(file: &[u8], number: u32) -> Result<(Header, usize), LogError> {
    match Header::read(file) {
        Ok((header, length)) if header.number == number => Ok((header, length)),
        Ok(_) => Err(damaged(number, 0, Fault::Head)),
        Err(fault) => Err(damaged(number, 0, fault)),
    }
}

fn damaged(number: u32, at: usize, fault: Fault) -> LogError {
    LogError::Damaged { file: file_name(number), at: at as u64, why: fault.to_string() }
}

/// A stream while its records are found, in any order.
#[derive(Debug, Default)]
struct Found {
    record: Option<(StreamRecord, Place)>,
    /// The last version among all publications, with its offset; also of those that are not kept.
    version: Option<(u64, Version)>,
    /// Offset and time of the last publication.
    last: (u64, Millis),
    publications: Vec<(Entry, Kept)>,
}

struct Gathering<'a> {
    rules: Rules<'a>,
    streams: HashMap<u64, Found, ahash::RandomState>,
    segments: BTreeMap<u32, Usage>,
    is_closed: bool,
}

impl Gathering<'_> {
    /// Reads a segment; returns the sequence after its last frame, and where that ends.
    fn segment(&mut self, file: &[u8], number: u32, is_newest: bool) -> Result<(u64, u64), LogError> {
        let (header, mut at) = read_header(file, number)?;
        let mut sequence = header.first;
        while at < file.len() {
            let frame = match frame::read(&file[at..], header.salt) {
                Ok(frame) if frame.sequence == sequence => frame,
                Ok(_) => return Err(damaged(number, at, Fault::Sequence)),
                Err(_) if is_newest && !frame::was_safe(&file[at..], header.salt, sequence) => break,
                Err(fault) => return Err(damaged(number, at, fault)),
            };
            for record in Records::of(frame.records) {
                record.and_then(|record| self.record(record, number)).map_err(|fault| damaged(number, at, fault))?;
            }
            at += frame::HEAD + frame.records.len();
            sequence += 1;
        }
        self.segments.insert(number, Usage { total: at as u64, live: 0 });
        Ok((sequence, at as u64))
    }

    fn record(&mut self, record: Record<'_>, segment: u32) -> Result<(), Fault> {
        let place = |whole: &[u8]| Place { segment, bytes: whole.len() as u32 };
        self.is_closed = record == Record::Closed;
        match record {
            Record::Closed | Record::Opened => {}
            Record::Publication(record) => {
                let entry = Entry { offset: record.offset, time: record.time, place: place(record.whole) };
                let found = self.streams.entry(record.stream).or_default();
                let kept = record.kept()?;
                found.last = found.last.max((entry.offset, entry.time));
                if let Some(version) = &kept.version
                    && found.version.as_ref().is_none_or(|(offset, _)| *offset < entry.offset)
                {
                    found.version = Some((entry.offset, version.clone()));
                }
                found.publications.push((entry, kept));
                // Why: a channel that is published into without end would fill the memory with what it no longer keeps.
                if let Some((record, _)) = &found.record {
                    let retention = (self.rules)(&record.name).unwrap_or(record.retention);
                    if retention.keys == 0
                        && found.publications.len() > retention.size.saturating_mul(2).saturating_add(64)
                    {
                        sort(&mut found.publications);
                        let surplus = found.publications.len().saturating_sub(retention.size);
                        found.publications.drain(..surplus);
                    }
                }
            }
            Record::Stream(record, whole) => {
                let found = self.streams.entry(record.stream).or_default();
                // A later record is the better one, but for its top, which never falls.
                let top = found.record.as_ref().map_or(0, |(before, _)| before.top).max(record.top);
                found.record = Some((StreamRecord { top, ..record }, place(whole)));
            }
        }
        Ok(())
    }

    /// Of each channel the latest life, and of that what is still to be kept.
    fn settle(self, contents: &mut Contents, now: Millis) {
        let mut latest: HashMap<Arc<str>, u64, ahash::RandomState> = HashMap::default();
        let mut next = 0;
        for (number, found) in &self.streams {
            next = next.max(number + 1);
            if let Some((record, _)) = &found.record {
                let seen = latest.entry(Arc::clone(&record.name)).or_default();
                *seen = (*seen).max(*number);
            }
        }
        contents.streams.reserve(next);
        contents.streams.segments = self.segments;
        for (number, found) in self.streams {
            // What has no record has outlived its stream.
            let is_latest = |(record, _): &(StreamRecord, Place)| latest.get(&record.name) == Some(&number);
            if found.record.as_ref().is_some_and(is_latest) {
                take(contents, found, self.rules, now);
            }
        }
    }
}

/// Takes in one stream.
fn take(contents: &mut Contents, found: Found, rules: Rules<'_>, now: Millis) {
    let Found { record: Some((mut record, place)), version, last, mut publications } = found else { return };
    let rule = rules(&record.name);
    record.retention = rule.unwrap_or(record.retention);
    sort(&mut publications);
    publications
        .retain(|(entry, _)| entry.offset >= record.floor || record.values.binary_search(&entry.offset).is_ok());
    let (values, held) = split(&mut publications, record.retention, now);
    let (entries, kept): (Vec<Entry>, Vec<Kept>) = publications.into_iter().unzip();
    // What only publications say must be said by the record, unless they are kept.
    let mut versioned_by = 0;
    let mut is_told = true;
    if last.0 > record.top {
        is_told = !entries.is_empty();
        if let Some((offset, version)) = version.filter(|(offset, _)| *offset > record.top) {
            is_told = is_told && entries.iter().any(|entry| entry.offset == offset);
            record.version = Some(version);
            versioned_by = offset;
        }
        (record.top, record.touched) = last;
    }
    let restored = Restored {
        channel: Arc::clone(&record.name),
        epoch: Arc::clone(&record.epoch),
        top: record.top,
        touched: record.touched,
        version: record.version.clone(),
        publications: kept,
        values: held,
    };
    let slot = contents.streams.restore(Known { record, place, kept: entries, versioned_by, values });
    if !is_told {
        contents.streams.unwritten.push(slot);
    }
    match rule {
        Some(_) => contents.restored.push(restored),
        None => contents.orphans += 1,
    }
}

/// Puts publications in order, and takes out doubles that a copying left behind.
fn sort(publications: &mut Vec<(Entry, Kept)>) {
    // The later copy first, so that it is the one that stays.
    publications.sort_by_key(|(entry, _)| (entry.offset, u32::MAX - entry.place.segment));
    publications.dedup_by_key(|(entry, _)| entry.offset);
}

/// Takes out what has left the history; of that, what is the latest of its key is returned.
fn split(publications: &mut Vec<(Entry, Kept)>, retention: Retention, now: Millis) -> (Option<Box<Values>>, Vec<Kept>) {
    let is_old = |entry: &Entry| entry.time.saturating_add(retention.ttl) <= now;
    let surplus = publications.len().saturating_sub(retention.size);
    let old = publications[surplus..].iter().take_while(|(entry, _)| is_old(entry)).count();
    let mut values = Box::<Values>::default();
    if retention.keys > 0 {
        for (entry, kept) in &*publications {
            values.hear(entry.offset, kept.key(), retention.keys);
        }
    }
    let left = publications.drain(..surplus + old);
    let held = left.filter(|(entry, _)| values.hold(*entry)).map(|(_, kept)| kept);
    let held = held.filter(|kept| !kept.key().is_removed).collect();
    ((retention.keys > 0).then_some(values), held)
}
