//! The head of a segment: which run of the server began it, and which other segments belonged to the log then.
//!
//! The list of the others is what makes a missing file a fault and not a silent loss: the newest head names all
//! segments that count. Older ones that it does not name are leftovers.

use crate::error::Fault;
use crate::fields::{Reader, put_number};

const MAGIC: [u8; 8] = *b"JFLOG\0\0\x01";

/// Names one start of the machine; all zeros where the system does not tell.
pub type Boot = [u8; 16];

/// The head of a segment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Header {
    /// The segment's own number.
    pub(crate) number: u32,
    /// Mixed into the checksums of its frames.
    pub(crate) salt: u64,
    /// The start of the machine it was written under.
    pub(crate) boot: Boot,
    /// Whether nobody saw a publication before it was safe.
    pub(crate) is_careful: bool,
    /// Whether a start of the server began it, and not the end of the segment before.
    pub(crate) is_start: bool,
    /// Sequence of its first frame.
    pub(crate) first: u64,
    /// The segments that belonged to the log beside this one.
    pub(crate) others: Vec<u32>,
}

/// The name of a segment's file.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:010}.log")
}

/// The number of the segment in a file of this name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    let is_plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok())?
}

impl Header {
    /// As it stands in the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.others.len() * 2);
        put_number(&mut body, u64::from(self.number));
        body.extend_from_slice(&self.salt.to_le_bytes());
        body.extend_from_slice(&self.boot);
        body.push(u8::from(self.is_careful) | u8::from(self.is_start) << 1);
        put_number(&mut body, self.first);
        for other in &self.others {
            put_number(&mut body, u64::from(*other));
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The head of a file and how long it is.
    pub(crate) fn read(file: &[u8]) -> Result<(Self, usize), Fault> {
        let mut start = Reader::new(file);
        if start.array::<8>()? != MAGIC {
            return Err(Fault::Head);
        }
        let length = u32::from_le_bytes(start.array()?) as usize;
        let checksum = u32::from_le_bytes(start.array()?);
        let end = 16_usize.saturating_add(length);
        let body = file.get(16..end).ok_or(Fault::Short)?;
        if crc32fast::hash(body) != checksum {
            return Err(Fault::Checksum);
        }
        let mut body = Reader::new(body);
        let number = |body: &mut Reader<'_>| u32::try_from(body.number()?).map_err(|_| Fault::Head);
        let (own, salt) = (number(&mut body)?, u64::from_le_bytes(body.array()?));
        let (boot, flags) = (body.array()?, body.byte()?);
        let mut header = Self {
            number: own,
            salt,
            boot,
            is_careful: flags & 1 != 0,
            is_start: flags & 2 != 0,
            first: body.number()?,
            others: Vec::new(),
        };
        while !body.is_empty() {
            header.others.push(number(&mut body)?);
        }
        Ok((header, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_no_bit_may_be_wrong() {
        let header = Header {
            number: 300,
            salt: 9,
            boot: [7; 16],
            is_careful: true,
            is_start: false,
            first: 1 << 40,
            others: vec![1, 299],
        };
        let bytes = header.bytes();
        assert_eq!(Header::read(&bytes), Ok((header.clone(), bytes.len())));
        let longer = [&bytes[..], b"frames"].concat();
        assert_eq!(Header::read(&longer), Ok((header, bytes.len())));
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&wrong).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Header::read(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn files_are_named_by_number() {
        assert_eq!(number_of(&file_name(42)), Some(42));
        assert_eq!(file_name(u32::MAX), "4294967295.log");
        for name in ["42.log", "00000000+2.log", "0000000042.new", "9999999999.log", "lock"] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
