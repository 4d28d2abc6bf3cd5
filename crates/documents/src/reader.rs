//! Numbers, byte strings and texts as lib0 writes them, read without trust.

use serde::de::IgnoredAny;
use thiserror::Error;

/// What JavaScript can count to; its readers throw at more.
pub(crate) const MAX_SAFE: u64 = (1 << 53) - 1;

/// Bytes that nobody should have sent: where, and what should be there.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("byte {at}: {what}")]
pub struct Malformed {
    /// How many bytes before it were right.
    pub at: usize,
    /// What is wrong there, and what to send.
    pub what: &'static str,
}

/// Goes through bytes from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What was read since it stood at `from`.
    pub(crate) fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) const fn error(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.error("more bytes than the message has, send one message per frame"))
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(self.error("the bytes end here, send the message whole"))?;
        self.at += 1;
        Ok(byte)
    }

    /// A number of up to 53 bits, in its shortest form.
    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        let from = *self;
        let (mut value, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.byte()?;
            if byte == 0 && shift > 0 {
                return Err(from.error("number is not in its shortest form, leave out the zeros at its end"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if value > MAX_SAFE || (shift > 49 && byte > 0x7f) {
                return Err(from.error("number is too large, send at most 2^53 - 1"));
            }
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// A number that counts what is in a document; half of what 32 bits hold, so that the sum of two cannot overflow.
    pub(crate) fn count(&mut self) -> Result<u32, Malformed> {
        let from = *self;
        let value = self.uint()?;
        u32::try_from(value)
            .ok()
            .filter(|value| *value < 1 << 31)
            .ok_or(from.error("number is too large, send less than 2^31"))
    }

    /// A number with a sign; its value is of no use here.
    pub(crate) fn int(&mut self) -> Result<(), Malformed> {
        let from = *self;
        let first = self.byte()?;
        let (mut value, mut shift, mut more) = (u64::from(first & 0x3f), 6_u32, first > 0x7f);
        while more {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            more = byte > 0x7f;
            if value > MAX_SAFE || (shift > 48 && more) {
                return Err(from.error("number is too large, send at most 2^53 - 1"));
            }
            shift += 7;
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let taken = self
            .rest()
            .get(..length)
            .ok_or(self.error("fewer bytes follow than the length before them says, send all of them"))?;
        self.at += length;
        Ok(taken)
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.uint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// A text behind its length in bytes.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let mut ahead = *self;
        let bytes = ahead.bytes()?;
        let text = std::str::from_utf8(bytes).map_err(|error| Malformed {
            at: ahead.at - bytes.len() + error.valid_up_to(),
            what: "text is not UTF-8, send binary content as bytes",
        })?;
        *self = ahead;
        Ok(text)
    }

    /// A text that is JSON. Why: readers in JavaScript parse it before they look at anything else, so one that is none
    /// would keep all others from reading the rest.
    pub(crate) fn json(&mut self) -> Result<&'a str, Malformed> {
        let from = *self;
        let text = self.text()?;
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|_| from.error("text is not JSON, write it with JSON.stringify"))?;
        Ok(text)
    }
}

/// Appends a number as [`Reader::uint`] reads it.
pub(crate) fn write_uint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends bytes behind their length.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_uint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_one_form() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x80, 1], 128),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 15], MAX_SAFE),
        ] {
            assert_eq!(Reader::new(bytes).uint(), Ok(value));
        }
        for wrong in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff, 0x80, 0],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10],
            &[0xff; 12],
        ] {
            assert!(Reader::new(wrong).uint().is_err(), "{wrong:?}");
            assert!(
                Reader::new(wrong).int().is_err() || wrong.last() == Some(&0) || wrong.last() == Some(&0x10),
                "{wrong:?}"
            );
        }
        assert!(Reader::new(&[0x80, 0x80, 0x80, 0x80, 8]).count().is_err(), "2^31");
    }

    #[test]
    fn a_length_is_only_a_claim() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 7, b'a']);
        assert_eq!(
            reader.bytes(),
            Err(Malformed { at: 5, what: "fewer bytes follow than the length before them says, send all of them" })
        );
        assert_eq!(Reader::new(&[2, b'a', 0xff]).text().map_err(|error| error.at), Err(2));
        assert_eq!(Reader::new(b"\x02{]").json().map_err(|error| error.at), Err(0));
        assert_eq!(Reader::new(b"\x08\"\\ud800\"").json(), Ok("\"\\ud800\""), "half a character is JSON");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in 0..=MAX_SAFE, payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            write_uint(value, &mut out);
            write_bytes(&payload, &mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(value));
            prop_assert_eq!(reader.bytes(), Ok(&payload[..]));
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }
}
