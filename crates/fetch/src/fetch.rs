//! One request, one response, or the reason why there is none.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use crate::connector::Connector;
use crate::error::{FetchError, causes};
use crate::roots::roots;
use crate::url::Url;

/// Longest that a connection waits for its next request. Application servers close theirs after 2 to 75 seconds; one
/// that was closed under a request which nobody has read yet is replaced in silence.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of status line and header lines.
const HEAD_BYTES: usize = 64 * 1024;

/// What all requests have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Bytes that the body of a response may have.
    pub body_limit_bytes: usize,
    /// Requests at a time; others wait, as a part of their time.
    pub in_flight: usize,
    /// A file with authorities (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Only addresses of the internet are asked: not this machine, its network or its cloud. For addresses that users give.
    pub public_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_limit_bytes: 1024 * 1024, in_flight: 256, ca_file: None, public_only: false }
    }
}

/// What the other side said, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// The header lines.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// Asks other servers. Clones share their connections and limits.
#[derive(Clone)]
pub struct Fetch {
    client: Client<Connector, Full<Bytes>>,
    slots: Arc<Semaphore>,
    body_limit_bytes: usize,
    trusts_somebody: bool,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("free", &self.slots.available_permits()).finish_non_exhaustive()
    }
}

impl Fetch {
    /// Reads the authorities, which takes some milliseconds.
    pub fn new(options: &Options) -> Result<Self, FetchError> {
        let roots = roots(options.ca_file.as_deref())?;
        let trusts_somebody = !roots.is_empty();
        let connector = Connector::new(roots, options.public_only).map_err(|error| FetchError::Authorities {
            path: options.ca_file.clone().unwrap_or_default(),
            fault: error.to_string(),
        })?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.in_flight)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        let slots = Arc::new(Semaphore::new(options.in_flight.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self { client, slots, body_limit_bytes: options.body_limit_bytes, trusts_somebody })
    }

    /// The same connections and slots, with another limit for bodies.
    #[must_use]
    pub fn with_body_limit(&self, body_limit_bytes: usize) -> Self {
        Self { body_limit_bytes, ..self.clone() }
    }

    /// Asks for what is there. `timeout` is for everything, from the wait for a slot to the last byte.
    pub async fn get(&self, url: &Url, headers: HeaderMap, timeout: Duration) -> Result<Response, FetchError> {
        self.bounded(Method::GET, url, (headers, Bytes::new()), timeout).await
    }

    /// Hands something in. `timeout` is for everything, from the wait for a slot to the last byte.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Response, FetchError> {
        self.bounded(Method::POST, url, (headers, body.into()), timeout).await
    }

    async fn bounded(
        &self,
        method: Method,
        url: &Url,
        (headers, body): (HeaderMap, Bytes),
        limit: Duration,
    ) -> Result<Response, FetchError> {
        if url.is_https() && !self.trusts_somebody {
            return Err(FetchError::NoAuthorities { origin: url.origin() });
        }
        let exchange = async {
            // Invariant: the semaphore is never closed, so there is a permit or a wait.
            let _slot = self.slots.acquire().await;
            self.exchange(method, url, headers, body).await
        };
        let late = |_| FetchError::TimedOut { origin: url.origin(), limit };
        tokio::time::timeout(limit, exchange).await.map_err(late)?
    }

    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, FetchError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.uri();
        *request.headers_mut() = headers;
        let lines = request.headers_mut();
        // Where a request goes is the address's business alone.
        lines.remove(HOST);
        lines.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("Jackfield/", env!("CARGO_PKG_VERSION"))));
        let response = self.client.request(request).await.map_err(|error| {
            let (origin, fault) = (url.origin(), causes(&error));
            if error.is_connect() {
                FetchError::Connect { origin, fault }
            } else {
                FetchError::Broken { origin, fault }
            }
        })?;
        let (head, body) = response.into_parts();
        let body = self.read(body, url).await?;
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn read(&self, body: Incoming, url: &Url) -> Result<Bytes, FetchError> {
        let limit_bytes = self.body_limit_bytes;
        let too_large = || FetchError::TooLarge { origin: url.origin(), limit_bytes };
        if body.size_hint().lower() > limit_bytes as u64 {
            return Err(too_large());
        }
        match Limited::new(body, limit_bytes).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => Err(FetchError::Broken { origin: url.origin(), fault: causes(&*error) }),
        }
    }
}
