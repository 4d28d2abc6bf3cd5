//! Everything a peer can do wrong between two frames, with the close code it earns.

use thiserror::Error;

/// Why bytes are not frames. The connection cannot go on: framing is lost or cannot be trusted.
///
/// Each text names what was wrong and what would be right, and fits into the reason of a close
/// frame (123 bytes), because it is the only thing a client's developer gets to see.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// A close code that must not be sent (RFC 6455, 7.4).
    #[error("close code {code} must not be sent, use 1000-1003, 1007-1014 or 3000-4999")]
    CloseCodeInvalid {
        /// The code that was received.
        code: u16,
    },
    /// A close payload of one byte.
    #[error("close payload of 1 byte, it is either empty or starts with a 2-byte code")]
    ClosePayloadTooShort,
    /// A continuation frame while no message was in progress.
    #[error("continuation frame without a message to continue, start with text or binary")]
    ContinuationWithoutStart,
    /// A ping, pong or close without the FIN bit.
    #[error("fragmented control frame, ping, pong and close must have FIN set")]
    ControlFragmented,
    /// A ping, pong or close whose length does not fit into 7 bits.
    #[error("control frame is too long, ping, pong and close carry at most 125 bytes")]
    ControlTooLong,
    /// A compressed message that is no deflate data, or ends in the middle of it.
    #[error("compressed message is broken, send raw deflate data without the 00 00 ff ff at its end")]
    DeflateBroken,
    /// A text message or a close reason that is not UTF-8.
    #[error("text is not valid UTF-8, send other bytes as a binary message")]
    InvalidUtf8,
    /// A 64-bit length with its highest bit set.
    #[error("highest bit of the 64-bit length is set, it must be 0")]
    LengthHighBit,
    /// A length in a longer form than it needs.
    #[error("length {length} is not in its shortest form (7 bits to 125, 16 bits to 65535)")]
    LengthNotMinimal {
        /// The length that was written in too many bytes.
        length: u64,
    },
    /// A line longer than the limit, or that many bytes without an end.
    #[error("line is longer than {limit} bytes, end it with a newline before that")]
    LineTooLong {
        /// Bytes a line may have, its end not counted.
        limit: usize,
    },
    /// A message longer than the limit, in one frame, by the sum of its fragments or inflated.
    #[error("message is bigger than the limit of {limit} bytes, send smaller messages")]
    MessageTooBig {
        /// Bytes a message may have.
        limit: usize,
    },
    /// A text or binary frame while the fragments of another message were still coming in.
    #[error("new message inside a fragmented one, go on with continuation frames until FIN")]
    NewMessageInsideFragments,
    /// A message that grows suspiciously when it is inflated.
    #[error("message inflates to more than {ratio} times its size, send it uncompressed")]
    RatioTooHigh {
        /// Bytes that one compressed byte may become.
        ratio: usize,
    },
    /// RSV1, RSV2 or RSV3 set where the negotiated extensions give it no meaning.
    #[error("reserved bits are set, only RSV1 may be, where deflate was agreed, on a message's first frame")]
    ReservedBits,
    /// An opcode that RFC 6455 keeps for later.
    #[error("opcode {opcode} is reserved, use 0, 1, 2, 8, 9 or 10")]
    ReservedOpcode {
        /// The opcode that was received.
        opcode: u8,
    },
    /// A message in many tiny pieces; empty ones would otherwise be free to send for ever.
    #[error("message has more than {limit} fragments of less than {least} bytes on average, send larger ones")]
    TooManyFragments {
        /// Bytes they must have on average when there are more.
        least: usize,
        /// Fragments that may have any size.
        limit: usize,
    },
    /// A frame without a mask.
    #[error("frame is not masked, a client must mask every frame")]
    Unmasked,
    /// A length prefix with zeros at its end.
    #[error("length prefix is not in its shortest form, its last byte must not be 0")]
    VarintNotMinimal,
    /// A length prefix that goes on and on.
    #[error("length prefix has more than 5 bytes, send a base-128 varint of at most 32 bits")]
    VarintTooLong,
}

impl FramingError {
    /// The WebSocket close code that tells the peer what kind of fault it was: 1002 (protocol),
    /// 1007 (data that is not what it claims to be) or 1009 (too big).
    ///
    /// Why 1007 for broken deflate data: the frames around it were right.
    #[must_use]
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::DeflateBroken | Self::InvalidUtf8 => 1007,
            Self::LineTooLong { .. }
            | Self::MessageTooBig { .. }
            | Self::RatioTooHigh { .. }
            | Self::TooManyFragments { .. } => 1009,
            Self::CloseCodeInvalid { .. }
            | Self::ClosePayloadTooShort
            | Self::ContinuationWithoutStart
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::LengthHighBit
            | Self::LengthNotMinimal { .. }
            | Self::NewMessageInsideFragments
            | Self::ReservedBits
            | Self::ReservedOpcode { .. }
            | Self::Unmasked
            | Self::VarintNotMinimal
            | Self::VarintTooLong => 1002,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_fits_into_a_close_reason() {
        let longest = [
            FramingError::CloseCodeInvalid { code: u16::MAX },
            FramingError::ClosePayloadTooShort,
            FramingError::ContinuationWithoutStart,
            FramingError::ControlFragmented,
            FramingError::ControlTooLong,
            FramingError::DeflateBroken,
            FramingError::InvalidUtf8,
            FramingError::LengthHighBit,
            FramingError::LengthNotMinimal { length: 65535 },
            FramingError::LineTooLong { limit: usize::MAX },
            FramingError::MessageTooBig { limit: usize::MAX },
            FramingError::NewMessageInsideFragments,
            FramingError::RatioTooHigh { ratio: usize::MAX },
            FramingError::ReservedBits,
            FramingError::ReservedOpcode { opcode: 15 },
            FramingError::TooManyFragments { least: 32, limit: 1024 },
            FramingError::Unmasked,
            FramingError::VarintNotMinimal,
            FramingError::VarintTooLong,
        ];
        for error in longest {
            let text = error.to_string();
            assert!(text.len() <= 123, "{} bytes: {text}", text.len());
            assert!(matches!(error.close_code(), 1002 | 1007 | 1009));
        }
    }
}
