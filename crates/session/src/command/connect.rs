//! `connect`: who is it, and may it come in.

use std::borrow::Cow;
use std::sync::Arc;

use jackfield_hub::{TokenMarks, Void};
use jackfield_model::app::{ConnectAnswer, Ejection, EventKind, Header, Hello, Target};
use jackfield_model::client::{Answer, Connect, Connected, Subscribe, Subscribed};
use jackfield_model::subscription::Granted;
use jackfield_model::{ClientError, ClientInfo, Disconnect, Grant, Millis, Payload, Position};

use super::{Outcome, Refusal, subscribe};
use crate::aggregate;
use crate::calls::PendingKind;
use crate::endpoint::{Dialect, Keepalive};
use crate::entry::{self, Door};
use crate::orders::revoked;
use crate::session::{Session, State, bad_request, reply};
use crate::token::{Claims, MoreClaims, TokenError};
use crate::turn::Turn;
use crate::waiting::Waiting;

/// A client that may come in, whoever decided it.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    claims: Claims,
    data: Option<Payload>,
    /// What the client sent along, for the application's notice; `None` if the application was asked and knows.
    notice: Option<Payload>,
    /// It came by a token, which the client itself is to renew.
    has_token: bool,
    /// Channels it is put into.
    granted: Vec<Granted>,
    /// Channels it named along with it.
    wanted: Vec<Subscribe<'static>>,
    /// Those that were read as far as there is anything.
    seen_far: Vec<String>,
}

impl Welcome {
    /// By the answer to a question of that time: what became void since then was not known to who answered.
    pub(crate) fn answered(answer: ConnectAnswer, asked: Millis) -> Self {
        let ConnectAnswer { user, info, data, meta, expire_at, subs, token_id } = answer;
        let issued_at = token_id.is_some().then_some(asked);
        let more = token_id.is_some().then(|| Box::new(MoreClaims { token_id, ..MoreClaims::default() }));
        let claims = Claims { user, info, meta, expire_at, issued_at, more };
        Self { claims, data, granted: subs, ..Self::default() }
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
    let has_token = !connect.token.is_empty() && settings.verifier.is_some();
    let wanted = wanted(connect, turn);
    let welcome_by = Welcome { claims, notice: Some(data), has_token, wanted, ..Welcome::default() };
    welcome(session, id, welcome_by, turn);
    Ok(None)
}

/// The channels that a client named along with `connect`, kept beyond the frame they came in.
fn wanted(connect: &Connect<'_>, turn: &Turn<'_>) -> Vec<Subscribe<'static>> {
    let own = |(channel, wanted): &(Cow<'_, str>, Subscribe<'_>)| {
        let options = turn.hub.namespaces().of(channel);
        // One that makes no sense is one that cannot be granted: it is passed over in silence.
        let read = options.map(|options| aggregate::read(wanted, options));
        let wanted = read.unwrap_or(Ok(Cow::Borrowed(wanted))).ok()?;
        Some(Subscribe { channel: Cow::Owned(channel.clone().into_owned()), ..Subscribe::to_owned(&wanted) })
    };
    connect.subs.iter().take(turn.settings.channel_limit).filter_map(own).collect()
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
        headers: session.take_headers(),
    }));
    session.state = State::Connecting;
    if !connect.subs.is_empty() {
        session.extras.get_or_insert_default().wanted = wanted(connect, turn);
    }
    session.ask(event, id, PendingKind::Connect(turn.now.millis), turn);
    Ok(None)
}

/// Lets a client in.
pub(crate) fn welcome(session: &mut Session, id: u32, mut welcome: Welcome, turn: &mut Turn<'_>) {
    if turn.hub.is_shared()
        && let Some((channel, since)) = cold(session, &mut welcome, turn)
    {
        session.state = State::Connecting;
        let what = Waiting::Welcome(Box::new(welcome));
        return session.wait_for_position((&channel, since.as_ref()), id, what, turn);
    }
    if let Err(refusal) = admit(session, &mut welcome, turn) {
        return turn_away(session, id, refusal, turn);
    }
    let Welcome { claims, data, notice, has_token, granted, mut wanted, .. } = welcome;
    // What is told of channels comes after the word that the client is there.
    let first = turn.effects.len();
    if let Some(extras) = &mut session.extras {
        wanted.append(&mut extras.wanted);
    }
    let mut subs = match put_in(session, granted, &mut wanted, turn) {
        Ok(subs) => subs,
        Err(refusal) => {
            turn.effects.truncate(first);
            for subscription in std::mem::take(&mut session.subscriptions) {
                session.leave(&subscription, turn);
            }
            session.note_ends();
            turn.hub.depart(&session.who, turn.address);
            return turn_away(session, id, refusal, turn);
        }
    };
    session.begin(turn);
    subs.append(&mut join(session, &wanted, turn));
    let ttl = claims.expire_at.map(|at| session.renew_by(at, turn));
    let ttl = ttl.filter(|_| has_token && turn.settings.refresh_call.is_none());
    let connected = connected(session, ttl, (data, subs), turn);
    let entered = turn.effects.split_off(first);
    reply(turn, id, Ok(Answer::Connect(Box::new(connected))));
    if let Some(data) = notice {
        session.tell_connected(data, turn);
    }
    turn.effects.extend(entered);
}

