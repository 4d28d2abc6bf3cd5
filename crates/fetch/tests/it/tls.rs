//! Requests with TLS: who is believed, and who is not.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jackfield_fetch::{Fetch, FetchError, HeaderMap, Options, Url};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::server::{Server, Then, ok};

const LONG: Duration = Duration::from_secs(60);

/// A server with a certificate for a name, and the file that vouches for it.
struct Secure {
    server: Server,
    directory: TempDir,
}

impl Secure {
    async fn start(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("ca.pem"), cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let wrap = move |socket| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(socket).await.ok() }
        };
        let server = Server::start_over(|_| (ok("sealed"), Then::Keep), wrap).await;
        Self { server, directory }
    }

    fn authorities(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    async fn ask(&self, fetch: &Fetch) -> Result<String, FetchError> {
        let url = Url::parse(&format!("https://localhost:{}/", self.server.address.port())).unwrap();
        let response = fetch.get(&url, HeaderMap::new(), LONG).await?;
        Ok(String::from_utf8(response.body.to_vec()).unwrap())
    }
}

fn trusting(ca_file: Option<PathBuf>) -> Result<Fetch, FetchError> {
    Fetch::new(&Options { ca_file, ..Options::default() })
}

#[tokio::test]
async fn who_is_vouched_for_is_believed() {
    let secure = Secure::start("localhost").await;
    let fetch = trusting(Some(secure.authorities())).unwrap();
    assert_eq!(secure.ask(&fetch).await.unwrap(), "sealed");
    assert_eq!(secure.ask(&fetch).await.unwrap(), "sealed");
    assert_eq!(secure.server.seen.connections(), 1);
}

#[tokio::test]
async fn who_is_not_vouched_for_hears_nothing() {
    let (secure, other, misnamed) =
        (Secure::start("localhost").await, Secure::start("localhost").await, Secure::start("example.com").await);
    for (server, file) in
        [(&secure, None), (&secure, Some(other.authorities())), (&misnamed, Some(misnamed.authorities()))]
    {
        let error = server.ask(&trusting(file).unwrap()).await.unwrap_err();
        assert!(error.is_unsent(), "{error}");
        assert!(server.server.seen.requests().is_empty());
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_with_a_secret() {
    let plain = Server::start(|_| (ok("x"), Then::Keep)).await;
    let fetch = trusting(None).unwrap();
    let url = Url::parse(&format!("https://{}/", plain.address)).unwrap();
    assert!(fetch.get(&url, HeaderMap::new(), Duration::from_millis(500)).await.is_err());
    assert!(plain.seen.requests().is_empty());
}

#[test]
fn a_file_without_authorities_is_a_fault() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ca.pem");
    let missing = trusting(Some(path.clone())).unwrap_err().to_string();
    assert!(missing.contains("ca.pem"), "{missing}");
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        fs::write(&path, text).unwrap();
        let error = trusting(Some(path.clone())).unwrap_err();
        assert!(matches!(error, FetchError::Authorities { .. }), "{text}");
    }
}
