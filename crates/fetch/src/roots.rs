//! Who may vouch for the certificate of a server.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::FetchError;

/// The system's authorities, and those of a file.
///
/// That the system has none is no error here: a server that only speaks to `http://` or to holders of the file's
/// certificates needs none.
pub(crate) fn roots(file: Option<&Path>) -> Result<RootCertStore, FetchError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 || !found.errors.is_empty() {
        tracing::debug!(ignored, errors = found.errors.len(), "some of the system's authorities cannot be used");
    }
    if let Some(path) = file {
        let fault = |fault: String| FetchError::Authorities { path: path.to_owned(), fault };
        let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| fault(format!("its PEM is broken ({error})")))?;
            roots.add(certificate).map_err(|error| fault(format!("a certificate is no authority ({error})")))?;
            count += 1;
        }
        if count == 0 {
            return Err(fault("it holds no certificate".to_owned()));
        }
    }
    Ok(roots)
}
