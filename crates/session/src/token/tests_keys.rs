//! Each algorithm with keys made here, and every way of passing one off as another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use proptest::prelude::*;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use serde_json::{Value, json};

use super::tests::{NOW, base64url};
use super::*;

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

/// A key pair of somebody who signs tokens.
struct Pair {
    public_pem: String,
    public: DecodingKey,
    private: EncodingKey,
    algorithms: Vec<Algorithm>,
}

impl Pair {
    fn make(kind: &'static SignatureAlgorithm) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        let (pem, raw) = (pair.serialize_pem(), pair.public_key_raw());
        let (private, public, algorithms) = if *kind == PKCS_RSA_SHA256 {
            (EncodingKey::from_rsa_pem(pem.as_bytes()), DecodingKey::from_rsa_der(raw), RSA.to_vec())
        } else if *kind == PKCS_ED25519 {
            (EncodingKey::from_ed_pem(pem.as_bytes()), DecodingKey::from_ed_der(raw), vec![Algorithm::EdDSA])
        } else {
            let algorithm = if *kind == PKCS_ECDSA_P384_SHA384 { Algorithm::ES384 } else { Algorithm::ES256 };
            (EncodingKey::from_ec_pem(pem.as_bytes()), DecodingKey::from_ec_der(raw), vec![algorithm])
        };
        Self { public_pem: pair.public_key_pem(), public, private: private.unwrap(), algorithms }
    }

    fn all() -> Vec<Self> {
        [&PKCS_RSA_SHA256, &PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].map(Self::make).into()
    }

    fn key(&self) -> Key {
        match self.algorithms[0] {
            Algorithm::EdDSA => Key::eddsa(&self.public_pem),
            Algorithm::ES256 | Algorithm::ES384 => Key::ecdsa(&self.public_pem),
            _ => Key::rsa(&self.public_pem),
        }
        .unwrap()
    }

    fn sign(&self, algorithm: Algorithm, name: Option<&str>) -> String {
        let header = Header { kid: name.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &json!({"sub": "42"}), &self.private).unwrap()
    }

    /// The key as an identity provider publishes it, without the algorithm it is for.
    fn published(&self, name: &str) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_decoding_key(&self.public, None).unwrap()).unwrap();
        jwk["kid"] = name.into();
        jwk
    }
}

fn sign_hmac(algorithm: Algorithm, secret: &[u8]) -> String {
    encode(&Header::new(algorithm), &json!({"sub": "42"}), &EncodingKey::from_secret(secret)).unwrap()
}

