//! Walks the commands of one frame, each read where it lies.

use std::iter::FusedIterator;

use jackfield_model::client::{Command, Connect, Request};

use super::fields::{self, Envelope};
use crate::DialectError;

/// The commands of one frame, in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    frame: &'a [u8],
    /// Where the next command begins.
    at: usize,
    is_done: bool,
}

/// Walks the commands of one frame: one or more JSON objects joined by a single newline, one more
/// at the end allowed.
///
/// The end of a command is where its JSON value ends, found by the parser and not by looking for
/// newlines: white space inside a command may therefore hold newlines. Blanks, tabs and carriage
/// returns around a command do no harm. An empty frame, an empty line, anything but a newline after
/// a command, and anything that is no JSON object is an error.
///
/// `{}` is a pong. Where a command names several requests the one with the lowest field number of
/// the protocol counts. A request without an id is handed out with id 0; whether that may be is the
/// session's affair.
#[must_use]
pub fn commands(frame: &[u8]) -> Commands<'_> {
    Commands { frame, at: 0, is_done: false }
}

/// Reads what a client of a unidirectional transport says; nothing at all is a request without any field.
///
/// # Errors
///
/// Bytes that are no such request.
pub fn connect_request(bytes: &[u8]) -> Result<Connect<'_>, DialectError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Connect::default());
    }
    fields::connect_request(bytes).map_err(|source| DialectError::NotARequest { source })
}

impl<'a> Commands<'a> {
    /// What has not been walked yet, for whoever must stop in the middle of a frame and go on later.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        if self.is_done { &[] } else { self.frame.get(self.at..).unwrap_or_default() }
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

impl<'a> Commands<'a> {
    fn command(&mut self) -> Result<Command<'a>, DialectError> {
        let at = skip_blanks(self.frame, self.at);
        match self.frame.get(at) {
            Some(b'{') => {}
            Some(b'\n') => return Err(DialectError::EmptyLine { at }),
            Some(_) => return Err(DialectError::NotAnObject { at }),
            None => return Err(DialectError::EmptyFrame),
        }
        let mut values = serde_json::Deserializer::from_slice(&self.frame[at..]).into_iter::<Envelope<'a>>();
        let envelope = match values.next() {
            Some(Ok(envelope)) => envelope,
            Some(Err(source)) => return Err(DialectError::Malformed { at, source }),
            None => return Err(DialectError::NotAnObject { at }),
        };
        self.separator(at + values.byte_offset())?;
        let Envelope { id, request } = envelope;
        match request {
            Some(request) => Ok(Command { id, request }),
            None if id == 0 => Ok(Command { id, request: Request::Pong }),
            None => Err(DialectError::NoRequest { id }),
        }
    }

    /// Steps over what stands between two commands.
    fn separator(&mut self, end: usize) -> Result<(), DialectError> {
        let at = skip_blanks(self.frame, end);
        match self.frame.get(at) {
            Some(b'\n') => {
                self.at = at + 1;
                self.is_done = skip_blanks(self.frame, self.at) == self.frame.len();
            }
            Some(_) => return Err(DialectError::TrailingBytes { at }),
            None => self.is_done = true,
        }
        Ok(())
    }
}

/// The first place from `at` on that is no blank.
fn skip_blanks(frame: &[u8], at: usize) -> usize {
    let rest = frame.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count()
}
