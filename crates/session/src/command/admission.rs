//! Whether a client may enter a channel: checked in one order, for streams and maps alike.

use jackfield_hub::Namespaces;
use jackfield_hub::namespace::{Kind, Options};
use jackfield_model::client::Subscribe;
use jackfield_model::{ClientError, Disconnect, Grant};

use super::{named, private};
use crate::entry::Door;
use crate::extras;
use crate::limits::Verdict;
use crate::session::{Session, bad, bad_request};
use crate::token::{Right, Subscriber, TokenError};
use crate::turn::Turn;

/// Who decides about a client that asks for a channel.
#[derive(Debug)]
pub(super) enum Admission {
    /// It may enter.
    Granted(Box<Grant>, Door),
    /// The application decides; milliseconds it has.
    Ask(u64),
}

/// Why a command fails.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The connection ends.
    Close(Disconnect),
    /// The command fails.
    Error(ClientError),
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        Self::Error(error)
    }
}

/// Whether what is asked makes sense, whoever asks; the options of the channel if so.
pub(super) fn sense<'t>(
    session: &mut Session,
    subscribe: &Subscribe<'_>,
    turn: &Turn<'t>,
) -> Result<&'t Options, Refusal> {
    let name = &*subscribe.channel;
    if name.is_empty() {
        return Err(Refusal::Close(bad_request("`channel` must not be empty")));
    }
    if !matches!(&*subscribe.delta, "" | "fossil") {
        return Err(Refusal::Close(bad_request("the only delta format is \"fossil\"")));
    }
    let options = named(name, turn)?;
    if subscribe.kind == 4 {
        return Err(ClientError::NOT_AVAILABLE.into());
    }
    if subscribe.kind != number(options.kind) {
        return Err(ClientError::PERMISSION_DENIED.into());
    }
    if options.subscribe_rate > 0 {
        let rate = &mut session.extras.get_or_insert_default().rare().subscribes.of(&options.name);
        if rate.count(turn.now.tick, options.subscribe_rate) != Verdict::Admit {
            return Err(ClientError::TOO_MANY_REQUESTS.into());
        }
    }
    Ok(options)
}

/// The protocol's number of a kind of subscription.
pub(super) fn number(kind: Kind) -> u32 {
    match kind {
        Kind::Stream => 0,
        Kind::Map => 1,
        Kind::Clients => 2,
        Kind::Users => 3,
    }
}

/// Whether the client has room for one more channel, and is not in this one or on its way.
pub(super) fn room(session: &Session, channel: &str, turn: &Turn<'_>) -> Result<(), ClientError> {
    if session.is_in(channel) || session.is_entering(channel) {
        return Err(ClientError::ALREADY_SUBSCRIBED);
    }
    if session.channels() >= turn.settings.channel_limit { Err(ClientError::LIMIT_EXCEEDED) } else { Ok(()) }
}

/// Who lets the client in, if anybody does.
pub(super) fn decide(
    session: &Session,
    subscribe: &Subscribe<'_>,
    options: &Options,
    turn: &Turn<'_>,
) -> Result<Admission, Refusal> {
    let name = &*subscribe.channel;
    let namespaces = turn.hub.namespaces();
    let verifier = turn.settings.subscription_verifier();
    if !subscribe.token.is_empty() && (verifier.is_some() || options.subscribe_call.is_none()) {
        return by_token(session, subscribe, turn).map(|grant| Admission::Granted(Box::new(grant), Door::Token));
    }
    if private(name, turn) && subscribe.token.is_empty() {
        return Err(ClientError::PERMISSION_DENIED.into());
    }
    let asked = |is: bool| {
        if is {
            Ok(Admission::Granted(Box::default(), Door::Asked))
        } else {
            Err(Refusal::Error(ClientError::PERMISSION_DENIED))
        }
    };
    if let Some(is_listed) = listed(session, name, options, namespaces) {
        // A channel for listed users is for nobody else, whatever the namespace allows.
        return asked(is_listed || turn.settings.insecure);
    }
    if extras::allows(session.extras.as_deref(), name, Right::Subscribe) {
        return asked(true);
    }
    if let Some(timeout) = options.subscribe_call {
        return Ok(Admission::Ask(timeout));
    }
    asked(super::may(session, options.subscribe, name, turn))
}

/// What a subscription token grants.
fn by_token(session: &Session, subscribe: &Subscribe<'_>, turn: &Turn<'_>) -> Result<Grant, Refusal> {
    let Some(verifier) = turn.settings.subscription_verifier() else {
        let message = "permission denied: the server has no key to check subscription tokens with";
        return Err(ClientError { message: message.into(), ..ClientError::PERMISSION_DENIED }.into());
    };
    verified(session, verifier, (&subscribe.channel, &subscribe.token), turn)
}

/// Checks a token for a channel of this client.
pub(super) fn verified(
    session: &Session,
    verifier: &crate::token::Verifier,
    (channel, token): (&str, &str),
    turn: &Turn<'_>,
) -> Result<Grant, Refusal> {
    let client = session.id().to_string();
    let subscriber = Subscriber { user: session.user(), client: &client, channel };
    let claims = match verifier.verify_subscription(token, subscriber, turn.now.millis) {
        Ok(claims) => claims,
        Err(TokenError::Expired) => return Err(ClientError::TOKEN_EXPIRED.into()),
        // Temporary: the client asks again by itself, when the key is likely to be here.
        Err(TokenError::UnknownKey) => return Err(ClientError::INTERNAL.into()),
        Err(error @ TokenError::Invalid(_)) => {
            let message = format!("permission denied: {error}").into();
            return Err(ClientError { message, ..ClientError::PERMISSION_DENIED }.into());
        }
        Err(error @ TokenError::Mismatch(_)) => {
            let reason = error.to_string().into();
            return Err(Refusal::Close(Disconnect { reason, ..Disconnect::INVALID_TOKEN }));
        }
    };
    let uid = claims.token_id.as_deref().unwrap_or_default();
    let marks = jackfield_hub::TokenMarks { uid, issued_at: claims.issued_at };
    match turn.hub.void(session.user(), marks, turn.now.millis) {
        None => Ok(claims.grant),
        Some(jackfield_hub::Void::Renew) => Err(ClientError::TOKEN_EXPIRED.into()),
        Some(jackfield_hub::Void::ForGood) => {
            let message = "permission denied: token revoked".into();
            Err(ClientError { message, ..ClientError::PERMISSION_DENIED }.into())
        }
    }
}

/// Whether the client's user is named in the channel; `None` where the channel is not for listed users only.
fn listed(session: &Session, name: &str, options: &Options, namespaces: &Namespaces) -> Option<bool> {
    if !options.user_limited || namespaces.user_boundary.is_empty() {
        return None;
    }
    let (_, users) = name.split_once(&namespaces.user_boundary)?;
    let user = session.user();
    let separator = namespaces.user_separator.as_str();
    let is_named = match separator {
        "" => users == user,
        separator => users.split(separator).any(|one| one == user),
    };
    // Nobody has the empty name, so that `a#` or `a#1,` is open to no anonymous client.
    Some(!user.is_empty() && is_named)
}

/// Whether phases and cursors stand where only maps have them.
pub(super) fn is_plain(subscribe: &Subscribe<'_>) -> Result<(), ClientError> {
    if subscribe.phase == 0 && subscribe.cursor.is_empty() {
        Ok(())
    } else {
        Err(bad("phase and cursor are for maps only"))
    }
}
