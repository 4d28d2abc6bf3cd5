//! The first bytes of a WebSocket frame: opcode and length, read and written.

use crate::FramingError;
use crate::websocket::mask;

/// The FIN bit: this frame ends its message.
pub const FIN: u8 = 0x80;
/// The bit that says that a mask follows the length.
pub(crate) const MASKED: u8 = 0x80;
/// Payload bytes a control frame may carry, and the longest length that fits into 7 bits.
pub(crate) const MAX_CONTROL_PAYLOAD: usize = 125;

/// The bit that marks a compressed message, where that was negotiated (RSV1).
pub const COMPRESSED: u8 = 0x40;

const RESERVED_BITS: u8 = 0x70;
const OPCODE_BITS: u8 = 0x0f;
const LENGTH_BITS: u8 = 0x7f;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next part of a fragmented message.
    Continuation = 0,
    /// A text message, or its first part.
    Text = 1,
    /// A binary message, or its first part.
    Binary = 2,
    /// The end of the conversation.
    Close = 8,
    /// A question whether the peer is there.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl Opcode {
    /// The opcode in the low four bits of a frame's first byte.
    pub(crate) const fn read(first: u8) -> Result<Self, FramingError> {
        match first & OPCODE_BITS {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            opcode => Err(FramingError::ReservedOpcode { opcode }),
        }
    }

    /// Whether the frame is about the connection and not part of a message.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The first byte of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Whether this frame begins a compressed message.
    pub(crate) compressed: bool,
    /// Whether this frame ends its message.
    pub(crate) fin: bool,
    /// The kind of the frame.
    pub(crate) opcode: Opcode,
}

impl Start {
    /// Reads and checks the first byte. Only where compression was negotiated may a message be
    /// compressed, and only its first frame says so (RFC 7692, 6).
    pub(crate) fn read(first: u8, may_be_compressed: bool) -> Result<Self, FramingError> {
        let compressed = match first & RESERVED_BITS {
            0 => false,
            COMPRESSED if may_be_compressed => true,
            _ => return Err(FramingError::ReservedBits),
        };
        let fin = first & FIN != 0;
        let opcode = Opcode::read(first)?;
        if opcode.is_control() && !fin {
            return Err(FramingError::ControlFragmented);
        }
        if compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(FramingError::ReservedBits);
        }
        Ok(Self { compressed, fin, opcode })
    }
}

/// The length of a frame's payload, as the peer claims it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Payload bytes.
    pub(crate) payload: u64,
    /// Where the length ends and the mask begins.
    pub(crate) end: usize,
}

impl Length {
    /// Reads and checks the length of a client's frame; `None` asks for more bytes.
    pub(crate) fn read(input: &[u8], opcode: Opcode) -> Result<Option<Self>, FramingError> {
        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(FramingError::Unmasked);
        }
        let short = second & LENGTH_BITS;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(FramingError::ControlTooLong);
        }
        let Some(length) = Self::scan(input) else {
            return Ok(None);
        };
        let payload = length.payload;
        if payload >> 63 != 0 {
            return Err(FramingError::LengthHighBit);
        }
        let least = match short {
            LENGTH_16 => MAX_CONTROL_PAYLOAD as u64 + 1,
            LENGTH_64 => u64::from(u16::MAX) + 1,
            _ => 0,
        };
        if payload < least {
            return Err(FramingError::LengthNotMinimal { length: payload });
        }
        Ok(Some(length))
    }

    /// Reads the length without any check; `None` asks for more bytes.
    fn scan(input: &[u8]) -> Option<Self> {
        let short = input.get(1)? & LENGTH_BITS;
        let rest = input.get(2..)?;
        Some(match short {
            LENGTH_16 => Self { payload: u64::from(u16::from_be_bytes(*rest.first_chunk()?)), end: 4 },
            LENGTH_64 => Self { payload: u64::from_be_bytes(*rest.first_chunk()?), end: 10 },
            _ => Self { payload: u64::from(short), end: 2 },
        })
    }
}

/// The bytes before the payload of the first frame, mask included; `None` asks for more bytes.
pub(crate) fn payload_start(input: &[u8]) -> Option<usize> {
    let mask = match input.get(1)? & MASKED {
        0 => 0,
        _ => mask::LENGTH,
    };
    Some(Length::scan(input)?.end + mask)
}

/// The length of the first frame with its header; `None` asks for more bytes.
pub(crate) fn frame_length(input: &[u8]) -> Option<usize> {
    let payload = usize::try_from(Length::scan(input)?.payload).unwrap_or(usize::MAX);
    Some(payload_start(input)?.saturating_add(payload))
}

/// The length of an unmasked header before a payload of `length` bytes.
pub(crate) const fn header_length(length: usize) -> usize {
    match length {
        0..=MAX_CONTROL_PAYLOAD => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends a header: `first` as it is, then the length in its shortest form with `mask_bit`.
pub(crate) fn write_header(first: u8, length: usize, mask_bit: u8, out: &mut Vec<u8>) {
    match length {
        0..=MAX_CONTROL_PAYLOAD => out.extend_from_slice(&[first, mask_bit | length as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[first, mask_bit | LENGTH_16]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, mask_bit | LENGTH_64]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends a whole frame as a server sends it: final and unmasked.
pub(crate) fn write_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    write_header(FIN | opcode as u8, payload.len(), 0, out);
    out.extend_from_slice(payload);
}
