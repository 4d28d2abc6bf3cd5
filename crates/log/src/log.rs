//! The log: segments that only grow, of which the oldest words go when nobody needs them.

use std::io;
use std::sync::Arc;

use jackfield_model::Millis;

use crate::cleaning::{self, Cleaning};
use crate::disk::{Disk, Sync, Tape};
use crate::error::LogError;
use crate::frame;
use crate::header::{Boot, Header, file_name};
use crate::opening::{self, Contents, Restored, Rules};
use crate::record::{self, Kept, Key, PublicationRecord, Retention, Version};
use crate::streams::{Entry, Place, Streams, Usage};

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Every frame is made safe before [`Log::commit`] returns.
    pub is_careful: bool,
    /// A segment that is longer is followed by another.
    pub segment_bytes: u64,
    /// Publications are refused when the log is as large as this; 0 for no limit.
    pub max_bytes: u64,
    /// The start of the machine; zeros if it is not known.
    pub boot: Boot,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { is_careful: false, segment_bytes: SEGMENT, max_bytes: 0, boot: boot() }
    }
}

/// Bytes of a segment.
const SEGMENT: u64 = 16 << 20;

/// The start of the machine that this is.
fn boot() -> Boot {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let id = id.and_then(|id| uuid::Uuid::try_parse(id.trim()).ok());
    id.map_or_else(Boot::default, uuid::Uuid::into_bytes)
}

/// By how much tops jump when publications may be lost that clients have seen: no client can be ahead of that.
pub const JUMP: u64 = 1_000_000;

/// An empty file of this name says that the folder comes from a backup, so clients may have seen more than it holds.
pub const FROM_BACKUP: &str = "restored";

/// Streams that are looked at for old publications at a time, at least.
const SWEEP: usize = 1024;
/// All of them are looked at in this many rounds, at least.
const SWEEP_ROUNDS: usize = 16;
/// Bytes that cleaning walks at a time, at least.
const STRIDE: usize = 256 * 1024;

/// A log that is open.
#[derive(Debug)]
pub struct Log {
    disk: Box<dyn Disk>,
    options: LogOptions,
    streams: Streams,
    tape: Box<dyn Tape>,
    active: u32,
    salt: u64,
    /// Length of the active segment's file.
    length: u64,
    /// Something may follow after `length` that does not count.
    is_torn: bool,
    /// The next segment may be there already, half begun, so nothing may be written before it is.
    is_full: bool,
    /// Sequence of the next frame.
    sequence: u64,
    /// Frames up to this one are safe.
    synced: u64,
    frame: Vec<u8>,
    scratch: Vec<u8>,
    pending: Vec<Pending>,
    cleaning: Option<Cleaning>,
    /// Segments without anything that counts; they go when the next segment begins.
    doomed: Vec<u32>,
    /// Segments that could not be read any more.
    unreadable: Vec<u32>,
    sweep_at: usize,
    is_closing: bool,
    syncs: u64,
}

/// What is to be noted once the frame is written.
#[derive(Debug)]
struct Pending {
    /// Number of the stream; it may be forgotten until then.
    stream: u64,
    bytes: u32,
    what: Written,
}

/// What a record of the frame is.
#[derive(Debug)]
enum Written {
    Copy { offset: u64 },
    Publication { offset: u64, time: Millis, version: Option<Version>, key: Option<Key> },
    Stream,
}

/// What opening a log has brought to light.
#[derive(Debug, Default)]
pub struct Opening {
    /// The channels to go on with.
    pub restored: Vec<Restored>,
    /// Publications may be lost that clients have seen, so all tops have jumped.
    pub has_jumped: bool,
    /// Bytes of a half-written end that were cut off.
    pub torn_bytes: u64,
    /// Channels that are in the log but have no durable history in the configuration; they stay until they expire.
    pub orphans: usize,
}

