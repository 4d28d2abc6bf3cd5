//! The client's half of WebSocket: masked frames out, unmasked frames in.

use anyhow::bail;

/// The key of RFC 6455's example; one key for all connections costs the server the same.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// What is offered when messages shall be compressed: in both directions each by itself.
const OFFER: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

pub(crate) fn request(host: &str, path: &str, deflate: bool) -> Vec<u8> {
    let offer = if deflate { OFFER } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n"
    )
    .into_bytes()
}

/// The length of the server's answer to the handshake, or nothing when it is not complete.
/// With `deflate` the offer has to be taken, because without it something else would be measured.
pub(crate) fn accepted(bytes: &[u8], deflate: bool) -> anyhow::Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        if bytes.len() > 16_384 {
            bail!("finish the handshake: no end in 16 KiB of answer");
        }
        return Ok(None);
    };
    let head = &bytes[..end];
    let status = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if !status.starts_with(b"HTTP/1.1 101") {
        bail!("upgrade to WebSocket: {}", String::from_utf8_lossy(status));
    }
    if memchr::memmem::find(head, ACCEPT).is_none() {
        bail!("upgrade to WebSocket: wrong or no Sec-WebSocket-Accept");
    }
    if deflate && !deflates(head) {
        bail!(
            "upgrade to WebSocket: the server does not take permessage-deflate without context takeover; \
             its configuration needs [websocket] compression = true"
        );
    }
    Ok(Some(end + 4))
}

fn deflates(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let extensions = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions:"));
    let mut words = extensions.into_iter().flat_map(|value| value.split(';')).map(str::trim);
    words.next() == Some("permessage-deflate") && words.any(|word| word == "server_no_context_takeover")
}

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) compressed: bool,
    pub(crate) payload: &'a [u8],
    /// Header and payload.
    pub(crate) length: usize,
}

/// The first frame of these bytes, or nothing when it is not complete.
#[inline]
pub(crate) fn decode(bytes: &[u8]) -> anyhow::Result<Option<Frame<'_>>> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let compressed = first & 0x40 != 0;
    if first & 0xb0 != 0x80 || second & 0x80 != 0 || (compressed && first & 0x08 != 0) {
        bail!("read a frame that is fragmented, masked or a compressed control frame ({first:#04x})");
    }
    let (header, size) = match second {
        126 => match bytes.get(2..4) {
            Some(&[a, b]) => (4, usize::from(u16::from_be_bytes([a, b]))),
            _ => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|size| size.try_into().ok()) {
            Some(size) => (10, usize::try_from(u64::from_be_bytes(size))?),
            None => return Ok(None),
        },
        size => (2, usize::from(size)),
    };
    if size > 1 << 30 {
        bail!("read a frame of {size} bytes");
    }
    let length = header + size;
    Ok(bytes.get(header..length).map(|payload| Frame { opcode: first & 0x0f, compressed, payload, length }))
}

/// Appends one masked frame.
pub(crate) fn encode(opcode: u8, payload: &[u8], into: &mut Vec<u8>) {
    into.push(0x80 | opcode);
    match payload.len() {
        size @ 0..=125 => into.push(0x80 | u8::try_from(size).unwrap_or_default()),
        size @ 126..=65_535 => {
            into.push(0x80 | 126);
            into.extend_from_slice(&u16::try_from(size).unwrap_or_default().to_be_bytes());
        }
        size => {
            into.push(0x80 | 127);
            into.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    // Why: not zero, so that no server can skip the unmasking; the value itself is nobody's secret.
    let mask = [0x5a, 0xc3, 0x39, 0x96];
    into.extend_from_slice(&mask);
    into.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The code and reason of a Close frame, as a person reads them.
pub(crate) fn close_reason(payload: &[u8]) -> String {
    match payload {
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            format!("{code} {}", String::from_utf8_lossy(reason)).trim_end().to_owned()
        }
        _ => "no code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_only_when_whole() {
        let mut bytes = vec![0x81, 126, 0, 200];
        bytes.extend([b'x'; 200]);
        bytes.push(0x81);
        for cut in 0..204 {
            assert_eq!(decode(&bytes[..cut]).unwrap(), None);
        }
        let frame = decode(&bytes).unwrap().unwrap();
        assert_eq!((frame.opcode, frame.payload.len(), frame.length), (TEXT, 200, 204));
        assert!(!frame.compressed);
        assert!(decode(&[0x01, 0]).is_err(), "a fragment is refused");
        assert!(decode(&[0xc1, 0]).unwrap().unwrap().compressed);
        assert!(decode(&[0xc9, 0]).is_err(), "a compressed ping is refused");
        assert!(decode(&[0xa1, 0]).is_err(), "another extension's bit is refused");
    }

    #[test]
    fn masking_undoes_itself() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            encode(TEXT, &vec![b'y'; size], &mut bytes);
            let body = bytes.len() - size;
            let mask: [u8; 4] = bytes[body - 4..body].try_into().unwrap();
            assert!(bytes[body..].iter().zip(mask.iter().cycle()).all(|(a, m)| a ^ m == b'y'));
        }
    }

    #[test]
    fn the_handshake_checks_the_key() {
        let good = b"HTTP/1.1 101 x\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(accepted(good, false).unwrap(), Some(good.len()));
        assert_eq!(accepted(&good[..40], false).unwrap(), None);
        assert!(accepted(b"HTTP/1.1 101 x\r\n\r\n", false).is_err());
        assert!(accepted(b"HTTP/1.1 403 Forbidden\r\n\r\n", false).is_err());
        assert_eq!(close_reason(b"\x0d\xacexpired"), "3500 expired");
    }

    #[test]
    fn an_offer_of_compression_has_to_be_taken() {
        let head = |extensions: &str| {
            format!("HTTP/1.1 101 x\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extensions}\r\n")
        };
        let taken = head("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n");
        assert_eq!(accepted(taken.as_bytes(), true).unwrap(), Some(taken.len()));
        for refused in ["", "Sec-WebSocket-Extensions: permessage-deflate\r\n"] {
            let error = accepted(head(refused).as_bytes(), true).unwrap_err();
            assert!(error.to_string().contains("compression = true"), "{error}");
        }
        assert!(String::from_utf8(request("h", "/", true)).unwrap().contains("permessage-deflate"));
        assert!(!String::from_utf8(request("h", "/", false)).unwrap().contains("permessage-deflate"));
    }
}
