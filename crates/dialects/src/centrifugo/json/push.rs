//! Writes pushes, and the publications and client infos that replies hold as well.

use jackfield_model::client::{Form, Push, Subscribed, Unsubscribed};
use jackfield_model::publication::Rare;
use jackfield_model::{ClientId, ClientInfo, Content, Disconnect, Publication};

use super::reply::{write_connected, write_ttl};
use crate::json::{self, Object};

/// Writes a push as one JSON object on one line, without a newline at its end.
pub fn push(push: &Push, out: &mut Vec<u8>) {
    let mut envelope = Object::begin(out);
    bare_push(push, envelope.key("push"));
    envelope.end();
}

/// As [`push`], without the envelope that tells pushes from replies: unidirectional transports have no replies.
pub fn bare_push(push: &Push, out: &mut Vec<u8>) {
    let mut body = Object::begin(out);
    match push {
        Push::Connect(connected) => write_connected(connected, body.key("connect")),
        Push::Delta(channel, publication, form) => {
            body.text("channel", channel);
            write_publication(publication, Some(form), body.key("pub"));
        }
        Push::Disconnect(disconnect) => write_disconnect(disconnect, body.key("disconnect")),
        Push::Join(channel, info) => presence("join", channel, info, &mut body),
        Push::Leave(channel, info) => presence("leave", channel, info, &mut body),
        Push::Message(data) => {
            let mut message = Object::begin(body.key("message"));
            message.payload("data", data);
            message.end();
        }
        Push::Publication(channel, publication) => {
            body.text("channel", channel);
            write_publication(publication, None, body.key("pub"));
        }
        Push::Refresh(ttl) => {
            let mut refresh = Object::begin(body.key("refresh"));
            write_ttl(*ttl, &mut refresh);
            refresh.end();
        }
        Push::Subscribe(channel, subscribed) => {
            body.text("channel", channel);
            write_subscription(subscribed, body.key("subscribe"));
        }
        Push::Unsubscribe(channel, unsubscribed) => {
            body.text("channel", channel);
            write_unsubscribed(unsubscribed, body.key("unsubscribe"));
        }
    }
    body.end();
}

fn write_disconnect(disconnect: &Disconnect, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    fields.number("code", disconnect.code.into());
    fields.text("reason", &disconnect.reason);
    fields.end();
}

fn presence(kind: &str, channel: &str, info: &ClientInfo, body: &mut Object<'_>) {
    body.text("channel", channel);
    let mut event = Object::begin(body.key(kind));
    write_info(info, event.key("info"));
    event.end();
}

/// Writes what the push tells of a subscription that the client did not ask for.
fn write_subscription(subscribed: &Subscribed, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    fields.flag("recoverable", subscribed.recoverable);
    if let Some(position) = &subscribed.position {
        fields.text("epoch", &position.epoch);
        fields.number("offset", position.offset);
    }
    fields.flag("positioned", subscribed.positioned);
    if let Some(data) = &subscribed.data {
        fields.payload("data", data);
    }
    fields.end();
}

fn write_unsubscribed(unsubscribed: &Unsubscribed, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    fields.number("code", unsubscribed.code.into());
    fields.text("reason", &unsubscribed.reason);
    fields.end();
}

/// Writes a publication; its channel stands elsewhere. With a form it is one for who asked for deltas.
pub(super) fn write_publication(publication: &Publication, form: Option<&Form>, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    let is_patch = match form {
        None => {
            fields.payload("data", &publication.data);
            false
        }
        Some(form) => write_form(publication, form, &mut fields),
    };
    if let Some(info) = &publication.info {
        write_info(info, fields.key("info"));
    }
    fields.number("offset", publication.offset);
    if let Some(tags) = publication.tags.as_ref().filter(|tags| !tags.is_empty()) {
        let mut pairs = Object::begin(fields.key("tags"));
        for (name, value) in tags.iter() {
            json::string(value.as_bytes(), pairs.any_key(name));
        }
        pairs.end();
    }
    fields.flag("delta", is_patch);
    fields.number("time", publication.time);
    if let Some(rare) = &publication.rare {
        write_rare(rare, &mut fields);
    }
    fields.end();
}

/// Writes a payload, or its patch, as a string; tells whether it is the patch.
///
/// Why not every patch: it speaks of bytes, but this encoding has JSON only. The JSON of a text or of bytes is something
/// else than what the patch was made of, so they come whole, which is right at any time.
fn write_form(publication: &Publication, form: &Form, fields: &mut Object<'_>) -> bool {
    let data = &publication.data;
    match form {
        Form::Patch(patch) if data.content == Content::Json && std::str::from_utf8(patch).is_ok() => {
            json::string(patch, fields.key("data"));
            true
        }
        Form::Patch(_) | Form::Whole => {
            if !json::is_nothing(data) {
                json::quoted(data, fields.key("data"));
            }
            false
        }
    }
}

/// Writes what few publications have.
fn write_rare(rare: &Rare, fields: &mut Object<'_>) {
    fields.text("key", rare.key.as_deref().unwrap_or_default());
    fields.flag("removed", rare.removed);
    fields.signed("score", rare.score);
    fields.text("epoch", rare.epoch.as_deref().unwrap_or_default());
    fields.number("version", rare.version);
}

/// Writes who a client is; user and client always stand there.
pub(super) fn write_info(info: &ClientInfo, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    json::string(info.user.as_bytes(), fields.key("user"));
    write_id(info.client, fields.key("client"));
    for (name, value) in [("conn_info", &info.conn_info), ("chan_info", &info.chan_info)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            json::one_line(value, fields.key(name));
        }
    }
    fields.end();
}

/// Writes a connection's id as a string.
pub(super) fn write_id(client: ClientId, out: &mut Vec<u8>) {
    let mut buffer = ClientId::encode_buffer();
    out.push(b'"');
    out.extend_from_slice(client.hyphenated().encode_lower(&mut buffer).as_bytes());
    out.push(b'"');
}
