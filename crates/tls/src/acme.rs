//! Certificates from an authority that speaks ACME, obtained and renewed by themselves.

use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_acme::acme::{ACME_TLS_ALPN_NAME, LETS_ENCRYPT_PRODUCTION_DIRECTORY};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, AcmeState, EventError, EventOk, ResolvesServerCertAcme, UseChallenge};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::certificate::{authorities, read};
use crate::error::Error;

/// The protocol by which the authority asks whether we have a name.
pub(crate) const ALPN: &[u8] = ACME_TLS_ALPN_NAME;

/// How the authority sees that a name is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// By a TLS connection to port 443 (TLS-ALPN-01), answered within the handshake on the listener itself.
    #[default]
    Tls,
    /// By a request to port 80 (HTTP-01), answered with [`Acme::http_challenge`].
    Http,
}

/// Which names, from whom, kept where.
#[derive(Clone, Debug)]
pub struct AcmeOptions {
    /// The names to have a certificate for, all in one; no wildcards.
    pub hosts: Vec<String>,
    /// Where the authority writes to when something is wrong.
    pub email: Option<String>,
    /// Where the account and the certificates are kept.
    pub cache_dir: PathBuf,
    /// The authority's directory; Let's Encrypt unless named.
    pub directory_url: Option<String>,
    /// The authority of the directory's own certificate, for a private one; else those that browsers trust.
    pub directory_ca: Option<PathBuf>,
    /// How the authority sees that a name is ours.
    pub challenge: Challenge,
}

/// A certificate for some names, obtained and renewed in the background; shared by all listeners.
pub struct Acme {
    hosts: Vec<String>,
    challenge: Challenge,
    resolver: Arc<ResolvesServerCertAcme>,
    task: JoinHandle<()>,
}

impl Acme {
    /// Loads what is in the cache and asks the authority for what is missing, on `runtime`, until dropped.
    ///
    /// # Errors
    /// The options do not fit, or the cache directory or the file of the authority cannot be used.
    pub fn start(options: AcmeOptions, runtime: &Handle) -> Result<Arc<Self>, Error> {
        let hosts = hosts(&options.hosts)?;
        prepare(&options.cache_dir).map_err(|fault| Error::Cache { path: options.cache_dir.clone(), fault })?;
        let directory = options.directory_url.as_deref().unwrap_or(LETS_ENCRYPT_PRODUCTION_DIRECTORY);
        let challenge = match options.challenge {
            Challenge::Tls => UseChallenge::TlsAlpn01,
            Challenge::Http => UseChallenge::Http01,
        };
        let mut config = match &options.directory_ca {
            None => AcmeConfig::new_with_provider(&hosts, Arc::new(aws_lc_rs::default_provider())),
            Some(path) => AcmeConfig::new_with_client_config(&hosts, trusting(path)?),
        };
        if let Some(email) = &options.email {
            config = config.contact_push(format!("mailto:{email}"));
        }
        let config = config.directory(directory).challenge_type(challenge);
        let state = config.cache(DirCache::new(options.cache_dir)).state();
        let resolver = state.resolver();
        let task = runtime.spawn(follow(state, hosts.join(", ")));
        Ok(Arc::new(Self { hosts, challenge: options.challenge, resolver, task }))
    }

    /// The answer to the authority's request for `/.well-known/acme-challenge/TOKEN`, while it asks.
    #[must_use]
    pub fn http_challenge(&self, token: &str) -> Option<String> {
        self.resolver.get_http_01_key_auth(token)
    }

    pub(crate) fn serves(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }

    pub(crate) fn answers_in_tls(&self) -> bool {
        self.challenge == Challenge::Tls
    }

    pub(crate) fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.resolver.resolve(hello)
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn hosts(names: &[String]) -> Result<Vec<String>, Error> {
    let wrong = |fault: String, remedy| Err(Error::Options { fault, remedy });
    if names.is_empty() {
        return wrong("ACME has no hosts".to_owned(), "name the hosts that the certificate is for");
    }
    for name in names {
        let is_name = rustls::pki_types::DnsName::try_from(name.as_str()).is_ok();
        if name.contains('*') || !is_name {
            return wrong(
                format!("ACME cannot get a certificate for {name:?}"),
                "name hosts as clients do; a wildcard needs a certificate from files",
            );
        }
    }
    Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect())
}

/// The account's key lies there: nobody else may look.
fn prepare(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    // Found out now, since the crate would find out when the first certificate is lost.
    let probe = directory.join(".writable");
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}

fn trusting(path: &Path) -> Result<Arc<ClientConfig>, Error> {
    let roots = authorities(path, &read(path)?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Drives the orders and tells the log what became of them. The crate waits longer after every failure.
async fn follow(mut state: AcmeState<io::Error>, hosts: String) {
    while let Some(event) = poll_fn(|context| Pin::new(&mut state).poll_next(context)).await {
        match event {
            Ok(EventOk::DeployedNewCert) => tracing::info!(hosts, "certificate obtained"),
            Ok(EventOk::DeployedCachedCert) => tracing::info!(hosts, "certificate loaded from the cache"),
            Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
            Err(EventError::Order(error)) => tracing::error!(
                hosts,
                %error,
                "no certificate obtained: the authority must reach this server under every host, \
                 on port 443 (or on port 80 for HTTP-01); tried again, later each time"
            ),
            Err(error @ (EventError::CertCacheStore(_) | EventError::AccountCacheStore(_))) => tracing::error!(
                hosts,
                %error,
                "ACME cache not written: a restart asks the authority again, which counts; \
                 see to the cache directory"
            ),
            Err(error) => tracing::warn!(hosts, %error, "ACME cache not read: a new certificate is asked for"),
        }
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Acme").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}
