//! Ping, pong and close: written for the peer, and the payload of a close read and checked.

use bytes::Bytes;

use crate::websocket::Opcode;
use crate::websocket::header::{self, MAX_CONTROL_PAYLOAD};
use crate::{Frame, FramingError};

/// Bytes a close reason may have: the code takes two of the payload.
pub const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// A ping; a payload beyond 125 bytes is cut off.
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    frame(Opcode::Ping, payload)
}

/// The answer to a ping, with the ping's payload.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, payload)
}

/// A close with a code and a reason, which is cut to 123 bytes between two characters.
///
/// A code that must not be on the wire, such as 1005 (none given) or 1006 (lost), gives a close
/// without payload. Why: the peer would answer it with a protocol error.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    if !is_sendable(code) {
        return frame(Opcode::Close, &[]);
    }
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    frame(Opcode::Close, &payload)
}

/// Whether a close frame may carry this code: those that RFC 6455 and the IANA registry give out
/// for the wire, and the two free ranges.
const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads the payload of a close frame.
pub(crate) fn read_close(payload: &[u8]) -> Result<Frame<'_>, FramingError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(Frame::Close { code: None, reason: "" }),
            _ => Err(FramingError::ClosePayloadTooShort),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !is_sendable(code) {
        return Err(FramingError::CloseCodeInvalid { code });
    }
    let reason = simdutf8::basic::from_utf8(reason).map_err(|_| FramingError::InvalidUtf8)?;
    Ok(Frame::Close { code: Some(code), reason })
}

/// A control frame as a server sends it.
fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let payload = payload.get(..MAX_CONTROL_PAYLOAD).unwrap_or(payload);
    let mut out = Vec::with_capacity(header::header_length(payload.len()) + payload.len());
    header::write_frame(opcode, payload, &mut out);
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_frames_are_short() {
        assert_eq!(ping(b"hi"), &b"\x89\x02hi"[..]);
        assert_eq!(pong(b""), &b"\x8a\x00"[..]);
        assert_eq!(ping(&[0; 200]).len(), 127);
    }

    #[test]
    fn close_carries_code_and_reason() {
        assert_eq!(close(1000, "bye"), &b"\x88\x05\x03\xe8bye"[..]);
        assert_eq!(close(1005, "bye"), &b"\x88\x00"[..]);
        assert_eq!(close(0, ""), &b"\x88\x00"[..]);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(close(3000, &"x".repeat(123)).len(), 127);
        assert_eq!(close(3000, &"x".repeat(124)).len(), 127);
        let framed = close(3000, &"\u{20ac}".repeat(100));
        assert_eq!(framed.len(), 2 + 2 + 123);
        let framed = close(3000, &format!("x{}", "\u{20ac}".repeat(100)));
        assert_eq!(framed.len(), 2 + 2 + 121);
        assert!(std::str::from_utf8(&framed[4..]).is_ok());
    }

    #[test]
    fn close_payloads_are_checked() {
        let none = Frame::Close { code: None, reason: "" };
        assert_eq!(read_close(b""), Ok(none));
        assert_eq!(read_close(b"\x03"), Err(FramingError::ClosePayloadTooShort));
        assert_eq!(read_close(b"\x03\xe8\xff"), Err(FramingError::InvalidUtf8), "a reason is text");
        for code in 0..=u16::MAX {
            let payload = code.to_be_bytes();
            let allowed = match code {
                0..=999 | 1004..=1006 | 1015..=2999 | 5000.. => false,
                1000..=1003 | 1007..=1014 | 3000..=4999 => true,
            };
            assert_eq!(read_close(&payload).is_ok(), allowed, "code {code}");
        }
    }
}
