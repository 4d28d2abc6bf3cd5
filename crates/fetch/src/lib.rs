//! Requests to other servers: HTTP/1.1, with TLS where the address says so, bounded in time, size and number.
//!
//! A [`Fetch`] is made once and shared. It keeps connections for the next request, follows no redirect (whoever answers
//! decides nothing about where a secret is sent), decodes no compression (a small body cannot become a large one), and
//! takes no proxy from the environment. [`Url`]s are parsed where the configuration is read, so that a wrong one stops
//! the start instead of failing every request.

mod connector;
mod error;
mod fetch;
mod public;
mod roots;
mod url;

pub use error::FetchError;
pub use fetch::{Fetch, Options, Response};
pub use http::{HeaderMap, HeaderName, HeaderValue, header};
pub use public::is_public;
pub use url::Url;
