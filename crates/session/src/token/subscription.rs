//! Subscription tokens: one channel for one user.

use std::sync::Arc;

use jackfield_model::{Grant, Millis};

use super::claims::{Text, expire_at, grant, token_id, user};
use super::error::TokenError;
use super::fields::Fields;
use super::verifier::Verifier;

/// Who brings a subscription token, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber<'a> {
    /// The user of the connection; empty for an anonymous one.
    pub user: &'a str,
    /// The id of the connection.
    pub client: &'a str,
    /// The channel it asks for.
    pub channel: &'a str,
}

/// What a good subscription token says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionClaims {
    /// What it grants, until when.
    pub grant: Grant,
    /// `iat`, in milliseconds: when it was made, for who revokes all that were made before.
    pub issued_at: Option<Millis>,
    /// `jti`: its name, for who revokes just this one.
    pub token_id: Option<Arc<str>>,
}

impl Verifier {
    /// Checks a token that somebody brings for a channel, at a moment.
    pub fn verify_subscription(
        &self,
        token: &str,
        subscriber: Subscriber<'_>,
        now: Millis,
    ) -> Result<SubscriptionClaims, TokenError> {
        let json = self.open(token, now)?;
        let fields = Fields::parse(&json)?;
        self.check(&fields, now)?;
        let channel = fields.typed::<Text<'_>>("channel", "its channel must be a string")?;
        if channel.is_none_or(|channel| channel.0 != subscriber.channel) {
            return Err(TokenError::Mismatch("its channel is another"));
        }
        if user(&fields, &self.user_claim)? != subscriber.user {
            return Err(TokenError::Mismatch("it is another user's"));
        }
        // Tokens of long ago name the connection they are for.
        let client = fields.typed::<Text<'_>>("client", "its client must be a string")?;
        if client.is_some_and(|client| !client.0.is_empty() && client.0 != subscriber.client) {
            return Err(TokenError::Mismatch("it is for another connection"));
        }
        let grant = Grant { expire_at: expire_at(&fields)?, ..grant(&fields)? };
        Ok(SubscriptionClaims { grant, issued_at: fields.millis("iat")?, token_id: token_id(&fields)? })
    }
}
