//! Why there is no response.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no response. The texts never hold more of an address than its scheme, host and port.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file of authorities is unusable.
    #[error("use the authorities in {path}: {fault}; name a file with certificates of authorities in PEM")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The other side answered and broke off, or spoke no HTTP.
    #[error("the exchange with {origin} broke off: {fault}")]
    Broken {
        /// Who was asked.
        origin: String,
        /// What went wrong.
        fault: String,
    },
    /// Nobody was reached, or nobody who can be trusted; the request was not sent.
    #[error("{origin} was not reached: {fault}")]
    Connect {
        /// Who was asked.
        origin: String,
        /// What went wrong.
        fault: String,
    },
    /// There is nobody to vouch for a server's certificate; the request was not sent.
    #[error(
        "{origin} cannot be trusted, because this system has no certificates of authorities; install them (the package \
         is often called ca-certificates), or name a file with them"
    )]
    NoAuthorities {
        /// Who was asked.
        origin: String,
    },
    /// The response did not come in time.
    #[error("{origin} did not answer within {} ms", limit.as_millis())]
    TimedOut {
        /// Who was asked.
        origin: String,
        /// The time it had.
        limit: Duration,
    },
    /// The body is larger than allowed.
    #[error("{origin} answered with more than {limit_bytes} bytes")]
    TooLarge {
        /// Who was asked.
        origin: String,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// What should be an address is none.
    #[error("{fault}")]
    Url {
        /// What is wrong and what would be right; continues the address.
        fault: &'static str,
    },
}

impl FetchError {
    /// Whether nobody can have seen the request, so that sending it again does nothing twice.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Authorities { .. } | Self::Connect { .. } | Self::NoAuthorities { .. } | Self::Url { .. })
    }
}

/// An error with all that caused it, because the outermost of hyper's says little.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
