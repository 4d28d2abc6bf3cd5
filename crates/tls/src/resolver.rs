//! Which certificate a client is shown, by the name it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_acme::is_tls_alpn_challenge;

use crate::acme::Acme;
use crate::certificate::Certificate;

/// Which certificate a client is shown, by the name it asks for.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// In the order of the configuration; the first serves those who ask for nothing we know.
    all: Vec<Arc<CertifiedKey>>,
    /// By name, and by `*.` and the rest of a name; several where a name has keys of several kinds.
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
    acme: Option<Arc<Acme>>,
}

impl Resolver {
    pub(crate) fn new(certificates: &[Certificate], acme: Option<Arc<Acme>>) -> Self {
        let mut named: HashMap<String, Vec<_>> = HashMap::new();
        for certificate in certificates {
            for name in &certificate.names {
                named.entry(name.clone()).or_default().push(certificate.key.clone());
            }
        }
        Self { all: certificates.iter().map(|one| one.key.clone()).collect(), named, acme }
    }

    fn by_name(&self, name: &str, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let exact = self.named.get(&name).and_then(|keys| fitting(keys, schemes));
        exact.or_else(|| self.named.get(&wildcard?).and_then(|keys| fitting(keys, schemes)))
    }
}

/// The first key that can sign what the client understands.
fn fitting(keys: &[Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    keys.iter().find(|key| key.key.choose_scheme(schemes).is_some()).cloned()
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = self.acme.is_some() && is_tls_alpn_challenge(&hello);
        let schemes = hello.signature_schemes().to_vec();
        if !is_challenge {
            let named = hello.server_name().and_then(|name| self.by_name(name, &schemes));
            if named.is_some() {
                return named;
            }
        }
        if let Some(acme) = &self.acme {
            let is_ours = is_challenge || hello.server_name().is_some_and(|name| acme.serves(name));
            if is_ours || self.all.is_empty() {
                let obtained = acme.resolve(hello);
                if is_challenge || obtained.is_some() {
                    return obtained;
                }
            }
        }
        fitting(&self.all, &schemes).or_else(|| self.all.first().cloned())
    }
}
