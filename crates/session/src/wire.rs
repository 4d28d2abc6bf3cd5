//! The only place where dialects and framings meet: what an [`EncodingId`] means.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::centrifugo::{json, protobuf};
use jackfield_dialects::raw::{self, Form, Mode};
use jackfield_framing::websocket::Opcode;
use jackfield_framing::websocket::deflate::{Deflater, Window};
use jackfield_framing::{WebSocket, Wrap};
use jackfield_hub::{Encoder, EncodingId};
use jackfield_model::client::{Answer, Push, Reply};
use jackfield_model::{Content, Disconnect};

use crate::declared::Declared;
use crate::endpoint::{Dialect, Endpoint, Framing, Keepalive};

/// What is said, before anything is known of frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Words {
    Json,
    Protobuf,
    RawText,
    RawJson,
    UniJson,
    /// Nothing of our own: an echo.
    None,
    Yjs,
}

/// How it is carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Carrier {
    WebSocket,
    Lines,
    Varint,
    Deflate(Window),
    Sse,
}

const WORDS: [Words; 7] =
    [Words::Json, Words::Protobuf, Words::RawText, Words::RawJson, Words::UniJson, Words::None, Words::Yjs];
/// The common ones first: a parcel has room of its own for the frames of the first two.
const CARRIERS: [Carrier; 6] = [
    Carrier::WebSocket,
    Carrier::Lines,
    Carrier::Varint,
    Carrier::Deflate(Window::Full),
    Carrier::Deflate(Window::Small),
    Carrier::Sse,
];

/// The encoding of a dialect in a framing.
#[must_use]
pub fn encoding(dialect: Dialect, framing: Framing) -> EncodingId {
    let words = match dialect {
        Dialect::CentrifugoJson => 0,
        Dialect::CentrifugoProtobuf => 1,
        Dialect::Raw(Mode::Text) => 2,
        Dialect::Raw(Mode::Json) => 3,
        Dialect::CentrifugoUniJson => 4,
        // Fields are always declared, with an encoding of their own.
        Dialect::Echo | Dialect::Fields => 5,
        Dialect::Yjs => 6,
    };
    let carrier = match framing {
        Framing::WebSocket(None) => 0,
        Framing::Stream if dialect == Dialect::CentrifugoProtobuf => 2,
        // A JSON stream in an HTTP body and JSON lines on a socket are the same bytes.
        Framing::Lines | Framing::Stream => 1,
        Framing::Measured(_) | Framing::Varint => 2,
        Framing::WebSocket(Some(Window::Full)) => 3,
        Framing::WebSocket(Some(Window::Small)) => 4,
        Framing::Sse => 5,
    };
    EncodingId(words + WORDS.len() as u8 * carrier)
}

/// The encoding of something declared, by its number.
#[must_use]
pub fn declared(number: u8) -> EncodingId {
    EncodingId(number + (WORDS.len() * CARRIERS.len()) as u8)
}

fn parts(encoding: EncodingId) -> Option<(Words, Carrier)> {
    let index = usize::from(encoding.0);
    Some((WORDS[index % WORDS.len()], *CARRIERS.get(index / WORDS.len())?))
}

/// Encodes whatever leaves; one per worker, because compression needs room to work in.
#[derive(Debug)]
pub struct Wires {
    deflater: RefCell<Deflater>,
    declared: Arc<[Declared]>,
}

impl Default for Wires {
    fn default() -> Self {
        Self::new(1, 128, Arc::default())
    }
}

impl Wires {
    /// Compresses with `level` what has at least `threshold` bytes, for those who agreed to it. `declared`: what the
    /// configuration declares, by number.
    #[must_use]
    pub fn new(level: u32, threshold: usize, declared: Arc<[Declared]>) -> Self {
        Self { deflater: RefCell::new(Deflater::new(level, threshold)), declared }
    }

    fn declared(&self, encoding: EncodingId) -> Option<&Declared> {
        self.declared.get(usize::from(encoding.0).checked_sub(WORDS.len() * CARRIERS.len())?)
    }

    /// Frames that were compressed so far.
    #[must_use]
    pub fn compressed(&self) -> u64 {
        self.deflater.borrow().compressed()
    }

    fn carry(&self, carrier: Carrier, form: Form, payload: &[u8]) -> Bytes {
        let (wrap, opcode) = match form {
            Form::Binary => (Wrap::WebSocketBinary, Opcode::Binary),
            Form::Text => (Wrap::WebSocketText, Opcode::Text),
        };
        match carrier {
            Carrier::WebSocket => wrap.frame(payload),
            Carrier::Lines => Wrap::Lines.frame(payload),
            Carrier::Varint => Wrap::Varint.frame(payload),
            Carrier::Sse => Wrap::Sse.frame(payload),
            Carrier::Deflate(window) => self.deflater.borrow_mut().frame(opcode, payload, window),
        }
    }

    /// Carries what Protobuf wrote, which stands behind its length already.
    fn carry_prefixed(&self, carrier: Carrier, payload: Vec<u8>) -> Bytes {
        match carrier {
            Carrier::Varint => payload.into(),
            carrier => self.carry(carrier, Form::Binary, &payload),
        }
    }

