//! What goes wrong between us and an engine: faults of the configuration, and troubles that pass.

/// Why a URL is of no use. The text continues the URL and never repeats it, for it may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{wrong}; write {right}")]
pub struct UrlError {
    pub(crate) wrong: String,
    pub(crate) right: &'static str,
}

/// Why a connection is of no use just now; it is tried again.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Trouble(pub(crate) String);

impl Trouble {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<redis::RedisError> for Trouble {
    fn from(error: redis::RedisError) -> Self {
        Self(error.to_string())
    }
}

/// Waits no longer than this.
pub(crate) async fn in_time<T, E: Into<Trouble>>(
    limit: std::time::Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Trouble(format!("{what} took longer than {} s", limit.as_secs()))),
    }
}
