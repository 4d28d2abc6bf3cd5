//! RESP2 on bytes: a decoder of requests that takes them in any pieces, and the writers of replies.

use bytes::{Buf, Bytes, BytesMut};

/// The largest single argument.
pub(super) const BULK_LIMIT_BYTES: usize = 8 << 20;
/// The most arguments of one request.
const PARTS_LIMIT: usize = 1024 * 16;
/// The most bytes of one request. Why: many arguments of the largest size are no request but an attack on memory.
const REQUEST_LIMIT_BYTES: usize = 32 << 20;
/// A header is a sign, a number and a line end; nothing longer is one.
const HEADER_LIMIT_BYTES: usize = 32;

/// The bytes are no RESP request; the connection ends after the client was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ProtocolError(pub(super) String);

/// Takes requests, arrays of bulk strings, out of a stream of bytes.
///
/// It keeps what it has of a request, so a large one that comes in many pieces is read once. Inline commands are not
/// understood on purpose: what a browser can be made to send starts with a method's name and ends the connection.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    parts: Vec<Bytes>,
    missing: usize,
    bulk: Option<usize>,
    request_bytes: usize,
}

impl Decoder {
    /// The next request, or none until more bytes are there. An empty array is skipped, as Redis does.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            if self.missing == 0 {
                let Some(count) = header(input, b'*', PARTS_LIMIT, "multibulk")? else {
                    return Ok(None);
                };
                self.missing = count;
                self.request_bytes = 0;
                continue;
            }
            if !self.part(input)? {
                return Ok(None);
            }
            if self.missing == 0 {
                return Ok(Some(std::mem::take(&mut self.parts)));
            }
        }
    }

    fn part(&mut self, input: &mut BytesMut) -> Result<bool, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => {
                let Some(length) = header(input, b'$', BULK_LIMIT_BYTES, "bulk")? else {
                    return Ok(false);
                };
                self.request_bytes += length;
                if self.request_bytes > REQUEST_LIMIT_BYTES {
                    return Err(ProtocolError("too big request".to_owned()));
                }
                self.bulk = Some(length);
                length
            }
        };
        if input.len() < length + 2 {
            // Once per piece of a large argument, so that it does not grow by doubling.
            input.reserve(length + 2 - input.len());
            return Ok(false);
        }
        if &input[length..length + 2] != b"\r\n" {
            return Err(ProtocolError("invalid bulk end".to_owned()));
        }
        self.parts.push(input.split_to(length).freeze());
        input.advance(2);
        self.bulk = None;
        self.missing -= 1;
        Ok(true)
    }
}

