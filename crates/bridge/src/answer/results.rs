//! The `result` of each kind of call.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::app::{Answer, ConnectAnswer, EventKind, PublishAnswer, PublishMore, RefreshAnswer};
use jackfield_model::{Grant, Payload};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::copied;
use super::grants::{data, expiry, granted, info, overrides};
use crate::command::object;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectFields<'a> {
    #[serde(default)]
    user: String,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default)]
    b64info: Option<String>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default, borrow)]
    meta: Option<&'a RawValue>,
    #[serde(default)]
    expire_at: Option<u64>,
    #[serde(default)]
    channels: Option<Vec<String>>,
    #[serde(default, borrow)]
    subs: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(default)]
    token_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscribeFields<'a> {
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default)]
    b64info: Option<String>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    expire_at: Option<u64>,
    #[serde(default, rename = "override", borrow)]
    overrides: Option<&'a RawValue>,
    #[serde(default)]
    cache_for: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishFields<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    skip_history: bool,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    idempotency_key: String,
    #[serde(default)]
    delta: bool,
    #[serde(default)]
    version: u64,
    #[serde(default)]
    version_epoch: String,
    #[serde(default)]
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshFields<'a> {
    #[serde(default)]
    expired: bool,
    #[serde(default)]
    expire_at: Option<u64>,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default)]
    b64info: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RpcFields<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    b64data: Option<String>,
    #[serde(default)]
    cache_for: Option<u64>,
}

/// The answer in a result, and the seconds for which it may be remembered.
pub(super) fn read(json: &[u8], kind: EventKind) -> Result<(Answer, Option<u64>), String> {
    match kind {
        EventKind::Connect => Ok((connect(json)?, None)),
        EventKind::Publish => Ok((publish(json)?, None)),
        EventKind::Refresh | EventKind::SubRefresh => Ok((refresh(json)?, None)),
        EventKind::Rpc => rpc(json),
        EventKind::Subscribe => subscribe(json),
        EventKind::Disconnect
        | EventKind::Message
        | EventKind::NodeLost
        | EventKind::NoticesLost
        | EventKind::Occupied
        | EventKind::Undelivered
        | EventKind::Unsubscribe
        | EventKind::Vacated => Err("nobody asked".to_owned()),
    }
}

fn connect(json: &[u8]) -> Result<Answer, String> {
    let fields: ConnectFields<'_> = object(json)?;
    if fields.meta.is_some_and(|meta| !meta.get().starts_with('{')) {
        return Err("`meta` must be a JSON object".to_owned());
    }
    Ok(Answer::Connect(ConnectAnswer {
        user: fields.user.into(),
        info: info(fields.info, fields.b64info)?,
        data: data(fields.data, fields.b64data)?,
        meta: fields.meta.map(copied),
        expire_at: expiry(fields.expire_at),
        subs: granted(fields.channels.unwrap_or_default(), fields.subs)?,
        token_id: (!fields.token_id.is_empty()).then(|| fields.token_id.into()),
    }))
}

fn subscribe(json: &[u8]) -> Result<(Answer, Option<u64>), String> {
    let fields: SubscribeFields<'_> = object(json)?;
    let grant = Grant {
        info: info(fields.info, fields.b64info)?,
        data: data(fields.data, fields.b64data)?,
        expire_at: expiry(fields.expire_at),
        overrides: overrides(fields.overrides)?,
    };
    Ok((Answer::Subscribe(grant), fields.cache_for))
}

fn publish(json: &[u8]) -> Result<Answer, String> {
    let fields: PublishFields<'_> = object(json)?;
    let more = PublishMore {
        idempotency_key: fields.idempotency_key,
        delta: fields.delta,
        version: fields.version,
        version_epoch: fields.version_epoch,
        key: fields.key,
        ..PublishMore::default()
    };
    Ok(Answer::Publish(Box::new(PublishAnswer {
        data: data(fields.data, fields.b64data)?,
        skip_history: fields.skip_history,
        tags: fields.tags.map(Arc::new),
        more: (more != PublishMore::default()).then(|| Box::new(more)),
    })))
}

fn refresh(json: &[u8]) -> Result<Answer, String> {
    let fields: RefreshFields<'_> = object(json)?;
    Ok(Answer::Refresh(RefreshAnswer {
        expired: fields.expired,
        expire_at: expiry(fields.expire_at),
        info: info(fields.info, fields.b64info)?,
    }))
}

fn rpc(json: &[u8]) -> Result<(Answer, Option<u64>), String> {
    let fields: RpcFields<'_> = object(json)?;
    let data = data(fields.data, fields.b64data)?;
    Ok((Answer::Rpc(data.unwrap_or_else(|| Payload::json(Bytes::from_static(b"null")))), fields.cache_for))
}
