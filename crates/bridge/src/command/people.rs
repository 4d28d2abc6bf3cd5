//! Commands about connections and users: into channels and out of them, away, and never again.

use bytes::Bytes;
use jackfield_model::app::{
    Block, ClientCall, Command, Ejection, InvalidTokens, Refresh, Revocation, Subscribe, Target, Unsubscribe,
};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{Disconnect, Grant, Overrides, Payload};

use super::field::{Field, Kind, Shape, Told};
use super::method::{Method, channel, position, user};
use super::publish::{CONTENT, content, json};
use super::read::Fields;

const TARGET: &[Field] = &[
    Field::new("user", Kind::Text, "All connections of this user. One of `user`, `client` and `session` is needed."),
    Field::new("client", Kind::Uuid, "Only this connection."),
    Field::new("session", Kind::Uuid, "Only the connection with this session (transports that have one)."),
];
const CHANNEL: &[Field] = &[Field::needed("channel", Kind::Text, "The channel.")];
const GRANT: &[Field] = &[
    Field::new("info", Kind::Any, "What others in the channel see of it, in presence and publications."),
    Field::new("b64info", Kind::Base64, "The same in base64."),
    Field::new("data", Kind::Any, "For the client, with the news that it is in the channel."),
    Field::new("b64data", Kind::Base64, "Bytes instead of `data`."),
    Field::new("recover_since", Kind::Object(&[PLACE]), "What it missed since this position comes along."),
    EXPIRE_AT,
    Field::new("override", Kind::Object(&[OVERRIDES]), "What differs from the options of the namespace."),
];
const PLACE: &[Field] = &[
    Field::new("offset", Kind::Count, "The last publication that it has."),
    Field::new("epoch", Kind::Text, "The life of the history that the offset belongs to."),
];
const EXPIRE_AT: Field = Field::new("expire_at", Kind::Count, "Seconds since 1970 when this ends; 0 for never.");
const VALUE: &[Field] = &[Field::needed("value", Kind::Bool, "The value.")];
const OVERRIDES: &[Field] = &[
    Field::new("presence", Kind::Object(&[VALUE]), "Counted among the members."),
    Field::new("join_leave", Kind::Object(&[VALUE]), "The others hear it come and go."),
    Field::new("force_recovery", Kind::Object(&[VALUE]), "It may recover, asked for or not."),
    Field::new("force_positioning", Kind::Object(&[VALUE]), "It is told positions, asked for or not."),
    Field::new("force_push_join_leave", Kind::Object(&[VALUE]), "It hears who comes and goes, asked for or not."),
    Field::new("publish", Kind::Object(&[VALUE]), "It may publish, or it may not, whatever the namespace says."),
];
const OUT: &[Field] = &[
    Field::new(
        "code",
        Kind::Count,
        "What the client is told: 2000 to 2499 for good, 2500 to 2999 to come again; 2000 unless given.",
    ),
    Field::new("reason", Kind::Text, "The same for people."),
];
const CLOSE: &[Field] = &[
    Field::new("code", Kind::Count, "The close code, 3000 to 4999; 3503 unless given."),
    Field::new("reason", Kind::Text, "The same for people."),
];
const EJECTION: &[Field] = &[
    Field::new("whitelist", Kind::Uuids, "Connections that stay."),
    Field::new("disconnect", Kind::Object(&[CLOSE]), "The same as `code` and `reason`, as an object."),
];
const REFRESH_FIELDS: &[Field] = &[
    Field::new("expired", Kind::Bool, "Its time is up: it is closed with 3005."),
    EXPIRE_AT,
    Field::new("info", Kind::Any, "What others see of it from now on."),
];
const CALL_FIELDS: &[Field] = &[
    Field::needed("method", Kind::Text, "What is asked, for the program of the client."),
    Field::new("timeout", Kind::Count, "Milliseconds the client has, 1 to 30000; 5000 unless given."),
];
const USER: &[Field] = &[Field::needed("user", Kind::Text, "The user.")];
const UID: &[Field] = &[Field::needed("uid", Kind::Text, "The `jti` of the token.")];
const UNTIL: &[Field] = &[Field::new("expire_at", Kind::Count, "Seconds since 1970 when this ends; 0 for never.")];
const REMEMBERED: &[Field] = &[Field::new(
    "expire_at",
    Kind::Count,
    "Seconds since 1970 when nobody needs to remember this any more, as the tokens have expired themselves; 0 for never.",
)];
const ISSUED_BEFORE: &[Field] = &[
    Field::new(
        "issued_before",
        Kind::Count,
        "Seconds since 1970: tokens with an earlier `iat`, or without one, are void. The moment of the command unless given.",
    ),
    Field::new(
        "issued_before_ms",
        Kind::Count,
        "Instead of it, in milliseconds; the `iat` of tokens may have fractions.",
    ),
];
const RENEW: &[Field] = &[Field::new(
    "renew",
    Kind::Bool,
    "Who came by it may come again: connections end with 3005 instead of 3500, and the token is answered with error 109, \
     so that clients fetch a new one.",
)];

