//! Walks the commands of one frame, each read where it lies.

use std::iter::FusedIterator;

use jackfield_model::client::{Command, Connect, Request};

use super::fields;
use crate::protobuf::prefixed_message;
use crate::{DialectError, ProtobufError};

/// The commands of one frame, in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    frame: &'a [u8],
    /// Where the next command begins.
    at: usize,
    is_done: bool,
}

/// Walks the commands of one frame: one or more messages, each behind its length.
///
/// An empty message is a pong. Where a command names several requests the one with the lowest field number counts. A
/// request without an id is handed out with id 0; whether that may be is the session's affair.
#[must_use]
pub fn commands(frame: &[u8]) -> Commands<'_> {
    Commands { frame, at: 0, is_done: false }
}

/// Reads one command that a framing has taken out of its length already.
///
/// # Errors
///
/// Bytes that are no command.
pub fn command(message: &[u8]) -> Result<Command<'_>, DialectError> {
    command_at(message, 0)
}

/// Reads what a client of a unidirectional transport says; nothing at all is a request without any field.
///
/// # Errors
///
/// Bytes that are no such request.
pub fn connect_request(message: &[u8]) -> Result<Connect<'_>, DialectError> {
    read(message, fields::merge_connect)
}

/// Reads a message that is a frame of its own.
pub(in crate::centrifugo) fn read<'a, T: Default>(
    message: &'a [u8],
    merge: impl FnOnce(&mut T, &'a [u8]) -> Result<(), ProtobufError>,
) -> Result<T, DialectError> {
    let mut value = T::default();
    merge(&mut value, message).map_err(|source| DialectError::Protobuf { at: 0, source })?;
    Ok(value)
}

fn command_at(message: &[u8], at: usize) -> Result<Command<'_>, DialectError> {
    let (id, request) = fields::envelope(message).map_err(|source| DialectError::Protobuf { at, source })?;
    match request {
        Some(request) => Ok(Command { id, request }),
        None if id == 0 => Ok(Command { id, request: Request::Pong }),
        None => Err(DialectError::NoRequest { id }),
    }
}

impl<'a> Commands<'a> {
    /// What has not been walked yet, for whoever must stop in the middle of a frame and go on later.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        if self.is_done { &[] } else { self.frame.get(self.at..).unwrap_or_default() }
    }

    fn command(&mut self) -> Result<Command<'a>, DialectError> {
        let at = self.at;
        let rest = self.rest();
        if rest.is_empty() {
            return Err(DialectError::NoMessage);
        }
        let (message, used) = prefixed_message(rest).map_err(|source| DialectError::Protobuf { at, source })?;
        self.at += used;
        self.is_done = self.at == self.frame.len();
        command_at(message, at + used - message.len())
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Command<'a>, DialectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.command();
        self.is_done |= item.is_err();
        Some(item)
    }
}

impl FusedIterator for Commands<'_> {}
