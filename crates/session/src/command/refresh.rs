//! `refresh`: a new connection token in time.

use jackfield_model::ClientError;
use jackfield_model::Disconnect;
use jackfield_model::client::{Answer, Refreshed};

use super::Outcome;
use super::connect::renew_by;
use crate::session::{Session, bad_request};
use crate::token::TokenError;
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, token: &str, turn: &mut Turn<'_>) -> Outcome {
    if token.is_empty() {
        session.close(bad_request("`refresh` needs a token"), turn);
        return Ok(None);
    }
    let Some(verifier) = &turn.settings.verifier else { return Err(ClientError::NOT_AVAILABLE) };
    let claims = match verifier.verify(token, turn.now.millis) {
        Ok(claims) => claims,
        Err(TokenError::Expired) => {
            session.close(Disconnect::CONNECTION_EXPIRED, turn);
            return Ok(None);
        }
        // Temporary: the client asks again by itself, when the key is likely to be here.
        Err(TokenError::UnknownKey) => return Err(ClientError::INTERNAL),
        Err(error @ (TokenError::Invalid(_) | TokenError::Mismatch(_))) => {
            session.close(Disconnect { reason: error.to_string().into(), ..Disconnect::INVALID_TOKEN }, turn);
            return Ok(None);
        }
    };
    if *claims.user != *session.user() {
        let reason = "invalid token: it is another user's".into();
        session.close(Disconnect { reason, ..Disconnect::INVALID_TOKEN }, turn);
        return Ok(None);
    }
    let ttl = match claims.expire_at {
        Some(at) => Some(renew_by(session, at, turn)),
        None => {
            session.expire_due = 0;
            None
        }
    };
    Ok(Some(Answer::Refresh(Refreshed { client: session.id(), version: turn.settings.version, ttl })))
}
