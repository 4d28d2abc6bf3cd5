//! Why a token is refused.

/// Why a token is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// It was good once; a new one will do.
    #[error("token expired")]
    Expired,
    /// It never was, and this is why.
    #[error("invalid token: {0}")]
    Invalid(&'static str),
    /// It is good, but for another channel, user or client.
    #[error("invalid token: {0}")]
    Mismatch(&'static str),
    /// It names a key that is not known yet.
    ///
    /// Why no fault of the client: where keys are exchanged, the first token signed with a new one may arrive before the
    /// key does. The client hears a temporary error and comes again by itself, when the key is likely to be here.
    #[error("the key of the token is not known yet")]
    UnknownKey,
}
