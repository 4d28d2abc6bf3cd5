//! The internal port with TLS: who speaks it, who does not, and who says nothing.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jackfield_api::{ApiOptions, Tls};
use jackfield_tls::{CertificateFiles, Keeper, Options};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::server::{Server, ask};

struct Port {
    server: Server,
    keeper: Arc<Keeper>,
    directory: TempDir,
    certificate: CertificateDer<'static>,
}

impl Port {
    async fn open(also_plain: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let certificate = renew(directory.path());
        let files =
            CertificateFiles { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
        let keeper = Keeper::open(Options { certificates: vec![files], ..Options::default() }).unwrap();
        let options = ApiOptions { insecure: true, ..ApiOptions::default() };
        let server = Server::start(options, Some(Tls { keeper: Arc::clone(&keeper), also_plain })).await;
        Self { server, keeper, directory, certificate }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address).await.unwrap()
    }

    async fn ask_trusting(&self, certificate: &CertificateDer<'static>) -> std::io::Result<u16> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await?;
        Ok(ask(stream, "POST /api/info HTTP/1.1").await.0)
    }
}

/// Writes a new certificate and its key.
fn renew(directory: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(directory.join("cert.pem"), cert.pem()).unwrap();
    fs::write(directory.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

#[tokio::test]
async fn tls_is_spoken_with_the_certificate_of_the_moment() {
    let port = Port::open(false).await;
    assert_eq!(port.ask_trusting(&port.certificate).await.unwrap(), 200);
    let renewed = renew(port.directory.path());
    assert!(port.ask_trusting(&renewed).await.is_err());
    assert!(port.keeper.reload().unwrap());
    assert_eq!(port.ask_trusting(&renewed).await.unwrap(), 200);
    assert!(port.ask_trusting(&port.certificate).await.is_err());
}

#[tokio::test]
async fn plain_requests_are_told_to_use_tls() {
    let port = Port::open(false).await;
    let (status, _, body) = ask(port.connect().await, "POST /api/info HTTP/1.1").await;
    assert_eq!((status, body.as_str()), (400, "this port speaks TLS; ask again with https://\n"));
}

#[tokio::test]
async fn a_port_may_speak_both() {
    let port = Port::open(true).await;
    assert_eq!(ask(port.connect().await, "POST /api/info HTTP/1.1").await.0, 200);
    assert_eq!(port.ask_trusting(&port.certificate).await.unwrap(), 200);
}

#[tokio::test]
async fn garbage_is_closed_and_hurts_nobody() {
    let port = Port::open(false).await;
    for garbage in [&b"\x16\x03\x01\xff\xff garbage that is no record of any handshake"[..], b"\0\0\0\0", b"\x80\x01"] {
        let mut stream = port.connect().await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert_eq!(port.ask_trusting(&port.certificate).await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let port = Port::open(false).await;
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = port.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let closed = timeout(Duration::from_secs(3600), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok() && answer.is_empty(), "{answer:?}");
    }
}
