//! `sub_refresh`: a new subscription token in time.

use jackfield_model::ClientError;
use jackfield_model::client::{Answer, SubRefresh};

use super::admission::{Refusal, verified};
use super::{Outcome, refused};
use crate::entry::MOST_SECONDS;
use crate::session::{Session, bad_request};
use crate::turn::Turn;

pub(super) fn run(session: &mut Session, refresh: &SubRefresh<'_>, turn: &mut Turn<'_>) -> Outcome {
    match renew(session, refresh, turn) {
        Ok(ttl) => Ok(Some(Answer::SubRefresh(ttl))),
        Err(refusal) => refused(session, refusal, turn),
    }
}

fn renew(session: &mut Session, refresh: &SubRefresh<'_>, turn: &Turn<'_>) -> Result<Option<u64>, Refusal> {
    let close = |what| Refusal::Close(bad_request(what));
    if refresh.channel.is_empty() {
        return Err(close("`channel` must not be empty"));
    }
    if refresh.kind != 0 {
        return Err(ClientError::NOT_AVAILABLE.into());
    }
    if refresh.token.is_empty() {
        return Err(close("`sub_refresh` needs a token"));
    }
    let subscription = session.subscription(&refresh.channel).ok_or(ClientError::PERMISSION_DENIED)?;
    if subscription.is_renewed_by_app() {
        return Err(close("`sub_refresh` is not for this channel: the server renews the subscription itself"));
    }
    let verifier = turn.settings.subscription_verifier().ok_or(ClientError::NOT_AVAILABLE)?;
    let grant = verified(session, verifier, (&refresh.channel, &refresh.token), turn)?;
    let now = turn.now.millis / 1000;
    if grant.expire_at.is_some_and(|at| at <= now) {
        return Err(ClientError::EXPIRED.into());
    }
    let due = grant.expire_at.map_or(0, |at| {
        let due = Session::tick_of(at, (turn.now.tick, turn.now.millis));
        due.saturating_add(turn.settings.expired_sub_close_delay).max(1)
    });
    if let Some(subscription) = session.subscription_mut(&refresh.channel) {
        subscription.more.get_or_insert_default().due = due;
    }
    session.note_ends();
    Ok(grant.expire_at.map(|at| (at - now).min(MOST_SECONDS)))
}
