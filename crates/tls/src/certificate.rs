//! Certificates, keys and authorities, read from files with errors that say what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::Error;

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to the authority.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// A certificate with its key, ready to be shown.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// DNS names in lower case, with `*.` where it is a wildcard.
    pub(crate) names: Vec<String>,
    pub(crate) expires: SystemTime,
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(path).map_err(|fault| Error::Read { path: path.to_owned(), fault })?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(fault(path, "the file is empty", "it must hold PEM, beginning with -----BEGIN"));
    }
    Ok(bytes)
}

impl Certificate {
    /// Makes a certificate of the contents of its two files.
    pub(crate) fn parse(
        files: &CertificateFiles,
        chain: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, Error> {
        let chain = certificates(&files.certificate, chain)?;
        let key = private_key(&files.key, key)?;
        let Ok((_, leaf)) = X509Certificate::from_der(&chain[0]) else {
            return Err(fault(&files.certificate, "its first certificate is not X.509", "issue it anew"));
        };
        let names = dns_names(&leaf);
        let expires = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
        let key = CertifiedKey::from_der(chain.clone(), key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let what = format!("it is not the key of the certificate in {}", files.certificate.display());
                fault(&files.key, what, "name the key that the certificate was issued for, the leaf first in its file")
            }
            other => {
                fault(&files.key, format!("the key is refused ({other})"), "use RSA from 2048 bits, ECDSA or Ed25519")
            }
        })?;
        Ok(Self { key: Arc::new(key), names, expires: SystemTime::UNIX_EPOCH + Duration::from_secs(expires) })
    }
}

/// The authorities of a file.
pub(crate) fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for (nth, certificate) in certificates(path, pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let what = format!("certificate {} is no authority ({error})", nth + 1);
            fault(path, what, "put only certificates of authorities there")
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) if contains(pem, "PRIVATE KEY-----") => {
            Err(fault(path, "it holds a private key and no certificate", "certificate and key may have been swapped"))
        }
        Ok(_) => Err(fault(path, "it holds no certificate", "it must hold PEM with -----BEGIN CERTIFICATE-----")),
        Err(error) => Err(fault(path, format!("its PEM is broken ({error})"), "copy the file again, every line of it")),
    }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    if contains(pem, "ENCRYPTED PRIVATE KEY-----") || contains(pem, "Proc-Type: 4,ENCRYPTED") {
        let remedy = "a server that restarts by itself has nobody to ask for the passphrase: write the key without one \
                      (openssl pkey -in KEY -out NEW) and let only the server's user read it";
        return Err(fault(path, "the key is encrypted", remedy));
    }
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) if contains(pem, "BEGIN CERTIFICATE-----") => {
            Err(fault(path, "it holds a certificate and no key", "certificate and key may have been swapped"))
        }
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(fault(path, "it holds no private key", "it must hold PEM with -----BEGIN PRIVATE KEY-----"))
        }
        Err(error) => Err(fault(path, format!("its PEM is broken ({error})"), "copy the file again, every line of it")),
    }
}

fn dns_names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return Vec::new() };
    let one = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(one).collect()
}

fn contains(pem: &[u8], what: &str) -> bool {
    pem.windows(what.len()).any(|window| window == what.as_bytes())
}

fn fault(path: &Path, fault: impl Into<String>, remedy: &'static str) -> Error {
    Error::File { path: path.to_owned(), fault: fault.into(), remedy }
}
