//! The sections `client.token` and `client.subscription_token`: whose tokens are believed.

use std::fs;

use jackfield_session::KeyError;
use serde::{Deserialize, Serialize};

use super::schema::{Key, Kind};
use super::secret::Secret;

/// How tokens are checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Token {
    /// Key of tokens signed with HS256, HS384 or HS512.
    pub(crate) hmac_secret_key: Secret,
    /// The key before it, accepted while tokens signed with it are still about.
    pub(crate) hmac_previous_secret_key: Secret,
    /// Seconds since 1970 up to which the key before it is accepted; 0 for as long as it is given.
    pub(crate) hmac_previous_secret_key_valid_until: u64,
    /// Public key of tokens signed with RS256, RS384, RS512, PS256, PS384 or PS512: PEM, or the file that holds it.
    pub(crate) rsa_public_key: String,
    /// Public key of tokens signed with ES256 or ES384: PEM, or the file that holds it.
    pub(crate) ecdsa_public_key: String,
    /// Public key of tokens signed with EdDSA (Ed25519): PEM, or the file that holds it.
    pub(crate) eddsa_public_key: String,
    /// Address where an identity provider publishes its keys (JWKS), such as
    /// `https://login.example.com/.well-known/jwks.json`; a token names the key it is signed with in its header, `kid`.
    pub(crate) jwks_public_endpoint: String,
    /// The `aud` a token must carry; empty for any.
    pub(crate) audience: String,
    /// A regular expression that the whole `aud` of a token must fit, instead of `audience`.
    pub(crate) audience_regex: String,
    /// The `iss` a token must carry; empty for any.
    pub(crate) issuer: String,
    /// A regular expression that the whole `iss` of a token must fit, instead of `issuer`.
    pub(crate) issuer_regex: String,
    /// The claim that names the user; empty for `sub`.
    pub(crate) user_id_claim: String,
}

/// Reads the text of a public key.
type ReadKey = fn(&str) -> Result<jackfield_session::Key, KeyError>;

impl Token {
    /// The public keys that are given: option, text, and who reads it.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = (&'static str, &str, ReadKey)> {
        let all: [(_, &str, ReadKey); 3] = [
            ("rsa_public_key", &self.rsa_public_key, jackfield_session::Key::rsa),
            ("ecdsa_public_key", &self.ecdsa_public_key, jackfield_session::Key::ecdsa),
            ("eddsa_public_key", &self.eddsa_public_key, jackfield_session::Key::eddsa),
        ];
        all.into_iter().filter(|(_, text, _)| !text.is_empty())
    }

    /// Whether any token can be believed.
    pub(crate) fn has_keys(&self) -> bool {
        let public = [&self.rsa_public_key, &self.ecdsa_public_key, &self.eddsa_public_key, &self.jwks_public_endpoint];
        !self.hmac_secret_key.is_empty() || public.into_iter().any(|one| !one.is_empty())
    }
}

/// How subscription tokens are checked.
///
/// Why flatten: users write both side by side. Unknown keys are found by `check` before serde sees the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct SubscriptionToken {
    /// Check subscription tokens with what stands here, and with nothing of `client.token`; off, they are checked as
    /// connection tokens are.
    pub(crate) enabled: bool,
    /// With what.
    #[serde(flatten)]
    pub(crate) token: Token,
}

/// The PEM that an option holds or names.
pub(crate) fn pem(text: &str) -> Result<String, String> {
    if text.contains("-----BEGIN") {
        return Ok(text.to_owned());
    }
    fs::read_to_string(text).map_err(|error| {
        format!("names a file that cannot be read ({error}); write the key itself, from -----BEGIN PUBLIC KEY-----, or the path of its file")
    })
}

/// The keys of `client.token`.
pub(super) const TOKEN: Kind = Kind::Section("Token", KEYS.as_slice());

/// The keys of `client.subscription_token`.
pub(super) const SUBSCRIPTION_TOKEN: Kind = Kind::Section("SubscriptionToken", SUBSCRIPTION_KEYS.as_slice());

const KEYS: [Key; 12] = [
    Key::new("hmac_secret_key", Kind::Secret),
    Key::new("hmac_previous_secret_key", Kind::Secret),
    Key::new("hmac_previous_secret_key_valid_until", Kind::Integer),
    Key::new("rsa_public_key", Kind::Text),
    Key::new("ecdsa_public_key", Kind::Text),
    Key::new("eddsa_public_key", Kind::Text),
    Key::new("jwks_public_endpoint", Kind::Text),
    Key::new("audience", Kind::Text),
    Key::new("audience_regex", Kind::Text),
    Key::new("issuer", Kind::Text),
    Key::new("issuer_regex", Kind::Text),
    Key::new("user_id_claim", Kind::Text),
];

/// The switch, then the same keys.
const SUBSCRIPTION_KEYS: [Key; 13] = {
    let mut keys = [Key::new("enabled", Kind::Bool); 13];
    let mut index = 0;
    while index < KEYS.len() {
        keys[index + 1] = KEYS[index];
        index += 1;
    }
    keys
};
