//! The way out: payloads that become one frame, compressed where that is worth it.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::{TAIL, Window};
use crate::websocket::Opcode;
use crate::websocket::header::{self, COMPRESSED, FIN};

/// Room that is kept from one message to the next.
const KEPT: usize = 1024 * 1024;

/// Compresses for all connections of a worker, one message after the other. It takes memory for a
/// window with the first message that needs it.
#[derive(Debug)]
pub struct Deflater {
    level: u32,
    threshold: usize,
    full: Option<Compress>,
    small: Option<Compress>,
    /// Where the compressed data goes until its length is known.
    scratch: Vec<u8>,
    compressed: u64,
}

impl Deflater {
    /// A deflater with a level of 1 (fast) to 9 (small), which leaves payloads of fewer than
    /// `threshold` bytes as they are. Level 0 compresses nothing.
    #[must_use]
    pub const fn new(level: u32, threshold: usize) -> Self {
        Self { level, threshold, full: None, small: None, scratch: Vec::new(), compressed: 0 }
    }

    /// One finished frame of a server. It is compressed when the payload has the threshold's
    /// length and becomes smaller by it; control frames never are.
    pub fn frame(&mut self, opcode: Opcode, payload: &[u8], window: Window) -> Bytes {
        let worth_it = payload.len() >= self.threshold && self.level > 0 && !opcode.is_control();
        let compressed = if worth_it { self.compress(payload, window) } else { None };
        let (first, body) = match compressed {
            Some(body) => (FIN | COMPRESSED | opcode as u8, body),
            None => (FIN | opcode as u8, payload),
        };
        let mut out = Vec::with_capacity(header::header_length(body.len()) + body.len());
        header::write_header(first, body.len(), 0, &mut out);
        out.extend_from_slice(body);
        self.compressed += u64::from(first & COMPRESSED != 0);
        if self.scratch.len() > KEPT {
            self.scratch = Vec::new();
        }
        Bytes::from(out)
    }

    /// How many frames were compressed.
    #[must_use]
    pub const fn compressed(&self) -> u64 {
        self.compressed
    }

    /// The compressed form of a message if it is smaller than the message.
    fn compress(&mut self, payload: &[u8], window: Window) -> Option<&[u8]> {
        let place = match window {
            Window::Full => &mut self.full,
            Window::Small => &mut self.small,
        };
        let mut stream = match place.take() {
            Some(mut stream) => {
                stream.reset();
                stream
            }
            None => Compress::new_with_window_bits(Compression::new(self.level.min(9)), false, window.bits()),
        };
        let room = bound(payload.len());
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let scratch = self.scratch.get_mut(..room)?;
        let status = stream.compress(payload, scratch, FlushCompress::Sync).ok()?;
        let length = usize::try_from(stream.total_out()).ok()?;
        if status != Status::Ok || stream.total_in() != payload.len() as u64 || length >= room {
            return None;
        }
        // Why only here: a stream that still holds output cannot be reset, it has to go.
        *place = Some(stream);
        let body = self.scratch.get(..length)?.strip_suffix(&TAIL)?;
        (body.len() < payload.len()).then_some(body)
    }
}

/// Room in which a message of `length` bytes is compressed for certain: 9 bits for each byte, the
/// headers of its blocks, and the tail.
const fn bound(length: usize) -> usize {
    length + length.div_ceil(8) + length.div_ceil(64) + 64
}
