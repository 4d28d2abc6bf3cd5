//! One key that signatures are checked with, and the algorithms it is for.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

/// What stands before the point in the DER of a key on each curve: RFC 5480 and RFC 8410 leave no choice.
const P256_HEAD: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_HEAD: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const ED25519_HEAD: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// Bytes of an RSA modulus: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// One key that signatures are checked with, and the algorithms it is for.
///
/// Invariant: a key never checks a signature of another algorithm. A token names its algorithm itself, and where that
/// alone counted, a public key could be taken for the secret of an HMAC.
#[derive(Clone, Debug)]
pub struct Key {
    decoding: DecodingKey,
    algorithms: Algorithms,
}

#[derive(Clone, Copy, Debug)]
enum Algorithms {
    /// What the key's family can do.
    Family(&'static [Algorithm]),
    /// What its owner says it is for.
    One(Algorithm),
}

/// Why a text is no key; continues its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(&'static str);

impl Key {
    /// A secret shared with who makes tokens: HS256, HS384, HS512.
    #[must_use]
    pub fn hmac(secret: &str) -> Self {
        Self { decoding: DecodingKey::from_secret(secret.as_bytes()), algorithms: Algorithms::Family(HMAC) }
    }

    /// A public RSA key in PEM: RS256, RS384, RS512, PS256, PS384, PS512.
    pub fn rsa(pem: &str) -> Result<Self, KeyError> {
        let decoding = DecodingKey::from_rsa_der(&der(pem)?);
        let Ok(Jwk { algorithm: AlgorithmParameters::RSA(parts), .. }) = Jwk::from_decoding_key(&decoding, None) else {
            return Err(KeyError("is no RSA key; write one that begins -----BEGIN PUBLIC KEY-----"));
        };
        let modulus = URL_SAFE_NO_PAD.decode(parts.n).unwrap_or_default();
        if !MODULUS.contains(&modulus.len()) {
            return Err(KeyError("is an RSA key of a length that is not accepted; make one of 2048 to 8192 bits"));
        }
        Ok(Self { decoding, algorithms: Algorithms::Family(RSA) })
    }

    /// A public ECDSA key in PEM: ES256 on P-256, ES384 on P-384.
    pub fn ecdsa(pem: &str) -> Result<Self, KeyError> {
        let der = der(pem)?;
        let (point, algorithms) = match (der.strip_prefix(P256_HEAD), der.strip_prefix(P384_HEAD)) {
            (Some(point), _) if is_point(point, 32) => (point, P256),
            (_, Some(point)) if is_point(point, 48) => (point, P384),
            _ => return Err(KeyError("is no ECDSA key on the curve P-256 or P-384; write one of these")),
        };
        Ok(Self { decoding: DecodingKey::from_ec_der(point), algorithms: Algorithms::Family(algorithms) })
    }

    /// A public Ed25519 key in PEM: EdDSA.
    pub fn eddsa(pem: &str) -> Result<Self, KeyError> {
        let der = der(pem)?;
        match der.strip_prefix(ED25519_HEAD) {
            Some(point) if point.len() == 32 => {
                Ok(Self { decoding: DecodingKey::from_ed_der(point), algorithms: Algorithms::Family(ED25519) })
            }
            _ => Err(KeyError("is no Ed25519 key; write one")),
        }
    }

    /// A public key as identity providers publish it; `None` for one that signs no tokens, or not for us.
    pub(super) fn published(key: &PublishedKey) -> Option<Self> {
        let is_for_signatures = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && key.operations.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !is_for_signatures {
            return None;
        }
        let (decoding, family) = match (&*key.kind, key.curve.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (part(&key.n)?, part(&key.e)?);
                let fits = MODULUS.contains(&modulus.len()) && (1..=8).contains(&exponent.len());
                (fits.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))?, RSA)
            }
            ("EC", Some("P-256")) => (DecodingKey::from_ec_der(&point(key, 32)?), P256),
            ("EC", Some("P-384")) => (DecodingKey::from_ec_der(&point(key, 48)?), P384),
            ("OKP", Some("Ed25519")) => {
                let x = part(&key.x)?;
                ((x.len() == 32).then(|| DecodingKey::from_ed_der(&x))?, ED25519)
            }
            // `oct` above all: a secret that is published is none.
            _ => return None,
        };
        let algorithms = match &key.algorithm {
            None => Algorithms::Family(family),
            Some(name) => {
                Algorithms::One(Algorithm::from_str(name).ok().filter(|algorithm| family.contains(algorithm))?)
            }
        };
        Some(Self { decoding, algorithms })
    }

    /// Whether the key is for an algorithm.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        match self.algorithms {
            Algorithms::Family(all) => all.contains(&algorithm),
            Algorithms::One(one) => one == algorithm,
        }
    }

    /// Whether a signature, in base64, is this key's and fits a message.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.is_for(algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm).unwrap_or(false)
    }
}

/// A key as identity providers publish it (RFC 7517); what is secret or unknown in it is not even read.
#[derive(Deserialize)]
pub(super) struct PublishedKey {
    #[serde(rename = "kty")]
    kind: String,
    #[serde(rename = "kid")]
    pub(super) name: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    #[serde(rename = "key_ops")]
    operations: Option<Vec<String>>,
    #[serde(rename = "alg")]
    algorithm: Option<String>,
    #[serde(rename = "crv")]
    curve: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn part(encoded: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(encoded.as_ref()?).ok()
}

/// A point that is not compressed.
fn point(key: &PublishedKey, length: usize) -> Option<Vec<u8>> {
    let point = [vec![4], part(&key.x)?, part(&key.y)?].concat();
    is_point(&point, length).then_some(point)
}

fn is_point(bytes: &[u8], length: usize) -> bool {
    bytes.first() == Some(&4) && bytes.len() == 1 + 2 * length
}

/// The bytes of a public key in PEM.
fn der(pem: &str) -> Result<Vec<u8>, KeyError> {
    const WANTED: KeyError = KeyError("holds no public key; it must begin -----BEGIN PUBLIC KEY-----");
    let (_, begun) = pem.split_once("-----BEGIN ").ok_or(WANTED)?;
    let (label, rest) = begun.split_once("-----").ok_or(WANTED)?;
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
        "CERTIFICATE" => {
            return Err(KeyError("holds a certificate; take the key out of it (openssl x509 -pubkey -noout -in FILE)"));
        }
        _ if label.ends_with("PRIVATE KEY") => {
            return Err(KeyError(
                "holds a private key, which belongs only to who signs; write the public one (openssl pkey -pubout -in FILE)",
            ));
        }
        _ => return Err(WANTED),
    }
    let (body, _) = rest.split_once("-----END ").ok_or(KeyError("holds a key without an end; copy it whole"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).map_err(|_| KeyError("holds a key that is not base64; copy it whole"))
}