/// Milliseconds that a client may have for an answer.
const MOST_PATIENCE: u64 = 30_000;

const CONNECTIONS: &[Told] =
    &[Told::always("connections", Shape::Plain(Kind::Count), "How many connections were reached.")];

const ANYBODY: &[Field] = &[
    Field::new(
        "user",
        Kind::Text,
        "All connections of this user. Without `user`, `client` and `session` all there are.",
    ),
    Field::new("client", Kind::Uuid, "Only this connection."),
    Field::new("session", Kind::Uuid, "Only the connection with this session (transports that have one)."),
    Field::new("expression", Kind::Text, "Empty: connections are found by the fields above."),
];
const OF_ONE: &[Told] = &[];
const STATE: &[Told] = &[Told::always("channels", Shape::Named(OF_ONE), "The channels it is in, by name.")];
const LINE: &[Told] = &[
    Told::always("user", Shape::Plain(Kind::Text), "The user; empty for an anonymous client."),
    Told::always("transport", Shape::Plain(Kind::Text), "What carries it: `websocket`, `tcp`, `sse` and so on."),
    Told::always("protocol", Shape::Plain(Kind::Text), "What is spoken: `centrifugo-json`, `raw-text` and so on."),
    Told::always("listener", Shape::Plain(Kind::Text), "Name of the listener, or path."),
    Told::always("remote", Shape::Plain(Kind::Text), "The address it comes from."),
    Told::always("state", Shape::Object(STATE), "What it is in."),
];
const LINES: &[Told] = &[Told::always("connections", Shape::Named(LINE), "By id.")];

pub(super) const LIST: Method = Method {
    name: "connections",
    about: "Tells which connections there are, and which channels each is in; of one node at most 10,000.",
    takes: &[ANYBODY],
    tells: LINES,
    errors: &[107],
    read: connections,
};

pub(super) const SUBSCRIBE: Method = Method {
    name: "subscribe",
    about: "Puts connections into a channel.",
    takes: &[TARGET, CHANNEL, GRANT],
    tells: CONNECTIONS,
    errors: &[102, 107],
    read: subscribe,
};

pub(super) const UNSUBSCRIBE: Method = Method {
    name: "unsubscribe",
    about: "Takes connections out of a channel.",
    takes: &[TARGET, CHANNEL, OUT],
    tells: CONNECTIONS,
    errors: &[102, 107],
    read: unsubscribe,
};

pub(super) const DISCONNECT: Method = Method {
    name: "disconnect",
    about: "Ends connections.",
    takes: &[TARGET, CLOSE, EJECTION],
    tells: CONNECTIONS,
    errors: &[107],
    read: disconnect,
};

pub(super) const REFRESH: Method = Method {
    name: "refresh",
    about: "Moves the expiry of connections.",
    takes: &[TARGET, REFRESH_FIELDS],
    tells: CONNECTIONS,
    errors: &[107],
    read: refresh,
};

pub(super) const CALL: Method = Method {
    name: "call",
    about: "Asks one client something and waits for its answer.",
    takes: &[TARGET, CALL_FIELDS, CONTENT],
    tells: &[Told::always("data", Shape::Plain(Kind::Any), "What the client answered.")],
    errors: &[107, 108, 111],
    read: call,
};