fn verifies(verifier: &Verifier, token: &str) -> bool {
    match verifier.verify(token, NOW) {
        Ok(claims) => &*claims.user == "42",
        Err(_) => false,
    }
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// Keys in a set, and how often an unknown one was named.
fn publishing(keys: &[Value]) -> (Verifier, Arc<Keys>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let shared = Arc::new(Keys::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    shared.replace(set(keys));
    (Verifier::default().published(Arc::clone(&shared)), shared, asked)
}

#[test]
fn each_algorithm_with_the_key_of_its_family_only() {
    let pairs = Pair::all();
    let secret = Verifier::hmac(["old", "secret"]);
    for algorithm in HMAC {
        let token = sign_hmac(algorithm, b"secret");
        assert!(verifies(&secret, &token), "{algorithm:?}");
        assert!(!verifies(&Verifier::hmac(["other"]), &token), "{algorithm:?}");
        assert!(!pairs.iter().any(|pair| verifies(&Verifier::default().key(pair.key()), &token)), "{algorithm:?}");
    }
    let all = pairs.iter().fold(secret.clone(), |verifier, pair| verifier.key(pair.key()));
    for (nth, pair) in pairs.iter().enumerate() {
        for algorithm in &pair.algorithms {
            let token = pair.sign(*algorithm, None);
            assert!(verifies(&all, &token), "{algorithm:?}");
            assert!(!verifies(&secret, &token), "{algorithm:?}");
            for (other, wrong) in pairs.iter().enumerate() {
                assert_eq!(verifies(&Verifier::default().key(wrong.key()), &token), other == nth, "{algorithm:?}");
            }
        }
    }
    // The same kind, another key.
    for pair in Pair::all() {
        assert!(!verifies(&all, &pair.sign(pair.algorithms[0], None)));
    }
}

#[test]
fn the_public_key_is_no_secret() {
    for pair in Pair::all() {
        let (published, _, _) = publishing(&[pair.published("k")]);
        let both = published.clone().key(pair.key());
        let der = pair.public_pem.lines().filter(|line| !line.starts_with("--")).collect::<String>();
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der).unwrap();
        let secrets = [pair.public_pem.as_bytes(), pair.public_pem.trim().as_bytes(), &der, &der[26..], &der[12..]];
        for (secret, algorithm) in secrets.into_iter().flat_map(|secret| HMAC.map(|algorithm| (secret, algorithm))) {
            let header = Header { kid: Some("k".to_owned()), ..Header::new(algorithm) };
            let named = encode(&header, &json!({"sub": "42"}), &EncodingKey::from_secret(secret)).unwrap();
            for token in [named, sign_hmac(algorithm, secret)] {
                let refused = both.verify(&token, NOW).unwrap_err();
                assert_eq!(refused, TokenError::Invalid("the server has no secret for its algorithm"));
            }
        }
    }
}

#[test]
fn no_signature_is_no_signature() {
    let claims = base64url(r#"{"sub":"42"}"#);
    let pairs = Pair::all();
    let all = pairs.iter().fold(Verifier::hmac(["secret", ""]), |verifier, pair| verifier.key(pair.key()));
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256 ", "ES512", "ES256K", "RSA1_5", "dir"] {
        let header = base64url(&json!({"alg": algorithm, "typ": "JWT"}).to_string());
        for signature in ["", "AA", "bm9uZQ"] {
            let token = format!("{header}.{claims}.{signature}");
            let refused = all.verify(&token, NOW).unwrap_err();
            assert_eq!(refused, TokenError::Invalid("it is no JWT with a known algorithm"), "{algorithm}");
        }
    }
    for header in [json!({}), json!({"alg": null}), json!({"alg": ["HS256"]}), json!({"alg": "HS256", "typ": 1})] {
        let token = format!("{}.{claims}.", base64url(&header.to_string()));
        assert!(!verifies(&all, &token), "{header}");
    }
    // Algorithms that are known, signatures that are none.
    for algorithm in RSA.into_iter().chain(HMAC).chain([Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]) {
        let header = base64url(&serde_json::to_string(&Header::new(algorithm)).unwrap());
        for length in [0, 1, 32, 64, 96, 256] {
            let zeros = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, vec![0; length]);
            assert!(!verifies(&all, &format!("{header}.{claims}.{zeros}")), "{algorithm:?} {length}");
        }
    }
}

#[test]
fn a_key_inside_of_a_token_is_not_believed() {
    let (own, attacker) = (Pair::make(&PKCS_ECDSA_P256_SHA256), Pair::make(&PKCS_ECDSA_P256_SHA256));
    let (published, _, _) = publishing(&[own.published("k")]);
    let jwk: Jwk = serde_json::from_value(attacker.published("k")).unwrap();
    for header in [
        Header { jwk: Some(jwk), kid: Some("k".to_owned()), ..Header::new(Algorithm::ES256) },
        Header { jku: Some("https://evil.example/jwks".to_owned()), ..Header::new(Algorithm::ES256) },
    ] {
        let token = encode(&header, &json!({"sub": "42"}), &attacker.private).unwrap();
        assert!(!verifies(&published.clone().key(own.key()), &token));
    }
}

#[test]
fn an_empty_secret_is_none() {
    assert!(Verifier::hmac([""]).is_empty());
    assert!(!verifies(&Verifier::hmac(["", "secret"]), &sign_hmac(Algorithm::HS256, b"")));
}

