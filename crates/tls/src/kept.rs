//! What a connection keeps between two calls, and only while there is something to keep.

use std::io::{self, Read, Write};

/// Leftovers of a connection; absent when it is idle.
#[derive(Default)]
pub(crate) struct Kept {
    /// The beginning of a record, or of a message of the handshake, whose rest has not come.
    pub(crate) ciphertext: Vec<u8>,
    /// Plaintext that the caller had no room for.
    pub(crate) plain: Queue,
    /// Ciphertext that the socket refused.
    pub(crate) refused: Queue,
    /// Why nothing can be read any more; told when all plaintext before it has been read.
    pub(crate) failure: Option<rustls::Error>,
}

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.ciphertext.is_empty() && self.plain.is_empty() && self.refused.is_empty() && self.failure.is_none()
    }
}

/// Bytes that are taken from the front.
#[derive(Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    start: usize,
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn take(&mut self, out: &mut [u8]) -> usize {
        let taken = (&self.bytes[self.start..]).read(out).unwrap_or(0);
        self.advance(taken);
        taken
    }

    /// Writes until nothing is left (true) or the socket refuses (false).
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while !self.is_empty() {
            let written = write_some(socket, &self.bytes[self.start..])?;
            if written == 0 {
                return Ok(false);
            }
            self.advance(written);
        }
        Ok(true)
    }

    fn advance(&mut self, by: usize) {
        self.start += by;
        if self.start == self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// Writes once; 0 when the socket refuses.
pub(crate) fn write_some(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            outcome => return outcome,
        }
    }
}
