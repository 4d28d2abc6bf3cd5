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
    /// JSON with a mistake, or with a field of another type than the protocol's.
    #[error("parse the command at byte {at}: {source}")]
    Malformed {
        /// Where in the frame the command begins.
        at: usize,
        /// The position in its text counts from the begin of the command.
        source: serde_json::Error,
    },
    /// An id, but nothing that could be answered.
    #[error(
        "find a request in the command with id {id}; one of connect, subscribe, \
         unsubscribe, publish, presence, presence_stats, history, ping, send, rpc, refresh, \
         sub_refresh is needed beside the id"
    )]
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