#[test]
fn a_previous_secret_counts_until_its_time_is_over() {
    let token = sign_hmac(Algorithm::HS256, b"old");
    let until = |seconds| Verifier::hmac(["new"]).key_until(Key::hmac("old"), seconds);
    assert!(verifies(&until(NOW / 1000), &token));
    assert!(!verifies(&until(NOW / 1000 - 1), &token));
    assert!(verifies(&until(0), &sign_hmac(Algorithm::HS256, b"new")));
}

#[test]
fn published_keys_are_found_by_name() {
    let pairs = Pair::all();
    let names = ["r", "e", "f", "d"];
    let jwks: Vec<_> = pairs.iter().zip(names).map(|(pair, name)| pair.published(name)).collect();
    let (verifier, _, asked) = publishing(&jwks);
    for (pair, name) in pairs.iter().zip(names) {
        for algorithm in &pair.algorithms {
            assert!(verifies(&verifier, &pair.sign(*algorithm, Some(name))), "{algorithm:?}");
            let error = |name| verifier.verify(&pair.sign(*algorithm, name), NOW).unwrap_err();
            assert_eq!(error(None), TokenError::Invalid("it names no key (kid)"));
            let other = names.into_iter().find(|other| *other != name);
            assert_eq!(error(other), TokenError::Invalid("its signature does not fit the key it names"));
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let (stranger, unknown) = (&pairs[1], Some("new"));
    assert_eq!(verifier.verify(&stranger.sign(Algorithm::ES256, unknown), NOW).unwrap_err(), TokenError::UnknownKey);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn published_keys_are_exchanged_under_a_verifier() {
    let (old, new) = (Pair::make(&PKCS_ED25519), Pair::make(&PKCS_ED25519));
    let (verifier, keys, _) = publishing(&[old.published("1")]);
    let (first, second) = (old.sign(Algorithm::EdDSA, Some("1")), new.sign(Algorithm::EdDSA, Some("2")));
    assert!(verifies(&verifier, &first) && !verifies(&verifier, &second));
    keys.replace(set(&[old.published("1"), new.published("2")]));
    assert!(verifies(&verifier, &first) && verifies(&verifier, &second));
    keys.replace(set(&[new.published("2")]));
    assert_eq!(verifier.verify(&first, NOW).unwrap_err(), TokenError::UnknownKey);
    assert_eq!(keys.current().len(), 1);
}

#[test]
fn own_keys_count_beside_published_ones() {
    let (own, provider) = (Pair::make(&PKCS_ECDSA_P256_SHA256), Pair::make(&PKCS_ECDSA_P256_SHA256));
    let (published, _, asked) = publishing(&[provider.published("p")]);
    let verifier = published.key(own.key()).key(Key::hmac("secret"));
    assert!(verifies(&verifier, &own.sign(Algorithm::ES256, Some("whatever"))));
    assert!(verifies(&verifier, &own.sign(Algorithm::ES256, None)));
    assert!(verifies(&verifier, &provider.sign(Algorithm::ES256, Some("p"))));
    assert!(verifies(&verifier, &sign_hmac(Algorithm::HS256, b"secret")));
    // A secret is never published, so nobody goes looking for one.
    let header = Header { kid: Some("x".to_owned()), ..Header::default() };
    let token = encode(&header, &json!({}), &EncodingKey::from_secret(b"wrong")).unwrap();
    assert!(matches!(verifier.verify(&token, NOW), Err(TokenError::Invalid(_))));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn published_keys_that_sign_no_tokens_are_passed_over() {
    let (ec, rsa, ed) = (Pair::make(&PKCS_ECDSA_P256_SHA256), Pair::make(&PKCS_RSA_SHA256), Pair::make(&PKCS_ED25519));
    let with = |pair: &Pair, name: &str, value: Value| {
        let mut jwk = pair.published("k");
        jwk[name] = value;
        jwk
    };
    let useless = [
        json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}),
        json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256", "use": "sig"}),
        with(&ec, "use", json!("enc")),
        with(&ec, "key_ops", json!(["sign"])),
        with(&ec, "kid", Value::Null),
        with(&ec, "kid", json!(1)),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "crv", json!("secp256k1")),
        with(&ec, "x", json!("AA")),
        with(&ec, "y", Value::Null),
        with(&ec, "alg", json!("HS256")),
        with(&ec, "alg", json!("ES384")),
        with(&rsa, "alg", json!("HS256")),
        with(&rsa, "n", json!("AQAB")),
        with(&rsa, "n", json!("+/==")),
        with(&rsa, "e", json!("")),
        with(&ed, "crv", json!("X25519")),
        with(&ed, "x", json!("AA")),
        with(&ed, "kty", json!("AKP")),
        json!(1),
        json!({}),
    ];
    let (set, count) = (set(&useless), useless.len());
    assert_eq!((set.len(), set.passed_over(), set.is_empty()), (0, count, true));
    let (verifier, _, _) = publishing(&useless);
    let header = Header { kid: Some("k".to_owned()), ..Header::default() };
    let token = encode(&header, &json!({"sub": "42"}), &EncodingKey::from_secret(b"secret")).unwrap();
    assert!(!verifies(&verifier, &token));
    // What a key says it is for binds it.
    let (verifier, _, _) = publishing(&[with(&rsa, "alg", json!("RS256"))]);
    assert!(verifies(&verifier, &rsa.sign(Algorithm::RS256, Some("k"))));
    assert!(!verifies(&verifier, &rsa.sign(Algorithm::PS256, Some("k"))));
}

#[test]
fn what_is_no_set_of_keys_says_so() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":1}"#, "<html>", r#"{"keys":[]"#] {
        assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), KeySetError::Malformed, "{text}");
    }
    let keys = json!({"keys": vec![json!({}); 101]}).to_string();
    assert_eq!(KeySet::parse(keys.as_bytes()).unwrap_err(), KeySetError::TooMany);
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
}

