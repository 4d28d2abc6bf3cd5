//! Several commands in one request: as a list, or as lines, the way of the first versions of this interface.

use std::fmt;

use jackfield_model::ClientError;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Commands that one request may bring.
pub(crate) const MOST_COMMANDS: usize = 1000;

/// A list of commands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct Batch<'a> {
    #[serde(borrow)]
    pub(crate) commands: Vec<Ask<'a>>,
    /// Whether each may begin before the one before is done.
    pub(crate) parallel: Option<bool>,
}

/// One command of a list: an object with the method as its only key.
pub(crate) struct Ask<'a>(pub(crate) Result<(String, &'a RawValue), ClientError>);

/// One command of lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
pub(crate) struct Line<'a> {
    /// Comes back with the reply.
    pub(crate) id: Option<u64>,
    pub(crate) method: String,
    #[serde(borrow)]
    pub(crate) params: Option<&'a RawValue>,
}

/// Reads the body of a batch.
pub(crate) fn read(body: &[u8]) -> Result<Batch<'_>, BatchError> {
    // Why: serde would take a list for a struct, field by field.
    let wrong = |reason: String| BatchError::Wrong(format!("the payload of `batch` is refused: {reason}"));
    let json: &RawValue = serde_json::from_slice(body)
        .map_err(|error| BatchError::NoJson(format!("the payload of `batch` is no JSON object: {error}")))?;
    if !json.get().starts_with('{') {
        return Err(wrong("a JSON object is needed".to_owned()));
    }
    let batch: Batch<'_> = serde_json::from_str(json.get()).map_err(|error| wrong(error.to_string()))?;
    if batch.commands.len() > MOST_COMMANDS {
        let count = batch.commands.len();
        return Err(wrong(format!("it has {count} commands; one request may bring {MOST_COMMANDS}")));
    }
    Ok(batch)
}

/// Reads the body of lines; it need not be lines exactly, any white space stands between commands.
pub(crate) fn lines(body: &[u8]) -> Result<Vec<Line<'_>>, String> {
    let usage = "one JSON object with `method` and `params` per line is needed";
    let mut lines = Vec::new();
    for line in serde_json::Deserializer::from_slice(body).into_iter() {
        lines.push(line.map_err(|error| format!("{error}; {usage}"))?);
        if lines.len() > MOST_COMMANDS {
            return Err(format!("there are more than {MOST_COMMANDS} commands; one request may bring {MOST_COMMANDS}"));
        }
    }
    if lines.is_empty() { Err(format!("the body is empty; {usage}")) } else { Ok(lines) }
}

/// Why a batch was refused as a whole.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// It is no JSON at all.
    NoJson(String),
    /// It is not what a batch is.
    Wrong(String),
}

impl<'de: 'a, 'a> Deserialize<'de> for Ask<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneKey)
    }
}

struct OneKey;

impl<'de> Visitor<'de> for OneKey {
    type Value = Ask<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object such as {\"publish\":{...}}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut only: Option<(String, &'de RawValue)> = None;
        let mut count = 0;
        while let Some((method, payload)) = map.next_entry::<String, &'de RawValue>()? {
            // Libraries of typed languages write every method they know.
            if payload.get() != "null" {
                count += 1;
                only = Some((method, payload));
            }
        }
        let message = "a command of a batch is an object with one method as its only key, such as {\"publish\":{...}}";
        Ok(Ask(match only {
            Some(one) if count == 1 => Ok(one),
            _ => Err(ClientError { message: message.into(), ..ClientError::BAD_REQUEST }),
        }))
    }
}
