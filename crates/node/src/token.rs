//! `jackfield token`: a connection token, for trying out and for tests.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use jsonwebtoken::{EncodingKey, Header};

use crate::cli::{Source, say};

/// `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The user's id.
    user: String,
    /// Seconds until it expires; 0: never.
    #[arg(long, default_value_t = 3600)]
    ttl: u64,
    /// JSON that others see in presence, like '{"name":"Ann"}'.
    #[arg(long)]
    info: Option<String>,
    #[command(flatten)]
    source: Source,
}

impl Token {
    /// Prints a token signed with the server's secret.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let (config, _) = self.source.load(&[])?;
        let secret = config.client.token.hmac_secret_key.expose();
        anyhow::ensure!(
            !secret.is_empty(),
            "client.token.hmac_secret_key is not set: give the server's configuration with -c FILE, or JACKFIELD_CLIENT_TOKEN_HMAC_SECRET_KEY"
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = serde_json::json!({ "iat": now });
        let user =
            if config.client.token.user_id_claim.is_empty() { "sub" } else { &config.client.token.user_id_claim };
        claims[user] = self.user.clone().into();
        if self.ttl > 0 {
            claims["exp"] = (now + self.ttl).into();
        }
        for (claim, value) in [("aud", &config.client.token.audience), ("iss", &config.client.token.issuer)] {
            if !value.is_empty() {
                claims[claim] = value.clone().into();
            }
        }
        if let Some(info) = &self.info {
            claims["info"] = serde_json::from_str(info).context("--info must be JSON")?;
        }
        let key = EncodingKey::from_secret(secret.as_bytes());
        say(&jsonwebtoken::encode(&Header::default(), &claims, &key).context("sign the token")?);
        Ok(())
    }
}
