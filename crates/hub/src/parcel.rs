//! A parcel is one push on its way to many, with its encodings beside it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jackfield_model::Publication;
use jackfield_model::client::{Form, Push};

use crate::fossil;
use crate::namespace::Options;

/// How many encodings (dialect x framing) may exist.
pub const MAX_ENCODINGS: usize = 64;

/// Encodings whose frames lie in the parcel itself; the others, seldom used, are made room for when somebody asks.
const NEAR: usize = 12;
const FAR: usize = MAX_ENCODINGS - NEAR;

/// One combination of dialect and framing, below [`MAX_ENCODINGS`]. What the numbers mean is known to `session::wire`
/// alone, which gives the low ones to the common encodings.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct EncodingId(pub u8);

/// Turns a push into the bytes that go out.
pub trait Encoder {
    /// The bytes of `push` in `encoding`; `None` where that dialect has no words for it.
    fn encode(&self, encoding: EncodingId, push: &Push) -> Option<Bytes>;
}

type Frame = OnceLock<Option<Bytes>>;

/// Where a publication's parcel comes from.
#[derive(Debug)]
pub struct Origin {
    /// Number of the channel.
    pub channel: u64,
    /// Options of its namespace.
    pub options: Arc<Options>,
}

/// One push, shared by all workers and all subscribers.
#[derive(Debug)]
pub struct Parcel {
    push: Push,
    near: [Frame; NEAR],
    far: OnceLock<Box<[Frame; FAR]>>,
    origin: Option<Origin>,
    /// The payload that deltas are made against.
    before: Option<Arc<Publication>>,
    /// For those who asked for deltas: the payload as it is, and what stands for it.
    forms: OnceLock<Box<(Self, Option<Self>)>>,
}

impl Parcel {
    /// Wraps a push; nothing is encoded yet.
    #[must_use]
    pub fn new(push: Push) -> Self {
        Self {
            push,
            near: Default::default(),
            far: OnceLock::new(),
            origin: None,
            before: None,
            forms: OnceLock::new(),
        }
    }

    /// Wraps a publication; `before` is what deltas are made against, where they are to be made.
    pub(crate) fn publication(
        push: Push,
        before: Option<Arc<Publication>>,
        channel: u64,
        options: Arc<Options>,
    ) -> Self {
        Self { origin: Some(Origin { channel, options }), before, ..Self::new(push) }
    }

    /// What is inside.
    #[must_use]
    pub fn push(&self) -> &Push {
        &self.push
    }

    /// Where it comes from, if it is a publication.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The publication inside, if it is one.
    #[must_use]
    pub fn content(&self) -> Option<&Arc<Publication>> {
        match &self.push {
            Push::Publication(_, publication) | Push::Delta(_, publication, _) => Some(publication),
            _ => None,
        }
    }

    /// For those who asked for deltas: the whole payload.
    pub(crate) fn whole(&self) -> &Self {
        &self.forms().0
    }

    /// For those who asked for deltas and know the publication before: what stands for the payload, if that is smaller.
    pub(crate) fn patch(&self) -> Option<&Self> {
        self.forms().1.as_ref()
    }

    /// Made once, by the first worker that needs them.
    fn forms(&self) -> &(Self, Option<Self>) {
        self.forms.get_or_init(|| {
            let Push::Publication(name, publication) = &self.push else {
                return Box::new((Self::new(self.push.clone()), None));
            };
            let form = |form| Self::new(Push::Delta(Arc::clone(name), Arc::clone(publication), form));
            let patch = self.before.as_ref().and_then(|before| patch(before, publication));
            Box::new((form(Form::Whole), patch.map(|patch| form(Form::Patch(patch)))))
        })
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

/// What turns the payload of one publication into that of the next, where that is smaller.
#[must_use]
pub fn patch(before: &Publication, after: &Publication) -> Option<Bytes> {
    // A removal has no payload, and texts of JSON clients must stay texts.
    if before.is_removal() || after.is_removal() || before.data.content != after.data.content {
        return None;
    }
    fossil::delta(&before.data.bytes, &after.data.bytes).map(Bytes::from)
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
