//! `refresh`: a new connection token in time.

use jackfield_hub::TokenMarks;
use jackfield_model::client::{Answer, Refreshed};
use jackfield_model::{ClientError, Disconnect};

use super::Outcome;
use crate::orders::revoked;
use crate::session::{Session, bad_request};
use crate::token::TokenError;
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, token: &str, turn: &mut Turn<'_>) -> Outcome {
    if token.is_empty() {
        session.close(bad_request("`refresh` needs a token"), turn);
        return Ok(None);
    }
    if turn.settings.refresh_call.is_some() {
        session.close(bad_request("`refresh` is not for clients here: the server renews connections itself"), turn);
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
    let uid = claims.more.as_ref().and_then(|more| more.token_id.as_deref()).unwrap_or_default();
    let marks = TokenMarks { uid, issued_at: claims.issued_at };
    if let Some(void) = turn.hub.void(&claims.user, marks, turn.now.millis) {
        session.close(revoked(void), turn);
        return Ok(None);
    }
    session.remember_token(&claims);
    session.take_info(claims.info.clone(), turn);
    let ttl = match claims.expire_at {
        Some(at) => Some(session.renew_by(at, turn)),
        None => {
            session.expire_due = 0;
            None
        }
    };
    Ok(Some(Answer::Refresh(Refreshed { client: session.id(), version: turn.settings.version, ttl })))
}
