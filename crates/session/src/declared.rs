//! What the configuration declares beyond the common framings: binary messages by length, and protocols in them.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::layout::Layout;
use jackfield_dialects::raw::{self, Mode};
use jackfield_framing::Measured;
use jackfield_model::Content;
use jackfield_model::client::Push;

/// Encodings that may be declared.
pub const MAX_DECLARED: usize = 22;

/// A framing by length, and what is said in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// How messages are told apart.
    pub framing: Measured,
    /// What they are.
    pub said: Said,
}

/// What messages are.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// What comes goes back.
    Echo,
    /// Declared fields.
    Fields(Arc<Layout>),
    /// Payloads.
    Raw(Mode),
}

impl Declared {
    /// What a client sees of a push; `None` where there is no such message.
    pub(crate) fn push(&self, push: &Push) -> Option<Bytes> {
        let mut payload = Vec::with_capacity(64);
        match &self.said {
            Said::Echo => return None,
            Said::Raw(mode) => {
                raw::push(push, *mode, &mut payload)?;
            }
            Said::Fields(layout) => {
                let data = match push {
                    Push::Message(data) => data,
                    Push::Publication(_, publication) | Push::Delta(_, publication, _) => &publication.data,
                    _ => return None,
                };
                match data.content {
                    // Bytes are in this protocol already: browsers and devices of one channel may share them.
                    Content::Binary => payload.extend_from_slice(&data.bytes),
                    Content::Json => layout.write(&data.bytes, &mut payload).then_some(())?,
                    Content::Text => return None,
                }
            }
        }
        if let (Measured::Fixed(length), Said::Fields(_)) = (self.framing, &self.said)
            && payload.len() < usize::from(length)
        {
            payload.resize(length.into(), 0);
        }
        self.framing.frame(&payload)
    }
}