impl Log {
    /// Reads what is there and begins a new segment.
    pub fn open(
        disk: Box<dyn Disk>,
        options: LogOptions,
        rules: Rules<'_>,
        now: Millis,
    ) -> Result<(Self, Opening), LogError> {
        let mut contents = opening::read(&*disk, rules, now)?;
        let names = disk.names().map_err(LogError::io("list the files of", "the log"))?;
        let from_backup = names.iter().any(|name| name == FROM_BACKUP);
        let has_jumped = contents.newest.is_some() && (from_backup || may_have_lost(&contents, options.boot));
        let mut opening = Opening {
            restored: std::mem::take(&mut contents.restored),
            has_jumped,
            torn_bytes: contents.torn_bytes,
            orphans: contents.orphans,
        };
        if let Some(newest) = &contents.newest {
            // Why even where nothing is torn: it makes safe what a killed server has written.
            let name = file_name(newest.number);
            let cut = disk.cut(&name, contents.whole_bytes);
            cut.map_err(LogError::io("cut the torn end off", name))?;
        }
        if has_jumped {
            contents.streams.jump(JUMP);
            opening.restored.iter_mut().for_each(|restored| restored.top = restored.top.saturating_add(JUMP));
        }
        let log = Self::begin(disk, options, contents)?;
        if from_backup {
            log.disk.remove(FROM_BACKUP).map_err(LogError::io("remove", FROM_BACKUP))?;
        }
        Ok((log, opening))
    }

    /// Begins a segment after those that are there, with a frame that is safe.
    fn begin(disk: Box<dyn Disk>, options: LogOptions, contents: Contents) -> Result<Self, LogError> {
        let last = contents.newest.as_ref().map_or(0, |newest| newest.number);
        let mut log = Self {
            disk,
            options,
            streams: contents.streams,
            tape: Box::new(NoTape),
            active: last,
            salt: 0,
            length: 0,
            is_torn: false,
            is_full: false,
            sequence: contents.sequence,
            synced: contents.sequence.saturating_sub(1),
            frame: Vec::new(),
            scratch: Vec::new(),
            pending: Vec::new(),
            cleaning: None,
            doomed: Vec::new(),
            unreadable: Vec::new(),
            sweep_at: 0,
            is_closing: false,
            syncs: 0,
        };
        let name = file_name(last.saturating_add(1));
        log.begin_segment().map_err(LogError::io("begin", &*name))?;
        record::put_opened(log.frame_mut());
        let first = log.commit().and_then(|()| log.sync_all());
        first.map_err(LogError::io("write to", name))?;
        for name in contents.leftovers {
            // One that stays is found by the next start.
            drop(log.disk.remove(&name));
        }
        Ok(log)
    }

    /// Adds a publication to the frame in the making.
    pub fn add(&mut self, channel: &Arc<str>, epoch: &Arc<str>, retention: Retention, kept: &Kept) {
        let publication = &kept.publication;
        let slot = self.streams.open(channel, epoch, retention, publication.time);
        let Some(number) = self.streams.stream(slot).map(|stream| stream.record.stream) else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let bytes = record::put_publication(self.frame_mut(), &mut scratch, number, kept) as u32;
        self.scratch = scratch;
        let what = Written::Publication {
            offset: publication.offset,
            time: publication.time,
            version: kept.version.clone(),
            key: (retention.keys > 0).then(|| kept.key()),
        };
        self.pending.push(Pending { stream: number, bytes, what });
    }

    /// Forgets a channel's publications and values; its position stays.
    pub fn forget(&mut self, channel: &str) {
        self.streams.clear(channel);
    }

    /// Begins a new life of a channel; of the one before nothing is kept.
    pub fn renew(&mut self, channel: &Arc<str>, epoch: &Arc<str>, retention: Retention, now: Millis) {
        self.streams.open(channel, epoch, retention, now);
    }

