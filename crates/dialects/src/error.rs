//! What was wrong with a client's bytes, and what would have been right.

/// Bytes that are no command of the dialect. The connection they came on is closed.
///
/// The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum DialectError {
    /// Two newlines in a row, or one at the start.
    #[error("read the line at byte {at}: it is empty; commands are joined by one newline each")]
    EmptyLine {
        /// Where in the frame.
        at: usize,
    },
    /// A frame without a command.
    #[error("read a command from an empty frame; it must hold at least one JSON object")]
    EmptyFrame,
    /// A Protobuf frame without a message.
    #[error("read a message from an empty frame; it must hold at least one, each behind its length")]
    NoMessage,
    /// JSON with a mistake, or with a field of another type than the protocol's.
    #[error("parse the command at byte {at}: {source}")]
    Malformed {
        /// Where in the frame the command begins.
        at: usize,
        /// The position in its text counts from the begin of the command.
        source: serde_json::Error,
    },
    /// An id, but nothing that could be answered.
    ///
    /// Why no list of all commands: the reason in a Close frame has room for 123 bytes.
    #[error("find a request in the command with id {id}; beside the id stands one, such as `subscribe` or `publish`")]
    NoRequest {
        /// The id.
        id: u32,
    },
    /// Some other JSON value, or no JSON at all.
    #[error("read a command at byte {at}: it must be a JSON object and begin with a brace")]
    NotAnObject {
        /// Where in the frame.
        at: usize,
    },
    /// A request that is no JSON, or has a field of another type than the protocol's.
    #[error("parse the request: {source}; it must be one JSON object")]
    NotARequest {
        /// What the parser stumbled over.
        source: serde_json::Error,
    },
    /// A raw frame that must be JSON and is not.
    #[error("read the frame as JSON: {source}; it must be exactly one JSON value")]
    NotJson {
        /// What the parser stumbled over.
        source: serde_json::Error,
    },
    /// A text frame that is no text.
    #[error("read the frame as text: {source}; text must be UTF-8, other bytes need a binary frame")]
    NotUtf8 {
        /// Where it stops being UTF-8.
        source: std::str::Utf8Error,
    },
    /// A Protobuf message with a mistake.
    #[error("read the message at byte {at}: {source}")]
    Protobuf {
        /// Where in the frame the message begins.
        at: usize,
        /// The mistake.
        source: ProtobufError,
    },
    /// Data that would trouble those who must parse it.
    #[error("read the frame as JSON: it may nest {max_depth} levels deep, not deeper")]
    TooDeep {
        /// Levels of lists and objects that are allowed.
        max_depth: usize,
    },
    /// A command, and then something else on the same line.
    #[error(
        "find the end of the command at byte {at}; \
         only a newline or the end of the frame may follow it"
    )]
    TrailingBytes {
        /// Where the something else begins.
        at: usize,
    },
}

/// Bytes that are no Protobuf message, or another one than the protocol's.
///
/// The texts say what is.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtobufError {
    /// Groups, which nobody writes any more, inside of groups.
    #[error("there are more than {max_depth} groups inside of each other")]
    DeepGroups {
        /// How many may be.
        max_depth: usize,
    },
    /// Zero, or beyond 29 bits.
    #[error("its field number {number} is not between 1 and 536870911")]
    FieldNumber {
        /// The number.
        number: u64,
    },
    /// More nodes than anybody needs.
    #[error("its filter has more than {max_nodes} nodes, or they stand more than {max_depth} deep")]
    LargeFilter {
        /// How many may be.
        max_nodes: usize,
        /// How many may stand below each other.
        max_depth: usize,
    },
    /// More than 64 bits.
    #[error("a varint is longer than 64 bits")]
    LongVarint,
    /// A number where bytes, a string or a message must be.
    #[error("field {number} is a number; it must be length-delimited")]
    NotBytes {
        /// Number of the field.
        number: u32,
    },
    /// A string that is none.
    #[error("field {number} must be UTF-8: {source}")]
    NotUtf8 {
        /// Number of the field.
        number: u32,
        /// Where it stops being UTF-8.
        source: std::str::Utf8Error,
    },
    /// Bytes where a number must be.
    #[error("field {number} must be a varint")]
    NotVarint {
        /// Number of the field.
        number: u32,
    },
    /// A publication of nothing.
    #[error("publish has no data; any byte is right")]
    NoData,
    /// Data that would trouble those who must parse it.
    #[error("its data is JSON that nests more than {max_depth} levels deep")]
    TooDeep {
        /// Levels of lists and objects that are allowed.
        max_depth: usize,
    },
    /// It ends in the middle of a field.
    #[error("its bytes end in the middle of a field; the length before it, or in it, promises more")]
    Truncated,
    /// None of those there are, or an end without a begin.
    #[error("field {number} has wire type {found}, which cannot stand there")]
    WireType {
        /// Number of the field.
        number: u32,
        /// Its wire type.
        found: u8,
    },
}
