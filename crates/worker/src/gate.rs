//! A gate: what the clients of one listener meet, from their first byte on.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jackfield_framing::forwarded::is_trusted;
use jackfield_session::Endpoint;
use jackfield_tls::Keeper;

use crate::door::{Binding, HttpDoor};

/// What is spoken, once TLS and PROXY headers are behind.
#[derive(Clone, Debug)]
pub enum Face {
    /// HTTP requests, most of which become WebSockets.
    Http(Arc<HttpDoor>),
    /// A dialect from the first byte on.
    Plain(Arc<Endpoint>, Option<Binding>),
}

/// Everything about a listener but its sockets.
#[derive(Clone, Debug)]
pub struct Gate {
    /// What is spoken.
    pub face: Face,
    /// On an HTTP port: what is spoken by those whose first bytes are no HTTP.
    pub otherwise: Option<(Arc<Endpoint>, Option<Binding>)>,
    /// The certificates; without them nobody speaks TLS here.
    pub tls: Option<Arc<Keeper>>,
    /// Besides TLS, told apart by the first byte.
    pub also_plain: bool,
    /// Every connection begins with a PROXY header, and only `trusted` may connect.
    pub proxy_protocol: bool,
    /// Networks of proxies.
    pub trusted: Arc<[IpNet]>,
}

impl Gate {
    /// A gate with a face and nothing before it.
    #[must_use]
    pub fn plain(face: Face) -> Self {
        Self { face, otherwise: None, tls: None, also_plain: false, proxy_protocol: false, trusted: Arc::default() }
    }

    /// Whether a dialect is spoken from the first byte on, so that a client may come in without a word.
    pub(crate) fn opens_at_once(&self) -> bool {
        matches!(self.face, Face::Plain(..)) && self.tls.is_none() && !self.proxy_protocol
    }

    /// Whether an address speaks for many clients.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        is_trusted(address, &self.trusted)
    }
}
