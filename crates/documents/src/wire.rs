//! The messages of y-websocket, one per frame.

use crate::Malformed;
use crate::reader::{Reader, write_bytes, write_uint};

/// What a frame says. A reader of y-websocket looks at the first message of a frame and drops the rest, so a frame has
/// one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// Who is there and where their cursors are: an update for an [`AwarenessTable`](crate::AwarenessTable).
    Awareness(&'a [u8]),
    /// The server refuses, and why.
    Denied(&'a str),
    /// Asks for the awareness of all.
    QueryAwareness,
    /// What the sender has, as a state vector; the answer is [`Message::Step2`].
    Step1(&'a [u8]),
    /// What the sender of a [`Message::Step1`] did not have, as an update.
    Step2(&'a [u8]),
    /// An edit.
    Update(&'a [u8]),
}

const SYNC: u8 = 0;
const AWARENESS: u8 = 1;
const AUTH: u8 = 2;
const QUERY_AWARENESS: u8 = 3;
const STEP1: u8 = 0;
const STEP2: u8 = 1;
const UPDATE: u8 = 2;
const DENIED: u8 = 0;

/// Reads a frame. What an update or a state vector says inside is not looked at.
///
/// # Errors
///
/// [`Malformed`], with the place in the frame.
pub fn read(frame: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut reader = Reader::new(frame);
    let from = reader;
    let message = match u8::try_from(reader.uint()?) {
        Ok(SYNC) => sync(&mut reader)?,
        Ok(AWARENESS) => Message::Awareness(reader.bytes()?),
        Ok(AUTH) => match reader.uint()? {
            0 => Message::Denied(reader.text()?),
            _ => return Err(from.error("unknown message about rights, send 0 (denied)")),
        },
        Ok(QUERY_AWARENESS) => Message::QueryAwareness,
        _ => {
            return Err(
                from.error("unknown kind of message, send 0 (sync), 1 (awareness), 2 (auth) or 3 (query awareness)")
            );
        }
    };
    reader.end()?;
    Ok(message)
}

fn sync<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let from = *reader;
    Ok(match u8::try_from(reader.uint()?) {
        Ok(STEP1) => Message::Step1(reader.bytes()?),
        Ok(STEP2) => Message::Step2(reader.bytes()?),
        Ok(UPDATE) => Message::Update(reader.bytes()?),
        _ => return Err(from.error("unknown sync message, send 0 (step 1), 1 (step 2) or 2 (update)")),
    })
}

impl Message<'_> {
    /// Appends the frame that says it.
    pub fn write(self, out: &mut Vec<u8>) {
        let (head, body): (&[u8], &[u8]) = match self {
            Self::Awareness(update) => (&[AWARENESS], update),
            Self::Denied(reason) => (&[AUTH, DENIED], reason.as_bytes()),
            Self::QueryAwareness => return write_uint(QUERY_AWARENESS.into(), out),
            Self::Step1(state_vector) => (&[SYNC, STEP1], state_vector),
            Self::Step2(update) => (&[SYNC, STEP2], update),
            Self::Update(update) => (&[SYNC, UPDATE], update),
        };
        out.extend_from_slice(head);
        write_bytes(body, out);
    }

    /// The frame that says it.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrong_frames_say_where() {
        for (frame, at) in [
            (&[][..], 0),
            (&[4], 0),
            (&[0x80, 0], 0),
            (&[0], 1),
            (&[0, 3, 0], 1),
            (&[0, 2, 2, 0], 3),
            (&[0, 2, 1, 0, 9], 4),
            (&[2, 1, 0], 0),
            (&[2, 0, 1, 0xff], 3),
            (&[3, 0], 1),
            (&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], 9),
        ] {
            assert_eq!(read(frame).map_err(|error| error.at), Err(at), "{frame:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payload in prop::collection::vec(any::<u8>(), 0..300), reason in ".{0,40}") {
            for message in [Message::Awareness(&payload), Message::Denied(&reason), Message::QueryAwareness, Message::Step1(&payload),
                Message::Step2(&payload), Message::Update(&payload)] {
                let frame = message.to_vec();
                prop_assert_eq!(read(&frame), Ok(message));
            }
        }

        #[test]
        fn a_frame_has_one_spelling(frame in prop::collection::vec(prop_oneof![0_u8..5, any::<u8>()], 0..40)) {
            if let Ok(message) = read(&frame) {
                prop_assert_eq!(message.to_vec(), frame);
            }
        }
    }
}
