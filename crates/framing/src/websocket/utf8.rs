//! UTF-8 checked while it arrives, however its characters are cut.

use crate::FramingError;

/// Bytes of the longest character.
const LONGEST: usize = 4;

/// How far a text is known to be UTF-8: all of what was fed, but for the start of one character.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    /// The first bytes of a character whose rest has not come yet.
    cut: [u8; LONGEST],
    /// How many they are.
    length: usize,
}

impl Utf8 {
    /// Checks the next bytes of the text; fails with the first byte that cannot be right.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), FramingError> {
        while self.length > 0 {
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.complete(byte)?;
        }
        let Err(error) = simdutf8::compat::from_utf8(bytes) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(FramingError::InvalidUtf8);
        }
        let cut = bytes.get(error.valid_up_to()..).unwrap_or_default();
        for (place, &byte) in self.cut.iter_mut().zip(cut) {
            *place = byte;
        }
        self.length = cut.len();
        Ok(())
    }

    /// Says that the text ends here, which must not be inside a character.
    pub(crate) const fn finish(&self) -> Result<(), FramingError> {
        match self.length {
            0 => Ok(()),
            _ => Err(FramingError::InvalidUtf8),
        }
    }

    /// Adds a byte to the character that was cut.
    fn complete(&mut self, byte: u8) -> Result<(), FramingError> {
        let Some(place) = self.cut.get_mut(self.length) else {
            return Err(FramingError::InvalidUtf8);
        };
        *place = byte;
        let known = self.cut.get(..=self.length).unwrap_or_default();
        match std::str::from_utf8(known) {
            Ok(_) => self.length = 0,
            Err(error) if error.error_len().is_none() => self.length += 1,
            Err(_) => return Err(FramingError::InvalidUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes one by one; gives how many were taken before one was refused.
    fn taken(bytes: &[u8]) -> usize {
        let mut utf8 = Utf8::default();
        bytes.iter().take_while(|&&byte| utf8.feed(&[byte]).is_ok()).count()
    }

    #[test]
    fn every_character_may_be_cut_anywhere() {
        let text = "a\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}z".as_bytes();
        for at in 0..=text.len() {
            let (front, back) = text.split_at(at);
            let mut utf8 = Utf8::default();
            assert_eq!(utf8.feed(front), Ok(()));
            let is_whole = std::str::from_utf8(front).is_ok();
            assert_eq!(utf8.finish().is_ok(), is_whole, "cut at {at}");
            assert_eq!(utf8.feed(back), Ok(()));
            assert_eq!(utf8.finish(), Ok(()));
        }
        assert_eq!(taken(text), text.len());
    }

    #[test]
    fn the_first_wrong_byte_is_refused() {
        for (bytes, good) in [
            (&b"\x80"[..], 0),
            (b"a\xff", 1),
            (b"\xc0\x80", 0),
            (b"\xe0\x80\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80\x80\x80", 0),
            (b"\xe2\x82a", 2),
            (b"\xf0\x9f\x92\xc3", 3),
        ] {
            assert_eq!(taken(bytes), good, "{bytes:x?}");
            assert_eq!(Utf8::default().feed(bytes), Err(FramingError::InvalidUtf8), "{bytes:x?}");
        }
    }

    #[test]
    fn agrees_with_the_standard_about_all_pairs_and_cuts() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let pair = [first, second];
                let mut utf8 = Utf8::default();
                let fed = utf8.feed(&[first]).and_then(|()| utf8.feed(&[second]));
                let expected = match std::str::from_utf8(&pair) {
                    Ok(_) => true,
                    Err(error) => error.error_len().is_none(),
                };
                assert_eq!(fed.is_ok(), expected, "{pair:x?}");
            }
        }
    }
}
