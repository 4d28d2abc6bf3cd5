//! An authority for tests: certificates, files of them, and clients that trust it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jackfield_tls::{CertificateFiles, Keeper, Options};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use tempfile::TempDir;

/// An authority with a directory for its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// One cipher of every kind. Those with keys of 128 bits stay with rustls after the handshake, the others do not.
pub(crate) const SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// What a client shows.
pub(crate) type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The authority's own certificate in a file.
    pub(crate) fn file(&self) -> PathBuf {
        let path = self.path("authority.pem");
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// Writes a certificate for `names` and its key into files called `stem`.
    pub(crate) fn issue(&self, stem: &str, names: &[&str]) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files =
            CertificateFiles { certificate: self.path(&format!("{stem}.pem")), key: self.path(&format!("{stem}.key")) };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// A certificate for a client.
    pub(crate) fn client(&self, common_name: &str, names: Vec<SanType>) -> Shown {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Works, Inc.");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// A listener with one certificate for `localhost`.
    pub(crate) fn keeper(&self) -> Arc<Keeper> {
        Keeper::open(self.options()).unwrap()
    }

    pub(crate) fn options(&self) -> Options {
        Options { certificates: vec![self.issue("localhost", &["localhost"])], ..Options::default() }
    }

    /// A client that trusts this authority and speaks `suite` only.
    pub(crate) fn speaking(&self, suite: SupportedCipherSuite, shown: Option<Shown>) -> ClientConfig {
        let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
        self.client_of(provider, &[suite.version()], shown)
    }

    /// A client that trusts this authority and speaks `versions`.
    pub(crate) fn trusted(&self, versions: &[&'static SupportedProtocolVersion], shown: Option<Shown>) -> ClientConfig {
        self.client_of(aws_lc_rs::default_provider(), versions, shown)
    }

    fn client_of(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        shown: Option<Shown>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        match shown {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }
}
