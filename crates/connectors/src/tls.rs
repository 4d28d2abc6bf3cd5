//! Trust in the system's authorities, for feeds that speak TLS.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

/// Why there is no trust.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrustError {
    /// The system has no authorities.
    #[error("the system knows no authority; install its ca-certificates, or name a file with some in SSL_CERT_FILE")]
    Nobody,
    /// The cryptography does not do what we ask for.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Trusts whom the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` say who that is.
///
/// # Errors
///
/// The system trusts nobody.
pub fn system_tls() -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if ignored > 0 {
        tracing::debug!(ignored, "some of the system's authorities cannot be used");
    }
    if roots.is_empty() {
        return Err(TrustError::Nobody);
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(tls))
}
