//! Writes replies.

use std::sync::Arc;

use jackfield_model::client::{Answer, Connected, Form, HistoryPage, PresenceStats, Refreshed, Reply, Subscribed};
use jackfield_model::{ClientError, ClientId, ClientInfo, Payload, Publication};

use super::push::{write_id, write_info, write_publication};
use crate::json::{self, Object};

/// Writes a reply as one JSON object on one line, without a newline at its end. Values that are
/// zero are left out, except where the protocol always has them.
pub fn reply(reply: &Reply, out: &mut Vec<u8>) {
    let mut envelope = Object::begin(out);
    envelope.number("id", reply.id.into());
    match &reply.outcome {
        Ok(answer) => write_answer(answer, &mut envelope),
        Err(error) => write_error(error, envelope.key("error")),
    }
    envelope.end();
}

fn write_answer(answer: &Answer, envelope: &mut Object<'_>) {
    match answer {
        Answer::Connect(connected) => write_connected(connected, envelope.key("connect")),
        Answer::History(page) => write_history(page, envelope.key("history")),
        Answer::Ping => envelope.key("ping").extend_from_slice(b"{}"),
        Answer::Presence(infos) => write_presence(infos.iter().map(|info| &**info), envelope.key("presence")),
        Answer::PresenceStats(stats) => write_stats(*stats, envelope.key("presence_stats")),
        Answer::Publish => envelope.key("publish").extend_from_slice(b"{}"),
        Answer::Refresh(refreshed) => write_refreshed(refreshed, envelope.key("refresh")),
        Answer::Rpc(data) => write_rpc(data, envelope.key("rpc")),
        Answer::Send => envelope.key("send").extend_from_slice(b"{}"),
        Answer::Subscribe(subscribed) => write_subscribed(subscribed, envelope.key("subscribe")),
        Answer::SubRefresh(ttl) => {
            let mut fields = Object::begin(envelope.key("sub_refresh"));
            write_ttl(*ttl, &mut fields);
            fields.end();
        }
        Answer::Unsubscribe => envelope.key("unsubscribe").extend_from_slice(b"{}"),
    }
}

fn write_error(error: &ClientError, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    fields.number("code", error.code.into());
    fields.text("message", &error.message);
    fields.flag("temporary", error.temporary);
    fields.end();
}

/// Writes a welcome, for the reply as well as for the push.
pub(super) fn write_connected(connected: &Connected, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    write_identity(connected.client, connected.version, connected.ttl, &mut fields);
    if let Some(data) = &connected.data {
        fields.payload("data", data);
    }
    if !connected.subs.is_empty() {
        let mut subs = Object::begin(fields.key("subs"));
        for (channel, subscribed) in &connected.subs {
            write_subscribed(subscribed, subs.any_key(channel));
        }
        subs.end();
    }
    fields.number("ping", connected.ping_seconds.into());
    fields.flag("pong", connected.pong);
    fields.text("session", connected.session.as_deref().unwrap_or_default());
    fields.text("node", connected.node.as_deref().unwrap_or_default());
    fields.number("time", connected.time.unwrap_or_default());
    fields.end();
}

fn write_refreshed(refreshed: &Refreshed, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    write_identity(refreshed.client, refreshed.version, refreshed.ttl, &mut fields);
    fields.end();
}

/// What the results of connect and refresh begin with.
fn write_identity(client: ClientId, version: &str, ttl: Option<u64>, fields: &mut Object<'_>) {
    write_id(client, fields.key("client"));
    fields.text("version", version);
    write_ttl(ttl, fields);
}

/// Writes whether something runs out, and in how many seconds.
pub(super) fn write_ttl(ttl: Option<u64>, fields: &mut Object<'_>) {
    if let Some(ttl) = ttl {
        fields.flag("expires", true);
        fields.number("ttl", ttl);
    }
}

fn write_subscribed(subscribed: &Subscribed, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    write_ttl(subscribed.ttl, &mut fields);
    fields.flag("recoverable", subscribed.recoverable);
    if let Some(position) = &subscribed.position {
        fields.text("epoch", &position.epoch);
    }
    let form = |nth: usize| {
        let patch = || subscribed.patches.get(nth).cloned().flatten();
        subscribed.delta.then(|| patch().map_or(Form::Whole, Form::Patch))
    };
    if !subscribed.publications.is_empty() {
        write_publications(&subscribed.publications, form, fields.key("publications"));
    }
    fields.flag("recovered", subscribed.recovered);
    if let Some(position) = &subscribed.position {
        fields.number("offset", position.offset);
    }
    fields.flag("positioned", subscribed.positioned);
    if let Some(data) = &subscribed.data {
        fields.payload("data", data);
    }
    fields.flag("was_recovering", subscribed.was_recovering);
    fields.flag("delta", subscribed.delta);
    fields.number("type", subscribed.kind.into());
    fields.number("phase", subscribed.phase.into());
    fields.text("cursor", &subscribed.cursor);
    if !subscribed.state.is_empty() {
        write_publications(&subscribed.state, |_| subscribed.delta.then_some(Form::Whole), fields.key("state"));
    }
    fields.end();
}

fn write_rpc(data: &Payload, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    fields.payload("data", data);
    fields.end();
}

fn write_presence<'i>(infos: impl Iterator<Item = &'i ClientInfo>, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    let mut clients = Object::begin(fields.key("presence"));
    for info in infos {
        let mut buffer = ClientId::encode_buffer();
        let id = info.client.hyphenated().encode_lower(&mut buffer);
        write_info(info, clients.key(id));
    }
    clients.end();
    fields.end();
}

fn write_stats(stats: PresenceStats, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    json::number(stats.num_clients.into(), fields.key("num_clients"));
    json::number(stats.num_users.into(), fields.key("num_users"));
    fields.end();
}

fn write_history(page: &HistoryPage, out: &mut Vec<u8>) {
    let mut fields = Object::begin(out);
    write_publications(&page.publications, |_| None, fields.key("publications"));
    json::string(page.position.epoch.as_bytes(), fields.key("epoch"));
    json::number(page.position.offset, fields.key("offset"));
    fields.end();
}

/// Writes publications; `form` says which of them is one for who asked for deltas.
fn write_publications(publications: &[Arc<Publication>], form: impl Fn(usize) -> Option<Form>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, publication) in publications.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_publication(publication, form(index).as_ref(), out);
    }
    out.push(b']');
}