/// Reads `*N` or `$N` and its line end. A negative count of arguments is an empty request.
fn header(input: &mut BytesMut, sign: u8, limit: usize, word: &str) -> Result<Option<usize>, ProtocolError> {
    let Some(first) = input.first() else {
        return Ok(None);
    };
    if *first != sign {
        let (sign, found) = (char::from(sign), char::from(*first).escape_default());
        return Err(ProtocolError(format!("expected '{sign}', got '{found}'")));
    }
    let wrong = || ProtocolError(format!("invalid {word} length"));
    let head = &input[..input.len().min(HEADER_LIMIT_BYTES)];
    let Some(end) = head.windows(2).position(|two| two == b"\r\n") else {
        return if head.len() == HEADER_LIMIT_BYTES { Err(wrong()) } else { Ok(None) };
    };
    let number = std::str::from_utf8(&head[1..end]).ok().and_then(|text| text.parse::<i64>().ok());
    let number = number.ok_or_else(wrong)?;
    input.advance(end + 2);
    match usize::try_from(number) {
        Ok(number) if number <= limit => Ok(Some(number)),
        Err(_) if sign == b'*' => Ok(Some(0)),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

/// Writes the head of an array of `count` values.
pub(super) fn array(out: &mut Vec<u8>, count: usize) {
    line(out, b'*', itoa::Buffer::new().format(count));
}

/// Writes a byte string.
pub(super) fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', itoa::Buffer::new().format(bytes.len()));
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number.
pub(super) fn integer(out: &mut Vec<u8>, number: i64) {
    line(out, b':', itoa::Buffer::new().format(number));
}

/// Writes a word such as `OK`; it has no line end in it.
pub(super) fn simple(out: &mut Vec<u8>, word: &str) {
    line(out, b'+', word);
}

/// Writes an error; a line end in the text, which may hold a client's words, becomes a space.
pub(super) fn error(out: &mut Vec<u8>, text: &str) {
    line(out, b'-', &text.replace(['\r', '\n'], " "));
}

/// Writes the string that is not there.
pub(super) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

/// Writes the array that is not there: what a wait that ran out returns.
pub(super) fn null_array(out: &mut Vec<u8>) {
    out.extend_from_slice(b"*-1\r\n");
}

fn line(out: &mut Vec<u8>, sign: u8, text: &str) {
    out.push(sign);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The strings of an array that [`array`] and [`bulk`] wrote, as slices of it.
///
/// Stream entries are kept in the form they are sent in; this reads one back without a copy.
pub(super) fn strings(encoded: &Bytes) -> Vec<Bytes> {
    let mut strings = Vec::new();
    let mut at = skip_header(encoded, 0);
    while at < encoded.len() {
        let body = skip_header(encoded, at);
        let digits = &encoded[at + 1..body.saturating_sub(2)];
        let length = digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        strings.push(encoded.slice(body..body + length));
        at = body + length + 2;
    }
    strings
}

fn skip_header(encoded: &[u8], at: usize) -> usize {
    encoded[at..].iter().position(|byte| *byte == b'\n').map_or(encoded.len(), |end| at + end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn request(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        array(&mut out, parts.len());
        for part in parts {
            bulk(&mut out, part);
        }
        out
    }

    fn error_of(text: &str) -> String {
        Decoder::default().decode(&mut BytesMut::from(text)).unwrap_err().0
    }

    #[test]
    fn wrong_bytes_are_named() {
        assert_eq!(error_of("GET / HTTP/1.1\r\n"), "expected '*', got 'G'");
        assert_eq!(error_of("*1\r\n+OK\r\n"), "expected '$', got '+'");
        assert_eq!(error_of("*1\r\n$-1\r\n"), "invalid bulk length");
        assert_eq!(error_of("*1\r\n$8388609\r\n"), "invalid bulk length");
        assert_eq!(error_of("*16385\r\n"), "invalid multibulk length");
        assert_eq!(error_of("*x\r\n"), "invalid multibulk length");
        assert_eq!(error_of("*00000000000000000000000000000001"), "invalid multibulk length");
        assert_eq!(error_of("*1\r\n$1\r\nabc"), "invalid bulk end");
    }

    #[test]
    fn many_large_arguments_are_too_big_together() {
        let mut decoder = Decoder::default();
        let mut input = BytesMut::from("*16\r\n");
        let argument = request(&[vec![0; BULK_LIMIT_BYTES]]);
        for _ in 0..4 {
            input.extend_from_slice(&argument[4..]);
            assert_eq!(decoder.decode(&mut input), Ok(None));
        }
        input.extend_from_slice(b"$1\r\n");
        assert_eq!(decoder.decode(&mut input).unwrap_err().0, "too big request");
    }

    #[test]
    fn empty_requests_are_skipped() {
        let mut input = BytesMut::from("*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n");
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&mut input), Ok(Some(vec![Bytes::from("PING")])));
        assert_eq!(decoder.decode(&mut input), Ok(None));
    }

    proptest! {
        #[test]
        fn requests_survive_any_split(
            requests in vec(vec(vec(any::<u8>(), 0..40), 1..6), 1..6),
            cuts in vec(1_usize..30, 1..40),
        ) {
            let stream: Vec<u8> = requests.iter().flat_map(|parts| request(parts)).collect();
            let (mut decoder, mut input, mut found) = (Decoder::default(), BytesMut::new(), Vec::new());
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                input.extend_from_slice(piece);
                while let Some(parts) = decoder.decode(&mut input).unwrap() {
                    found.push(parts);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, requests);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn any_bytes_end_in_a_request_an_error_or_a_wait(bytes in vec(any::<u8>(), 0..200)) {
            let mut input = BytesMut::from(bytes.as_slice());
            let mut decoder = Decoder::default();
            while let Ok(Some(_)) = decoder.decode(&mut input) {}
        }

        #[test]
        fn what_was_encoded_is_read_back(parts in vec(vec(any::<u8>(), 0..40), 0..6)) {
            prop_assert_eq!(strings(&Bytes::from(request(&parts))), parts);
        }
    }
}