/// A channel that the client comes into and that is still to be read, or read as far as the client has it; the others are
/// begun to be read.
fn cold(session: &Session, welcome: &mut Welcome, turn: &Turn<'_>) -> Option<(String, Option<Position>)> {
    let Welcome { claims, granted, wanted, seen_far, .. } = welcome;
    let of_token = claims.more.iter().flat_map(|more| &more.subs);
    let named = session.extras.iter().flat_map(|extras| &extras.wanted).chain(&*wanted);
    let names = granted.iter().chain(of_token).map(|(name, _)| (name.to_string(), None));
    let names = names.chain(named.map(|wish| {
        // Once is enough: what was read and does not go so far is nobody's.
        let is_far = wish.recover && !seen_far.iter().any(|channel| *channel == wish.channel);
        (wish.channel.to_string(), is_far.then(|| wish.since.clone()))
    }));
    let cold = names.chain(personal(&claims.user, turn).map(|name| (name.to_string(), None)));
    let mut cold = cold.filter(|(name, since)| !turn.hub.is_warm_at(name, since.as_ref()));
    let first = cold.next()?;
    let rest: Vec<_> = cold.collect();
    for (name, since) in &rest {
        turn.hub.warm_at(name, since.as_ref(), None);
    }
    let far = rest.into_iter().chain([first.clone()]).filter(|(_, since)| since.is_some());
    seen_far.extend(far.map(|(name, _)| name));
    Some(first)
}

/// The channel of a user's own.
fn personal(user: &str, turn: &Turn<'_>) -> Option<Arc<str>> {
    let personal = turn.settings.personal_channel.as_ref().filter(|_| !user.is_empty())?;
    let namespaces = turn.hub.namespaces();
    let namespace = match &*personal.namespace {
        "" => String::new(),
        namespace => format!("{namespace}{}", namespaces.boundary),
    };
    Some(format!("{namespace}{}{user}", namespaces.user_boundary).into())
}

/// Whether the user is not blocked, and the token not revoked.
fn stands(claims: &Claims, has_token: bool, turn: &Turn<'_>) -> Result<(), Refusal> {
    if turn.hub.is_blocked(&claims.user, turn.now.millis) {
        let reason = "user blocked".into();
        return Err(Refusal::Close(Disconnect { reason, ..Disconnect::PERMISSION_DENIED }));
    }
    let uid = claims.more.as_ref().and_then(|more| more.token_id.as_deref()).unwrap_or_default();
    let marks = TokenMarks { uid, issued_at: claims.issued_at };
    match turn.hub.void(&claims.user, marks, turn.now.millis).filter(|_| has_token || !uid.is_empty()) {
        None => Ok(()),
        // It has a client fetch a new one, as if this had run out.
        Some(Void::Renew) if has_token => Err(Refusal::Error(ClientError::TOKEN_EXPIRED)),
        Some(void) => Err(Refusal::Close(revoked(void))),
    }
}

/// Registers a client that may come in, unless something speaks against it.
fn admit(session: &mut Session, welcome: &mut Welcome, turn: &Turn<'_>) -> Result<(), Refusal> {
    let Welcome { claims, has_token, granted, .. } = welcome;
    let settings = turn.settings;
    stands(claims, *has_token, turn)?;
    if let Some(more) = &mut claims.more {
        granted.append(&mut more.subs);
    }
    let own = personal(&claims.user, turn);
    let is_single = own.is_some() && settings.personal_channel.as_ref().is_some_and(|own| own.single_connection);
    if let Some(channel) = own {
        if granted.iter().all(|(known, _)| *known != channel) {
            granted.push((channel, Grant::default()));
        }
    }
    if granted.len() > settings.channel_limit {
        return Err(Refusal::Close(Disconnect::CHANNEL_LIMIT));
    }
    let client = session.id();
    let who = ClientInfo { user: Arc::clone(&claims.user), client, conn_info: claims.info.take(), chan_info: None };
    if is_single {
        // Before it is registered itself: of two that come at once, neither may end the other and itself be ended.
        let target = Target { user: Some(Arc::clone(&claims.user)), ..Target::default() };
        let ejection = Ejection { target, whitelist: vec![client], disconnect: Disconnect::CONNECTION_LIMIT };
        turn.hub.eject_everywhere(ejection, turn.now.millis);
    }
    let limit = if is_single { 0 } else { settings.user_connection_limit };
    if !turn.hub.arrive(&who, turn.address, limit) {
        return Err(Refusal::Close(Disconnect::CONNECTION_LIMIT));
    }
    // Whoever was blocked before it was registered was not found by who blocked it.
    if let Err(refusal) = stands(claims, *has_token, turn) {
        turn.hub.depart(&who, turn.address);
        return Err(refusal);
    }
    session.who = Arc::new(who);
    session.is_revocable = *has_token || claims.more.as_ref().is_some_and(|more| more.token_id.is_some());
    session.remember_token(claims);
    // Nobody is told of them any more.
    session.take_headers();
    if claims.meta.is_some() {
        session.extras.get_or_insert_default().meta = claims.meta.take();
    }
    Ok(())
}

