//! Cleaning: copies what still counts out of a segment that holds mostly what does not, so that its file can go.

use crate::disk::Disk;
use crate::error::{Fault, LogError};
use crate::frame;
use crate::header::{Header, file_name};
use crate::record::{PublicationRecord, Record, Records};
use crate::streams::{Streams, Usage};

/// A segment on its way out.
#[derive(Debug)]
pub(crate) struct Cleaning {
    pub(crate) segment: u32,
    file: Vec<u8>,
    salt: u64,
    at: usize,
}

/// A few small segments are no harm; each start of the server leaves one.
const FEW: u64 = 8;

/// The segment whose cleaning gains most, if there is more on the disk than twice what counts, and a segment.
///
/// Invariant: then some segment is less than half alive, so cleaning copies less than it frees. Near the limit of the
/// log (`max_bytes`, 0 for none) it is worth while sooner.
pub(crate) fn choose(
    streams: &Streams,
    is_spared: impl Fn(u32) -> bool,
    (segment_bytes, max_bytes): (u64, u64),
) -> Option<u32> {
    let Usage { total, live } = streams.usage();
    let is_near = max_bytes > 0 && total.saturating_add(segment_bytes) > max_bytes && live < total / 5 * 4;
    let is_fat = is_near || total > live.saturating_mul(2).saturating_add(segment_bytes);
    let is_scattered = streams.segments.len() as u64 > FEW + 2 * (total / segment_bytes.max(1));
    let open = streams.segments.iter().filter(|(number, usage)| !is_spared(**number) && usage.live > 0);
    if is_fat {
        open.min_by_key(|(_, usage)| usage.live.saturating_mul(1000) / usage.total.max(1)).map(|(number, _)| *number)
    } else if is_scattered {
        open.min_by_key(|(_, usage)| usage.live).map(|(number, _)| *number)
    } else {
        None
    }
}

impl Cleaning {
    pub(crate) fn begin(disk: &dyn Disk, segment: u32) -> Result<Self, LogError> {
        let name = file_name(segment);
        let file = disk.read(&name).map_err(LogError::io("read", &*name))?;
        let damaged = |fault: Fault| LogError::Damaged { file: name.clone(), at: 0, why: fault.to_string() };
        let (header, at) = Header::read(&file).map_err(damaged)?;
        Ok(Self { segment, salt: header.salt, file, at })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.file.len()
    }

    /// Walks on for about so many bytes: demands the records of streams anew, and hands out the publications that count.
    pub(crate) fn step(
        &mut self,
        streams: &mut Streams,
        budget: usize,
        mut copy: impl FnMut(PublicationRecord<'_>),
    ) -> Result<(), LogError> {
        let segment = self.segment;
        let end = self.at.saturating_add(budget);
        while self.at < end && !self.is_done() {
            let at = self.at;
            let damaged =
                |fault: Fault| LogError::Damaged { file: file_name(segment), at: at as u64, why: fault.to_string() };
            let frame = frame::read(&self.file[at..], self.salt).map_err(damaged)?;
            for record in Records::of(frame.records) {
                match record.map_err(damaged)? {
                    Record::Closed | Record::Opened => {}
                    Record::Publication(record) => {
                        if streams.holds(record.stream, record.offset, segment) {
                            copy(record);
                        }
                    }
                    Record::Stream(record, _) => streams.rewrite(record.stream, segment),
                }
            }
            self.at += frame::HEAD + frame.records.len();
        }
        Ok(())
    }
}