#[test]
fn what_is_no_key_says_what_would_be_right() {
    let (ec, rsa, ed) = (Pair::make(&PKCS_ECDSA_P256_SHA256), Pair::make(&PKCS_RSA_SHA256), Pair::make(&PKCS_ED25519));
    let large = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
    let told = |key: Result<Key, KeyError>| key.unwrap_err().to_string();
    for pem in [&ec.public_pem, &ed.public_pem] {
        assert!(told(Key::rsa(pem)).contains("is no RSA key"));
    }
    for pem in [&rsa.public_pem, &ed.public_pem, &large.public_key_pem()] {
        assert!(told(Key::ecdsa(pem)).contains("P-256 or P-384"));
    }
    for pem in [&rsa.public_pem, &ec.public_pem] {
        assert!(told(Key::eddsa(pem)).contains("Ed25519"));
    }
    for make in [Key::rsa, Key::ecdsa, Key::eddsa] {
        assert!(told(make(&large.serialize_pem())).contains("private key"));
        assert!(told(make("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----")).contains("certificate"));
        assert!(told(make("-----BEGIN PUBLIC KEY-----\nAA==")).contains("without an end"));
        assert!(told(make("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----")).contains("base64"));
        for text in ["", "secret", "-----BEGIN ", "-----BEGIN X-----\n-----END X-----"] {
            assert!(told(make(text)).contains("must begin -----BEGIN PUBLIC KEY-----"), "{text}");
        }
    }
    // As some files have them.
    assert!(Key::ecdsa(&ec.public_pem.replace('\n', "\r\n")).is_ok());
    assert!(Key::eddsa(&format!("key of the login server\n{}", ed.public_pem)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mutated_token_never_verifies(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]", kind in 0..3_usize) {
        let pair = Pair::make([&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519][kind]);
        let token = pair.sign(pair.algorithms[0], None);
        let verifier = Verifier::default().key(pair.key());
        prop_assert!(verifies(&verifier, &token));
        let at = at.index(token.len());
        let mutated = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
        prop_assume!(mutated != token);
        prop_assert!(!verifies(&verifier, &mutated), "{}", mutated);
    }
}