/// Tells a client that it may not come in.
fn turn_away(session: &mut Session, id: u32, refusal: Refusal, turn: &mut Turn<'_>) {
    match refusal {
        Refusal::Close(disconnect) => session.close(disconnect, turn),
        Refusal::Error(error) => {
            session.state = State::Refused;
            session.due = turn.now.tick.saturating_add(turn.settings.stale_close_delay);
            session.refuse(id, error, turn);
        }
    }
}

/// Puts the client into the channels that it was granted; what it said of them tells from where it recovers. If one
/// fails, all fail.
fn put_in(
    session: &mut Session,
    granted: Vec<Granted>,
    wanted: &mut Vec<Subscribe<'static>>,
    turn: &mut Turn<'_>,
) -> Result<Vec<(Arc<str>, Subscribed)>, Refusal> {
    let mut subs = Vec::with_capacity(granted.len());
    for (channel, grant) in granted {
        let place = wanted.iter().position(|wish| wish.channel == *channel);
        let wish = match place {
            Some(place) => wanted.swap_remove(place),
            None => Subscribe { channel: Cow::Owned(channel.to_string()), ..Subscribe::default() },
        };
        let subscribed = entry::enter(session, &wish, (&grant, Door::Server), turn)?;
        subs.push((channel, subscribed));
    }
    Ok(subs)
}

/// The subscriptions that a client finds itself in.
type ServerSide = Vec<(Arc<str>, Subscribed)>;

/// What the client is told.
fn connected(
    session: &Session,
    ttl: Option<u64>,
    (data, subs): (Option<Payload>, ServerSide),
    turn: &Turn<'_>,
) -> Connected {
    let settings = turn.settings;
    Connected {
        client: session.id(),
        version: settings.version,
        ttl,
        data,
        subs,
        // Pings of the framing are nothing that a client must know of.
        ping_seconds: match session.endpoint.keepalive {
            Keepalive::Frames => 0,
            _ => settings.ping_interval.div_ceil(10),
        },
        pong: session.endpoint.keepalive == Keepalive::Messages,
        session: session_name(session),
        node: session.endpoint.is_emulated().then(|| Arc::clone(&settings.node)),
        time: settings.time_in_connect.then_some(turn.now.millis),
    }
}

/// Lets the client into the channels it named, as far as it may; the others are passed over in silence, as the protocol has it.
fn join(session: &mut Session, wanted: &[Subscribe<'_>], turn: &mut Turn<'_>) -> Vec<(Arc<str>, Subscribed)> {
    let mut subs = Vec::with_capacity(wanted.len());
    for subscribe in wanted {
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

impl Session {
    /// The headers of its request, if they are still there.
    fn take_headers(&mut self) -> Vec<Header> {
        let rare = self.extras.as_mut().and_then(|extras| extras.rare.as_mut());
        rare.map(|rare| std::mem::take(&mut rare.headers)).unwrap_or_default()
    }

    /// Keeps what a token says beyond who the client is.
    pub(crate) fn remember_token(&mut self, claims: &Claims) {
        let issued_at = claims.issued_at.unwrap_or_default();
        self.issued_at = u32::try_from(issued_at / 1000).unwrap_or(u32::MAX);
        self.issued_at_millis = (issued_at % 1000) as u16;
        let (caps, token_id) = match &claims.more {
            Some(more) => (more.caps.clone(), more.token_id.clone()),
            None => (None, None),
        };
        if caps.is_some() || token_id.is_some() {
            let rare = self.extras.get_or_insert_default().rare();
            (rare.caps, rare.token_id) = (caps, token_id);
        } else if let Some(rare) = self.extras.as_mut().and_then(|extras| extras.rare.as_mut()) {
            (rare.caps, rare.token_id) = (None, None);
        }
    }
}
