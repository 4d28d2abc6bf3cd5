//! `jackfield.answer`: a client's answer to a question of the application, as an `rpc` that never gets to the application.

use bytes::Bytes;
use jackfield_model::app::ClientCall;
use jackfield_model::client::{Answer, Push, Rpc};
use jackfield_model::{ClientError, Content, Payload, Uuid};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Outcome;
use crate::endpoint::Dialect;
use crate::session::{Session, bad};
use crate::turn::{Effect, Turn};

/// The method by which clients answer.
pub(super) const METHOD: &str = "jackfield.answer";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    call: Uuid,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error: Option<Failure>,
}

/// An error of the client's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    #[serde(default)]
    code: Option<u32>,
    #[serde(default)]
    message: String,
}

pub(super) fn run(rpc: &Rpc<'_>, turn: &Turn<'_>) -> Outcome {
    let said: Said<'_> = serde_json::from_slice(rpc.data.bytes).map_err(|error| {
        bad(&format!("an answer is {{\"call\":\"..\",\"data\":..}} or {{\"call\":\"..\",\"error\":{{..}}}}: {error}"))
    })?;
    let answer = match (said.data, said.error) {
        (Some(_), Some(_)) => return Err(bad("an answer has `data` or `error`, not both")),
        (_, Some(Failure { code, message })) => {
            let code = code.unwrap_or(400);
            if !(400..=1999).contains(&code) {
                return Err(bad(&format!("`code` is {code}; it must be from 400 to 1999")));
            }
            Err(ClientError { message: message.into(), ..ClientError::new(code, "") })
        }
        (data, None) => Ok(Bytes::copy_from_slice(data.map_or("null", RawValue::get).as_bytes())),
    };
    if turn.hub.answer(said.call, Some(turn.address), answer) {
        Ok(Some(Answer::Rpc(Payload::json("{}"))))
    } else {
        Err(bad("no such call waits for an answer of this connection"))
    }
}

impl Session {
    /// Asks the client something; one that cannot answer says so at once.
    pub(crate) fn be_called(&self, id: Uuid, call: &ClientCall, turn: &mut Turn<'_>) {
        match self.endpoint.dialect {
            Dialect::CentrifugoJson | Dialect::CentrifugoProtobuf => {
                turn.effects.push(Effect::Push(Push::Message(question(id, call))));
            }
            Dialect::CentrifugoUniJson | Dialect::Echo | Dialect::Fields | Dialect::Raw(_) | Dialect::Yjs => {
                let dialect = self.endpoint.dialect.name();
                let message = format!("not available: a client of {dialect} cannot be called").into();
                turn.hub.answer(id, None, Err(ClientError { message, ..ClientError::NOT_AVAILABLE }));
            }
        }
    }
}

/// What the client is told: bytes as base64, all else as the JSON that it is.
fn question(id: Uuid, call: &ClientCall) -> Payload {
    let method = serde_json::Value::from(call.method.as_str());
    let bytes = &call.data.bytes;
    let (key, value) = match call.data.content {
        Content::Json => ("data", String::from_utf8_lossy(bytes).into_owned()),
        Content::Text => ("data", serde_json::Value::from(&*String::from_utf8_lossy(bytes)).to_string()),
        Content::Binary => {
            use base64::Engine;
            ("b64data", format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes)))
        }
    };
    Payload::json(format!("{{\"call\":\"{id}\",\"method\":{method},\"{key}\":{value}}}"))
}
