//! Certificates of a listener: chosen by name, exchanged under way, refused with words.

use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_tls::{CertificateFiles, ClientAuth, Keeper, Options};
use rustls::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::version::{TLS12, TLS13};

use crate::authority::Authority;
use crate::wire::{Joined, calm};

/// The certificate that is shown to a client that asks for `name`.
fn shown(authority: &Authority, keeper: &Keeper, name: &'static str) -> CertificateDer<'static> {
    let mut config = authority.trusted(&[&TLS13], None);
    // The question is which is shown, not whether it fits.
    config.dangerous().set_certificate_verifier(Arc::new(Anything));
    let mut joined = Joined::new(keeper, config.clone(), calm(), calm());
    joined.client = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    joined.shaken().client.peer_certificates().unwrap()[0].clone()
}

#[derive(Debug)]
pub(crate) struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn in_file(files: &CertificateFiles) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&files.certificate).unwrap()
}

#[test]
fn the_name_chooses_the_certificate() {
    let authority = Authority::new();
    let first = authority.issue("first", &["a.example.org"]);
    let second = authority.issue("second", &["b.example.org", "*.works.example"]);
    let third = authority.issue("third", &["exact.works.example"]);
    let certificates = vec![first.clone(), second.clone(), third.clone()];
    let keeper = Keeper::open(Options { certificates, ..Options::default() }).unwrap();
    for (name, files) in [
        ("a.example.org", &first),
        ("b.example.org", &second),
        ("B.Example.ORG", &second),
        ("any.works.example", &second),
        ("exact.works.example", &third),
        ("works.example", &first),
        ("deep.any.works.example", &first),
        ("unknown.example", &first),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(shown(&authority, &keeper, name), in_file(files), "{name}");
    }
}

#[test]
fn a_new_certificate_is_shown_to_the_next_and_disturbs_nobody() {
    let authority = Authority::new();
    let options = authority.options();
    let keeper = Keeper::open(options).unwrap();
    assert!(!keeper.changed());
    assert!(!keeper.reload().unwrap());
    let config = Arc::new(authority.trusted(&[&TLS13], None));
    let mut open: Vec<_> = (0..20).map(|_| Joined::new(&keeper, config.clone(), calm(), calm()).shaken()).collect();

    let renewed = authority.issue("localhost", &["localhost"]);
    assert!(keeper.changed());
    assert!(keeper.reload().unwrap());
    assert!(!keeper.changed());
    assert_eq!(shown(&authority, &keeper, "localhost"), in_file(&renewed));
    for joined in &mut open {
        joined.write(b"still open").unwrap();
        assert_eq!(joined.client_reads(), b"still open");
    }
}

#[test]
fn a_broken_renewal_leaves_the_old_certificate() {
    let authority = Authority::new();
    let options = authority.options();
    let files = options.certificates[0].clone();
    let old = in_file(&files);
    let keeper = Keeper::open(options).unwrap();
    // Half of a renewal: the certificate is there, its key is not.
    authority.issue("next", &["localhost"]);
    fs::copy(authority.path("next.pem"), &files.certificate).unwrap();
    assert!(keeper.changed());
    let error = keeper.reload().unwrap_err().to_string();
    assert!(error.contains("not the key of the certificate"), "{error}");
    // What has been looked at and refused is not looked at again and again.
    assert!(!keeper.changed());
    assert_eq!(shown(&authority, &keeper, "localhost"), old);
    fs::copy(authority.path("next.key"), &files.key).unwrap();
    assert!(keeper.changed());
    assert!(keeper.reload().unwrap());
    assert_eq!(shown(&authority, &keeper, "localhost"), in_file(&files));
    fs::remove_file(&files.key).unwrap();
    assert!(keeper.changed());
    assert!(keeper.reload().unwrap_err().to_string().contains("localhost.key"));
}

#[test]
fn the_first_end_counts() {
    let authority = Authority::new();
    let keeper = authority.keeper();
    assert!(keeper.expires().unwrap() > SystemTime::now());
}

/// What is said about a certificate file and a key file with these contents.
fn complaint(authority: &Authority, certificate: &[u8], key: &[u8]) -> String {
    let files = CertificateFiles { certificate: authority.path("c.pem"), key: authority.path("k.pem") };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    Keeper::open(Options { certificates: vec![files], ..Options::default() }).unwrap_err().to_string()
}

#[test]
fn files_are_refused_with_name_fault_and_remedy() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("one", &["a"]), authority.issue("other", &["b"]));
    let (certificate, key) = (fs::read(&one.certificate).unwrap(), fs::read(&one.key).unwrap());
    let sealed = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_sealed =
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let odd = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = &certificate[..certificate.len() / 2];
    for (file, fault, remedy, certificate, key) in [
        ("c.pem", "empty", "PEM", &b" \n"[..], &key[..]),
        ("k.pem", "empty", "PEM", &certificate, b""),
        ("c.pem", "no certificate", "swapped", &key, &certificate),
        ("k.pem", "no key", "swapped", &certificate, &certificate),
        ("c.pem", "no certificate", "BEGIN CERTIFICATE", b"nonsense", &key),
        ("k.pem", "no private key", "BEGIN PRIVATE KEY", &certificate, b"nonsense"),
        ("k.pem", "not the key", "issued for", &certificate, &fs::read(&other.key).unwrap()),
        ("k.pem", "encrypted", "openssl pkey", &certificate, sealed),
        ("k.pem", "encrypted", "openssl pkey", &certificate, old_sealed),
        ("c.pem", "not X.509", "anew", odd, &key),
        ("c.pem", "broken", "copy", cut, &key),
    ] {
        let said = complaint(&authority, certificate, key);
        assert!(said.contains(file) && said.contains(fault) && said.contains(remedy), "{file} {fault}: {said}");
        assert!(!said.contains("PRIVATE KEY-----\n"), "a key in an error: {said}");
    }
    let absent = CertificateFiles { certificate: authority.path("absent.pem"), ..one };
    let said = Keeper::open(Options { certificates: vec![absent], ..Options::default() }).unwrap_err().to_string();
    assert!(said.contains("absent.pem") && said.contains("must exist"), "{said}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let authority = Authority::new();
    let said = |options| Keeper::open(options).unwrap_err().to_string();
    assert!(said(Options::default()).contains("no certificate"));
    let unasked = Options { client_ca: Some(authority.file()), ..authority.options() };
    assert!(said(unasked).contains("not asked"));
    let unknown = Options { client_auth: ClientAuth::Required, ..authority.options() };
    assert!(said(unknown).contains("no authority"));
}

#[test]
fn protocols_are_agreed_on() {
    let authority = Authority::new();
    let keeper = Keeper::open(Options { alpn: vec![b"http/1.1".to_vec()], ..authority.options() }).unwrap();
    for version in [&TLS12, &TLS13] {
        let mut config = authority.trusted(&[version], None);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let joined = Joined::new(&keeper, config.clone(), calm(), calm()).shaken();
        assert_eq!(joined.server.alpn(), Some(&b"http/1.1"[..]));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (server, client) = Joined::new(&keeper, config.clone(), calm(), calm()).shake();
        assert!(server.is_err());
        assert!(client.unwrap_err().to_string().contains("NoApplicationProtocol"));
        config.alpn_protocols = Vec::new();
        assert_eq!(Joined::new(&keeper, config, calm(), calm()).shaken().server.alpn(), None);
    }
}
