//! Bodies of requests, found in the bytes that follow a head: by their length, or in strict chunks.
//!
//! Nothing is kept between two calls: whoever owns the bytes calls again with the same bytes and
//! more, until the body is whole. Data is copied only when it came in several chunks.

use std::borrow::Cow;

use thiserror::Error;

/// Hexadecimal digits that the size of a chunk may have.
const MAX_SIZE_DIGITS: usize = 8;

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// In chunks, until an empty one.
    Chunked,
    /// After this many bytes, at least 1.
    Length(u64),
    /// There is no body.
    None,
}

/// A whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// What it says; borrowed unless it came in several chunks.
    pub data: Cow<'a, [u8]>,
    /// Bytes it took, chunk sizes included; the next request starts behind them.
    pub length: usize,
}

/// Why bytes are not a body that is read here. The connection cannot go on, because nobody knows
/// where the next request starts.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// Not chunks, or chunks that two readers could read differently.
    #[error("malformed body: {0}")]
    Malformed(&'static str),
    /// More data than the limit, announced or there.
    #[error("request body is larger than {limit} bytes, send less at a time")]
    TooLarge {
        /// Bytes of data a body may have.
        limit: usize,
    },
    /// Far more chunks than their data needs.
    #[error("request body comes in too many small chunks, send larger ones or a Content-Length")]
    TooManyChunks,
}

impl BodyError {
    /// Status code and reason phrase of the answer.
    #[must_use]
    pub const fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed(_) => (400, "Bad Request"),
            Self::TooLarge { .. } | Self::TooManyChunks => (413, "Content Too Large"),
        }
    }
}

/// Reads a body with at most `limit` bytes of data from the bytes behind a head; `None` asks for
/// more bytes, but never for more than [`largest_body`].
///
/// Chunks are read strictly: sizes of 1 to 8 hexadecimal digits, CR LF and nothing else at the end
/// of a line, no extensions and no trailers. Why none: hardly a client sends them, servers have
/// been smuggled past because two of them in a row read them differently, and RFC 9112 (7.1.1)
/// lets a server limit extensions as its service needs it.
///
/// # Errors
///
/// [`BodyError`], as early as the bytes show the fault: a length or a chunk beyond the limit is
/// refused before its data is there.
pub fn read_body(input: &[u8], kind: BodyKind, limit: usize) -> Result<Option<Body<'_>>, BodyError> {
    match kind {
        BodyKind::None => Ok(Some(Body { data: Cow::Borrowed(&[]), length: 0 })),
        BodyKind::Length(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= limit);
            let length = length.ok_or(BodyError::TooLarge { limit })?;
            Ok(input.get(..length).map(|data| Body { data: Cow::Borrowed(data), length }))
        }
        BodyKind::Chunked => read_chunked(input, limit),
    }
}

/// Bytes that a body with `limit` bytes of data takes at most, chunk sizes included.
#[must_use]
pub const fn largest_body(limit: usize) -> usize {
    limit.saturating_add(overhead(limit)).saturating_add(MAX_SIZE_DIGITS + 4)
}

/// Bytes that sizes and line ends of chunks may take beside `limit` bytes of data.
///
/// Why bounded: chunks of one byte that arrive one by one are walked again with each of them.
const fn overhead(limit: usize) -> usize {
    4096 + limit / 64
}

/// Walks to the last chunk, and a second time to put the data together if there is any need.
fn read_chunked(input: &[u8], limit: usize) -> Result<Option<Body<'_>>, BodyError> {
    let mut chunks = Chunks { input, limit, at: 0, total: 0 };
    let mut first: &[u8] = &[];
    loop {
        let Some(data) = chunks.next()? else { return Ok(None) };
        if data.is_empty() {
            break;
        }
        if first.is_empty() {
            first = data;
        }
    }
    let Chunks { at: length, total, .. } = chunks;
    if first.len() == total {
        return Ok(Some(Body { data: Cow::Borrowed(first), length }));
    }
    let mut chunks = Chunks { input, limit, at: 0, total: 0 };
    let mut data = Vec::with_capacity(total);
    while data.len() < total {
        let Some(chunk) = chunks.next()? else { return Ok(None) };
        data.extend_from_slice(chunk);
    }
    Ok(Some(Body { data: Cow::Owned(data), length }))
}

/// A walk over the chunks of a body.
struct Chunks<'a> {
    input: &'a [u8],
    limit: usize,
    /// Where the next chunk starts.
    at: usize,
    /// Bytes of data before it.
    total: usize,
}

