//! The way out: a payload becomes a frame that every subscriber of one kind can share.

use bytes::Bytes;
use memchr::{memchr2, memchr2_iter};

use crate::varint;
use crate::websocket::{Opcode, header};

/// What precedes each line of an event in an event stream.
const SSE_DATA: &[u8] = b"data: ";

/// How a payload leaves. It has no state, so one payload is framed once for all connections with
/// the same wrap: frames from a server are not masked.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Wrap {
    /// One line that ends in `\n`.
    Lines,
    /// One event of an event stream (`text/event-stream`); the payload must be UTF-8, which the
    /// caller knows.
    Sse,
    /// The length as a varint, then the payload as it is.
    Varint,
    /// One unfragmented WebSocket binary frame.
    WebSocketBinary,
    /// One unfragmented WebSocket text frame; the payload must be UTF-8, which the caller knows.
    WebSocketText,
}

impl Wrap {
    /// Appends the framed payload to `out`.
    ///
    /// In [`Wrap::Lines`] every CR or LF of the payload becomes a space. Why: a line break inside
    /// would let whoever wrote the payload forge a second line. In [`Wrap::Sse`] every CR LF, CR or
    /// LF begins a new line of the same event, and the client reads it as a LF.
    pub fn wrap(self, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.framed_length(payload));
        match self {
            Self::Lines => {
                let start = out.len();
                out.extend_from_slice(payload);
                for at in memchr2_iter(b'\r', b'\n', payload) {
                    out[start + at] = b' ';
                }
                out.push(b'\n');
            }
            Self::Sse => {
                for line in Breaks::of(payload) {
                    out.extend_from_slice(SSE_DATA);
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
                out.push(b'\n');
            }
            Self::Varint => {
                varint::write(payload.len(), out);
                out.extend_from_slice(payload);
            }
            Self::WebSocketBinary => header::write_frame(Opcode::Binary, payload, out),
            Self::WebSocketText => header::write_frame(Opcode::Text, payload, out),
        }
    }

    /// The framed payload on its own, in one allocation of just its size.
    #[must_use]
    pub fn frame(self, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(self.framed_length(payload));
        self.wrap(payload, &mut out);
        Bytes::from(out)
    }

    /// How many bytes a payload has when it is framed.
    #[must_use]
    pub fn framed_length(self, payload: &[u8]) -> usize {
        let length = payload.len();
        match self {
            Self::Lines => length + 1,
            Self::Sse => Breaks::of(payload).map(|line| SSE_DATA.len() + line.len() + 1).sum::<usize>() + 1,
            Self::Varint => varint::length(length) + length,
            Self::WebSocketBinary | Self::WebSocketText => header::header_length(length) + length,
        }
    }
}

/// The lines of a payload, as an event stream knows them: CR LF, CR and LF end one, and behind the
/// last end there is one more.
struct Breaks<'a>(Option<&'a [u8]>);

impl<'a> Breaks<'a> {
    const fn of(payload: &'a [u8]) -> Self {
        Self(Some(payload))
    }
}

impl<'a> Iterator for Breaks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let Some(at) = memchr2(b'\r', b'\n', rest) else {
            return Some(rest);
        };
        let (line, end) = rest.split_at(at);
        self.0 = end.strip_prefix(b"\r\n").or_else(|| end.get(1..));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_be_forged() {
        let framed = Wrap::Lines.frame(b"a\nb\r\nc\r");
        assert_eq!(framed, &b"a b  c \n"[..]);
        assert_eq!(Wrap::Lines.frame(b""), &b"\n"[..]);
    }

    #[test]
    fn wrapping_appends() {
        let mut out = b"x\n".to_vec();
        Wrap::Lines.wrap(b"\ny", &mut out);
        Wrap::WebSocketText.wrap(b"Hello", &mut out);
        assert_eq!(out, b"x\n y\n\x81\x05Hello");
    }

    #[test]
    fn headers_grow_with_the_payload() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65535, &[0x82, 126, 255, 255]),
            (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let framed = Wrap::WebSocketBinary.frame(&vec![7; length]);
            assert_eq!(framed.len(), Wrap::WebSocketBinary.framed_length(&vec![7; length]));
            assert!(framed.starts_with(head), "length {length}");
            assert!(framed[head.len()..].iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn a_frame_is_allocated_once_at_its_size() {
        let payload = b"a\nb\r\n\rc".repeat(40);
        for wrap in [Wrap::Lines, Wrap::Sse, Wrap::Varint, Wrap::WebSocketBinary, Wrap::WebSocketText] {
            let mut out = Vec::with_capacity(wrap.framed_length(&payload));
            let capacity = out.capacity();
            wrap.wrap(&payload, &mut out);
            assert_eq!((out.len(), out.capacity()), (capacity, capacity), "{wrap:?}");
        }
    }

    #[test]
    fn an_event_is_one_event_whatever_its_line_breaks() {
        for (payload, framed) in [
            ("", "data: \n\n"),
            ("{}", "data: {}\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\rb", "data: a\ndata: b\n\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
            ("a\n\nid: 7", "data: a\ndata: \ndata: id: 7\n\n"),
            ("\r\n", "data: \ndata: \n\n"),
            ("a\r", "data: a\ndata: \n\n"),
        ] {
            assert_eq!(Wrap::Sse.frame(payload.as_bytes()), framed, "{payload:?}");
        }
    }
}
