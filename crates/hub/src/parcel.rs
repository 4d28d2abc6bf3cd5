//! A parcel is one push on its way to many, with its encodings beside it.

use std::sync::OnceLock;

use bytes::Bytes;
use jackfield_model::client::Push;

/// How many encodings (dialect x framing) may exist.
pub const MAX_ENCODINGS: usize = 8;

/// One combination of dialect and framing. What the numbers mean is known to `session::wire` alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EncodingId(pub u8);

/// Turns a push into the bytes that go out.
pub trait Encoder {
    /// The bytes of `push` in `encoding`; `None` where that dialect has no words for it.
    fn encode(&self, encoding: EncodingId, push: &Push) -> Option<Bytes>;
}

/// One push, shared by all workers and all subscribers.
#[derive(Debug)]
pub struct Parcel {
    push: Push,
    frames: [OnceLock<Option<Bytes>>; MAX_ENCODINGS],
}

impl Parcel {
    /// Wraps a push; nothing is encoded yet.
    #[must_use]
    pub fn new(push: Push) -> Self {
        Self { push, frames: Default::default() }
    }

    /// What is inside.
    #[must_use]
    pub fn push(&self) -> &Push {
        &self.push
    }

    /// The finished frame, encoded by whichever worker asks first.
    pub fn frame(&self, encoding: EncodingId, encoder: &dyn Encoder) -> Option<&Bytes> {
        self.frames.get(usize::from(encoding.0))?.get_or_init(|| encoder.encode(encoding, &self.push)).as_ref()
    }
}
