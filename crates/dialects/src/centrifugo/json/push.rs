//! Writes pushes, and the publications and client infos that replies hold as well.

use jackfield_model::client::Push;
use jackfield_model::{ClientId, ClientInfo, Disconnect, Publication};

use super::reply::write_connected;
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
            write_publication(publication, body.key("pub"));
        }
        // Nobody makes these yet.
        Push::Delta(..) | Push::Refresh(_) | Push::Subscribe(..) | Push::Unsubscribe(..) => {}
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

/// Writes a publication; its channel stands elsewhere.
pub(super) fn write_publication(publication: &Publication, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    fields.payload("data", &publication.data);
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
    fields.number("time", publication.time);
    fields.end();
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
