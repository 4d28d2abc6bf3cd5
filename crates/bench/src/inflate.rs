//! Compressed messages of the server, read again.

use anyhow::{Context, bail};
use flate2::{Decompress, FlushDecompress, Status};

/// What a message loses when it is compressed (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const LARGEST: usize = 1 << 30;

/// Without context takeover, so one serves all connections.
pub(crate) struct Inflater {
    state: Decompress,
    compressed: Vec<u8>,
    plain: Vec<u8>,
    /// Compressed messages that came.
    pub(crate) taken: u64,
    /// Those of them that were not, byte for byte, the one before.
    pub(crate) inflated: u64,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { state: Decompress::new(false), compressed: Vec::new(), plain: Vec::new(), taken: 0, inflated: 0 }
    }

    /// The message that was compressed to these bytes. Why the last one is kept: 10,000 subscribers get the
    /// same bytes, and a generator that inflates each copy measures itself.
    pub(crate) fn inflate(&mut self, compressed: &[u8]) -> anyhow::Result<&[u8]> {
        self.taken += 1;
        if self.inflated > 0 && self.compressed == compressed {
            return Ok(&self.plain);
        }
        self.inflated += 1;
        self.compressed.clear();
        self.compressed.extend_from_slice(compressed);
        self.plain.clear();
        self.state.reset(false);
        let whole = [compressed, &TAIL].concat();
        let mut rest = whole.as_slice();
        loop {
            if self.plain.len() > LARGEST {
                bail!("inflate a message: it is longer than {LARGEST} bytes");
            }
            self.plain.reserve(4096.max(rest.len() * 4));
            let (earlier, room) = (self.state.total_in(), self.plain.capacity() - self.plain.len());
            let before = self.plain.len();
            let status = self.state.decompress_vec(rest, &mut self.plain, FlushDecompress::Sync);
            let status = status.context("inflate a message: it is no deflate stream")?;
            rest = &rest[usize::try_from(self.state.total_in() - earlier)?..];
            // Whatever did not fill the room has come to its end.
            if status == Status::StreamEnd || self.plain.len() - before < room {
                break;
            }
        }
        if !rest.is_empty() {
            bail!("inflate a message: {} bytes stand behind its end", rest.len());
        }
        Ok(&self.plain)
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inflater").field("taken", &self.taken).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut state = Compress::new(Compression::fast(), false);
        let mut bytes = Vec::with_capacity(plain.len() + 64);
        state.compress_vec(plain, &mut bytes, FlushCompress::Sync).unwrap();
        assert!(bytes.ends_with(&TAIL));
        bytes.truncate(bytes.len() - TAIL.len());
        bytes
    }

    #[test]
    fn messages_come_back_and_copies_are_not_inflated_twice() {
        let mut inflater = Inflater::new();
        let noise: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let messages = [b"short".to_vec(), vec![b'a'; 1_000_000], noise, Vec::new(), b"last".to_vec()];
        for (number, plain) in messages.iter().enumerate() {
            let bytes = deflate(plain);
            assert!(inflater.inflate(&bytes).unwrap() == plain);
            assert!(inflater.inflate(&bytes).unwrap() == plain, "a copy");
            let number = number as u64 + 1;
            assert_eq!((inflater.taken, inflater.inflated), (2 * number, number));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut inflater = Inflater::new();
        assert!(inflater.inflate(&[0xff; 8]).is_err());
        let after_the_end = [&[0x03, 0x00][..], b"more"].concat();
        assert!(inflater.inflate(&after_the_end).is_err());
        assert_eq!(inflater.inflate(&deflate(b"good")).unwrap(), b"good", "after a bad one");
    }
}