impl<'a> Chunks<'a> {
    /// The data of the next chunk, empty in the last one; `None` asks for more bytes.
    fn next(&mut self) -> Result<Option<&'a [u8]>, BodyError> {
        let Some((size, start)) = self.read_size()? else { return Ok(None) };
        let end = start.saturating_add(size);
        let total = self.total + size;
        if end + 2 - total > overhead(self.limit) {
            return Err(BodyError::TooManyChunks);
        }
        let Some(data) = self.input.get(start..end) else { return Ok(None) };
        let fault = if size == 0 { "there is a trailer, send none" } else { "a chunk is longer than its size says" };
        let Some(at) = self.line_end(end, fault)? else { return Ok(None) };
        (self.at, self.total) = (at, total);
        Ok(Some(data))
    }

    /// Reads the line in front of a chunk: its size, and where its data starts.
    fn read_size(&self) -> Result<Option<(usize, usize)>, BodyError> {
        let room = self.limit - self.total;
        let mut size = 0usize;
        let mut at = self.at;
        while let Some(digit) = self.input.get(at).and_then(|byte| char::from(*byte).to_digit(16)) {
            if at - self.at == MAX_SIZE_DIGITS {
                return Err(BodyError::Malformed("a chunk size has more than 8 digits"));
            }
            size = size * 16 + digit as usize;
            // Why here: further digits only make it larger.
            if size > room {
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            at += 1;
        }
        if at == self.at && at < self.input.len() {
            return Err(BodyError::Malformed("a chunk does not start with its size in hexadecimal digits"));
        }
        let start = self.line_end(at, "a chunk size is not followed by CR LF")?;
        Ok(start.map(|start| (size, start)))
    }

    /// The place behind the CR LF at `at`; `None` if that is not there yet.
    fn line_end(&self, at: usize, fault: &'static str) -> Result<Option<usize>, BodyError> {
        match self.input.get(at..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => Ok(Some(at + 2)),
            _ => Err(BodyError::Malformed(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 20;

    fn read(bytes: &str) -> Result<Option<Body<'_>>, BodyError> {
        read_body(bytes.as_bytes(), BodyKind::Chunked, LIMIT)
    }

    #[test]
    fn a_length_is_taken_at_its_word() {
        let input = b"hello, and more";
        let body = read_body(input, BodyKind::Length(5), 5).unwrap().unwrap();
        assert_eq!((&*body.data, body.length), (&b"hello"[..], 5));
        assert!(matches!(body.data, Cow::Borrowed(_)));
        assert_eq!(read_body(&input[..4], BodyKind::Length(5), 5), Ok(None));
        let none = read_body(input, BodyKind::None, 0).unwrap().unwrap();
        assert_eq!((&*none.data, none.length), (&b""[..], 0));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_at_once() {
        for length in [6, 1 << 32, u64::MAX] {
            let error = read_body(b"", BodyKind::Length(length), 5).unwrap_err();
            assert_eq!(error, BodyError::TooLarge { limit: 5 });
            assert_eq!(error.status().0, 413);
        }
    }

    #[test]
    fn chunks_are_put_together() {
        for (text, data, length) in [
            ("0\r\n\r\nGET ", "", 5),
            ("00000000\r\n\r\n", "", 12),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", 15),
            ("5\r\nhello\r\n2\r\n, \r\n00A\r\nwide world\r\n0\r\n\r\n0", "hello, wide world", 39),
            ("3\r\n\r\n0\r\n1\r\n\r\r\n000\r\n\r\n", "\r\n0\r", 21),
        ] {
            let body = read(text).unwrap().unwrap();
            assert_eq!((&*body.data, body.length), (data.as_bytes(), length), "{text:?}");
        }
        let one = read("5\r\nhello\r\n0\r\n\r\n").unwrap().unwrap();
        assert!(matches!(one.data, Cow::Borrowed(_)), "one chunk is not copied");
    }

    #[test]
    fn what_smuggles_in_chunks_is_refused() {
        for text in [
            "5;a=b\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "4\r\nhello\r\n0\r\n\r\n",
            "6\r\nhello\r\n0\r\n\r\n",
            "000000000\r\n\r\n",
            "0\r\nA: b\r\n\r\n",
            "0\n\n",
            "0\r\n\n",
            "\r\n\r\n",
            "\0",
            "g\r\n",
            ";\r\n",
        ] {
            assert_eq!(read(text).unwrap_err().status().0, 400, "{text:?}");
        }
    }

    #[test]
    fn the_limit_of_data_is_exact() {
        assert!(read("14\r\n12345678901234567890\r\n0\r\n\r\n").unwrap().is_some());
        assert!(read("13\r\n1234567890123456789\r\n1\r\n0\r\n0\r\n\r\n").unwrap().is_some());
        for text in ["15", "FFFFFFFF", "fffffffff", "13\r\n1234567890123456789\r\n2"] {
            assert_eq!(read(text), Err(BodyError::TooLarge { limit: LIMIT }), "{text:?}");
        }
        assert_eq!(read("14"), Ok(None));
        let huge = read_body(b"FFFFFFFF\r\n", BodyKind::Chunked, usize::MAX);
        assert_eq!(huge, Ok(None));
    }

    #[test]
    fn many_small_chunks_are_refused() {
        let limit = 64 * 1024;
        let chunks = "1\r\na\r\n".repeat(2000);
        let error = read_body(chunks.as_bytes(), BodyKind::Chunked, limit).unwrap_err();
        assert_eq!((error, error.status().0), (BodyError::TooManyChunks, 413));
        let chunks = "1\r\na\r\n".repeat(1000) + "0\r\n\r\n";
        let body = read_body(chunks.as_bytes(), BodyKind::Chunked, limit).unwrap().unwrap();
        assert_eq!((body.data.len(), body.length), (1000, chunks.len()));
        assert!(chunks.len() < largest_body(limit));
    }
}
