//! permessage-deflate (RFC 7692) without context takeover: every message is compressed on its own.
//!
//! So a connection keeps no window, a [`Deflater`] and an [`Inflater`] serve all connections of a
//! worker, and one compressed frame is right for every subscriber with the same [`Window`].

mod deflater;
mod inflater;
mod offers;

use std::borrow::Cow;

use crate::http::Head;
use crate::websocket::handshake::HandshakeError;
use offers::{Offer, Parameter};

pub use deflater::Deflater;
pub use inflater::{FREE_SIZE, Inflater};

/// The only extension that is known here.
const NAME: &str = "permessage-deflate";
/// The header of offers and answers.
const HEADER: &str = "sec-websocket-extensions";
/// What a compressed message would end with if it were not cut off (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How far back the server's compressed data may refer. There are only two, so that at most two
/// compressed forms of a frame exist.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Window {
    /// 32 KiB, for a client that does not restrict it.
    Full,
    /// 512 bytes, for a client that asks for less than the full window.
    Small,
}

impl Window {
    /// The window's size as a power of two.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Full => 15,
            Self::Small => 9,
        }
    }
}

/// An offer that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What the client's inflater is able to look back on.
    pub window: Window,
    /// Whether the offer spoke of the server's window, so that the answer has to.
    named: bool,
}

impl Agreed {
    /// Accepts an offer; `None` where a parameter is not known, doubled or wrong, or asks for what
    /// cannot be had (RFC 7692, 7.1).
    fn accept(offer: &Offer<'_>) -> Option<Self> {
        if offer.name != NAME {
            return None;
        }
        let mut seen: Vec<&str> = Vec::with_capacity(offer.parameters.len());
        let mut server_bits = None;
        for Parameter { name, value } in &offer.parameters {
            if seen.contains(name) {
                return None;
            }
            seen.push(name);
            match (*name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
                // The client says that it would honour a limit. None is set: the inflater has the full window.
                ("client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(value)) => {
                    read_bits(value)?;
                }
                ("server_max_window_bits", Some(value)) => server_bits = Some(read_bits(value)?),
                _ => return None,
            }
        }
        let window = match server_bits {
            None | Some(15) => Window::Full,
            Some(9..15) => Window::Small,
            // Why: raw deflate data with a window of 256 bytes cannot be made by zlib.
            Some(_) => return None,
        };
        Some(Self { window, named: server_bits.is_some() })
    }

    /// The value of `Sec-WebSocket-Extensions` that tells the client what was agreed.
    #[must_use]
    pub fn answer(&self) -> Cow<'static, str> {
        let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        if self.named {
            Cow::Owned(format!("{answer}; server_max_window_bits={}", self.window.bits()))
        } else {
            Cow::Borrowed(answer)
        }
    }
}

/// A number of window bits: 8 to 15, without leading zeros.
fn read_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// Takes the first acceptable offer of compression in a handshake; `None` when there is none.
/// Extensions that are not known and offers that cannot be met are passed over.
///
/// # Errors
///
/// [`HandshakeError::Extensions`] when the header is no list of extensions.
pub fn negotiate(head: &Head<'_>) -> Result<Option<Agreed>, HandshakeError> {
    let mut agreed = None;
    for value in head.values(HEADER) {
        let offers = offers::read(value).ok_or(HandshakeError::Extensions)?;
        agreed = agreed.or_else(|| offers.iter().find_map(Agreed::accept));
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests;
