//! Checks tokens: the signature first, then whom it is for and when, then what it says.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jackfield_model::Millis;
use jsonwebtoken::{Algorithm, Header};

use super::claims::{Claims, Text};
use super::error::TokenError;
use super::fields::Fields;
use super::key::Key;
use super::key_set::Keys;
use super::pattern::Pattern;

/// Checks tokens.
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Vec<Timed>,
    published: Option<Arc<Keys>>,
    audience: Option<Pattern>,
    issuer: Option<Pattern>,
    pub(super) user_claim: String,
}

/// A key, and the second after which it counts no more.
#[derive(Clone, Debug)]
struct Timed {
    key: Key,
    until: Option<u64>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { keys: Vec::new(), published: None, audience: None, issuer: None, user_claim: "sub".to_owned() }
    }
}

impl Verifier {
    /// A verifier for tokens signed with any of these secrets. An empty one is none: everybody knows it.
    #[must_use]
    pub fn hmac<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let given = secrets.into_iter().filter(|secret| !secret.is_empty());
        given.fold(Self::default(), |verifier, secret| verifier.key(Key::hmac(secret)))
    }

    /// Believes what this key has signed.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(Timed { key, until: None });
        self
    }

    /// Believes what this key has signed, up to a second since 1970.
    #[must_use]
    pub fn key_until(mut self, key: Key, until: u64) -> Self {
        self.keys.push(Timed { key, until: Some(until) });
        self
    }

    /// Believes what the keys have signed that an identity provider publishes.
    #[must_use]
    pub fn published(mut self, keys: Arc<Keys>) -> Self {
        self.published = Some(keys);
        self
    }

    /// Demands an audience; an empty one is no demand.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = exactly(audience);
        self
    }

    /// Demands an audience that fits a pattern.
    #[must_use]
    pub fn audience_pattern(mut self, pattern: Pattern) -> Self {
        self.audience = Some(pattern);
        self
    }

    /// Demands an issuer; an empty one is no demand.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = exactly(issuer);
        self
    }

    /// Demands an issuer that fits a pattern.
    #[must_use]
    pub fn issuer_pattern(mut self, pattern: Pattern) -> Self {
        self.issuer = Some(pattern);
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

    /// Whether it has neither a key nor anybody who publishes some, so that it believes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.published.is_none()
    }

    /// Checks a connection token at a moment.
    pub fn verify(&self, token: &str, now: Millis) -> Result<Claims, TokenError> {
        let json = self.open(token, now)?;
        let fields = Fields::parse(&json)?;
        self.check(&fields, now)?;
        Claims::read(&fields, &self.user_claim)
    }

    /// The claims of a token, as JSON, if its signature is good.
    pub(super) fn open(&self, token: &str, now: Millis) -> Result<Vec<u8>, TokenError> {
        let (message, signature) = token.rsplit_once('.').unwrap_or_default();
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| TokenError::Invalid("it is no JWT with a known algorithm"))?;
        // RFC 7515, 4.1.11: what a token calls critical must be understood, or the token refused.
        if header.crit.is_some() {
            return Err(TokenError::Invalid("its header demands an extension (crit)"));
        }
        self.check_signature(&header, message, signature, now / 1000)?;
        let payload = message.rsplit_once('.').map(|(_, payload)| payload).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Invalid("its claims are not base64"))
    }

    /// Looks for the key that made a signature: the one that the token names among the published ones, else any of our
    /// own that is for its algorithm.
    fn check_signature(
        &self,
        header: &Header,
        message: &str,
        signature: &str,
        now_seconds: u64,
    ) -> Result<(), TokenError> {
        let algorithm = header.alg;
        let mut names_unknown = false;
        if let (Some(published), Some(name)) = (&self.published, &header.kid)
            && !is_hmac(algorithm)
        {
            let set = published.current();
            let mut named = set.named(name).peekable();
            names_unknown = named.peek().is_none();
            if named.any(|key| key.verifies(algorithm, message, signature)) {
                return Ok(());
            }
        }
        let is_current = |timed: &&Timed| timed.until.is_none_or(|until| now_seconds <= until);
        let mut own =
            self.keys.iter().filter(is_current).map(|timed| &timed.key).filter(|key| key.is_for(algorithm)).peekable();
        let has_own = own.peek().is_some();
        if own.any(|key| key.verifies(algorithm, message, signature)) {
            return Ok(());
        }
        if names_unknown {
            if let Some(published) = &self.published {
                published.tell_unknown();
            }
            return Err(TokenError::UnknownKey);
        }
        Err(TokenError::Invalid(match (has_own, &self.published) {
            (true, _) => "its signature does not fit the server's key",
            (false, Some(_)) if is_hmac(algorithm) => "the server has no secret for its algorithm",
            (false, Some(_)) if header.kid.is_none() => "it names no key (kid)",
            (false, Some(_)) => "its signature does not fit the key it names",
            (false, None) => "the server has no key for its algorithm",
        }))
    }

    /// Whom it is for, from whom, and when.
    pub(super) fn check(&self, fields: &Fields<'_>, now: Millis) -> Result<(), TokenError> {
        if let Some(wanted) = &self.audience
            && !audience(fields)?.iter().any(|one| wanted.matches(&one.0))
        {
            return Err(TokenError::Invalid("its audience is another"));
        }
        if let Some(wanted) = &self.issuer
            && fields.typed::<Text<'_>>("iss", "its issuer must be a string")?.is_none_or(|one| !wanted.matches(&one.0))
        {
            return Err(TokenError::Invalid("its issuer is another"));
        }
        let now_seconds = now / 1000;
        if fields.seconds("nbf")?.is_some_and(|from| from > now_seconds) {
            return Err(TokenError::Invalid("it is not valid yet"));
        }
        if fields.seconds("exp")?.is_some_and(|until| until <= now_seconds) {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}

fn exactly(text: &str) -> Option<Pattern> {
    (!text.is_empty()).then(|| Pattern::Exact(text.into()))
}

fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The audiences a token names: one or a list.
fn audience<'a>(fields: &Fields<'a>) -> Result<Vec<Text<'a>>, TokenError> {
    const FAULT: &str = "its audience must be a string or a list of them";
    match fields.raw("aud").map(|value| value.get().starts_with('[')) {
        None => Ok(Vec::new()),
        Some(true) => Ok(fields.typed("aud", FAULT)?.unwrap_or_default()),
        Some(false) => Ok(fields.typed("aud", FAULT)?.into_iter().collect()),
    }
}
