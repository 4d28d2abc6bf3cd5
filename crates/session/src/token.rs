//! Connection tokens: JSON Web Tokens (RFC 7519) signed with HMAC.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::Millis;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

/// What a good token says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    /// The user; empty for an anonymous one.
    pub user: Arc<str>,
    /// JSON for presence and publications.
    pub info: Option<Bytes>,
    /// JSON for the application.
    pub meta: Option<Bytes>,
    /// Seconds since 1970 after which the connection must have a new token.
    pub expire_at: Option<u64>,
}

/// Why a token is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("token expired")]
    Expired,
    /// It never was, and this is why.
    #[error("invalid token: {0}")]
    Invalid(&'static str),
}

/// Checks tokens.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<DecodingKey>,
    audience: Option<String>,
    issuer: Option<String>,
    user_claim: String,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for tokens signed with any of these secrets (the current one and the one before).
    #[must_use]
    pub fn hmac<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let keys = secrets.into_iter().map(|secret| DecodingKey::from_secret(secret.as_bytes())).collect();
        Self { keys, audience: None, issuer: None, user_claim: "sub".to_owned() }
    }

    /// Demands an audience.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = (!audience.is_empty()).then(|| audience.to_owned());
        self
    }

    /// Demands an issuer.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = (!issuer.is_empty()).then(|| issuer.to_owned());
        self
    }

    /// Takes the user from another claim than `sub`.
    #[must_use]
    pub fn user_claim(mut self, claim: &str) -> Self {
        if !claim.is_empty() {
            claim.clone_into(&mut self.user_claim);
        }
        self
    }

    /// Checks a token at a moment.
    ///
    /// The signature is checked before a single claim is believed, and only HMAC algorithms are known here: a token
    /// that names `none` or a public-key algorithm fails, whatever it is signed with.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| TokenError::Invalid("it is no JWT with a known algorithm"))?;
        if !matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
            return Err(TokenError::Invalid("its algorithm must be HS256, HS384 or HS512"));
        }
        let mut validation = Validation::new(header.alg);
        // The time is handed in, so what depends on it is checked below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = self
            .keys
            .iter()
            .find_map(|key| jsonwebtoken::decode::<serde_json::Map<String, Value>>(token, key, &validation).ok())
            .ok_or(TokenError::Invalid("its signature does not fit the server's secret"))?
            .claims;
        self.check(&claims, now / 1000)
    }

    fn check(&self, claims: &serde_json::Map<String, Value>, now_seconds: u64) -> Result<Claims, TokenError> {
        if let Some(audience) = &self.audience {
            let named = match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
                Some(one) => one.as_str() == Some(audience),
                None => false,
            };
            if !named {
                return Err(TokenError::Invalid("its audience is another"));
            }
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenError::Invalid("its issuer is another"));
        }
        let exp = seconds(claims, "exp")?;
        if seconds(claims, "nbf")?.is_some_and(|from| from > now_seconds) {
            return Err(TokenError::Invalid("it is not valid yet"));
        }
        if exp.is_some_and(|until| until <= now_seconds) {
            return Err(TokenError::Expired);
        }
        let expire_at = match seconds(claims, "expire_at")? {
            Some(0) => None,
            Some(at) => Some(at),
            None => exp,
        };
        let user = match claims.get(&self.user_claim) {
            None | Some(Value::Null) => Arc::from(""),
            Some(Value::String(user)) => Arc::from(user.as_str()),
            Some(_) => return Err(TokenError::Invalid("its user id must be a string")),
        };
        Ok(Claims { user, info: info(claims)?, meta: json(claims.get("meta")), expire_at })
    }
}

fn seconds(claims: &serde_json::Map<String, Value>, name: &str) -> Result<Option<u64>, TokenError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().or_else(|| value.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64)) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(TokenError::Invalid("its times must be seconds since 1970")),
        },
    }
}

fn info(claims: &serde_json::Map<String, Value>) -> Result<Option<Bytes>, TokenError> {
    if let Some(encoded) = claims.get("b64info").and_then(Value::as_str).filter(|text| !text.is_empty()) {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded)
            .map_err(|_| TokenError::Invalid("its b64info is not base64"))?;
        if serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_err() {
            return Err(TokenError::Invalid("its b64info is not JSON"));
        }
        return Ok(Some(bytes.into()));
    }
    Ok(json(claims.get("info")))
}

fn json(value: Option<&Value>) -> Option<Bytes> {
    value.filter(|value| !value.is_null()).map(|value| value.to_string().into())
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const NOW: Millis = 1_700_000_000_000;

    fn sign(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn verify(claims: &Value) -> Result<Claims, TokenError> {
        Verifier::hmac(["new", "old"]).verify(&sign(Algorithm::HS256, claims, "old"), NOW)
    }

    #[test]
    fn a_good_token() {
        let claims = verify(&json!({"sub": "42", "exp": 1_700_000_100, "info": {"name": "Ann"}})).unwrap();
        assert_eq!(&*claims.user, "42");
        assert_eq!(claims.expire_at, Some(1_700_000_100));
        assert_eq!(claims.info.unwrap().as_ref(), br#"{"name":"Ann"}"#);
    }

    #[test]
    fn bad_tokens() {
        assert_eq!(verify(&json!({"sub": "42", "exp": 1_700_000_000})), Err(TokenError::Expired));
        assert!(verify(&json!({"sub": 42})).is_err());
        assert!(verify(&json!({"sub": "42", "nbf": 1_700_000_001})).is_err());
        assert!(verify(&json!({"sub": "42", "exp": "soon"})).is_err());
        let verifier = Verifier::hmac(["secret"]);
        assert!(verifier.verify(&sign(Algorithm::HS256, &json!({"sub": "1"}), "other"), NOW).is_err());
        for garbage in ["", "a", "a.b.c", "....", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."] {
            assert!(matches!(verifier.verify(garbage, NOW), Err(TokenError::Invalid(_))), "{garbage}");
        }
    }

    #[test]
    fn audience_and_issuer_count_where_they_are_asked_for() {
        let token = sign(Algorithm::HS512, &json!({"sub": "1", "aud": ["a", "b"], "iss": "i"}), "s");
        assert!(Verifier::hmac(["s"]).audience("b").issuer("i").verify(&token, NOW).is_ok());
        assert!(Verifier::hmac(["s"]).audience("c").verify(&token, NOW).is_err());
        assert!(Verifier::hmac(["s"]).issuer("j").verify(&token, NOW).is_err());
    }
}
