//! The fields of the commands as they stand in Protobuf.
//!
//! Each function merges a message into what was read before: proto3 allows a message in pieces, and of a value that
//! comes twice the last counts. Numbers that are not named here are skipped: newer SDKs say more.

use std::borrow::Cow;

use jackfield_model::Content;
use jackfield_model::client::{Connect, Data, History, Publish, Request, Rpc, SubRefresh, Subscribe};
use serde_json::value::RawValue;

use super::filter;
use crate::ProtobufError;
use crate::json::{MAX_DEPTH, is_too_deep};
use crate::protobuf::Fields;

/// In a subscription, how it wants to be delivered: our own word.
const DELIVERY: u32 = 101;
/// In a position, a time instead of it: our own word.
const TIME: u32 = 101;

pub(super) type Merged = Result<(), ProtobufError>;

/// Reads a command: its id, and of its requests the one with the lowest number.
pub(super) fn envelope(message: &[u8]) -> Result<(u32, Option<Request<'_>>), ProtobufError> {
    let mut id = 0;
    let mut first: Option<(u32, Request<'_>)> = None;
    for field in Fields::of(message) {
        let field = field?;
        let number = field.number;
        if number == 1 {
            id = field.short_number()?;
        } else if let Some(mut request) = request(number) {
            match &mut first {
                Some((other, first)) if *other == number => merge_request(first, field.bytes()?)?,
                _ => {
                    merge_request(&mut request, field.bytes()?)?;
                    if first.as_ref().is_none_or(|(other, _)| number < *other) {
                        first = Some((number, request));
                    }
                }
            }
        }
    }
    match first {
        Some((_, Request::Publish(Publish { data: Data { bytes: [], .. }, removed: false, .. }))) => {
            Err(ProtobufError::NoData)
        }
        first => Ok((id, first.map(|(_, request)| request))),
    }
}

/// The request with this number, nothing in it yet.
fn request(number: u32) -> Option<Request<'static>> {
    // What JSON says of a request without data as well.
    const NULL: Data<'_> = Data { bytes: b"null", content: Content::Json };
    let name = Cow::Borrowed("");
    Some(match number {
        4 => Request::Connect(Connect::default()),
        5 => Request::Subscribe(Subscribe::default()),
        6 => Request::Unsubscribe(name),
        7 => Request::Publish(Publish::default()),
        8 => Request::Presence(name),
        9 => Request::PresenceStats(name),
        10 => Request::History(History::default()),
        11 => Request::Ping,
        12 => Request::Send(NULL),
        13 => Request::Rpc(Rpc { data: NULL, ..Rpc::default() }),
        14 => Request::Refresh(name),
        15 => Request::SubRefresh(SubRefresh::default()),
        _ => return None,
    })
}

fn merge_request<'a>(request: &mut Request<'a>, message: &'a [u8]) -> Merged {
    match request {
        Request::Connect(connect) => merge_connect(connect, message),
        Request::History(history) => merge_history(history, message),
        Request::Ping | Request::Pong => Fields::of(message).try_for_each(|field| field.map(drop)),
        Request::Presence(name) | Request::PresenceStats(name) | Request::Unsubscribe(name) => {
            merge_text(name, 1, message)
        }
        Request::Publish(publish) => merge_publish(publish, message),
        Request::Refresh(token) => merge_text(token, 1, message),
        Request::Rpc(rpc) => merge_rpc(rpc, message),
        Request::Send(data) => merge_send(data, message),
        Request::Subscribe(subscribe) => merge_subscribe(subscribe, message),
        Request::SubRefresh(refresh) => merge_sub_refresh(refresh, message),
    }
}

/// Reads the one string that counts in a message.
fn merge_text<'a>(text: &mut Cow<'a, str>, number: u32, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        if field.number == number {
            *text = field.text()?.into();
        }
    }
    Ok(())
}

pub(super) fn merge_connect<'a>(connect: &mut Connect<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => connect.token = field.text()?.into(),
            2 => connect.data = Some(data(field.bytes()?)?).filter(|data| !data.bytes.is_empty()),
            3 => merge_sub(&mut connect.subs, field.bytes()?)?,
            4 => connect.name = field.text()?.into(),
            5 => connect.version = field.text()?.into(),
            7 => connect.flag = field.number()? as i64,
            _ => {}
        }
    }
    Ok(())
}

