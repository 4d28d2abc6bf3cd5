//! An authority for tests: certificates, files of them, and clients that trust it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jackfield_tls::{CertificateFiles, Keeper, Options};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

/// An authority with a directory for its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

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

    /// A client that trusts this authority and speaks `versions`.
    pub(crate) fn trusted(&self, versions: &[&'static SupportedProtocolVersion], shown: Option<Shown>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        match shown {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }
}
