//! The parts that results share: what a client is granted, and values that come as JSON or as base64.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_model::subscription::{Granted, Overrides};
use jackfield_model::{Grant, Payload};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::copied;
use crate::command::object;

/// One of the channels that a client is put into from the start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantFields<'a> {
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
}

/// Each switch is an object, so that "not said" and `false` differ in every language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideFields {
    #[serde(default)]
    presence: Option<Switch>,
    #[serde(default)]
    join_leave: Option<Switch>,
    #[serde(default)]
    force_recovery: Option<Switch>,
    #[serde(default)]
    force_positioning: Option<Switch>,
    #[serde(default)]
    force_push_join_leave: Option<Switch>,
    #[serde(default)]
    publish: Option<Switch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    value: bool,
}

/// `channels` and `subs` of a connect: the same channel in both is the one of `subs`.
pub(super) fn granted(
    channels: Vec<String>,
    subs: Option<BTreeMap<String, &RawValue>>,
) -> Result<Vec<Granted>, String> {
    let mut all: BTreeMap<String, Grant> = BTreeMap::new();
    for name in channels {
        all.insert(name, Grant::default());
    }
    for (name, json) in subs.unwrap_or_default() {
        let grant = grant(json).map_err(|error| format!("`subs` of {name:?}: {error}"))?;
        all.insert(name, grant);
    }
    all.into_iter().map(|(name, grant)| Ok((channel(name)?, grant))).collect()
}

fn channel(name: String) -> Result<Arc<str>, String> {
    if name.is_empty() {
        return Err("a channel is empty; name it, or leave it out".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the channel {name:?} has a control character, which no client may use"));
    }
    Ok(name.into())
}

/// What one subscription is granted; an object with nothing in it grants as the namespace does.
pub(super) fn grant(json: &RawValue) -> Result<Grant, String> {
    let fields: GrantFields<'_> = object(json.get().as_bytes())?;
    Ok(Grant {
        info: info(fields.info, fields.b64info)?,
        data: data(fields.data, fields.b64data)?,
        expire_at: expiry(fields.expire_at),
        overrides: overrides(fields.overrides)?,
    })
}

pub(super) fn overrides(json: Option<&RawValue>) -> Result<Overrides, String> {
    let Some(json) = json else { return Ok(Overrides::default()) };
    let fields: OverrideFields = object(json.get().as_bytes()).map_err(|error| {
        format!("`override`: {error}; each of its switches is {{\"value\": true}} or {{\"value\": false}}")
    })?;
    let value = |switch: Option<Switch>| switch.map(|switch| switch.value);
    Ok(Overrides {
        presence: value(fields.presence),
        join_leave: value(fields.join_leave),
        force_recovery: value(fields.force_recovery),
        force_positioning: value(fields.force_positioning),
        force_push_join_leave: value(fields.force_push_join_leave),
        publish: value(fields.publish),
    })
}

/// In this protocol a time of 0 is "never", as an absent one is.
pub(super) fn expiry(seconds: Option<u64>) -> Option<u64> {
    seconds.filter(|seconds| *seconds > 0)
}

/// JSON about a client, as it is or in base64.
pub(super) fn info(json: Option<&RawValue>, base64: Option<String>) -> Result<Option<Bytes>, String> {
    match (json, base64) {
        (None, None) => Ok(None),
        (Some(json), None) => Ok(Some(copied(json))),
        (None, Some(base64)) => {
            let bytes = decoded("b64info", &base64)?;
            serde_json::from_slice::<IgnoredAny>(&bytes)
                .map_err(|error| format!("`b64info` holds no JSON, which `info` is: {error}"))?;
            Ok(Some(bytes.into()))
        }
        (Some(_), Some(_)) => Err("only one of `info` and `b64info` may be given".to_owned()),
    }
}

/// Data for clients: JSON, or bytes in base64.
pub(super) fn data(json: Option<&RawValue>, base64: Option<String>) -> Result<Option<Payload>, String> {
    match (json, base64) {
        (None, None) => Ok(None),
        (Some(json), None) => Ok(Some(Payload::json(copied(json)))),
        (None, Some(base64)) => Ok(Some(Payload::binary(decoded("b64data", &base64)?))),
        (Some(_), Some(_)) => Err("only one of `data` and `b64data` may be given".to_owned()),
    }
}

fn decoded(name: &str, base64: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(base64).map_err(|error| format!("`{name}` is no standard base64: {error}"))
}
