//! The key of one direction, at rest between two records.

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite};
use zeroize::Zeroizing;

/// What rustls itself takes for the end of a direction's records.
const SEQUENCES: u64 = 0xffff_ffff_ffff_0000;

/// The key of one direction, at rest between two records.
///
/// Why: a cipher that is ready for work takes 640 bytes and a key 44. Making the one of the other costs some 0.4 us per
/// record, a quarter of the system call that sends it.
pub(crate) struct Secret {
    key: Zeroizing<[u8; 32]>,
    iv: [u8; 12],
    sequence: u64,
}

impl Secret {
    /// Takes a key of 256 bits, with the number of the next record.
    pub(crate) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        let (ConnectionTrafficSecrets::Aes256Gcm { key, iv } | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) =
            secrets
        else {
            return Err(Error::General("no key of 256 bits".to_owned()));
        };
        let (mut bytes, mut start) = (Zeroizing::new([0; 32]), [0; 12]);
        bytes.copy_from_slice(key.as_ref());
        start.copy_from_slice(iv.as_ref());
        Ok(Self { key: bytes, iv: start, sequence })
    }

    /// Whether the key has encrypted as much as it may, but for one last record.
    pub(crate) fn is_worn(&self, suite: SupportedCipherSuite) -> bool {
        let limit = match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        };
        self.sequence.saturating_add(1) >= limit.min(SEQUENCES)
    }

    /// One record.
    ///
    /// Why the cipher is made anew for each: the library's guard against a nonce used twice takes the first record it
    /// sees for number 0, and would refuse good ones after that.
    pub(crate) fn encrypt(
        &mut self,
        suite: SupportedCipherSuite,
        typ: ContentType,
        payload: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut cipher = match suite {
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = self.iv.split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
                suite.aead_alg.encrypter(self.key(), fixed, explicit)
            }
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(self.key(), Iv::from(self.iv)),
        };
        let sequence = self.next()?;
        let payload = OutboundChunks::Single(payload);
        let record = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        Ok(cipher.encrypt(record, sequence)?.encode())
    }

    /// A cipher for [`Self::decrypt`], good until the key changes.
    pub(crate) fn decrypter(&self, suite: SupportedCipherSuite) -> Box<dyn MessageDecrypter> {
        match suite {
            SupportedCipherSuite::Tls12(suite) => {
                let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
                suite.aead_alg.decrypter(self.key(), &self.iv[..fixed])
            }
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(self.key(), Iv::from(self.iv)),
        }
    }

    /// The plaintext of one record, where its ciphertext was.
    pub(crate) fn decrypt<'a>(
        &mut self,
        cipher: &mut dyn MessageDecrypter,
        typ: ContentType,
        payload: &'a mut [u8],
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let message = InboundOpaqueMessage::new(typ, ProtocolVersion::TLSv1_2, payload);
        let sequence = self.next()?;
        cipher.decrypt(message, sequence)
    }

    fn key(&self) -> AeadKey {
        AeadKey::from(*self.key)
    }

    /// The number of this record; no number is ever given twice.
    fn next(&mut self) -> Result<u64, Error> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1).ok_or(Error::EncryptError)?;
        Ok(sequence)
    }
}
