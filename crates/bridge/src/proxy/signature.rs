//! Signs requests as Standard Webhooks does, so that the application knows who asks.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jackfield_fetch::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// What a written secret begins with, in their specification.
const PREFIX: &str = "whsec_";
/// Fewer bytes can be guessed; their specification asks for as many.
const LEAST_BYTES: usize = 24;

/// The key of the signatures; shown to nobody.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Why a text is no secret; never repeats it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretError {
    /// The bytes are not in base64.
    #[error("is no standard base64 after `whsec_`; write what `echo whsec_$(head -c 32 /dev/urandom | base64)` prints")]
    NoBase64,
    /// Too few bytes.
    #[error("has fewer than 24 bytes; write what `echo whsec_$(head -c 32 /dev/urandom | base64)` prints")]
    TooShort,
}

impl Secret {
    /// Reads `whsec_` and base64; the prefix may be left out.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| SecretError::NoBase64)?;
        if bytes.len() < LEAST_BYTES {
            return Err(SecretError::TooShort);
        }
        // HMAC takes keys of any length.
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| SecretError::TooShort)
    }

    /// Adds the three header lines.
    pub(super) fn sign(&self, id: &str, seconds: u64, body: &[u8], headers: &mut HeaderMap) {
        Self::sign_with(std::slice::from_ref(self), id, (seconds, body), headers);
    }

    /// Adds the three header lines, with a signature by each secret: while one is exchanged both count.
    pub fn sign_with(secrets: &[Self], id: &str, (seconds, body): (u64, &[u8]), headers: &mut HeaderMap) {
        let seconds = seconds.to_string();
        let signatures: Vec<String> = secrets.iter().map(|secret| secret.signature(id, &seconds, body)).collect();
        let signatures = signatures.join(" ");
        for (name, value) in [(ID, id), (TIMESTAMP, &*seconds), (SIGNATURE, &*signatures)] {
            // Invariant: UUIDs, numbers and base64 are visible ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }

    fn signature(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries.
    #[test]
    fn a_known_signature() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut headers = HeaderMap::new();
        secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#, &mut headers);
        assert_eq!(headers[SIGNATURE], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers[ID], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers[TIMESTAMP], "1614265330");
    }

    #[test]
    fn several_secrets_sign_side_by_side() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
        let secrets = secrets.map(|secret| Secret::parse(secret).unwrap());
        let mut headers = HeaderMap::new();
        let body = br#"{"test": 2432232314}"#;
        Secret::sign_with(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", (1_614_265_330, body), &mut headers);
        let signatures: Vec<&str> = headers[SIGNATURE].to_str().unwrap().split(' ').collect();
        assert_eq!(signatures.len(), 2);
        assert_eq!(signatures[0], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signatures[1].starts_with("v1,") && signatures[1] != signatures[0]);
    }

    #[test]
    fn texts_that_are_no_secret() {
        assert_eq!(Secret::parse("whsec_???").unwrap_err(), SecretError::NoBase64);
        assert_eq!(Secret::parse("c2hvcnQ=").unwrap_err(), SecretError::TooShort);
        let secret = Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
