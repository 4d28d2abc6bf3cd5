//! What the bytes of a foreign message are.

use bytes::Bytes;
use jackfield_dialects::raw::{self, Mode};
use jackfield_model::Payload;

/// What the bodies of a source's messages are taken for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Form {
    /// JSON if it is one JSON value, else text if it is UTF-8, else bytes.
    #[default]
    Auto,
    /// Any bytes.
    Binary,
    /// One JSON value; anything else is refused.
    Json,
    /// UTF-8; anything else is refused.
    Text,
}

/// A payload of these bytes; the error says why it is none.
pub(crate) fn payload(body: Bytes, form: Form) -> Result<Payload, &'static str> {
    match form {
        Form::Auto if is_json(&body) => Ok(Payload::json(body)),
        Form::Auto if is_text(&body) => Ok(Payload::text(body)),
        Form::Auto | Form::Binary => Ok(Payload::binary(body)),
        Form::Json if is_json(&body) => Ok(Payload::json(body)),
        Form::Json => Err("the body is not one JSON value"),
        Form::Text if is_text(&body) => Ok(Payload::text(body)),
        Form::Text => Err("the body is not UTF-8"),
    }
}

fn is_json(body: &[u8]) -> bool {
    raw::payload(body, true, Mode::Json).is_ok()
}

fn is_text(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_decides_by_itself_what_it_is_taken_for() {
        let of = |body: &'static [u8], form| payload(Bytes::from_static(body), form);
        for (body, wanted) in [
            (&b"{\"a\": 1}"[..], Payload::json("{\"a\": 1}")),
            (b"1.5", Payload::json("1.5")),
            (b" [1]\n", Payload::json(" [1]\n")),
            (b"hello", Payload::text("hello")),
            (b"{\"a\": 1} {}", Payload::text("{\"a\": 1} {}")),
            (b"", Payload::text("")),
            (b"\xff\x00", Payload::binary(&b"\xff\x00"[..])),
        ] {
            assert_eq!(of(body, Form::Auto).unwrap(), wanted);
        }
        assert_eq!(of(b"1", Form::Binary).unwrap(), Payload::binary("1"));
        assert_eq!(of(b"1", Form::Text).unwrap(), Payload::text("1"));
        assert!(of(b"hello", Form::Json).is_err());
        assert!(of(b"\xff", Form::Text).is_err());
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert_eq!(payload(deep.clone().into(), Form::Auto).unwrap(), Payload::text(deep));
    }
}