/// Reads an entry of a map. A channel may stand there twice, as in JSON; the second finds it subscribed.
fn merge_sub<'a>(subs: &mut Vec<(Cow<'a, str>, Subscribe<'a>)>, entry: &'a [u8]) -> Merged {
    let mut channel = "";
    let mut subscribe = Subscribe::default();
    for field in Fields::of(entry) {
        let field = field?;
        match field.number {
            1 => channel = field.text()?,
            2 => merge_subscribe(&mut subscribe, field.bytes()?)?,
            _ => {}
        }
    }
    subs.push((channel.into(), subscribe));
    Ok(())
}

fn merge_subscribe<'a>(subscribe: &mut Subscribe<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => subscribe.channel = field.text()?.into(),
            2 => subscribe.token = field.text()?.into(),
            3 => subscribe.recover = field.flag()?,
            6 => subscribe.since.epoch = field.text()?.into(),
            7 => subscribe.since.offset = field.number()?,
            8 => subscribe.data = Some(data(field.bytes()?)?).filter(|data| !data.bytes.is_empty()),
            9 => subscribe.positioned = field.flag()?,
            10 => subscribe.recoverable = field.flag()?,
            11 => subscribe.join_leave = field.flag()?,
            12 => subscribe.delta = field.text()?.into(),
            13 => filter::merge(subscribe.filter.get_or_insert_default(), field.bytes()?)?,
            14 => subscribe.flag = field.number()? as i64,
            15 => subscribe.kind = field.short_number()?,
            16 => subscribe.phase = field.short_number()?,
            17 => subscribe.cursor = field.text()?.into(),
            18 => subscribe.limit = (field.short_number()? as i32).max(0).unsigned_abs(),
            19 => subscribe.asc = field.flag()?,
            DELIVERY => subscribe.delivery = field.text()?.into(),
            _ => {}
        }
    }
    Ok(())
}

fn merge_publish<'a>(publish: &mut Publish<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => publish.channel = field.text()?.into(),
            2 => publish.data = data(field.bytes()?)?,
            3 => publish.kind = field.short_number()?,
            4 => publish.key = field.text()?.into(),
            5 => publish.removed = field.flag()?,
            _ => {}
        }
    }
    Ok(())
}

fn merge_sub_refresh<'a>(refresh: &mut SubRefresh<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => refresh.channel = field.text()?.into(),
            2 => refresh.token = field.text()?.into(),
            3 => refresh.kind = field.short_number()?,
            _ => {}
        }
    }
    Ok(())
}

fn merge_rpc<'a>(rpc: &mut Rpc<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => rpc.data = data(field.bytes()?)?,
            2 => rpc.method = field.text()?.into(),
            _ => {}
        }
    }
    Ok(())
}

fn merge_send<'a>(said: &mut Data<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 1 {
            *said = data(field.bytes()?)?;
        }
    }
    Ok(())
}

fn merge_history<'a>(history: &mut History<'a>, message: &'a [u8]) -> Merged {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => history.channel = field.text()?.into(),
            7 => history.limit = field.short_number()? as i32,
            8 => merge_since(history, field.bytes()?)?,
            9 => history.reverse = field.flag()?,
            _ => {}
        }
    }
    Ok(())
}

fn merge_since(history: &mut History<'_>, message: &[u8]) -> Merged {
    let position = history.since.get_or_insert_default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => position.offset = field.number()?,
            2 => position.epoch = field.text()?.into(),
            TIME => history.from = Some(field.number()?),
            _ => {}
        }
    }
    Ok(())
}

/// Client data, with a word about what it is.
///
/// Why: the bytes say nothing of it, and subscribers that speak JSON need to know. What is exactly one JSON value goes to
/// them as it is, anything else as base64. This walks the bytes once; nothing is kept of it. Other Protobuf clients get
/// the bytes in any case.
fn data(bytes: &[u8]) -> Result<Data<'_>, ProtobufError> {
    if serde_json::from_slice::<&RawValue>(bytes).is_err() {
        return Ok(Data { bytes, content: Content::Binary });
    }
    if is_too_deep(bytes) {
        return Err(ProtobufError::TooDeep { max_depth: MAX_DEPTH });
    }
    Ok(Data { bytes, content: Content::Json })
}
