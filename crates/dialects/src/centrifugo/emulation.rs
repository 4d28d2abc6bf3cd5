//! What clients of emulated transports post: commands, and the name of the connection that they belong to.

use std::borrow::Cow;

use crate::centrifugo::json::emulation_request;
use crate::centrifugo::protobuf::read_message;
use crate::protobuf::Fields;
use crate::{DialectError, ProtobufError};

/// Commands on their way up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EmulationRequest<'a> {
    /// The session as the reply to `connect` named it.
    pub session: Cow<'a, str>,
    /// The node as the reply to `connect` named it.
    pub node: Cow<'a, str>,
    /// A frame of the client's encoding: what it would have sent on a socket.
    pub data: Cow<'a, [u8]>,
}

/// Reads a JSON body, in which the frame is a string.
///
/// # Errors
///
/// A body that is no such object.
pub fn json(body: &[u8]) -> Result<EmulationRequest<'_>, DialectError> {
    emulation_request(body).map_err(|source| DialectError::NotARequest { source })
}

/// Reads a Protobuf body.
///
/// # Errors
///
/// A body that is no such message.
pub fn protobuf(body: &[u8]) -> Result<EmulationRequest<'_>, DialectError> {
    read_message(body, merge)
}

fn merge<'a>(request: &mut EmulationRequest<'a>, message: &'a [u8]) -> Result<(), ProtobufError> {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => request.node = field.text()?.into(),
            2 => request.session = field.text()?.into(),
            3 => request.data = field.bytes()?.into(),
            _ => {}
        }
    }
    Ok(())
}
