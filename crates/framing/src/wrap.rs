//! The way out: a payload becomes a frame that every subscriber of one kind can share.

use bytes::Bytes;
use memchr::memchr2_iter;

use crate::websocket::{Opcode, header};

/// How a payload leaves. It has no state, so one payload is framed once for all connections with
/// the same wrap: frames from a server are not masked.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Wrap {
    /// One line that ends in `\n`.
    Lines,
    /// One unfragmented WebSocket binary frame.
    WebSocketBinary,
    /// One unfragmented WebSocket text frame; the payload must be UTF-8, which the caller knows.
    WebSocketText,
}

impl Wrap {
    /// Appends the framed payload to `out`.
    ///
    /// In [`Wrap::Lines`] every CR or LF of the payload becomes a space. Why: a line break inside
    /// would let whoever wrote the payload forge a second line.
    pub fn wrap(self, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.framed_length(payload.len()));
        match self {
            Self::Lines => {
                let start = out.len();
                out.extend_from_slice(payload);
                for at in memchr2_iter(b'\r', b'\n', payload) {
                    out[start + at] = b' ';
                }
                out.push(b'\n');
            }
            Self::WebSocketBinary => header::write_frame(Opcode::Binary, payload, out),
            Self::WebSocketText => header::write_frame(Opcode::Text, payload, out),
        }
    }

    /// The framed payload on its own, in one allocation of just its size.
    #[must_use]
    pub fn frame(self, payload: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(self.framed_length(payload.len()));
        self.wrap(payload, &mut out);
        Bytes::from(out)
    }

    /// How many bytes a payload of `length` bytes has when framed.
    #[must_use]
    pub const fn framed_length(self, length: usize) -> usize {
        match self {
            Self::Lines => length + 1,
            Self::WebSocketBinary | Self::WebSocketText => header::header_length(length) + length,
        }
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
            assert_eq!(framed.len(), Wrap::WebSocketBinary.framed_length(length));
            assert!(framed.starts_with(head), "length {length}");
            assert!(framed[head.len()..].iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn a_frame_is_allocated_once_at_its_size() {
        for wrap in [Wrap::Lines, Wrap::WebSocketBinary, Wrap::WebSocketText] {
            let mut out = Vec::with_capacity(wrap.framed_length(300));
            let capacity = out.capacity();
            wrap.wrap(&[b'a'; 300], &mut out);
            assert_eq!((out.len(), out.capacity()), (capacity, capacity));
        }
    }
}
