//! `connect`: who is it, and may it come in.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::app::{ConnectAnswer, EventKind, Hello};
use jackfield_model::client::{Answer, Connect, Connected, Subscribe, Subscribed};
use jackfield_model::{ClientError, ClientInfo, Disconnect, Payload};

use super::{Outcome, subscribe};
use crate::endpoint::{Dialect, Keepalive};
use crate::session::{PendingKind, Session, State, bad_request, reply};
use crate::token::{Claims, TokenError};
use crate::turn::{Effect, Turn};

/// A client that may come in, whoever decided it.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    claims: Claims,
    data: Option<Bytes>,
    /// What the client sent along, for the application's notice; `None` if the application was asked and knows.
    notice: Option<Payload>,
    /// The client itself is to renew its token.
    renews: bool,
    /// Channels it named along with it.
    wanted: Vec<Subscribe<'static>>,
}

impl From<ConnectAnswer> for Welcome {
    fn from(answer: ConnectAnswer) -> Self {
        let ConnectAnswer { user, info, data, meta, expire_at, subs: _ } = answer;
        Self {
            claims: Claims { user, info, meta, expire_at, ..Claims::default() },
            data,
            notice: None,
            renews: false,
            wanted: Vec::new(),
        }
    }
}

pub(super) fn run(session: &mut Session, id: u32, connect: &Connect<'_>, turn: &mut Turn<'_>) -> Outcome {
    let data = connect.data.map_or_else(|| Payload::json("{}"), |data| data.to_payload());
    let settings = turn.settings;
    let certified = session.extras.as_ref().and_then(|extras| extras.identity.clone());
    let claims = match (&settings.verifier, connect.token.is_empty()) {
        (_, true) if certified.is_some() => Claims { user: certified.unwrap_or_default(), ..Claims::default() },
        (Some(verifier), false) => match verifier.verify(&connect.token, turn.now.millis) {
            Ok(claims) if claims.user.is_empty() && settings.disallow_anonymous_tokens => {
                session.close(Disconnect::PERMISSION_DENIED, turn);
                return Ok(None);
            }
            Ok(claims) => claims,
            Err(TokenError::Expired) => {
                session.state = State::Refused;
                return Err(ClientError::TOKEN_EXPIRED);
            }
            // Temporary: the client comes again by itself, when the key is likely to be here.
            Err(TokenError::UnknownKey) => {
                session.state = State::Refused;
                return Err(ClientError::INTERNAL);
            }
            Err(error @ (TokenError::Invalid(_) | TokenError::Mismatch(_))) => {
                session.close(Disconnect { reason: error.to_string().into(), ..Disconnect::INVALID_TOKEN }, turn);
                return Ok(None);
            }
        },
        _ if settings.connect_call.is_some() => return ask(session, id, connect, (data, turn)),
        (None, false) if !settings.insecure => {
            let reason = "invalid token: the server has no key in client.token to check it with".into();
            session.close(Disconnect { reason, ..Disconnect::INVALID_TOKEN }, turn);
            return Ok(None);
        }
        _ if settings.insecure || settings.allow_anonymous_without_token => Claims::default(),
        _ => {
            session.close(bad_request("`connect` needs a token"), turn);
            return Ok(None);
        }
    };
    let renews = claims.expire_at.is_some();
    let wanted = wanted(connect, turn.settings.channel_limit);
    welcome(session, id, Welcome { claims, data: None, notice: Some(data), renews, wanted }, turn);
    Ok(None)
}

