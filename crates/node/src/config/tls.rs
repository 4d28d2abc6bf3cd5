//! TLS on a port: certificates, client certificates, and certificates fetched from an authority.

use serde::{Deserialize, Serialize};

use super::schema::{Key, Kind};

/// TLS on one port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// Speak TLS on this port. Changed files are read anew; open connections stay.
    pub(crate) enabled: bool,
    /// File with the certificate and those that vouch for it, in PEM.
    pub(crate) cert_pem_file: String,
    /// File with the private key of the certificate, in PEM.
    pub(crate) key_pem_file: String,
    /// Further certificates; the name a client asks for (SNI) decides which one it sees.
    pub(crate) certificates: Vec<Certificate>,
    /// File with the authorities that client certificates are held against, in PEM.
    pub(crate) client_ca_pem_file: String,
    /// Whether clients show a certificate: `none`, `optional` or `required`; not given, it is `required` where
    /// there is a `client_ca_pem_file`.
    pub(crate) client_auth: Option<ClientAuth>,
    /// Oldest version that is spoken.
    pub(crate) min_version: TlsVersion,
    /// Speak without TLS on the same port too; the first bytes of a connection tell the two apart.
    pub(crate) also_plain: bool,
}

impl Tls {
    /// Whether clients show a certificate, the default filled in.
    pub(crate) fn asks_clients(&self) -> ClientAuth {
        match self.client_auth {
            Some(choice) => choice,
            None if self.client_ca_pem_file.is_empty() => ClientAuth::None,
            None => ClientAuth::Required,
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Certificate {
    /// File with the certificate and those that vouch for it, in PEM.
    pub(crate) cert_pem_file: String,
    /// File with the private key of the certificate, in PEM.
    pub(crate) key_pem_file: String,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked; who has none comes in without.
    Optional,
    /// Who has none stays out.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Certificates fetched from an authority (ACME) and renewed in time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Autocert {
    /// Fetch certificates for the public port, which then speaks TLS; `tls.enabled` may stay off.
    pub(crate) enabled: bool,
    /// Names certificates are fetched for, such as `example.com`.
    pub(crate) host_whitelist: Vec<String>,
    /// Directory that keeps account and certificates; it must outlive restarts.
    pub(crate) cache_dir: String,
    /// Where the authority writes to when a certificate is about to expire; empty for nobody.
    pub(crate) email: String,
    /// Directory address of the authority; the default is the production one of Let's Encrypt.
    pub(crate) directory_url: String,
    /// File with the authorities that the connection to a private directory is held against, in PEM; empty for the
    /// public ones.
    pub(crate) directory_ca_pem_file: String,
    /// Prove the names by HTTP-01, requests to port 80 that reach the public port; off, by TLS on port 443.
    pub(crate) http: bool,
}

impl Default for Autocert {
    fn default() -> Self {
        Self {
            enabled: false,
            host_whitelist: Vec::new(),
            cache_dir: String::new(),
            email: String::new(),
            directory_url: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            directory_ca_pem_file: String::new(),
            http: false,
        }
    }
}

/// A key `tls`.
pub(super) const TLS: Kind = Kind::Section("Tls", KEYS);

const KEYS: &[Key] = &[
    Key::new("enabled", Kind::Bool),
    Key::new("cert_pem_file", Kind::Text),
    Key::new("key_pem_file", Kind::Text),
    Key::new("certificates", Kind::Sections("Certificate", CERTIFICATE)),
    Key::new("client_ca_pem_file", Kind::Text),
    Key::new("client_auth", Kind::Choice(&["none", "optional", "required"])),
    Key::new("min_version", Kind::Choice(&["1.2", "1.3"])),
    Key::new("also_plain", Kind::Bool),
];

const CERTIFICATE: &[Key] = &[Key::required("cert_pem_file", Kind::Text), Key::required("key_pem_file", Kind::Text)];

/// A key `tls_autocert`.
pub(super) const AUTOCERT: Kind = Kind::Section("Autocert", AUTOCERT_KEYS);

const AUTOCERT_KEYS: &[Key] = &[
    Key::new("enabled", Kind::Bool),
    Key::new("host_whitelist", Kind::Texts),
    Key::new("cache_dir", Kind::Text),
    Key::new("email", Kind::Text),
    Key::new("directory_url", Kind::Text),
    Key::new("directory_ca_pem_file", Kind::Text),
    Key::new("http", Kind::Bool),
];
