//! The client's side of WebSocket, as far as tests and the load generator need it.
//!
//! It trusts the server it talks to: what comes back is cut into frames and not checked.

use std::ops::Range;

use crate::http::is_token;
use crate::websocket::header::{self, MASKED};
use crate::websocket::mask;

pub use crate::websocket::Opcode;
pub use crate::websocket::header::{COMPRESSED, FIN};

/// The key that [`request`] sends, from RFC 6455; nothing depends on its being fresh.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The handshake request for `path` on `host`, with further headers (`Origin`, `Cookie`,
/// `Sec-WebSocket-Protocol`). A header whose name is no token is left out.
#[must_use]
pub fn request(host: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {host}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n"
    );
    for (name, value) in headers.iter().filter(|(name, _)| is_token(name)) {
        for part in [name, ": ", value, "\r\n"] {
            out.push_str(part);
        }
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// Appends a whole message or control frame, masked.
pub fn mask_frame(opcode: Opcode, payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    mask_raw(FIN | opcode as u8, payload, key, out);
}

/// Appends a frame without FIN, masked: the first or a middle fragment of a message.
pub fn mask_fragment(opcode: Opcode, payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    mask_raw(opcode as u8, payload, key, out);
}

/// Appends a masked frame that starts with the byte `first`: an opcode, with [`FIN`] or
/// [`COMPRESSED`] or bits that mean nothing.
pub fn mask_raw(first: u8, payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    out.reserve(header::header_length(payload.len()) + mask::LENGTH + payload.len());
    header::write_header(first, payload.len(), MASKED, out);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], key);
}

/// Cuts what a server sends into frames; it keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerFrames;

impl ServerFrames {
    /// The first frame: its length, its opcode and where its payload is. `None` asks for more
    /// bytes, also for ever when the first byte has an opcode that RFC 6455 does not know.
    #[must_use]
    pub fn decode(input: &[u8]) -> Option<(usize, Opcode, Range<usize>)> {
        let opcode = Opcode::read(*input.first()?).ok()?;
        let start = header::payload_start(input)?;
        let total = header::frame_length(input)?;
        (input.len() >= total).then_some((total, opcode, start..total))
    }

    /// Whether the first frame begins a compressed message.
    #[must_use]
    pub fn is_compressed(input: &[u8]) -> bool {
        input.first().is_some_and(|first| first & COMPRESSED != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WebSocket, Wrap};

    #[test]
    fn reads_what_the_server_writes() {
        for length in [0, 125, 126, 65535, 65536] {
            let payload = vec![9; length];
            let framed = Wrap::WebSocketBinary.frame(&payload);
            let (total, opcode, range) = ServerFrames::decode(&framed).unwrap();
            assert_eq!((total, opcode), (framed.len(), Opcode::Binary));
            assert_eq!(&framed[range], payload);
            assert_eq!(ServerFrames::decode(&framed[..total - 1]), None);
        }
        let close = WebSocket::close(3001, "shutdown");
        let (_, opcode, range) = ServerFrames::decode(&close).unwrap();
        assert_eq!(opcode, Opcode::Close);
        assert_eq!(&close[range], b"\x0b\xb9shutdown");
        assert_eq!(ServerFrames::decode(b"\x83\x00"), None);
    }

    #[test]
    fn writes_the_masked_hello_of_the_rfc() {
        let mut out = Vec::new();
        mask_frame(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d], &mut out);
        assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    }
}