    /// A reply as it goes out; `None` where a dialect has no words for it.
    #[must_use]
    pub fn reply(&self, encoding: EncodingId, reply: &Reply) -> Option<Bytes> {
        let (words, carrier) = parts(encoding)?;
        let mut payload = Vec::with_capacity(128);
        match words {
            Words::Json => json::reply(reply, &mut payload),
            Words::Protobuf => {
                protobuf::reply(reply, &mut payload);
                return Some(self.carry_prefixed(carrier, payload));
            }
            Words::UniJson => match &reply.outcome {
                Ok(Answer::Connect(connected)) => json::bare_push(&Push::Connect(connected.clone()), &mut payload),
                _ => return None,
            },
            Words::Yjs => match &reply.outcome {
                Ok(Answer::Rpc(frame)) => return Some(self.carry(carrier, Form::Binary, &frame.bytes)),
                _ => return None,
            },
            Words::RawText | Words::RawJson | Words::None => return None,
        }
        Some(self.carry(carrier, Form::Text, &payload))
    }

    /// A frame as it came, on its way back.
    #[must_use]
    pub fn echo(&self, encoding: EncodingId, payload: &[u8], is_text: bool) -> Option<Bytes> {
        if let Some(declared) = self.declared(encoding) {
            return declared.framing.frame(payload);
        }
        let (_, carrier) = parts(encoding)?;
        Some(self.carry(carrier, if is_text { Form::Text } else { Form::Binary }, payload))
    }

    /// The last words to a client, where its dialect and framing have any.
    ///
    /// A WebSocket says it in its Close frame. Where there are no close codes the Centrifugo dialect sends its `disconnect`
    /// push; raw lines have no words for it, there the socket just ends.
    #[must_use]
    pub fn close(&self, endpoint: &Endpoint, disconnect: &Disconnect) -> Option<Bytes> {
        let encoding = endpoint.encoding();
        let (words, carrier) = parts(encoding)?;
        let push = || self.encode(encoding, &Push::Disconnect(disconnect.clone()));
        match (words, carrier) {
            (Words::UniJson, Carrier::WebSocket | Carrier::Deflate(_)) if endpoint.disconnect_push => {
                let close = WebSocket::close(disconnect.code, &disconnect.reason);
                Some([push().unwrap_or_default(), close].concat().into())
            }
            (_, Carrier::WebSocket | Carrier::Deflate(_)) => {
                Some(WebSocket::close(disconnect.code, &disconnect.reason))
            }
            (Words::Json | Words::Protobuf | Words::UniJson, _) => push(),
            (Words::RawText | Words::RawJson | Words::None | Words::Yjs, _) => None,
        }
    }
}

impl Encoder for Wires {
    fn encode(&self, encoding: EncodingId, push: &Push) -> Option<Bytes> {
        if let Some(declared) = self.declared(encoding) {
            return declared.push(push);
        }
        let (words, carrier) = parts(encoding)?;
        let mut payload = Vec::with_capacity(256);
        let form = match words {
            Words::Json => {
                json::push(push, &mut payload);
                Form::Text
            }
            Words::Protobuf => {
                protobuf::push(push, &mut payload);
                return Some(self.carry_prefixed(carrier, payload));
            }
            Words::UniJson => {
                json::bare_push(push, &mut payload);
                Form::Text
            }
            Words::RawText => raw::push(push, Mode::Text, &mut payload)?,
            Words::RawJson => raw::push(push, Mode::Json, &mut payload)?,
            Words::Yjs => return Some(self.carry(carrier, Form::Binary, yjs(push)?)),
            Words::None => return None,
        };
        Some(self.carry(carrier, form, &payload))
    }
}

/// What an editor of a document sees of a push: frames, but none of the questions that nodes ask each other.
fn yjs(push: &Push) -> Option<&[u8]> {
    let (data, is_for_all) = match push {
        Push::Message(data) => (data, false),
        Push::Publication(_, publication) => (&publication.data, true),
        _ => return None,
    };
    let is_question = is_for_all && data.bytes.starts_with(&[0, 0]);
    (data.content == Content::Binary && !is_question).then_some(&data.bytes)
}

