//! Reads the application's answer to a call, strictly: over the link with the id of its call, over HTTP without.

mod grants;
mod results;

use std::time::Duration;

use bytes::Bytes;
use jackfield_model::app::{Answer, EventKind};
use jackfield_model::{ClientError, Disconnect, Uuid};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::{close_code, object};

/// Longest that an answer may be remembered.
const LONGEST_CACHE_SECONDS: u64 = 3600;

/// An answer whose meaning depends on the call it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// The id of the call.
    pub(crate) id: Uuid,
    /// What it says.
    pub(crate) verdict: Verdict,
}

/// The three things that an application may say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The connection ends.
    Disconnect(Disconnect),
    /// The command fails, and the same command fails again as long as `cache_for` says.
    Error(ClientError, Option<u64>),
    /// What came of it, as JSON.
    Result(Bytes),
}

/// An answer, and for how long it is one to the same question too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) answer: Answer,
    pub(crate) cache_for: Option<Duration>,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct AnswerError {
    /// The call that it was for, if so much could be read: its client need not wait for the deadline.
    pub(crate) id: Option<Uuid>,
    /// What is wrong, and what would be right.
    pub(crate) reason: String,
}

/// An answer over the link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFields<'a> {
    v: u32,
    id: Uuid,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    #[serde(default, borrow)]
    disconnect: Option<&'a RawValue>,
}

/// An answer over HTTP, where the response itself tells which request it belongs to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpFields<'a> {
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    #[serde(default, borrow)]
    disconnect: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: Uuid,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorFields {
    code: u32,
    message: String,
    #[serde(default)]
    temporary: bool,
    #[serde(default)]
    cache_for: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisconnectFields {
    code: u16,
    #[serde(default)]
    reason: String,
}

/// Reads an answer that came over the link.
pub(crate) fn parse(body: &[u8]) -> Result<Said, AnswerError> {
    read(body).map_err(|reason| {
        let id = serde_json::from_slice::<OnlyId>(body).ok().map(|only| only.id);
        AnswerError { id, reason }
    })
}

fn read(body: &[u8]) -> Result<Said, String> {
    let LinkFields { v, id, result, error, disconnect } = object(body)?;
    if v != 1 {
        return Err(format!("`v` is {v}; this server speaks version 1"));
    }
    Ok(Said { id, verdict: verdict(result, error, disconnect)? })
}

/// Reads the body of a response.
pub(crate) fn parse_response(body: &[u8]) -> Result<Verdict, String> {
    let HttpFields { result, error, disconnect } = object(body)?;
    verdict(result, error, disconnect)
}

fn verdict(
    result: Option<&RawValue>,
    error: Option<&RawValue>,
    disconnect: Option<&RawValue>,
) -> Result<Verdict, String> {
    match (result, error, disconnect) {
        (Some(result), None, None) => Ok(Verdict::Result(copied(result))),
        (None, Some(error), None) => error_of(error),
        (None, None, Some(disconnect)) => Ok(Verdict::Disconnect(disconnect_of(disconnect)?)),
        (None, None, None) => Err("one of `result`, `error` and `disconnect` is needed".to_owned()),
        _ => Err("only one of `result`, `error` and `disconnect` may be given".to_owned()),
    }
}

fn error_of(json: &RawValue) -> Result<Verdict, String> {
    let fields: ErrorFields = object(json.get().as_bytes()).map_err(|error| format!("`error`: {error}"))?;
    if !(100..=1999).contains(&fields.code) {
        return Err(format!("`error.code` is {}; an application's own are 400 to 1999", fields.code));
    }
    let error = ClientError { code: fields.code, message: fields.message.into(), temporary: fields.temporary };
    Ok(Verdict::Error(error, fields.cache_for))
}

fn disconnect_of(json: &RawValue) -> Result<Disconnect, String> {
    let fields: DisconnectFields = object(json.get().as_bytes()).map_err(|error| format!("`disconnect`: {error}"))?;
    let code = close_code(fields.code).map_err(|error| format!("`disconnect`: {error}"))?;
    Ok(Disconnect { code, reason: fields.reason.into() })
}

impl Verdict {
    /// The answer for a call of this kind.
    pub(crate) fn read(self, kind: EventKind) -> Result<Read, String> {
        let (answer, seconds) = match self {
            Self::Disconnect(disconnect) => (Answer::Disconnect(disconnect), None),
            Self::Error(error, seconds) => (Answer::Error(error), seconds),
            Self::Result(json) => results::read(&json, kind)
                .map_err(|error| format!("the `result` of a call `{}`: {error}", kind.name()))?,
        };
        let cache_for = seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        match (cache_for, seconds) {
            (Some(_), _) if !is_cached(kind) => Err(format!(
                "`cache_for` is for answers to `subscribe` and `rpc`; the question here was `{}`",
                kind.name()
            )),
            (Some(_), Some(seconds)) if seconds > LONGEST_CACHE_SECONDS => {
                Err(format!("`cache_for` is {seconds}; it is at most {LONGEST_CACHE_SECONDS} seconds"))
            }
            _ => Ok(Read { answer, cache_for }),
        }
    }
}

/// Whether answers to such a call may be remembered. A connect decides who somebody is, a publish does something.
pub(crate) fn is_cached(kind: EventKind) -> bool {
    matches!(kind, EventKind::Rpc | EventKind::Subscribe)
}

/// Why: an answer lives on in the session, and must not keep the whole body with it.
fn copied(json: &RawValue) -> Bytes {
    Bytes::copy_from_slice(json.get().as_bytes())
}

#[cfg(test)]
mod tests;
