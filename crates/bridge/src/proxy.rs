//! An HTTP endpoint of the application that answers calls.

mod body;
mod signature;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use jackfield_fetch::{Fetch, FetchError, HeaderMap, HeaderName, HeaderValue, Options, Url, header};
use jackfield_model::app::Event;
use jackfield_model::{ClientError, Disconnect, Millis};

pub use self::signature::{Secret, SecretError};

/// How an endpoint is asked.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Its name, for log lines.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Sent with each request.
    pub headers: HeaderMap,
    /// Sent with the address of the client.
    pub address_headers: Vec<HeaderName>,
    /// Data travels in base64 (`b64data`), whatever it is.
    pub binary_encoding: bool,
    /// What the application keeps with the connection is sent along.
    pub include_meta: bool,
    /// What statuses other than 200 mean.
    pub transforms: Vec<Transform>,
    /// Signs each request.
    pub secret: Option<Secret>,
    /// Requests at a time.
    pub in_flight: usize,
    /// A file with authorities that are trusted beside the system's.
    pub ca_file: Option<std::path::PathBuf>,
}

/// What a status means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transform {
    /// The status.
    pub status: u16,
    /// What comes of the call.
    pub to: TransformTo,
}

/// What comes of a call whose response has a certain status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransformTo {
    /// The connection ends.
    Disconnect(Disconnect),
    /// The command fails.
    Error(ClientError),
}

/// An endpoint, with the connections to it.
#[derive(Clone)]
pub struct Proxy {
    pub(crate) options: ProxyOptions,
    fetch: Fetch,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("name", &self.options.name).field("url", &self.options.url).finish()
    }
}

/// What an endpoint said.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: bytes::Bytes,
}

impl Proxy {
    /// Reads the authorities; nothing is sent.
    pub fn open(options: ProxyOptions) -> Result<Self, FetchError> {
        let of_fetch = Options { in_flight: options.in_flight, ca_file: options.ca_file.clone(), ..Options::default() };
        Ok(Self { fetch: Fetch::new(&of_fetch)?, options })
    }

    /// Asks, and waits so long.
    pub(crate) async fn ask(&self, event: &Event, now: Millis, limit: Duration) -> Result<Response, FetchError> {
        let body = body::of(event, &self.options);
        let mut headers = HeaderMap::new();
        for (name, value) in event.hello.iter().flat_map(|hello| &hello.headers) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(&**name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        // Behind what the client wrote: what the configuration says stays so.
        headers.extend(self.options.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let address = event.origin.remote.parse::<SocketAddr>().ok();
        if let Some(value) = address.and_then(|address| HeaderValue::from_str(&address.ip().to_string()).ok()) {
            for name in &self.options.address_headers {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Some(secret) = &self.options.secret {
            secret.sign(&event.id.to_string(), now / 1000, &body, &mut headers);
        }
        let response = self.fetch.post(&self.options.url, headers, body, limit).await?;
        Ok(Response { status: response.status, body: response.body })
    }

    /// What a status means, if the configuration says so.
    pub(crate) fn meaning(&self, status: u16) -> Option<&TransformTo> {
        self.options.transforms.iter().find(|transform| transform.status == status).map(|transform| &transform.to)
    }
}
