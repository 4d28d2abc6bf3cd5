//! Private Redis servers that write each change to disk before they answer: one alone, a cluster, and sentinels.

mod cluster;
mod member;
mod sentinel;

use std::path::PathBuf;

pub use self::cluster::RedisCluster;
pub use self::member::RedisMember;
pub use self::sentinel::RedisSentinels;
use super::ServerControl;
use super::certificates::Certificates;

/// The user of a server that lets in nobody else, and the password.
const USER: &str = "jack";
const PASSWORD: &str = "s3cret:of@jack";
/// The password as a URL writes it.
const ENCODED: &str = "s3cret%3Aof%40jack";

/// A Redis server; killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    member: RedisMember,
    url: String,
    certificates: Option<Certificates>,
}

impl RedisServer {
    /// Starts one.
    #[must_use]
    pub fn started() -> Self {
        let mut server = Self::stopped();
        server.start();
        server
    }

    /// One that is not running yet; its URL is known already.
    #[must_use]
    pub fn stopped() -> Self {
        let member = RedisMember::new(&[]);
        Self { url: format!("redis://127.0.0.1:{}", member.port()), member, certificates: None }
    }

    /// Starts one that writes to disk once a second, as most do: for measurements.
    #[must_use]
    pub fn relaxed() -> Self {
        let mut member = RedisMember::new(&["appendfsync everysec"]);
        member.start();
        Self { url: format!("redis://127.0.0.1:{}", member.port()), member, certificates: None }
    }

    /// Starts one that lets in a named user with a password and nobody else.
    #[must_use]
    pub fn with_user() -> Self {
        let user = format!("user {USER} on >{PASSWORD} ~* &* +@all");
        let mut member = RedisMember::new(&[&user, "user default off"]);
        member.start();
        Self { url: format!("redis://{USER}:{ENCODED}@127.0.0.1:{}", member.port()), member, certificates: None }
    }

    /// Starts one that speaks TLS at its URL, with a certificate of an authority that nobody knows.
    #[must_use]
    pub fn with_tls() -> Self {
        let certificates = Certificates::new();
        let port = super::free_port();
        let lines = tls_lines(&certificates, port);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut member = RedisMember::new(&lines);
        member.start();
        Self { url: format!("rediss://127.0.0.1:{port}"), member, certificates: Some(certificates) }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Where it is without TLS.
    #[must_use]
    pub fn plain_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.member.port())
    }

    /// The certificate of the authority of a server with TLS.
    #[must_use]
    pub fn authority(&self) -> Option<PathBuf> {
        self.certificates.as_ref().map(Certificates::authority)
    }

    /// Stops its clock: connections stay, and nothing is answered until [`RedisServer::thaw`].
    pub fn freeze(&self) {
        self.member.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.member.thaw();
    }
}

fn tls_lines(certificates: &Certificates, port: u16) -> [String; 5] {
    [
        format!("tls-port {port}"),
        format!("tls-cert-file {}", certificates.chain().display()),
        format!("tls-key-file {}", certificates.key().display()),
        format!("tls-ca-cert-file {}", certificates.authority().display()),
        "tls-auth-clients no".to_owned(),
    ]
}

impl ServerControl for RedisServer {
    fn stop(&mut self) {
        self.member.stop();
    }

    fn start(&mut self) {
        self.member.start();
    }
}
