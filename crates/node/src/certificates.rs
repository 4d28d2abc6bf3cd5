//! Every certificate of the node: opened at start, read again when their files change or at SIGHUP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jackfield_tls::{Acme, AcmeOptions, CertificateFiles, Challenge, ClientAuth, Keeper, Options, Version};
use tokio::runtime::Handle;
use tokio::signal::unix::Signal;

use crate::config::{self, Config, TlsVersion};

/// How often the files are looked at. A look is one call to the system per file.
const LOOK: Duration = Duration::from_secs(2);
/// A certificate that ends sooner is warned about.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

type Challenges = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The certificates of all ports.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    /// Of the public port.
    pub(crate) public: Option<Arc<Keeper>>,
    /// Of the internal port.
    pub(crate) internal: Option<Arc<Keeper>>,
    /// Answers an authority's questions that come over plain HTTP.
    pub(crate) challenges: Option<Challenges>,
    tcp: Vec<(String, Arc<Keeper>)>,
}

impl Certificates {
    /// Opens all that the configuration names.
    pub(crate) fn open(config: &Config, runtime: &Handle) -> anyhow::Result<Self> {
        let mut all = Self::default();
        let http = &config.http_server;
        let acme = acme(config, runtime)?;
        if http.speaks_tls() {
            if http.tls_autocert.http
                && let Some(acme) = &acme
            {
                let acme = Arc::clone(acme);
                all.challenges = Some(Arc::new(move |token| acme.http_challenge(token)));
            }
            let keeper = open(&http.tls, acme, &["http/1.1"]).context("open http_server.tls")?;
            all.public = Some(keeper);
        }
        if http.internal_tls.enabled {
            all.internal =
                Some(open(&http.internal_tls, None, &["http/1.1"]).context("open http_server.internal_tls")?);
        }
        for tcp in config.tcp.iter().filter(|tcp| tcp.tls.enabled) {
            let keeper =
                open(&tcp.tls, None, &[]).with_context(|| format!("open tls of the [[tcp]] {:?}", tcp.name))?;
            all.tcp.push((tcp.name.clone(), keeper));
        }
        for (name, keeper) in all.keepers() {
            warn_before_the_end(&name, &keeper);
        }
        Ok(all)
    }

    /// Those of a `[[tcp]]`.
    pub(crate) fn of_tcp(&self, name: &str) -> Option<Arc<Keeper>> {
        self.tcp.iter().find(|(known, _)| known == name).map(|(_, keeper)| Arc::clone(keeper))
    }

    fn keepers(&self) -> Vec<(String, Arc<Keeper>)> {
        let own = [("http_server.tls", &self.public), ("http_server.internal_tls", &self.internal)];
        let own = own.into_iter().filter_map(|(name, keeper)| Some((name.to_owned(), Arc::clone(keeper.as_ref()?))));
        own.chain(self.tcp.iter().map(|(name, keeper)| (format!("tcp {name}"), Arc::clone(keeper)))).collect()
    }

    /// Reads certificates again whenever their files change, and at SIGHUP whether they did or not.
    pub(crate) async fn watch(self, mut hangup: Signal) {
        let keepers = self.keepers();
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: certificates are read again");
                    keepers.iter().for_each(|(name, keeper)| reload(name, keeper));
                }
                () = tokio::time::sleep(LOOK) => look(&keepers),
            }
        }
    }
}

fn look(keepers: &[(String, Arc<Keeper>)]) {
    keepers.iter().filter(|(_, keeper)| keeper.changed()).for_each(|(name, keeper)| reload(name, keeper));
}

fn reload(name: &str, keeper: &Keeper) {
    match keeper.reload() {
        Ok(true) => {
            tracing::info!(of = name, "new certificates are in use; open connections keep theirs");
            warn_before_the_end(name, keeper);
        }
        Ok(false) => {}
        Err(error) => {
            tracing::error!(of = name, %error, "the certificates cannot be read again, the old ones stay in use")
        }
    }
}

fn warn_before_the_end(name: &str, keeper: &Keeper) {
    let Some(end) = keeper.expires() else { return };
    match end.duration_since(SystemTime::now()) {
        Ok(left) if left < SOON => {
            tracing::warn!(of = name, days = left.as_secs() / 86_400, "a certificate ends soon: renew it");
        }
        Ok(_) => {}
        Err(_) => tracing::warn!(of = name, "a certificate has ended, clients will refuse it: renew it"),
    }
}

fn open(tls: &config::Tls, acme: Option<Arc<Acme>>, alpn: &[&str]) -> Result<Arc<Keeper>, jackfield_tls::Error> {
    let files = |certificate: &str, key: &str| CertificateFiles { certificate: certificate.into(), key: key.into() };
    let first = (!tls.cert_pem_file.is_empty()).then(|| files(&tls.cert_pem_file, &tls.key_pem_file));
    let further = tls.certificates.iter().map(|one| files(&one.cert_pem_file, &one.key_pem_file));
    Keeper::open(Options {
        certificates: first.into_iter().chain(further).collect(),
        client_ca: path(&tls.client_ca_pem_file),
        client_auth: match tls.asks_clients() {
            config::ClientAuth::None => ClientAuth::None,
            config::ClientAuth::Optional => ClientAuth::Optional,
            config::ClientAuth::Required => ClientAuth::Required,
        },
        min_version: match tls.min_version {
            TlsVersion::V1_2 => Version::Tls12,
            TlsVersion::V1_3 => Version::Tls13,
        },
        alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
        acme,
    })
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| text.into())
}

fn acme(config: &Config, runtime: &Handle) -> anyhow::Result<Option<Arc<Acme>>> {
    let autocert = &config.http_server.tls_autocert;
    if !autocert.enabled {
        return Ok(None);
    }
    let options = AcmeOptions {
        hosts: autocert.host_whitelist.clone(),
        email: (!autocert.email.is_empty()).then(|| autocert.email.clone()),
        cache_dir: autocert.cache_dir.clone().into(),
        directory_url: (!autocert.directory_url.is_empty()).then(|| autocert.directory_url.clone()),
        directory_ca: path(&autocert.directory_ca_pem_file),
        challenge: if autocert.http { Challenge::Http } else { Challenge::Tls },
    };
    Acme::start(options, runtime).context("open http_server.tls_autocert").map(Some)
}
