//! The mask of a client's frames, taken off eight bytes at a time.

/// Bytes of a mask.
pub(crate) const LENGTH: usize = 4;

/// Masks or unmasks `payload` in place; doing it twice changes nothing.
pub(crate) fn apply(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_mask_of_the_rfc_at_every_length() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..100 {
            let plain: Vec<u8> = (0..length).collect();
            let slow: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            let mut fast = plain.clone();
            apply(&mut fast, key);
            assert_eq!(fast, slow);
            apply(&mut fast, key);
            assert_eq!(fast, plain);
        }
    }
}