pub(super) const BLOCK_USER: Method = Method {
    name: "block_user",
    about: "Keeps a user out: open connections end, and new ones are refused.",
    takes: &[USER, UNTIL],
    tells: CONNECTIONS,
    errors: &[107],
    read: |fields| Ok(Command::BlockUser(Block { user: user(fields)?, expire_at: moment(fields) })),
};

pub(super) const UNBLOCK_USER: Method = Method {
    name: "unblock_user",
    about: "Lets a user in again.",
    takes: &[USER],
    tells: &[],
    errors: &[107],
    read: |fields| user(fields).map(Command::UnblockUser),
};

pub(super) const REVOKE_TOKEN: Method = Method {
    name: "revoke_token",
    about: "Voids one token; connections that came in with it end.",
    takes: &[UID, REMEMBERED, RENEW],
    tells: &[],
    errors: &[107],
    read: revoke_token,
};

pub(super) const INVALIDATE_USER_TOKENS: Method = Method {
    name: "invalidate_user_tokens",
    about: "Voids the tokens of a user that were issued before a moment; connections that came in with one end.",
    takes: &[USER, ISSUED_BEFORE, REMEMBERED, RENEW],
    tells: CONNECTIONS,
    errors: &[107],
    read: |fields| {
        let seconds = moment_named(fields, "issued_before").map(|moment| moment.saturating_mul(1000));
        let issued_before = moment_named(fields, "issued_before_ms").or(seconds);
        Ok(Command::InvalidateUserTokens(InvalidTokens {
            user: user(fields)?,
            issued_before: issued_before.unwrap_or_else(crate::bridge::millis),
            expire_at: moment(fields),
            renew: fields.flag("renew").unwrap_or_default(),
        }))
    },
};

fn subscribe(fields: &mut Fields<'_>) -> Result<Command, String> {
    let recover_since = match fields.object("recover_since") {
        Some(mut place) => position(&mut place).map_err(|reason| format!("`recover_since`: {reason}"))?,
        None => None,
    };
    let data = match (given_json(fields, "data"), fields.bytes("b64data").filter(|bytes| !bytes.is_empty())) {
        (None, bytes) => bytes.map(Payload::binary),
        (json, None) => json,
        _ => return Err("only one of `data` and `b64data` may be given".to_owned()),
    };
    let grant = Grant { info: info(fields)?, data, expire_at: moment(fields), overrides: overrides(fields) };
    Ok(Command::Subscribe(Subscribe { target: target(fields)?, channel: channel(fields)?, grant, recover_since }))
}

fn unsubscribe(fields: &mut Fields<'_>) -> Result<Command, String> {
    let (code, reason) = (fields.count("code").unwrap_or_default(), fields.text("reason"));
    let unsubscribed = match (code, reason) {
        (0, reason) if reason.is_empty() => Unsubscribed::SERVER,
        (0, reason) => Unsubscribed { code: Unsubscribed::SERVER.code, reason: reason.into() },
        (2000..=2999, reason) => Unsubscribed { code: code as u32, reason: reason.into() },
        (code, _) => return Err(format!("`code` is {code}; it must be from 2000 to 2999")),
    };
    Ok(Command::Unsubscribe(Unsubscribe { target: target(fields)?, channel: channel(fields)?, unsubscribed }))
}

fn disconnect(fields: &mut Fields<'_>) -> Result<Command, String> {
    let flat = (fields.count("code").unwrap_or_default(), fields.text("reason"));
    let (code, reason) = match fields.object("disconnect") {
        None => flat,
        Some(mut object) if flat == (0, String::new()) => {
            (object.count("code").unwrap_or_default(), object.text("reason"))
        }
        Some(_) => return Err("give `code` and `reason`, or `disconnect` with both, not both forms".to_owned()),
    };
    let disconnect = match (code, reason) {
        (0, reason) if reason.is_empty() => Disconnect::FORCE,
        (0, reason) => Disconnect { code: Disconnect::FORCE.code, reason: reason.into() },
        (code, reason) => {
            let code = u16::try_from(code).unwrap_or(u16::MAX);
            Disconnect { code: super::close_code(code)?, reason: reason.into() }
        }
    };
    Ok(Command::Disconnect(Ejection { target: target(fields)?, whitelist: fields.uuids("whitelist"), disconnect }))
}

