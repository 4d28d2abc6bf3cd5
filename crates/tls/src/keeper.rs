//! The certificates of one listener: opened, watched, and exchanged while connections go on.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};

use crate::acme::{ALPN, Acme};
use crate::certificate::{Certificate, CertificateFiles, authorities, read};
use crate::error::Error;
use crate::identity::sha256;
use crate::resolver::Resolver;

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked.
    #[default]
    None,
    /// Asked, and let in without one; a wrong one is refused.
    Optional,
    /// Nobody comes in without one.
    Required,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// What a listener needs for TLS.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Certificates, chosen by the name the client asks for; the first serves everybody else.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities that certificates of clients must come from, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// Protocols to agree on within TLS, the preferred first; a client that offers only others is refused.
    pub alpn: Vec<Vec<u8>>,
    /// Where certificates come from for the names that no file has.
    pub acme: Option<Arc<Acme>>,
}

/// The certificates of one listener. New connections take [`Self::current`]; a reload leaves open ones as they are.
pub struct Keeper {
    options: Options,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<ServerConfig>,
    known: Mutex<Known>,
}

/// What the current configuration was made of.
struct Known {
    stamps: Vec<Stamp>,
    contents: Contents,
    tickets: Arc<dyn ProducesTickets>,
    expires: Option<SystemTime>,
}

/// What tells cheaply that a file is another one; `None` when there is none.
type Stamp = Option<(u64, u64, SystemTime)>;

/// Digests of the files. Keys themselves are not kept.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    certificates: Vec<[Vec<u8>; 2]>,
    client_ca: Option<Vec<u8>>,
}

/// What the files say.
struct Loaded {
    contents: Contents,
    certificates: Vec<Certificate>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Keeper {
    /// Reads the files of `options`.
    ///
    /// # Errors
    /// A file cannot be read or used, or the options contradict each other.
    pub fn open(options: Options) -> Result<Arc<Self>, Error> {
        check(&options)?;
        let provider = Arc::new(provider());
        let stamps = stamps(&options);
        let loaded = load(&options, &provider)?;
        let tickets = aws_lc_rs::Ticketer::new()?;
        let expires = loaded.certificates.iter().map(|one| one.expires).min();
        let current = ArcSwap::from(configuration(&options, &provider, &loaded, tickets.clone())?);
        let known = Mutex::new(Known { stamps, contents: loaded.contents, tickets, expires });
        Ok(Arc::new(Self { options, provider, current, known }))
    }

    /// The configuration for a new connection.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Reads the files again; true when they say something else than before. With an error everything stays as it is.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn reload(&self) -> Result<bool, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Before reading: what is written meanwhile is seen by the next look.
        known.stamps = stamps(&self.options);
        let loaded = load(&self.options, &self.provider)?;
        if loaded.contents == known.contents {
            return Ok(false);
        }
        // Whoever was let in by an authority that is trusted no longer must not come back on an old ticket.
        let is_same_authority = loaded.contents.client_ca == known.contents.client_ca;
        let tickets = if is_same_authority { known.tickets.clone() } else { aws_lc_rs::Ticketer::new()? };
        self.current.store(configuration(&self.options, &self.provider, &loaded, tickets.clone())?);
        known.expires = loaded.certificates.iter().map(|one| one.expires).min();
        known.contents = loaded.contents;
        known.tickets = tickets;
        Ok(true)
    }

    /// Whether a file is another one than at the last [`Self::open`] or [`Self::reload`], even one that failed.
    #[must_use]
    pub fn changed(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        stamps(&self.options) != known.stamps
    }

    /// When the first of the certificates from files ends.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).expires
    }
}

fn check(options: &Options) -> Result<(), Error> {
    let fault = |fault: &str, remedy| Err(Error::Options { fault: fault.to_owned(), remedy });
    if options.certificates.is_empty() && options.acme.is_none() {
        return fault("there is no certificate", "name a certificate with its key, or set up ACME");
    }
    match (options.client_auth, &options.client_ca) {
        (ClientAuth::None, Some(_)) => fault(
            "an authority for clients is named, and clients are not asked for a certificate",
            "ask for it (optional or required), or leave the authority out",
        ),
        (ClientAuth::Optional | ClientAuth::Required, None) => fault(
            "clients are asked for a certificate, and no authority for them is named",
            "name the file with the authority's certificate",
        ),
        _ => Ok(()),
    }
}

/// rustls' own ciphers, those with keys of 128 bits last.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| format!("{:?}", suite.suite()).contains("AES_128"));
    provider
}

fn files(options: &Options) -> impl Iterator<Item = &Path> {
    let pairs = options.certificates.iter().flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]);
    pairs.chain(options.client_ca.as_deref())
}

fn stamps(options: &Options) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some((meta.len(), meta.ino(), meta.modified().ok()?))
    };
    files(options).map(stamp).collect()
}

fn load(options: &Options, provider: &Arc<CryptoProvider>) -> Result<Loaded, Error> {
    let mut certificates = Vec::new();
    let mut digests = Vec::new();
    for pair in &options.certificates {
        let (chain, key) = (read(&pair.certificate)?, read(&pair.key)?);
        certificates.push(Certificate::parse(pair, &chain, &key, provider)?);
        digests.push([sha256(&chain), sha256(&key)]);
    }
    let mut contents = Contents { certificates: digests, client_ca: None };
    let mut verifier = None;
    if let Some(path) = &options.client_ca {
        let pem = read(path)?;
        let roots = Arc::new(authorities(path, &pem)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let builder =
            if options.client_auth == ClientAuth::Optional { builder.allow_unauthenticated() } else { builder };
        verifier = Some(builder.build().map_err(|error| Error::File {
            path: path.clone(),
            fault: error.to_string(),
            remedy: "put certificates of authorities there",
        })?);
        contents.client_ca = Some(sha256(&pem));
    }
    Ok(Loaded { contents, certificates, verifier })
}

fn configuration(
    options: &Options,
    provider: &Arc<CryptoProvider>,
    loaded: &Loaded,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, Error> {
    let versions: &[_] = match options.min_version {
        Version::Tls12 => &[&TLS13, &TLS12],
        Version::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions)?;
    let builder = match &loaded.verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let resolver = Resolver::new(&loaded.certificates, options.acme.clone());
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols.clone_from(&options.alpn);
    if options.acme.as_ref().is_some_and(|acme| acme.answers_in_tls()) {
        config.alpn_protocols.push(ALPN.to_vec());
    }
    // Our order: keys of 256 bits are those that an idle connection can be reduced to, and every client has them.
    config.ignore_client_order = true;
    config.enable_secret_extraction = true;
    // Tickets are carried by the clients, so a session costs no memory between two connections.
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeper").field("options", &self.options).finish_non_exhaustive()
    }
}
