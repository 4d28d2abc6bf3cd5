//! The commands in a frame, whichever encoding they are in.

use jackfield_dialects::DialectError;
use jackfield_dialects::centrifugo::{json, protobuf};
use jackfield_model::client::Command;

use crate::endpoint::Dialect;

/// What is left of a frame.
pub(crate) enum Commands<'f> {
    Json(json::Commands<'f>),
    Protobuf(protobuf::Commands<'f>),
}

impl<'f> Commands<'f> {
    pub(crate) fn read(dialect: Dialect, frame: &'f [u8]) -> Self {
        match dialect {
            Dialect::CentrifugoProtobuf => Self::Protobuf(protobuf::commands(frame)),
            _ => Self::Json(json::commands(frame)),
        }
    }

    /// What was not looked at.
    pub(crate) fn rest(&self) -> &'f [u8] {
        match self {
            Self::Json(commands) => commands.rest(),
            Self::Protobuf(commands) => commands.rest(),
        }
    }
}

impl<'f> Iterator for Commands<'f> {
    type Item = Result<Command<'f>, DialectError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(commands) => commands.next(),
            Self::Protobuf(commands) => commands.next(),
        }
    }
}