fn refresh(fields: &mut Fields<'_>) -> Result<Command, String> {
    Ok(Command::Refresh(Refresh {
        target: target(fields)?,
        expired: fields.flag("expired").unwrap_or_default(),
        expire_at: moment(fields),
        info: given_json(fields, "info").map(|info| info.bytes),
    }))
}

fn call(fields: &mut Fields<'_>) -> Result<Command, String> {
    let (method, timeout) = (fields.text("method"), fields.count("timeout").unwrap_or(5_000));
    if method.is_empty() {
        return Err("`method` is empty; name what is asked".to_owned());
    }
    if !(1..=MOST_PATIENCE).contains(&timeout) {
        return Err(format!("`timeout` is {timeout}; it must be from 1 to {MOST_PATIENCE} milliseconds"));
    }
    Ok(Command::Call(ClientCall { target: target(fields)?, method, data: content(fields)?, timeout }))
}

fn revoke_token(fields: &mut Fields<'_>) -> Result<Command, String> {
    let uid = fields.text("uid");
    if uid.is_empty() {
        return Err("`uid` is empty; name the `jti` of a token".to_owned());
    }
    let renew = fields.flag("renew").unwrap_or_default();
    Ok(Command::RevokeToken(Revocation { uid, expire_at: moment(fields), renew }))
}

fn connections(fields: &mut Fields<'_>) -> Result<Command, String> {
    if !fields.text("expression").is_empty() {
        return Err("`expression` is not understood; name a `user`, a `client` or a `session`".to_owned());
    }
    Ok(Command::Connections(any_target(fields)))
}

/// Whom it is about, if anybody in particular.
fn any_target(fields: &mut Fields<'_>) -> Target {
    Target {
        user: fields.given("user").filter(|user| !user.is_empty()).map(Into::into),
        client: fields.uuid("client"),
        session: fields.uuid("session"),
    }
}

/// Whom it is about. A client that always writes a user leaves it empty for anonymous connections.
fn target(fields: &mut Fields<'_>) -> Result<Target, String> {
    let target = any_target(fields);
    if target == Target::default() {
        return Err("one of `user`, `client` and `session` is needed, and not an empty one".to_owned());
    }
    Ok(target)
}

/// A JSON value that is not `null`.
fn given_json(fields: &mut Fields<'_>, name: &str) -> Option<Payload> {
    fields.json(name).filter(|raw| raw.get() != "null").map(json)
}

fn info(fields: &mut Fields<'_>) -> Result<Option<Bytes>, String> {
    let info = given_json(fields, "info").map(|info| info.bytes);
    match fields.bytes("b64info").filter(|bytes| !bytes.is_empty()) {
        None => Ok(info),
        Some(_) if info.is_some() => Err("only one of `info` and `b64info` may be given".to_owned()),
        Some(bytes) => match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
            Ok(_) => Ok(Some(bytes.into())),
            Err(error) => Err(format!("`b64info` holds no JSON: {error}")),
        },
    }
}

fn overrides(fields: &mut Fields<'_>) -> Overrides {
    let Some(mut object) = fields.object("override") else { return Overrides::default() };
    let mut value = |name| object.object(name).and_then(|mut value| value.flag("value"));
    Overrides {
        presence: value("presence"),
        join_leave: value("join_leave"),
        force_recovery: value("force_recovery"),
        force_positioning: value("force_positioning"),
        force_push_join_leave: value("force_push_join_leave"),
        publish: value("publish"),
    }
}

fn moment(fields: &mut Fields<'_>) -> Option<u64> {
    moment_named(fields, "expire_at")
}

fn moment_named(fields: &mut Fields<'_>, name: &str) -> Option<u64> {
    fields.count(name).filter(|moment| *moment > 0)
}
