//! The buffers that all TLS connections of one thread take turns with.

use std::fmt;
use std::io::IoSlice;

/// The most plaintext that goes into one record.
pub(crate) const RECORD: usize = 16 * 1024;
/// What one read takes from a socket: a whole record of the largest size that TLS 1.2 allows, and most of another.
const INCOMING: usize = 32 * 1024;
/// Header, nonce, content type, padding and tag of a record, generously.
const OVERHEAD: usize = 128;

/// The buffers that all TLS connections of one thread take turns with; empty between two calls.
pub struct Scratch {
    pub(crate) incoming: Vec<u8>,
    pub(crate) outgoing: Outgoing,
    gathered: Vec<u8>,
}

/// Ciphertext on its way to the socket.
#[derive(Default)]
pub(crate) struct Outgoing(Vec<u8>);

impl Scratch {
    /// Buffers of about 64 KiB in total.
    #[must_use]
    pub fn new() -> Self {
        let outgoing = Outgoing(Vec::with_capacity(RECORD + OVERHEAD));
        Self { incoming: vec![0; INCOMING], outgoing, gathered: Vec::new() }
    }

    /// Puts the `kept` bytes of an earlier read at the front and leaves room for a read behind them.
    pub(crate) fn begin(&mut self, kept: &[u8]) -> &mut [u8] {
        // More than a record is kept only of a large message of the handshake, which rustls bounds by 64 KiB.
        let needed = kept.len() + INCOMING / 2;
        if self.incoming.len() < needed {
            self.incoming.resize(needed, 0);
        }
        self.incoming[..kept.len()].copy_from_slice(kept);
        &mut self.incoming
    }

    /// At most a record's worth of `slices` in one piece.
    pub(crate) fn gather(&mut self, slices: &[IoSlice<'_>]) -> Vec<u8> {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.clear();
        for slice in slices {
            let room = RECORD - gathered.len();
            gathered.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        gathered
    }

    /// Takes the piece back that [`Self::gather`] lent.
    pub(crate) fn give_back(&mut self, gathered: Vec<u8>) {
        self.gathered = gathered;
    }
}

impl Outgoing {
    /// Lets `encode` write behind what is there already; it answers how much it wrote, or how much room it needs.
    pub(crate) fn append<E>(
        &mut self,
        guess: usize,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
        required: impl Fn(&E) -> Option<usize>,
    ) -> Result<(), E> {
        let start = self.0.len();
        self.0.resize(start + guess + OVERHEAD, 0);
        let mut outcome = encode(&mut self.0[start..]);
        if let Some(room) = outcome.as_ref().err().and_then(required) {
            self.0.resize(start + room, 0);
            outcome = encode(&mut self.0[start..]);
        }
        let written = *outcome.as_ref().unwrap_or(&0);
        self.0.truncate(start + written);
        outcome.map(|_| ())
    }

    /// Takes a whole record.
    pub(crate) fn push(&mut self, record: Vec<u8>) {
        if self.0.is_empty() {
            self.0 = record;
        } else {
            self.0.extend_from_slice(&record);
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes are the clients'; they have no place in a log.
        formatter.debug_struct("Scratch").finish_non_exhaustive()
    }
}
