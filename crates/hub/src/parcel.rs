//! A parcel is one push on its way to many, with its encodings beside it.

use std::sync::OnceLock;

use bytes::Bytes;
use jackfield_model::client::Push;

/// How many encodings (dialect x framing) may exist.
pub const MAX_ENCODINGS: usize = 64;

/// Encodings whose frames lie in the parcel itself; the others, seldom used, are made room for when somebody asks.
const NEAR: usize = 12;
const FAR: usize = MAX_ENCODINGS - NEAR;

/// One combination of dialect and framing, below [`MAX_ENCODINGS`]. What the numbers mean is known to `session::wire`
/// alone, which gives the low ones to the common encodings.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EncodingId(pub u8);

/// Turns a push into the bytes that go out.
pub trait Encoder {
    /// The bytes of `push` in `encoding`; `None` where that dialect has no words for it.
    fn encode(&self, encoding: EncodingId, push: &Push) -> Option<Bytes>;
}

type Frame = OnceLock<Option<Bytes>>;

/// One push, shared by all workers and all subscribers.
#[derive(Debug)]
pub struct Parcel {
    push: Push,
    near: [Frame; NEAR],
    far: OnceLock<Box<[Frame; FAR]>>,
}

impl Parcel {
    /// Wraps a push; nothing is encoded yet.
    #[must_use]
    pub fn new(push: Push) -> Self {
        Self { push, near: Default::default(), far: OnceLock::new() }
    }

    /// What is inside.
    #[must_use]
    pub fn push(&self) -> &Push {
        &self.push
    }

    /// The finished frame, encoded by whichever worker asks first.
    pub fn frame(&self, encoding: EncodingId, encoder: &dyn Encoder) -> Option<&Bytes> {
        let index = usize::from(encoding.0);
        let frame = match self.near.get(index) {
            Some(frame) => frame,
            None => self.far.get_or_init(|| Box::new([const { OnceLock::new() }; FAR])).get(index - NEAR)?,
        };
        frame.get_or_init(|| encoder.encode(encoding, &self.push)).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use jackfield_model::Payload;

    use super::*;

    struct Counting(Cell<usize>);

    impl Encoder for Counting {
        fn encode(&self, encoding: EncodingId, _: &Push) -> Option<Bytes> {
            self.0.set(self.0.get() + 1);
            encoding.0.is_multiple_of(2).then(|| Bytes::copy_from_slice(&[encoding.0]))
        }
    }

    #[test]
    fn each_encoding_is_made_once() {
        let parcel = Parcel::new(Push::Message(Payload::text("x")));
        let encoder = Counting(Cell::new(0));
        for _ in 0..3 {
            for id in 0..MAX_ENCODINGS as u8 {
                let frame = parcel.frame(EncodingId(id), &encoder);
                assert_eq!(frame.map(|frame| frame[0]), (id % 2 == 0).then_some(id));
            }
        }
        assert_eq!(encoder.0.get(), MAX_ENCODINGS);
        assert!(parcel.frame(EncodingId(MAX_ENCODINGS as u8), &encoder).is_none());
    }
}
