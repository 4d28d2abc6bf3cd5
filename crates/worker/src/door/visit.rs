//! A visit: what is known of a client when its channel is named.

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_framing::http::Head;

/// What a channel template may be filled from.
#[derive(Debug)]
pub struct Visit<'a> {
    /// The client's address.
    pub remote: SocketAddr,
    /// The connection's id.
    pub client: String,
    /// The query of its request; `None` on plain TCP.
    pub query: Option<&'a Head<'a>>,
}

type NameOf = dyn Fn(&Visit<'_>) -> Result<Arc<str>, String> + Send + Sync;

/// Names the channel of a visit to a raw endpoint, or says what is missing.
#[derive(Clone)]
pub struct Binding(pub Arc<NameOf>);

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Binding")
    }
}
