//! Applies a delta, as clients do.

use super::{DIGITS, MAX_BYTES, checksum};

/// Why a delta cannot be applied. The texts fit after "failed to".
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FossilError {
    /// It was made for another payload, or was changed on its way.
    #[error("apply the delta: the result has another checksum; it must be applied to the payload it was made from")]
    Checksum,
    /// A command that there is not.
    #[error("read the delta at byte {at}: an operator must stand there, one of @ : ; behind its number")]
    Command {
        /// Where in the delta.
        at: usize,
    },
    /// A number without a digit, or beyond 32 bits.
    #[error("read the delta at byte {at}: a number of at most 32 bits must stand there")]
    Number {
        /// Where in the delta.
        at: usize,
    },
    /// It copies what the old payload does not have.
    #[error("copy up to byte {end} of the payload before: it has {length}; the delta was made from another one")]
    Outside {
        /// Where the copy would end.
        end: usize,
        /// What there is.
        length: usize,
    },
    /// More, or less, than it says at its begin.
    #[error("apply the delta: it makes {made} bytes; it promised {promised}, of at most {MAX_BYTES}")]
    Size {
        /// What it makes, as far as it was followed.
        made: usize,
        /// What it said.
        promised: usize,
    },
    /// Something behind its end.
    #[error("read the delta at byte {at}: it ends there, and nothing may follow")]
    Trailing {
        /// Where the something begins.
        at: usize,
    },
    /// It ends too early.
    #[error("read the delta: it ends before its checksum")]
    Truncated,
}

/// What becomes of `old`.
///
/// # Errors
///
/// A delta that is none, or was made from another payload.
pub fn apply(old: &[u8], delta: &[u8]) -> Result<Vec<u8>, FossilError> {
    let mut reader = Reader { delta, at: 0 };
    let promised = reader.number()? as usize;
    reader.operator(b'\n')?;
    if promised > MAX_BYTES {
        return Err(FossilError::Size { made: 0, promised });
    }
    let mut new = Vec::with_capacity(promised.min(old.len() + delta.len()));
    loop {
        let number = reader.number()?;
        let count = number as usize;
        let bytes = match reader.byte()? {
            b'@' => {
                let from = reader.number()? as usize;
                reader.operator(b',')?;
                let end = from.saturating_add(count);
                old.get(from..end).ok_or(FossilError::Outside { end, length: old.len() })?
            }
            b':' => reader.bytes(count)?,
            b';' if reader.at < delta.len() => return Err(FossilError::Trailing { at: reader.at }),
            b';' if new.len() < promised => return Err(FossilError::Size { made: new.len(), promised }),
            b';' if number != checksum(&new) => return Err(FossilError::Checksum),
            b';' => return Ok(new),
            _ => return Err(FossilError::Command { at: reader.at - 1 }),
        };
        if bytes.len() > promised - new.len() {
            return Err(FossilError::Size { made: new.len() + bytes.len(), promised });
        }
        new.extend_from_slice(bytes);
    }
}

struct Reader<'d> {
    delta: &'d [u8],
    at: usize,
}

impl<'d> Reader<'d> {
    fn byte(&mut self) -> Result<u8, FossilError> {
        let byte = self.delta.get(self.at).ok_or(FossilError::Truncated)?;
        self.at += 1;
        Ok(*byte)
    }

    fn operator(&mut self, operator: u8) -> Result<(), FossilError> {
        if self.byte()? != operator {
            return Err(FossilError::Command { at: self.at - 1 });
        }
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<&'d [u8], FossilError> {
        let bytes = self.delta.get(self.at..self.at.saturating_add(count)).ok_or(FossilError::Truncated)?;
        self.at += count;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, FossilError> {
        let begin = self.at;
        let mut number = 0_u64;
        while let Some(digit) = self.delta.get(self.at).and_then(|byte| digit(*byte)) {
            number = number << 6 | u64::from(digit);
            self.at += 1;
            if number > u32::MAX.into() {
                return Err(FossilError::Number { at: begin });
            }
        }
        match self.delta.get(self.at) {
            None => Err(FossilError::Truncated),
            Some(_) if self.at == begin => Err(FossilError::Number { at: begin }),
            Some(_) => Ok(number as u32),
        }
    }
}

/// The value of a digit.
fn digit(byte: u8) -> Option<u8> {
    const VALUES: [Option<u8>; 256] = {
        let mut values = [None; 256];
        let mut value = 0;
        while value < DIGITS.len() {
            values[DIGITS[value] as usize] = Some(value as u8);
            value += 1;
        }
        values
    };
    VALUES[usize::from(byte)]
}
