//! Who checks tokens: the keys of the configuration, and those that identity providers publish.

use anyhow::Context;
use jackfield_fetch::{Fetch, Options, Url};
use jackfield_jwks::{Follower, Pace, follow};
use jackfield_session::{Key, Pattern, Verifier};
use tokio::runtime::Handle;

use crate::config::{Config, Token, pem};

/// Who checks tokens.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// Connection tokens.
    pub(crate) connection: Option<Verifier>,
    /// Subscription tokens, where they have keys of their own.
    pub(crate) subscription: Option<Verifier>,
    followers: Vec<Follower>,
}

impl Identity {
    /// Reads the keys; those that are published elsewhere come later, by [`Identity::follow`].
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let mut identity = Self::default();
        let (connection, own) = (&config.client.token, &config.client.subscription_token);
        identity.connection =
            identity.verifier(connection, "client.token.jwks_public_endpoint").context("read client.token")?;
        if own.enabled {
            let verifier = identity.verifier(&own.token, "client.subscription_token.jwks_public_endpoint");
            identity.subscription = verifier.context("read client.subscription_token")?;
        }
        Ok(identity)
    }

    /// Begins to fetch published keys; nobody waits for them.
    pub(crate) fn follow(&mut self, runtime: &Handle) {
        for follower in self.followers.drain(..) {
            runtime.spawn(follower.run());
        }
    }

    fn verifier(&mut self, token: &Token, endpoint: &'static str) -> anyhow::Result<Option<Verifier>> {
        if !token.has_keys() {
            return Ok(None);
        }
        let mut verifier = Verifier::hmac([token.hmac_secret_key.expose()])
            .audience(&token.audience)
            .issuer(&token.issuer)
            .user_claim(&token.user_id_claim);
        let (previous, until) = (&token.hmac_previous_secret_key, token.hmac_previous_secret_key_valid_until);
        if !previous.is_empty() {
            let until = if until == 0 { u64::MAX } else { until };
            verifier = verifier.key_until(Key::hmac(previous.expose()), until);
        }
        for (name, text, make) in token.public_keys() {
            let pem = pem(text).map_err(|fault| anyhow::anyhow!("{name} {fault}"))?;
            verifier = verifier.key(make(&pem).map_err(|fault| anyhow::anyhow!("{name} {fault}"))?);
        }
        if !token.audience_regex.is_empty() {
            verifier = verifier.audience_pattern(Pattern::regex(&token.audience_regex).context("read audience_regex")?);
        }
        if !token.issuer_regex.is_empty() {
            verifier = verifier.issuer_pattern(Pattern::regex(&token.issuer_regex).context("read issuer_regex")?);
        }
        if !token.jwks_public_endpoint.is_empty() {
            let url = Url::parse(&token.jwks_public_endpoint).context("read jwks_public_endpoint")?;
            let fetch = Fetch::new(&Options { in_flight: 1, ..Options::default() })?;
            let (keys, follower) = follow(&fetch, url, endpoint, Pace::default());
            self.followers.push(follower);
            verifier = verifier.published(keys);
        }
        Ok(Some(verifier))
    }
}

#[cfg(test)]
mod tests {
    use jackfield_session::TokenError;

    use super::*;

    fn identity(text: &str) -> anyhow::Result<Identity> {
        let config: Config = toml::from_str(text)?;
        Identity::open(&config)
    }

    /// A token for user 42 without an end, signed with "secret".
    fn token(secret: &str) -> String {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &serde_json::json!({"sub": "42", "aud": "a"}), &key)
            .unwrap()
    }

    fn verifies(verifier: Option<&Verifier>, secret: &str, seconds: u64) -> bool {
        verifier.unwrap().verify(&token(secret), seconds * 1000).is_ok()
    }

    #[test]
    fn no_key_is_no_verifier() {
        let identity = identity("").unwrap();
        assert!(identity.connection.is_none() && identity.subscription.is_none());
    }

    #[test]
    fn the_keys_of_the_configuration_count() {
        let text = "[client.token]\nhmac_secret_key = \"new\"\nhmac_previous_secret_key = \"old\"\n";
        let endless = identity(text).unwrap();
        assert!(verifies(endless.connection.as_ref(), "new", 9) && verifies(endless.connection.as_ref(), "old", 9));
        assert!(!verifies(endless.connection.as_ref(), "", 9) && endless.subscription.is_none());
        let ending = identity(&format!("{text}hmac_previous_secret_key_valid_until = 8\n")).unwrap();
        assert!(verifies(ending.connection.as_ref(), "old", 8) && !verifies(ending.connection.as_ref(), "old", 9));
        for (line, fits) in
            [("audience_regex = \"[ab]\"", true), ("audience_regex = \"b\"", false), ("audience = \"a\"", true)]
        {
            let identity = identity(&format!("{text}{line}\n")).unwrap();
            assert_eq!(verifies(identity.connection.as_ref(), "new", 9), fits, "{line}");
        }
        let issued = identity(&format!("{text}issuer_regex = \".*\"\n")).unwrap();
        assert!(!verifies(issued.connection.as_ref(), "new", 9));
    }

    #[test]
    fn subscription_tokens_may_have_keys_of_their_own() {
        let text = "[client.token]\nhmac_secret_key = \"a\"\n[client.subscription_token]\nhmac_secret_key = \"b\"\n";
        assert!(identity(text).unwrap().subscription.is_none());
        let own = identity(&format!("{text}enabled = true\n")).unwrap();
        assert!(verifies(own.subscription.as_ref(), "b", 9) && !verifies(own.subscription.as_ref(), "a", 9));
        assert!(verifies(own.connection.as_ref(), "a", 9) && !verifies(own.connection.as_ref(), "b", 9));
    }

    #[test]
    fn published_keys_are_followed_where_there_are_some() {
        let text = "[client.token]\njwks_public_endpoint = \"http://127.0.0.1:9/keys\"\n";
        let identity = identity(text).unwrap();
        assert_eq!(identity.followers.len(), 1);
        let refused = identity.connection.unwrap().verify(&token("secret"), 0).unwrap_err();
        assert!(matches!(refused, TokenError::Invalid(_)), "{refused:?}");
    }
}
