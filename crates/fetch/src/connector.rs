//! New connections: TCP, TLS where it is asked for, and an end to waiting for either.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::public::is_public;

/// Longest that TCP and TLS together may take.
///
/// Why beside the time of a request: hyper finishes a connection in the background when another became free first, and
/// a server that never ends its TLS handshake would keep that socket for good.
const LIMIT: Duration = Duration::from_secs(10);
/// Silence after which the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    inner: HttpsConnector<HttpConnector<Resolver>>,
    public_only: bool,
}

impl Connector {
    pub(crate) fn new(roots: RootCertStore, public_only: bool) -> Result<Self, rustls::Error> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new_with_resolver(Resolver { inner: GaiResolver::new(), public_only });
        // TLS is the layer above.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let inner =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        Ok(Self { inner, public_only })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // An address that is written out never comes to the resolver.
        let written = uri.host().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if let Some(address) = written.filter(|address| self.public_only && !is_public(*address)) {
            return Box::pin(async move { Err(Failure::from(forbidden(&[address]))) });
        }
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection within 10 seconds");
            tokio::time::timeout(LIMIT, connecting).await.map_err(|_| late())?
        })
    }
}

/// Finds the addresses of a name; what comes out is what is connected to, so nobody can answer differently in between.
#[derive(Clone, Debug)]
struct Resolver {
    inner: GaiResolver,
    public_only: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (finding, public_only) = (self.inner.call(name), self.public_only);
        Box::pin(async move {
            let found = finding.await?;
            let (good, bad): (Vec<_>, Vec<_>) = found.partition(|found| !public_only || is_public(found.ip()));
            if good.is_empty() && !bad.is_empty() {
                let bad: Vec<IpAddr> = bad.iter().map(SocketAddr::ip).collect();
                return Err(forbidden(&bad));
            }
            Ok(good.into_iter())
        })
    }
}

fn forbidden(addresses: &[IpAddr]) -> io::Error {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let text = format!("{} is no address of the internet, and only those may be asked", addresses.join(", "));
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}
