//! Reads the fields of a message where they lie.
//!
//! As proto3 has it: fields come in any order, of one that comes twice the last counts, and what has an unknown number is
//! skipped, whatever it is.

use crate::ProtobufError;

/// Groups inside of groups that are stepped over. Nobody has written a group for years.
const MAX_GROUPS: usize = 32;
/// The largest number a field can have.
const MAX_NUMBER: u64 = (1 << 29) - 1;

/// The fields of one message, in order; whoever walks them stops at the first error.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Bytes(&'a [u8]),
    /// Of four or eight bytes, or a group: no field of ours is one.
    Other,
    Varint(u64),
}

/// Takes a message with its length before it off the begin of `bytes`; also says how many bytes that were.
pub(crate) fn prefixed_message(bytes: &[u8]) -> Result<(&[u8], usize), ProtobufError> {
    let mut fields = Fields::of(bytes);
    let message = fields.length_delimited()?;
    Ok((message, bytes.len() - fields.rest.len()))
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<Field<'a>, ProtobufError> {
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            2 => Value::Bytes(self.length_delimited()?),
            other => {
                self.skip(number, other)?;
                Value::Other
            }
        };
        Ok(Field { number, value })
    }

    fn tag(&mut self) -> Result<(u32, u8), ProtobufError> {
        let tag = self.varint()?;
        match tag >> 3 {
            number @ 1..=MAX_NUMBER => Ok((number as u32, (tag & 7) as u8)),
            number => Err(ProtobufError::FieldNumber { number }),
        }
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && byte > 1 {
                return Err(ProtobufError::LongVarint);
            }
            value |= bits << (index * 7);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(ProtobufError::Truncated)
    }

    fn length_delimited(&mut self) -> Result<&'a [u8], ProtobufError> {
        let length = self.varint()?;
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Steps over a value of a kind that nothing of ours has.
    fn skip(&mut self, number: u32, wire_type: u8) -> Result<(), ProtobufError> {
        match wire_type {
            1 => self.bytes(8).map(drop),
            3 => self.skip_group(number),
            5 => self.bytes(4).map(drop),
            _ => Err(ProtobufError::WireType { number, found: wire_type }),
        }
    }

    /// Steps over all fields up to the end of a group.
    fn skip_group(&mut self, number: u32) -> Result<(), ProtobufError> {
        let mut open = [0; MAX_GROUPS];
        open[0] = number;
        let mut depth = 1;
        while depth > 0 {
            let (number, wire_type) = self.tag()?;
            match wire_type {
                0 => self.varint().map(drop)?,
                2 => self.length_delimited().map(drop)?,
                3 => {
                    *open.get_mut(depth).ok_or(ProtobufError::DeepGroups { max_depth: MAX_GROUPS })? = number;
                    depth += 1;
                }
                4 if open[depth - 1] == number => depth -= 1,
                other => self.skip(number, other)?,
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    /// Bytes, or a message.
    pub(crate) fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Other | Value::Varint(_) => Err(ProtobufError::NotBytes { number: self.number }),
        }
    }

    /// A string.
    pub(crate) fn text(self) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes()?).map_err(|source| ProtobufError::NotUtf8 { number: self.number, source })
    }

    /// A number of 64 bits.
    pub(crate) fn number(self) -> Result<u64, ProtobufError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) | Value::Other => Err(ProtobufError::NotVarint { number: self.number }),
        }
    }

    /// A number of 32 bits: the lower ones, as proto3 has it.
    pub(crate) fn short_number(self) -> Result<u32, ProtobufError> {
        self.number().map(|value| value as u32)
    }

    /// A truth.
    pub(crate) fn flag(self) -> Result<bool, ProtobufError> {
        self.number().map(|value| value != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(message: &[u8]) -> Result<Vec<u32>, String> {
        Fields::of(message).map(|field| field.map(|field| field.number).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn every_kind_of_field_is_stepped_over() {
        let message = [
            &[0x08, 0x96, 0x01][..],                  // 1: varint 150
            &[0x11, 1, 2, 3, 4, 5, 6, 7, 8],          // 2: 64 bits
            &[0x1a, 2, b'h', b'i'],                   // 3: bytes
            &[0x23, 0x2b, 0x08, 1, 0x2c, 0x24],       // 4: a group with a group 5 in it
            &[0x35, 1, 2, 3, 4],                      // 6: 32 bits
            &[0xf8, 0xff, 0xff, 0xff, 0x0f, 0x80, 0], // the largest number, and a varint that is longer than need be
        ]
        .concat();
        assert_eq!(numbers(&message), Ok(vec![1, 2, 3, 4, 6, (1 << 29) - 1]));
        for end in 0..message.len() {
            // A cut between two fields leaves a shorter message, any other an error.
            let is_whole = [0, 3, 12, 16, 22, 27].contains(&end);
            assert_eq!(numbers(&message[..end]).is_ok(), is_whole, "{end}");
        }
    }

    #[test]
    fn faults_are_named() {
        let over = [&[0x08][..], &[0xff; 9], &[0x02]].concat();
        for (message, fault) in [
            (&[0x00, 0x00][..], "field number"),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0][..], "field number"),
            (&over[..], "varint"),
            (&[0x08][..], "end"),
            (&[0x0a, 5, 1][..], "end"),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..], "end"),
            (&[0x0c][..], "wire type 4"),
            (&[0x0e, 0][..], "wire type 6"),
            (&[0x0f, 0][..], "wire type 7"),
            (&[0x0b, 0x14][..], "wire type 4"),
            (&[0x0b; 40][..], "32 groups"),
        ] {
            let error = numbers(message).unwrap_err();
            assert!(error.contains(fault), "{message:?}: {error}");
        }
        let deepest = [[0x0b; MAX_GROUPS], [0x0c; MAX_GROUPS]].concat();
        assert_eq!(numbers(&deepest), Ok(vec![1]));
    }

    #[test]
    fn values_are_what_they_are_asked_for() {
        let field = |message: &'static [u8]| Fields::of(message).next().unwrap().unwrap();
        assert_eq!(field(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).number(), Ok(u64::MAX));
        assert_eq!(field(&[0x08, 0x81, 0x80, 0x80, 0x80, 0x10]).short_number(), Ok(1));
        assert_eq!(field(&[0x08, 2]).flag(), Ok(true));
        assert_eq!(field(&[0x0a, 1, b'x']).text(), Ok("x"));
        assert!(field(&[0x0a, 1, 0xff]).text().is_err());
        assert!(field(&[0x0a, 1, b'x']).number().is_err());
        assert!(field(&[0x08, 2]).bytes().is_err());
        assert!(field(&[0x0d, 1, 2, 3, 4]).number().is_err());
    }
}
