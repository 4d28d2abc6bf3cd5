//! Frames: what is written at once stands in one frame, and a frame is there as a whole or not at all.
//!
//! A frame is a head of 24 bytes and records. The checksum covers both, and the file's salt: whoever publishes bytes
//! that look like a frame does not know the salt, so nothing in a payload is ever taken for one.

use crate::error::Fault;

/// Bytes before the records of a frame: length, checksum, sequence, synced.
pub(crate) const HEAD: usize = 24;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Frame<'a> {
    /// Its number; frames are numbered without a gap.
    pub(crate) sequence: u64,
    /// Frames up to this one were safe on the disk when this one was written.
    pub(crate) synced: u64,
    /// Its records.
    pub(crate) records: &'a [u8],
}

/// Begins a frame: records are appended to what this returns with.
pub(crate) fn begin(into: &mut Vec<u8>) {
    into.clear();
    into.resize(HEAD, 0);
}

/// Fills in the head of a frame whose records are complete.
pub(crate) fn finish(frame: &mut [u8], salt: u64, sequence: u64, synced: u64) {
    let length = (frame.len() - HEAD) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[8..16].copy_from_slice(&(sequence ^ salt).to_le_bytes());
    frame[16..24].copy_from_slice(&(synced ^ salt).to_le_bytes());
    let checksum = checksum(salt, frame);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// The frame at the front of some bytes.
pub(crate) fn read(bytes: &[u8], salt: u64) -> Result<Frame<'_>, Fault> {
    let (sequence, synced, length) = head(bytes, salt).ok_or(Fault::Short)?;
    let frame = bytes.get(..HEAD + length).ok_or(Fault::Short)?;
    if frame[4..8] != checksum(salt, frame).to_le_bytes() {
        return Err(Fault::Checksum);
    }
    Ok(Frame { sequence, synced, records: &frame[HEAD..] })
}

/// Whether what follows a broken frame proves that this frame was safe on the disk once; then it is damaged. Otherwise
/// it is merely the end that a crash tore.
pub(crate) fn was_safe(after: &[u8], salt: u64, sequence: u64) -> bool {
    (1..after.len().saturating_sub(HEAD - 1)).any(|at| {
        // Why these bounds: they make all but a few in 2^40 places cost no checksum.
        head(&after[at..], salt).is_some_and(|(later, synced, _)| {
            later > sequence && later - sequence < 1 << 24 && (sequence..later).contains(&synced)
        }) && read(&after[at..], salt).is_ok()
    })
}

fn head(bytes: &[u8], salt: u64) -> Option<(u64, u64, usize)> {
    let bytes: &[u8; HEAD] = bytes.first_chunk()?;
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let sequence = u64::from_le_bytes(*bytes[8..].first_chunk()?) ^ salt;
    let synced = u64::from_le_bytes(*bytes[16..].first_chunk()?) ^ salt;
    Some((sequence, synced, length))
}

fn checksum(salt: u64, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x1234_5678_9abc_def0;

    fn frame(sequence: u64, synced: u64, records: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin(&mut bytes);
        bytes.extend_from_slice(records);
        finish(&mut bytes, SALT, sequence, synced);
        bytes
    }

    #[test]
    fn a_frame_is_whole_or_nothing() {
        let whole = frame(7, 6, b"records");
        assert_eq!(read(&whole, SALT), Ok(Frame { sequence: 7, synced: 6, records: b"records" }));
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end], SALT), Err(Fault::Short));
        }
        for bit in 32..whole.len() * 8 {
            let mut wrong = whole.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&wrong, SALT), Err(Fault::Checksum), "bit {bit}");
        }
        assert_eq!(read(&whole, SALT + 1), Err(Fault::Checksum));
        assert!(read(&[0; 100], SALT).is_err(), "zeros are no frame");
    }

    #[test]
    fn what_comes_after_tells_damage_from_a_torn_end() {
        let broken = [0; 30];
        let after = |frames: &[Vec<u8>]| was_safe(&[&broken[..], &frames.concat()].concat(), SALT, 8);
        assert!(after(&[frame(9, 8, b"x")]), "9 knew that 8 was safe");
        assert!(after(&[frame(9, 7, b"x"), frame(10, 8, b"y")]));
        assert!(!after(&[frame(9, 7, b"x"), frame(10, 7, b"y")]), "neither knew");
        assert!(!after(&[]));
        assert!(!after(&[frame(8, 7, b"x")]), "that is 8 itself");
        let forged = {
            let mut bytes = Vec::new();
            begin(&mut bytes);
            finish(&mut bytes, 0, 9, 8);
            bytes
        };
        assert!(!after(&[forged]), "a publisher does not know the salt");
    }
}