    /// Bytes in the frame in the making.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.frame.len()
    }

    /// Writes the frame in the making, as one. After an error nothing of it is in the log.
    pub fn commit(&mut self) -> io::Result<()> {
        let has_publications = !self.pending.is_empty();
        self.clean();
        self.flush(has_publications)
    }

    fn flush(&mut self, has_publications: bool) -> io::Result<()> {
        let unwritten = self.put_streams();
        if self.is_closing {
            record::put_closed(self.frame_mut());
        }
        if self.frame.is_empty() {
            return Ok(());
        }
        let written = if has_publications { self.check_room() } else { Ok(()) }.and_then(|()| self.write());
        if written.is_ok() {
            self.note();
        } else {
            self.pending.clear();
            self.streams.unwritten.extend(unwritten);
            // What it copied is not copied.
            self.cleaning = None;
        }
        self.frame.clear();
        written
    }

    /// Forgets what is old, a part at a time, and gives room back. Call about once a second.
    pub fn tend(&mut self, now: Millis) -> io::Result<()> {
        let count = SWEEP.max(self.streams.len() / SWEEP_ROUNDS);
        self.sweep_at = self.streams.expire(self.sweep_at, count, now);
        self.commit()?;
        self.doom();
        let freed: u64 =
            self.doomed.iter().filter_map(|number| self.streams.segments.get(number)).map(|it| it.total).sum();
        if freed >= self.options.segment_bytes { self.begin_segment() } else { Ok(()) }
    }

    /// What makes safe all that is written, and the sequence to tell [`Self::has_synced`] then; `None` if all of it is.
    pub fn sync(&self) -> io::Result<Option<(Sync, u64)>> {
        if self.is_safe() { Ok(None) } else { Ok(Some((self.tape.sync()?, self.sequence - 1))) }
    }

    /// Whether all that is written is safe.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.synced + 1 == self.sequence
    }

    /// Notes that everything up to a sequence is safe.
    pub fn has_synced(&mut self, sequence: u64) {
        self.syncs += 1;
        self.synced = self.synced.max(sequence);
    }

    /// Bytes on the disk, and how many of them count.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.streams.usage()
    }

    /// How often something was made safe.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// How many channels have a history.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.streams.len()
    }

    /// Ends the log in order: what is written is safe, and no start need wonder.
    pub fn close(mut self) -> io::Result<()> {
        self.commit()?;
        self.is_closing = true;
        self.flush(false)?;
        self.sync_all()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        if let Some((sync, sequence)) = self.sync()? {
            sync()?;
            self.has_synced(sequence);
        }
        Ok(())
    }

    fn frame_mut(&mut self) -> &mut Vec<u8> {
        if self.frame.is_empty() {
            frame::begin(&mut self.frame);
        }
        &mut self.frame
    }

    fn check_room(&self) -> io::Result<()> {
        let most = self.options.max_bytes;
        let wanted = self.usage().total + self.frame.len() as u64;
        if most > 0 && wanted > most {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, format!("history.max_bytes, {most}, is reached")));
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.tape.cut(self.length)?;
            self.is_torn = false;
        }
        if self.is_full || self.length >= self.options.segment_bytes {
            self.begin_segment()?;
        }
        frame::finish(&mut self.frame, self.salt, self.sequence, self.synced);
        self.is_torn = true;
        self.tape.append(&self.frame)?;
        if self.options.is_careful {
            self.tape.sync()?()?;
            self.has_synced(self.sequence);
        }
        self.is_torn = false;
        self.length += self.frame.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    /// Begins a new segment: the one before is safe from here on, and the doomed ones go.
    fn begin_segment(&mut self) -> io::Result<()> {
        self.sync_all()?;
        let number = self.active.checked_add(1).ok_or_else(|| io::Error::other("there are 2^32 segments"))?;
        let is_doomed = |number: &u32| self.doomed.contains(number);
        let header = Header {
            number,
            salt: uuid::Uuid::new_v4().as_u64_pair().1,
            boot: self.options.boot,
            is_careful: self.options.is_careful,
            is_start: self.length == 0,
            first: self.sequence,
            others: self.streams.segments.keys().copied().filter(|number| !is_doomed(number)).collect(),
        };
        let bytes = header.bytes();
        self.is_full = true;
        self.tape = self.disk.create(&file_name(number), &bytes)?;
        self.is_full = false;
        (self.active, self.salt, self.length) = (number, header.salt, bytes.len() as u64);
        self.streams.segments.insert(number, Usage { total: self.length, live: 0 });
        for doomed in std::mem::take(&mut self.doomed) {
            self.streams.segments.remove(&doomed);
            // One that stays does not count, and is found by the next start.
            if let Err(error) = self.disk.remove(&file_name(doomed)) {
                tracing::warn!(file = file_name(doomed), %error, "a segment of the log that is needed no longer could not be removed");
            }
        }
        Ok(())
    }

    /// Puts the records of streams that must be written into the frame; returns whose.
    fn put_streams(&mut self) -> Vec<u32> {
        let mut slots = std::mem::take(&mut self.streams.unwritten);
        slots.sort_unstable();
        slots.dedup();
        for slot in &slots {
            if let Some(record) = self.streams.record(*slot) {
                if self.frame.is_empty() {
                    frame::begin(&mut self.frame);
                }
                let bytes = record::put_stream(&mut self.frame, &mut self.scratch, &record) as u32;
                self.pending.push(Pending { stream: record.stream, bytes, what: Written::Stream });
            }
        }
        slots
    }

    /// Notes what the frame has brought.
    fn note(&mut self) {
        let segment = self.active;
        if let Some(usage) = self.streams.segments.get_mut(&segment) {
            usage.total = self.length;
        }
        let mut pending = std::mem::take(&mut self.pending);
        for Pending { stream, bytes, what } in &pending {
            let (Some(slot), place) = (self.streams.slot(*stream), Place { segment, bytes: *bytes }) else { continue };
            match what {
                Written::Copy { offset } => self.streams.moved(slot, *offset, place),
                Written::Publication { .. } => {}
                Written::Stream => self.streams.place(slot, place),
            }
        }
        if self.cleaning.as_ref().is_some_and(Cleaning::is_done) {
            self.cleaning = None;
        }
        // Why here: all that was said only by what does not count any more is said again by the frame just written. The
        // publications below may push out others, whose last words are in no frame yet.
        self.doom();
        for Pending { stream, bytes, what } in pending.drain(..) {
            if let Written::Publication { offset, time, version, key } = what
                && let Some(slot) = self.streams.slot(stream)
            {
                self.streams.keep(slot, Entry { offset, time, place: Place { segment, bytes } }, version, key);
            }
        }
        self.pending = pending;
    }

    /// Finds segments in which nothing counts.
    fn doom(&mut self) {
        if !self.streams.unwritten.is_empty() {
            return;
        }
        for (number, usage) in &self.streams.segments {
            if usage.live == 0 && *number != self.active && !self.doomed.contains(number) {
                self.doomed.push(*number);
            }
        }
    }

    /// Copies a part of what counts in a segment that is to go into the frame.
    fn clean(&mut self) {
        if self.cleaning.is_none() {
            let is_spared = |number| number == self.active || self.unreadable.contains(&number);
            let bounds = (self.options.segment_bytes, self.options.max_bytes);
            let Some(segment) = cleaning::choose(&self.streams, is_spared, bounds) else { return };
            match Cleaning::begin(&*self.disk, segment) {
                Ok(cleaning) => self.cleaning = Some(cleaning),
                Err(error) => return self.spare(segment, &error),
            }
        }
        let Some(mut cleaning) = self.cleaning.take() else { return };
        let budget = self.frame.len().saturating_mul(4).max(STRIDE);
        let (frame, pending) = (&mut self.frame, &mut self.pending);
        let step = cleaning.step(&mut self.streams, budget, |copy: PublicationRecord<'_>| {
            if frame.is_empty() {
                frame::begin(frame);
            }
            frame.extend_from_slice(copy.whole);
            let (offset, bytes) = (copy.offset, copy.whole.len() as u32);
            pending.push(Pending { stream: copy.stream, bytes, what: Written::Copy { offset } });
        });
        match step {
            Ok(()) => self.cleaning = Some(cleaning),
            Err(error) => self.spare(cleaning.segment, &error),
        }
    }

    fn spare(&mut self, segment: u32, error: &LogError) {
        tracing::error!(%error, "a segment of the log cannot be read any more; the next start will not read it either");
        self.unreadable.push(segment);
    }
}

/// Whether publications may be lost that clients have seen: the machine went down before they were safe.
fn may_have_lost(contents: &Contents, boot: Boot) -> bool {
    let Some(newest) = &contents.newest else { return false };
    let is_same_boot = newest.boot == boot && boot != Boot::default();
    let was_safe = contents.is_begun && (is_same_boot || newest.is_careful);
    !contents.is_closed && !was_safe
}

/// Stands where the first segment's tape will be.
#[derive(Debug)]
struct NoTape;

impl Tape for NoTape {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<Sync> {
        Ok(Box::new(|| Ok(())))
    }
}