/// The channels that a client named along with `connect`, kept beyond the frame they came in.
fn wanted(connect: &Connect<'_>, limit: usize) -> Vec<Subscribe<'static>> {
    let own = |(channel, wanted): &(Cow<'_, str>, Subscribe<'_>)| Subscribe {
        channel: Cow::Owned(channel.clone().into_owned()),
        ..wanted.to_owned()
    };
    connect.subs.iter().take(limit).map(own).collect()
}

/// The application decides.
fn ask(session: &mut Session, id: u32, connect: &Connect<'_>, with: (Payload, &mut Turn<'_>)) -> Outcome {
    let (data, turn) = with;
    let mut event = session.event(EventKind::Connect, String::new(), data, turn);
    event.deadline = turn.settings.connect_call.map(|timeout| turn.now.millis + timeout);
    event.hello = Some(Box::new(Hello {
        token: connect.token.clone().into_owned(),
        name: connect.name.clone().into_owned(),
        version: connect.version.clone().into_owned(),
        channels: connect.subs.iter().map(|(channel, _)| Arc::from(&**channel)).collect(),
    }));
    session.state = State::Connecting;
    if !connect.subs.is_empty() {
        session.extras.get_or_insert_default().wanted = wanted(connect, turn.settings.channel_limit);
    }
    session.ask(event, id, PendingKind::Connect, turn);
    Ok(None)
}

/// Lets a client in.
pub(crate) fn welcome(session: &mut Session, id: u32, welcome: Welcome, turn: &mut Turn<'_>) {
    let Welcome { claims, data, notice, renews, mut wanted } = welcome;
    let client = session.id();
    let who = ClientInfo { user: claims.user, client, conn_info: claims.info, chan_info: None };
    if !turn.hub.arrive(&who, turn.address, turn.settings.user_connection_limit) {
        session.close(Disconnect::CONNECTION_LIMIT, turn);
        return;
    }
    session.who = Arc::new(who);
    if claims.meta.is_some() {
        session.extras.get_or_insert_default().meta = claims.meta;
    }
    if let Some(extras) = &mut session.extras {
        wanted.append(&mut extras.wanted);
    }
    session.begin(turn);
    let subs = join(session, &wanted, turn);
    let ttl = claims.expire_at.map(|at| renew_by(session, at, turn));
    let settings = turn.settings;
    reply(
        turn,
        id,
        Ok(Answer::Connect(Box::new(Connected {
            client,
            version: settings.version,
            ttl: ttl.filter(|_| renews),
            data: data.map(Payload::json),
            subs,
            // Pings of the framing are nothing that a client must know of.
            ping_seconds: match session.endpoint.keepalive {
                Keepalive::Frames => 0,
                _ => settings.ping_interval.div_ceil(10),
            },
            pong: session.endpoint.keepalive == Keepalive::Messages,
            session: session_name(session),
            node: session.endpoint.is_emulated().then(|| Arc::clone(&settings.node)),
            time: None,
        }))),
    );
    if let Some(data) = notice
        && turn.settings.tells.connect
    {
        let event = session.event(EventKind::Connect, String::new(), data, turn);
        turn.effects.push(Effect::Event(Box::new(event), None));
    }
}

/// Lets the client into the channels it named, as far as it may; the others are passed over in silence, as the protocol has it.
fn join(session: &mut Session, wanted: &[Subscribe<'_>], turn: &mut Turn<'_>) -> Vec<(Arc<str>, Subscribed)> {
    let mut subs = Vec::with_capacity(wanted.len());
    for subscribe in wanted {
        if session.state == State::Ended {
            break;
        }
        if let Ok(subscribed) = subscribe::join(session, subscribe, turn) {
            subs.push((Arc::from(&*subscribe.channel), subscribed));
        }
    }
    subs
}

/// How requests name this session: a secret where the client speaks by them, else its id.
fn session_name(session: &Session) -> Option<String> {
    let uplink = session.extras.as_ref().and_then(|extras| extras.uplink);
    let is_uni = session.endpoint.dialect == Dialect::CentrifugoUniJson;
    uplink.or_else(|| is_uni.then(|| session.id())).map(|name| name.to_string())
}

/// Sets the end of the connection's time; returns the seconds until then.
pub(super) fn renew_by(session: &mut Session, at_seconds: u64, turn: &Turn<'_>) -> u64 {
    const YEAR: u64 = 365 * 24 * 3600;
    let ttl = at_seconds.saturating_sub(turn.now.millis / 1000).clamp(1, YEAR);
    let due = Session::tick_of(at_seconds, (turn.now.tick, turn.now.millis));
    session.expire_due = due.saturating_add(turn.settings.expired_close_delay).max(1);
    ttl
}
