//! Reads the application's answer to a call, strictly.

use bytes::Bytes;
use jackfield_model::app::{Answer, ConnectAnswer, EventKind};
use jackfield_model::{ClientError, Disconnect, Payload, Uuid};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::{close_code, object};

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
    /// The command fails.
    Error(ClientError),
    /// What came of it, as JSON.
    Result(Bytes),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    v: u32,
    id: Uuid,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisconnectFields {
    code: u16,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectFields<'a> {
    #[serde(default)]
    user: String,
    #[serde(default, borrow)]
    info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, borrow)]
    meta: Option<&'a RawValue>,
    #[serde(default)]
    expire_at: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RpcFields<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

/// Reads one answer.
pub(crate) fn parse(body: &[u8]) -> Result<Said, AnswerError> {
    read(body).map_err(|reason| {
        let id = serde_json::from_slice::<OnlyId>(body).ok().map(|only| only.id);
        AnswerError { id, reason }
    })
}

fn read(body: &[u8]) -> Result<Said, String> {
    let fields: Fields<'_> = object(body)?;
    if fields.v != 1 {
        return Err(format!("`v` is {}; this server speaks version 1", fields.v));
    }
    let verdict = match (fields.result, fields.error, fields.disconnect) {
        (Some(result), None, None) => Verdict::Result(copied(result)),
        (None, Some(error), None) => Verdict::Error(error_of(error)?),
        (None, None, Some(disconnect)) => Verdict::Disconnect(disconnect_of(disconnect)?),
        (None, None, None) => {
            return Err("one of `result`, `error` and `disconnect` is needed".to_owned());
        }
        _ => return Err("only one of `result`, `error` and `disconnect` may be given".to_owned()),
    };
    Ok(Said { id: fields.id, verdict })
}

fn error_of(json: &RawValue) -> Result<ClientError, String> {
    let fields: ErrorFields = object(json.get().as_bytes()).map_err(|error| format!("`error`: {error}"))?;
    if !(100..=1999).contains(&fields.code) {
        return Err(format!("`error.code` is {}; an application's own are 400 to 1999", fields.code));
    }
    Ok(ClientError { code: fields.code, message: fields.message.into(), temporary: fields.temporary })
}

fn disconnect_of(json: &RawValue) -> Result<Disconnect, String> {
    let fields: DisconnectFields = object(json.get().as_bytes()).map_err(|error| format!("`disconnect`: {error}"))?;
    let code = close_code(fields.code).map_err(|error| format!("`disconnect`: {error}"))?;
    Ok(Disconnect { code, reason: fields.reason.into() })
}

impl Verdict {
    /// The answer for a call of this kind.
    pub(crate) fn answer(self, kind: EventKind) -> Result<Answer, String> {
        match (self, kind) {
            (Self::Disconnect(disconnect), _) => Ok(Answer::Disconnect(disconnect)),
            (Self::Error(error), _) => Ok(Answer::Error(error)),
            (Self::Result(json), EventKind::Connect) => connect_of(&json),
            // Calls of the other kinds are not made yet.
            (Self::Result(json), _) => {
                let fields: RpcFields<'_> =
                    object(&json).map_err(|error| format!("the `result` of an rpc: {error}"))?;
                let data = fields.data.map_or(Bytes::from_static(b"null"), copied);
                Ok(Answer::Rpc(Payload::json(data)))
            }
        }
    }
}

fn connect_of(json: &[u8]) -> Result<Answer, String> {
    let fields: ConnectFields<'_> = object(json).map_err(|error| format!("the `result` of a connect: {error}"))?;
    if fields.meta.is_some_and(|meta| !meta.get().starts_with('{')) {
        return Err("the `result` of a connect: `meta` must be a JSON object".to_owned());
    }
    Ok(Answer::Connect(ConnectAnswer {
        user: fields.user.into(),
        info: fields.info.map(copied),
        data: fields.data.map(copied),
        meta: fields.meta.map(copied),
        expire_at: fields.expire_at,
        subs: Vec::new(),
    }))
}

/// Why: an answer lives on in the session, and must not keep the whole body with it.
fn copied(json: &RawValue) -> Bytes {
    Bytes::copy_from_slice(json.get().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Example {
        name: String,
        answer: serde_json::Value,
        ok: bool,
    }

    #[test]
    fn examples() {
        let examples: Vec<Example> = serde_json::from_str(include_str!("../../../spec/examples/answers.json")).unwrap();
        for example in examples {
            let read = parse(example.answer.to_string().as_bytes());
            assert_eq!(read.is_ok(), example.ok, "{}: {read:?}", example.name);
            let Ok(said) = read else { continue };
            let kind = if example.name.contains("rpc") { EventKind::Rpc } else { EventKind::Connect };
            said.verdict.answer(kind).unwrap_or_else(|error| panic!("{}: {error}", example.name));
        }
    }

    fn result(json: &str, kind: EventKind) -> Result<Answer, String> {
        Verdict::Result(Bytes::copy_from_slice(json.as_bytes())).answer(kind)
    }

    #[test]
    fn results_by_kind() {
        assert_eq!(result("{}", EventKind::Rpc), Ok(Answer::Rpc(Payload::json("null"))));
        assert_eq!(result(r#"{"data":[1, 2]}"#, EventKind::Rpc), Ok(Answer::Rpc(Payload::json("[1, 2]"))));
        assert!(result(r#"{"dat":1}"#, EventKind::Rpc).is_err());
        assert_eq!(result("{}", EventKind::Connect), Ok(Answer::Connect(ConnectAnswer::default())));
        assert!(result(r#"{"meta":[]}"#, EventKind::Connect).is_err());
        assert!(result(r#"{"user":1}"#, EventKind::Connect).is_err());
    }

    #[test]
    fn a_spoilt_answer_still_names_its_call() {
        let id = Uuid::from_u128(7);
        let error = parse(format!(r#"{{"v":2,"id":"{id}","result":{{}}}}"#).as_bytes()).unwrap_err();
        assert_eq!(error.id, Some(id));
        assert!(error.reason.contains("version 1"));
        assert_eq!(parse(b"[]").unwrap_err().id, None);
    }
}