/// A ping as it goes out, where the endpoint has one.
#[must_use]
pub fn ping(endpoint: &Endpoint) -> Option<Bytes> {
    let (words, carrier) = parts(endpoint.encoding())?;
    let is_websocket = matches!(carrier, Carrier::WebSocket | Carrier::Deflate(_));
    let ping: &'static [u8] = match (words, carrier) {
        _ if endpoint.keepalive == Keepalive::Frames => b"\x89\x00",
        (Words::Json | Words::UniJson, _) if is_websocket => b"\x81\x02{}",
        (Words::Json | Words::UniJson, Carrier::Sse) => b"data: {}\n\n",
        (Words::Json | Words::UniJson, _) => b"{}\n",
        (Words::Protobuf, _) if is_websocket => b"\x82\x01\x00",
        (Words::Protobuf, _) => b"\x00",
        (Words::RawText | Words::RawJson | Words::None | Words::Yjs, _) => return None,
    };
    Some(Bytes::from_static(ping))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jackfield_model::{Payload, Publication};

    use super::*;

    const DIALECTS: [Dialect; 7] = [
        Dialect::CentrifugoJson,
        Dialect::CentrifugoProtobuf,
        Dialect::Raw(Mode::Text),
        Dialect::Raw(Mode::Json),
        Dialect::CentrifugoUniJson,
        Dialect::Echo,
        Dialect::Yjs,
    ];

    #[test]
    fn every_pair_has_an_encoding_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for dialect in DIALECTS {
            for framing in [
                Framing::Lines,
                Framing::Varint,
                Framing::Sse,
                Framing::WEBSOCKET,
                Framing::WebSocket(Some(Window::Full)),
                Framing::WebSocket(Some(Window::Small)),
            ] {
                let encoding = encoding(dialect, framing);
                assert!(seen.insert(encoding));
                assert!(usize::from(encoding.0) < jackfield_hub::MAX_ENCODINGS);
            }
        }
    }

    #[test]
    fn pings_are_what_the_dialect_would_write() {
        let said = |dialect, framing| ping(&Endpoint::new("x", dialect, framing));
        assert_eq!(said(Dialect::CentrifugoJson, Framing::WEBSOCKET), Some(Wrap::WebSocketText.frame(b"{}")));
        assert_eq!(said(Dialect::CentrifugoProtobuf, Framing::WEBSOCKET), Some(Wrap::WebSocketBinary.frame(b"\0")));
        assert_eq!(said(Dialect::CentrifugoProtobuf, Framing::Varint), Some(Wrap::Varint.frame(b"")));
        assert_eq!(said(Dialect::CentrifugoJson, Framing::Sse), Some(Wrap::Sse.frame(b"{}")));
        assert_eq!(said(Dialect::CentrifugoUniJson, Framing::Stream), Some(Wrap::Lines.frame(b"{}")));
        assert_eq!(said(Dialect::Raw(Mode::Text), Framing::WEBSOCKET), Some(WebSocket::ping(b"")));
        assert_eq!(said(Dialect::Raw(Mode::Text), Framing::Lines), None);
    }

    #[test]
    fn one_publication_in_every_encoding() {
        let publication = Publication { data: Payload::text("a\nb"), ..Publication::default() };
        let push = Push::Publication(Arc::from("c"), Arc::new(publication));
        let wires = Wires::default();
        let encode = |dialect, framing| wires.encode(encoding(dialect, framing), &push).unwrap();
        assert_eq!(encode(Dialect::Raw(Mode::Text), Framing::Lines).as_ref(), b"a b\n");
        assert_eq!(encode(Dialect::Raw(Mode::Text), Framing::Varint).as_ref(), b"\x03a\nb");
        assert_eq!(encode(Dialect::Raw(Mode::Text), Framing::WEBSOCKET).as_ref(), b"\x81\x03a\nb");
        assert_eq!(encode(Dialect::Raw(Mode::Json), Framing::Lines).as_ref(), b"\"a\\nb\"\n");
        let json = br#"{"push":{"channel":"c","pub":{"data":"a\nb"}}}"#;
        assert_eq!(encode(Dialect::CentrifugoJson, Framing::Lines), [&json[..], b"\n"].concat());
        assert_eq!(encode(Dialect::CentrifugoJson, Framing::Sse), [b"data: ", &json[..], b"\n\n"].concat());
        let bare = br#"{"channel":"c","pub":{"data":"a\nb"}}"#;
        assert_eq!(encode(Dialect::CentrifugoUniJson, Framing::Stream), [&bare[..], b"\n"].concat());
        let protobuf = encode(Dialect::CentrifugoProtobuf, Framing::Stream);
        assert_eq!(usize::from(protobuf[0]), protobuf.len() - 1);
        assert_eq!(encode(Dialect::CentrifugoProtobuf, Framing::WEBSOCKET)[2..], protobuf);
        assert!(wires.encode(encoding(Dialect::Echo, Framing::Lines), &push).is_none());
    }

    #[test]
    fn last_words() {
        let disconnect = Disconnect::SHUTDOWN;
        let wires = Wires::default();
        let close = |dialect, framing| wires.close(&Endpoint::new("x", dialect, framing), &disconnect);
        let frame = WebSocket::close(disconnect.code, &disconnect.reason);
        assert_eq!(close(Dialect::CentrifugoJson, Framing::WEBSOCKET).as_ref(), Some(&frame));
        let both = close(Dialect::CentrifugoUniJson, Framing::WEBSOCKET).unwrap();
        assert!(both.ends_with(&frame) && both.len() > frame.len());
        let push = close(Dialect::CentrifugoUniJson, Framing::Sse).unwrap();
        assert!(push.starts_with(br#"data: {"disconnect":{"code":3001"#), "{push:?}");
        assert_eq!(close(Dialect::Raw(Mode::Text), Framing::Lines), None);
    }
}
