//! Reads a command of the application: a method and the JSON of `spec/app-link.md`, strictly.
//!
//! Whoever writes commands by hand makes mistakes that a lenient reader would hide: a misspelt `chanel` would publish
//! nowhere. So unknown keys are refused, and every refusal says what would be right. The tables that say what a method
//! takes are the documents' source too.

mod channel;
mod field;
mod method;
mod people;
mod publish;
mod read;
#[cfg(test)]
mod tests;

use jackfield_model::ClientError;
use jackfield_model::app::Command;
use serde::Deserialize;

pub use field::{Field, Kind, Shape, Table, Told};
pub use method::{METHODS, Method, NOT_BUILT};

use read::ReadError;

/// Why a command makes no sense; the texts are for the developer who sent it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// The payload is no JSON.
    #[error("the payload of `{method}` is no JSON object: {reason}")]
    NoJson {
        /// The method.
        method: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No method was named.
    #[error("the method is missing; it is one of {}", method::names())]
    NoMethod,
    /// The protocol has it, this server has not.
    #[error("`{method}` is not available: it is not built; {instead}")]
    NotBuilt {
        /// The method.
        method: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The payload is not what the method takes.
    #[error("the payload of `{method}` is refused: {reason}")]
    Payload {
        /// The method.
        method: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No such method.
    #[error("the method {0:?} is unknown; it is one of {methods}", methods = method::names())]
    UnknownMethod(String),
}

impl From<&CommandError> for ClientError {
    fn from(error: &CommandError) -> Self {
        let kind = match error {
            CommandError::NotBuilt { .. } => Self::NOT_AVAILABLE,
            CommandError::UnknownMethod(_) => Self::METHOD_NOT_FOUND,
            CommandError::NoJson { .. } | CommandError::NoMethod | CommandError::Payload { .. } => Self::BAD_REQUEST,
        };
        Self { message: error.to_string().into(), ..kind }
    }
}

/// Reads one command.
pub fn parse(method: &str, payload: &[u8]) -> Result<Command, CommandError> {
    let Some(known) = Method::of(method) else {
        if let Some((method, instead)) = NOT_BUILT.into_iter().find(|(name, _)| *name == method) {
            return Err(CommandError::NotBuilt { method, instead });
        }
        return Err(match method {
            "" => CommandError::NoMethod,
            unknown => CommandError::UnknownMethod(unknown.chars().take(64).collect()),
        });
    };
    let method = known.name;
    let refused = |reason| CommandError::Payload { method, reason };
    let mut fields = read::object(payload, known.takes).map_err(|error| match error {
        ReadError::NoJson(reason) => CommandError::NoJson { method, reason },
        ReadError::Wrong(reason) => refused(reason),
    })?;
    let command = (known.read)(&mut fields).map_err(refused)?;
    debug_assert!(fields.is_spent(), "`{method}` takes a field and makes nothing of it: {fields:?}");
    Ok(command)
}

/// Reads JSON into a struct; a list is none.
///
/// Why: serde would take a list for a struct, field by field.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice(json).map_err(|error| error.to_string()),
        Some(_) => Err("a JSON object is needed".to_owned()),
        None => Err("it is empty; a JSON object is needed".to_owned()),
    }
}

/// Close codes that an application may use.
pub(crate) fn close_code(code: u16) -> Result<u16, String> {
    if (3000..=4999).contains(&code) {
        Ok(code)
    } else {
        Err(format!("`code` is {code}; it must be from 3000 to 4999"))
    }
}
