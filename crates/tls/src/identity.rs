//! Who a client is, by the certificate it has shown.

use std::fmt::Write as _;
use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// More alternative names than this are not looked at: an identity is a name, not a list.
const NAMES: usize = 64;
/// A name longer than this is no name that anything else here would take.
const LENGTH: usize = 255;

/// Who a client is, by the certificate it has shown. The certificate was verified before; what stands in it is still
/// its issuer's free text, so control characters never get into a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The subject, written as RFC 4514 does: `CN=sensor-7,O=Works`.
    pub subject: String,
    /// The first common name of the subject.
    pub common_name: Option<String>,
    /// Alternative names: URIs, DNS names, addresses of mail and of the internet, in the order of the certificate.
    pub names: Vec<String>,
    /// SHA-256 of the certificate in hexadecimal.
    pub fingerprint: String,
    /// Which of them is the best short name.
    best: Option<String>,
}

/// Alternative names by how well they tell who somebody is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Uri,
    Dns,
    Mail,
    Address,
}

impl Identity {
    /// The best short name: the first URI, DNS name or mail address, else the common name, else the fingerprint.
    #[must_use]
    pub fn name(&self) -> &str {
        self.best.as_deref().or(self.common_name.as_deref()).unwrap_or(&self.fingerprint)
    }

    /// Reads a certificate in DER; of one that cannot be read only the fingerprint is known.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        let fingerprint = hexadecimal(&sha256(certificate));
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Self { subject: String::new(), common_name: None, names: Vec::new(), fingerprint, best: None };
        };
        let found = alternative_names(&certificate);
        let best = found.iter().filter(|(kind, _)| *kind < Kind::Address).min_by_key(|(kind, _)| *kind);
        let best = best.map(|(_, name)| name.clone());
        let common_name = certificate.subject().iter_common_name().find_map(|one| one.as_str().ok().and_then(decent));
        let names = found.into_iter().map(|(_, name)| name).collect();
        Self { subject: written(certificate.subject()), common_name, names, fingerprint, best }
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<(Kind, String)> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let one = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((Kind::Uri, decent(uri)?)),
        GeneralName::DNSName(name) => Some((Kind::Dns, decent(name)?)),
        GeneralName::RFC822Name(address) => Some((Kind::Mail, decent(address)?)),
        GeneralName::IPAddress(bytes) => Some((Kind::Address, address(bytes)?)),
        _ => None,
    };
    extension.value.general_names.iter().take(NAMES).filter_map(one).collect()
}

/// A name that may be shown, logged and compared.
fn decent(name: &str) -> Option<String> {
    let is_decent = !name.is_empty() && name.len() <= LENGTH && !name.chars().any(char::is_control);
    is_decent.then(|| name.to_owned())
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let any = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    any.ok().map(|address| address.to_string())
}

/// The name as RFC 4514 writes it: the last part first.
fn written(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (nth, attribute) in part.iter().enumerate() {
            if nth > 0 {
                text.push('+');
            } else if !text.is_empty() {
                text.push(',');
            }
            write_attribute(&mut text, attribute);
        }
    }
    text
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    match oid2abbrev(attribute.attr_type(), oid_registry()) {
        Ok(short) => text.push_str(short),
        Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
    }
    text.push('=');
    match attribute.as_str() {
        Ok(value) => write_value(text, value),
        Err(_) => {
            text.push('#');
            text.push_str(&hexadecimal(attribute.as_slice()));
        }
    }
}

fn write_value(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (nth, letter) in value.chars().enumerate() {
        let is_edge = (nth == 0 && (letter == ' ' || letter == '#')) || (nth == last && letter == ' ');
        if letter.is_control() {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "\\{byte:02X}");
            }
        } else if is_edge || "\"+,;<>\\".contains(letter) {
            text.push('\\');
            text.push(letter);
        } else {
            text.push(letter);
        }
    }
}

/// SHA-256 by way of the library that rustls uses.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    suite.tls13().map_or_else(Vec::new, |suite| suite.common.hash_provider.hash(bytes).as_ref().to_vec())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
