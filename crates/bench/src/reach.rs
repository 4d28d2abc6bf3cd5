//! Where the server is and how one gets in: the options that all modes share.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::Path,
    str::FromStr,
};

use anyhow::{Context, bail};

use crate::{commands::Credentials, pipe::Secrecy, server::Server};

/// Options that all modes share.
#[derive(clap::Args, Clone, Debug)]
pub struct Reach {
    /// WebSocket address of the server
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8400/connection/websocket")]
    pub(crate) url: Target,

    /// Connection token, the same for all connections
    #[arg(long, value_name = "JWT", conflicts_with = "hmac_secret")]
    pub(crate) token: Option<String>,

    /// Secret that signs an HS256 token of its own (sub "user-1", "user-2" ...) for each connection
    #[arg(long, value_name = "SECRET", env = "JACKFIELD_BENCH_HMAC_SECRET", hide_env_values = true)]
    pub(crate) hmac_secret: Option<String>,

    /// Process whose CPU and memory are reported; may be repeated. Without it: whoever listens on
    /// the port of the URL on this machine
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Vec<u32>,

    /// Offer compression (permessage-deflate, without context takeover) and insist on it
    #[arg(long)]
    pub(crate) deflate: bool,

    /// Speak TLS, with each connection a handshake in full; any certificate will do. A wss:// URL
    /// means the same
    #[arg(long)]
    pub(crate) tls: bool,

    /// Internal port of the server, where its own counters are read (what it compressed)
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<String>,

    /// Print the figures as one JSON line on stdout too
    #[arg(long)]
    pub(crate) json: bool,

    /// Source addresses (127.0.0.2 and following) that connections to a loopback server are spread
    /// over; one address has about 28,000 ports
    #[arg(long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u8).range(1..=250))]
    pub(crate) sources: u8,

    /// Connections that may be in the middle of opening at one time
    #[arg(long, value_name = "COUNT", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ramp: u16,
}

impl Reach {
    /// The processes behind the URL, as far as this machine can see them.
    pub(crate) fn server(&self) -> Server {
        if !self.pid.is_empty() {
            return Server::new(self.pid.clone());
        }
        if self.url.address.ip().is_loopback() {
            return Server::listening_on(self.url.address.port());
        }
        Server::new(Vec::new())
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.tls || self.url.secure
    }

    /// What TLS needs, where it is asked for.
    pub(crate) fn secrecy(&self) -> anyhow::Result<Option<Secrecy>> {
        self.is_secure().then(|| Secrecy::new(&self.url.host)).transpose()
    }

    pub(crate) fn credentials(&self) -> Credentials {
        match (&self.token, &self.hmac_secret) {
            (Some(token), _) => Credentials::token(token),
            (None, Some(secret)) => Credentials::signed(secret),
            (None, None) => Credentials::none(),
        }
    }

    /// The address that the connection of this number binds to, when it matters.
    pub(crate) fn source(&self, number: u64) -> Option<SocketAddr> {
        if self.url.address.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return None;
        }
        let last = u8::try_from(number % u64::from(self.sources)).unwrap_or_default() + 2;
        Some(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))
    }
}

/// Fails early, and with a remedy, when so many sockets cannot be opened.
pub(crate) fn check_open_files(connections: usize) -> anyhow::Result<()> {
    let limits = std::fs::read_to_string(Path::new("/proc/self/limits")).unwrap_or_default();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    if let Some(soft) = soft
        && connections + 16 > soft
    {
        bail!(
            "open {connections} connections: this process may open {soft} files; raise `ulimit -n` \
             or run several generators"
        );
    }
    Ok(())
}

/// A `ws://HOST:PORT/PATH` or `wss://HOST:PORT/PATH` address, resolved.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) secure: bool,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let (rest, secure) = match (url.strip_prefix("ws://"), url.strip_prefix("wss://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => bail!("the URL must begin with ws:// or wss://"),
        };
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:{}", if secure { 443 } else { 80 }) };
        let address = authority
            .to_socket_addrs()
            .with_context(|| format!("resolve {authority}"))?
            .next()
            .with_context(|| format!("{authority} has no address"))?;
        Ok(Self { address, host: host.to_owned(), path: path.to_owned(), secure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target: Target = "ws://127.0.0.1:8400/connection/websocket?a=b".parse().unwrap();
        assert_eq!(target.address, "127.0.0.1:8400".parse().unwrap());
        assert_eq!(target.host, "127.0.0.1:8400");
        assert_eq!(target.path, "/connection/websocket?a=b");
        let secure: Target = "wss://127.0.0.1/a".parse().unwrap();
        assert_eq!((secure.address.port(), secure.secure, target.secure), (443, true, false));
        assert!("http://127.0.0.1/".parse::<Target>().is_err());
        let bare: Target = "ws://127.0.0.1".parse().unwrap();
        assert_eq!((bare.address.port(), bare.path.as_str()), (80, "/"));
    }
}
