//! The only place where dialects and framings meet: what an [`EncodingId`] means.

use bytes::Bytes;
use jackfield_dialects::centrifugo::json;
use jackfield_dialects::raw::{self, Form, Mode};
use jackfield_framing::{WebSocket, Wrap};
use jackfield_hub::{Encoder, EncodingId};
use jackfield_model::Disconnect;
use jackfield_model::client::{Push, Reply};

use crate::endpoint::{Dialect, Framing};

const JSON_WEBSOCKET: EncodingId = EncodingId(0);
const JSON_LINES: EncodingId = EncodingId(1);
const RAW_TEXT_WEBSOCKET: EncodingId = EncodingId(2);
const RAW_TEXT_LINES: EncodingId = EncodingId(3);
const RAW_JSON_WEBSOCKET: EncodingId = EncodingId(4);
const RAW_JSON_LINES: EncodingId = EncodingId(5);

/// The encoding of a dialect in a framing.
#[must_use]
pub fn encoding(dialect: Dialect, framing: Framing) -> EncodingId {
    match (dialect, framing) {
        (Dialect::CentrifugoJson, Framing::WebSocket) => JSON_WEBSOCKET,
        (Dialect::CentrifugoJson, Framing::Lines) => JSON_LINES,
        (Dialect::Raw(Mode::Text), Framing::WebSocket) => RAW_TEXT_WEBSOCKET,
        (Dialect::Raw(Mode::Text), Framing::Lines) => RAW_TEXT_LINES,
        (Dialect::Raw(Mode::Json), Framing::WebSocket) => RAW_JSON_WEBSOCKET,
        (Dialect::Raw(Mode::Json), Framing::Lines) => RAW_JSON_LINES,
    }
}

/// Encodes pushes for the hub.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wires;

impl Encoder for Wires {
    fn encode(&self, encoding: EncodingId, push: &Push) -> Option<Bytes> {
        let mut payload = Vec::with_capacity(256);
        let wrap = match encoding {
            JSON_WEBSOCKET => {
                json::push(push, &mut payload);
                Wrap::WebSocketText
            }
            JSON_LINES => {
                json::push(push, &mut payload);
                Wrap::Lines
            }
            RAW_TEXT_WEBSOCKET => websocket(raw::push(push, Mode::Text, &mut payload)?),
            RAW_JSON_WEBSOCKET => websocket(raw::push(push, Mode::Json, &mut payload)?),
            RAW_TEXT_LINES => {
                raw::push(push, Mode::Text, &mut payload)?;
                Wrap::Lines
            }
            RAW_JSON_LINES => {
                raw::push(push, Mode::Json, &mut payload)?;
                Wrap::Lines
            }
            EncodingId(_) => return None,
        };
        Some(wrap.frame(&payload))
    }
}

fn websocket(form: Form) -> Wrap {
    match form {
        Form::Binary => Wrap::WebSocketBinary,
        Form::Text => Wrap::WebSocketText,
    }
}

/// A reply as it goes out; raw dialects have no replies.
#[must_use]
pub fn reply(encoding: EncodingId, reply: &Reply) -> Option<Bytes> {
    let wrap = json_wrap(encoding)?;
    let mut payload = Vec::with_capacity(128);
    json::reply(reply, &mut payload);
    Some(wrap.frame(&payload))
}

/// A ping as it goes out, where the encoding has one.
#[must_use]
pub fn ping(encoding: EncodingId) -> Option<Bytes> {
    match encoding {
        JSON_WEBSOCKET => Some(Bytes::from_static(b"\x81\x02{}")),
        JSON_LINES => Some(Bytes::from_static(b"{}\n")),
        RAW_TEXT_WEBSOCKET | RAW_JSON_WEBSOCKET => Some(Bytes::from_static(b"\x89\x00")),
        _ => None,
    }
}

/// The last words to a client, where the encoding has any.
///
/// A WebSocket says it in its Close frame. On lines the Centrifugo dialect sends the `disconnect` push of transports
/// that have no close codes; raw lines have no words for it, there the socket just ends.
#[must_use]
pub fn close(encoding: EncodingId, disconnect: &Disconnect) -> Option<Bytes> {
    match encoding {
        JSON_WEBSOCKET | RAW_TEXT_WEBSOCKET | RAW_JSON_WEBSOCKET => {
            Some(WebSocket::close(disconnect.code, &disconnect.reason))
        }
        JSON_LINES => {
            let push =
                serde_json::json!({"push": {"disconnect": {"code": disconnect.code, "reason": disconnect.reason}}});
            Some(Wrap::Lines.frame(push.to_string().as_bytes()))
        }
        _ => None,
    }
}

fn json_wrap(encoding: EncodingId) -> Option<Wrap> {
    match encoding {
        JSON_WEBSOCKET => Some(Wrap::WebSocketText),
        JSON_LINES => Some(Wrap::Lines),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jackfield_model::{Payload, Publication};

    use super::*;

    #[test]
    fn every_pair_has_an_encoding_of_its_own_and_pings_are_frames() {
        let dialects = [Dialect::CentrifugoJson, Dialect::Raw(Mode::Text), Dialect::Raw(Mode::Json)];
        let mut seen = std::collections::HashSet::new();
        for dialect in dialects {
            for framing in [Framing::Lines, Framing::WebSocket] {
                assert!(seen.insert(encoding(dialect, framing)));
            }
        }
        assert_eq!(ping(JSON_WEBSOCKET).unwrap(), Wrap::WebSocketText.frame(b"{}"));
        assert_eq!(ping(RAW_TEXT_WEBSOCKET).unwrap(), WebSocket::ping(b""));
    }

    #[test]
    fn one_publication_in_every_encoding() {
        let publication = Publication { data: Payload::text("a\nb"), ..Publication::default() };
        let push = Push::Publication(Arc::from("c"), Arc::new(publication));
        let encode = |id| Wires.encode(id, &push).unwrap();
        assert_eq!(encode(RAW_TEXT_LINES).as_ref(), b"a b\n");
        assert_eq!(encode(RAW_TEXT_WEBSOCKET).as_ref(), b"\x81\x03a\nb");
        assert_eq!(encode(RAW_JSON_LINES).as_ref(), b"\"a\\nb\"\n");
        assert_eq!(encode(JSON_LINES).as_ref(), b"{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"a\\nb\"}}}\n");
    }
}
