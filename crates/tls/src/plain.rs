//! Where the plaintext of one read goes.

/// Where the plaintext of one read goes: to the caller, and what does not fit to the side.
pub(crate) struct Plain<'a> {
    out: &'a mut [u8],
    pub(crate) filled: usize,
    pub(crate) spilled: Vec<u8>,
}

impl<'a> Plain<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, filled: 0, spilled: Vec::new() }
    }

    pub(crate) fn push(&mut self, plain: &[u8]) {
        let (fits, rest) = plain.split_at(plain.len().min(self.out.len() - self.filled));
        self.out[self.filled..self.filled + fits.len()].copy_from_slice(fits);
        self.filled += fits.len();
        self.spilled.extend_from_slice(rest);
    }
}

/// What became of some ciphertext.
pub(crate) struct Digested {
    /// How much of it is done with, from the front.
    pub(crate) used: usize,
    pub(crate) outcome: Outcome,
}

/// How it goes on.
pub(crate) enum Outcome {
    /// The peer sends no more.
    Ended,
    /// Something came that TLS does not allow; the alert has been put on its way.
    Failed(rustls::Error),
    /// More must come.
    More,
}
