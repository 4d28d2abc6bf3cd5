//! Where a Redis is: one server, a master that sentinels know, or a cluster; and how a connection to it is made.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    RedisError, RedisResult, TlsCertificates, Value, cmd,
};

use super::slots::{self, Slots};

/// How long one sentinel or one member of a cluster may take to say where the others are.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a place cannot be read from its URL. It never repeats the URL, for that may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the URL {wrong}; right would be redis://USER:PASSWORD@HOST:6379/0, unix:///PATH, redis+sentinel://HOST:26379,HOST:26379/MASTER or redis+cluster://HOST:6379,HOST:6379, with TLS rediss instead of redis"
)]
pub struct PlaceError {
    /// What is wrong with it.
    pub wrong: String,
}

/// One server of a cluster.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Where a Redis is, and who connects to it. Cheap to clone.
#[derive(Clone)]
pub struct Place(Arc<Inner>);

struct Inner {
    kind: Kind,
    /// How servers are reached that others tell of.
    settings: RedisConnectionInfo,
    tls: Option<TlsCertificates>,
    /// Who is asked first; another one each time, so that one that lives in the past is not asked for ever.
    turn: AtomicUsize,
}

enum Kind {
    Alone(Client),
    Cluster(Vec<Address>),
    Sentinels { asked: Vec<Client>, master: String, described: String },
}

impl Place {
    /// Reads a URL; `authority` is a file of certificates (PEM) that servers with TLS are trusted by instead of the
    /// system's.
    pub fn parse(url: &str, authority: Option<&Path>) -> Result<Self, PlaceError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("has no scheme"));
        };
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let has_tls = matches!(base, "rediss" | "valkeys");
        let tls = has_tls.then(|| certificates(authority)).transpose()?;
        match (base, kind) {
            ("redis" | "valkey" | "rediss" | "valkeys", "sentinel") => sentinels(rest, tls),
            ("redis" | "valkey" | "rediss" | "valkeys", "cluster") => cluster(rest, tls),
            ("redis" | "valkey" | "rediss" | "valkeys" | "unix", "") | ("redis" | "valkey", "unix") => {
                let client = client(url, tls.as_ref())?;
                let settings = client.get_connection_info().redis_settings().clone();
                Ok(Self::new(Kind::Alone(client), settings, tls))
            }
            _ if scheme.len() < 20 => Err(wrong(format!("starts with {scheme:?}"))),
            _ => Err(wrong("has no scheme that is known")),
        }
    }

    fn new(kind: Kind, settings: RedisConnectionInfo, tls: Option<TlsCertificates>) -> Self {
        Self(Arc::new(Inner { kind, settings, tls, turn: AtomicUsize::new(0) }))
    }

    /// Whether keys lie on several servers.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self.0.kind, Kind::Cluster(_))
    }

    /// Whether somebody else is asked first where the server is.
    #[must_use]
    pub fn is_found(&self) -> bool {
        matches!(self.0.kind, Kind::Sentinels { .. })
    }

    /// The server itself, or the master that the sentinels name just now; of a cluster any member.
    pub async fn client(&self) -> RedisResult<Client> {
        match &self.0.kind {
            Kind::Alone(client) => Ok(client.clone()),
            Kind::Cluster(seeds) => self.at(&seeds[self.turn() % seeds.len()]),
            Kind::Sentinels { asked, master, .. } => self.master(asked, master).await,
        }
    }

    /// Connects to [`Place::client`], and makes sure that a master still is one. Times are bounded by `config` and a
    /// second for each sentinel.
    pub async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        let client = self.client().await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        if matches!(self.0.kind, Kind::Sentinels { .. }) {
            let role: Value = cmd("ROLE").query_async(&mut connection).await?;
            if !is_master(&role) {
                return Err(io("the sentinels name a master that is none; they may be about to change it"));
            }
        }
        Ok(connection)
    }

    /// The same, spoken to in RESP3: one connection hears what is published and asks for more.
    #[must_use]
    pub fn hearing(&self) -> Self {
        let settings = self.0.settings.clone().set_protocol(ProtocolVersion::RESP3);
        let kind = match &self.0.kind {
            Kind::Alone(client) => {
                let info = client.get_connection_info().clone();
                let info = info.set_redis_settings(settings.clone());
                let tls = self.0.tls.clone();
                // What was a client with the settings before is one with them now.
                let same =
                    tls.map_or_else(|| Client::open(info.clone()), |tls| Client::build_with_tls(info.clone(), tls));
                Kind::Alone(same.unwrap_or_else(|_| client.clone()))
            }
            Kind::Cluster(seeds) => Kind::Cluster(seeds.clone()),
            Kind::Sentinels { asked, master, described } => {
                Kind::Sentinels { asked: asked.clone(), master: master.clone(), described: described.clone() }
            }
        };
        Self::new(kind, settings, self.0.tls.clone())
    }

    /// A member of a cluster.
    pub fn at(&self, address: &Address) -> RedisResult<Client> {
        let (host, port) = (address.host.clone(), address.port);
        let addr = match self.0.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let info = addr.into_connection_info()?.set_redis_settings(self.0.settings.clone());
        match &self.0.tls {
            None => Client::open(info),
            Some(tls) => Client::build_with_tls(info, tls.clone()),
        }
    }

    /// Which member of the cluster serves what, as one of the `known` or of those in the URL says.
    pub async fn slots(&self, known: &[Address]) -> RedisResult<Slots> {
        let Kind::Cluster(seeds) = &self.0.kind else {
            return Err((ErrorKind::InvalidClientConfig, "this is no cluster").into());
        };
        let all: Vec<&Address> = known.iter().chain(seeds.iter().filter(|seed| !known.contains(seed))).collect();
        let (turn, mut error) = (self.turn(), io("the cluster has no members"));
        for number in 0..all.len() {
            let address = all[(turn + number) % all.len()];
            let asking = async {
                let mut connection = self.at(address)?.get_multiplexed_async_connection().await?;
                cmd("CLUSTER").arg("SLOTS").query_async::<Value>(&mut connection).await
            };
            match tokio::time::timeout(ASK_TIMEOUT, asking).await {
                Ok(Ok(reply)) => match Slots::read(&reply, &address.host) {
                    Some(slots) => return Ok(slots),
                    None => error = io("the cluster serves no slot"),
                },
                Ok(Err(failure)) => error = failure,
                Err(_) => error = io("no member of the cluster answers in time"),
            }
        }
        Err(error)
    }

    async fn master(&self, asked: &[Client], name: &str) -> RedisResult<Client> {
        let (turn, mut error) = (self.turn(), io("there are no sentinels"));
        for number in 0..asked.len() {
            let sentinel = &asked[(turn + number) % asked.len()];
            let asking = async {
                let mut connection = sentinel.get_multiplexed_async_connection().await?;
                let mut ask = cmd("SENTINEL");
                ask.arg("get-master-addr-by-name").arg(name);
                ask.query_async::<Option<(String, u16)>>(&mut connection).await
            };
            match tokio::time::timeout(ASK_TIMEOUT, asking).await {
                Ok(Ok(Some((host, port)))) => return self.at(&Address { host, port }),
                Ok(Ok(None)) => {
                    let text = format!("the sentinels know no master called {name:?}");
                    error = RedisError::from((ErrorKind::InvalidClientConfig, "wrong master", text));
                }
                Ok(Err(failure)) => error = failure,
                Err(_) => error = io("no sentinel answers in time"),
            }
        }
        Err(error)
    }

    fn turn(&self) -> usize {
        self.0.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// Product and addresses, never a password.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Alone(client) => write!(formatter, "Redis at {}", client.get_connection_info().addr()),
            Kind::Cluster(seeds) => {
                let seeds: Vec<String> = seeds.iter().map(|seed| format!("{}:{}", seed.host, seed.port)).collect();
                write!(formatter, "Redis Cluster at {}", seeds.join(","))
            }
            Kind::Sentinels { described, .. } => formatter.write_str(described),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The rest of `redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT`.
fn cluster(rest: &str, tls: Option<TlsCertificates>) -> Result<Place, PlaceError> {
    let (user, hosts, path, _) = parts(rest);
    if !matches!(path, "" | "0") {
        return Err(wrong("names a database, but a cluster has only 0"));
    }
    let mut seeds = Vec::new();
    let mut settings = None;
    for host in hosts {
        let client = client(&format!("redis{}://{user}{host}", s(tls.as_ref())), tls.as_ref())?;
        seeds.push(address(&client)?);
        settings = Some(client.get_connection_info().redis_settings().clone());
    }
    let settings = settings.ok_or_else(|| wrong("names no server"))?;
    Ok(Place::new(Kind::Cluster(seeds), settings, tls))
}

/// The rest of `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DB?sentinel_user=..&sentinel_password=..`.
fn sentinels(rest: &str, tls: Option<TlsCertificates>) -> Result<Place, PlaceError> {
    let (user, hosts, path, query) = parts(rest);
    let (master, database) = path.split_once('/').unwrap_or((path, "0"));
    if master.is_empty() {
        return Err(wrong("does not end with the name of the master that the sentinels watch"));
    }
    let scheme = format!("redis{}", s(tls.as_ref()));
    // Only for its settings: where the master is, the sentinels say.
    let like = client(&format!("{scheme}://{user}localhost/{database}"), tls.as_ref())?;
    let (mut sentinel_user, mut password) = ("", "");
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "sentinel_user" => sentinel_user = value,
            "sentinel_password" => password = value,
            _ => return Err(wrong("has a parameter beside sentinel_user and sentinel_password")),
        }
    }
    let user = if password.is_empty() { String::new() } else { format!("{sentinel_user}:{password}@") };
    let (mut asked, mut names) = (Vec::new(), Vec::new());
    for host in hosts {
        // Sentinels have a port of their own.
        let colon = host.rfind(']').map_or(host.contains(':'), |end| host[end..].contains(':'));
        let host = if colon { host.to_owned() } else { format!("{host}:26379") };
        let client = client(&format!("{scheme}://{user}{host}"), tls.as_ref())?;
        let place = address(&client)?;
        names.push(format!("{}:{}", place.host, place.port));
        asked.push(client);
    }
    if asked.is_empty() {
        return Err(wrong("names no sentinel"));
    }
    let described = format!("Redis master {master:?} of the sentinels at {}", names.join(","));
    let settings = like.get_connection_info().redis_settings().clone();
    Ok(Place::new(Kind::Sentinels { asked, master: master.to_owned(), described }, settings, tls))
}

/// Credentials with their `@`, the servers, the path and the query.
fn parts(rest: &str) -> (&str, impl Iterator<Item = &str>, &str, &str) {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let start = rest.rfind('@').map_or(0, |at| at + 1);
    let (user, rest) = rest.split_at(start);
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    (user, hosts.split(',').filter(|host| !host.is_empty()), path, query)
}

fn s(tls: Option<&TlsCertificates>) -> &'static str {
    if tls.is_some() { "s" } else { "" }
}

fn address(client: &Client) -> Result<Address, PlaceError> {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Ok(Address { host: host.clone(), port: *port })
        }
        _ => Err(wrong("names a server that is no HOST:PORT")),
    }
}

/// A client of one server.
fn client(url: &str, tls: Option<&TlsCertificates>) -> Result<Client, PlaceError> {
    let unreadable = |error: RedisError| wrong(format!("is wrong: {error}"));
    let info = url.into_connection_info().map_err(unreadable)?;
    // Replies are read in the form of RESP2 whatever the URL says.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    let info = info.set_redis_settings(settings);
    match tls {
        None => Client::open(info).map_err(unreadable),
        Some(tls) => Client::build_with_tls(info, tls.clone()).map_err(unreadable),
    }
}

fn certificates(authority: Option<&Path>) -> Result<TlsCertificates, PlaceError> {
    // The one of the whole server; another one that is there already is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(file) = authority else {
        return Ok(TlsCertificates { client_tls: None, root_cert: None });
    };
    let pem = std::fs::read(file).map_err(|error| {
        wrong(format!("asks for TLS, but the file of the authority {} cannot be read: {error}", file.display()))
    })?;
    if !pem.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----") {
        return Err(wrong(format!("asks for TLS, but {} holds no certificate in PEM", file.display())));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
}

fn is_master(role: &Value) -> bool {
    let Value::Array(parts) = role else { return false };
    match parts.first() {
        Some(Value::BulkString(name)) => name == b"master",
        Some(Value::SimpleString(name)) => name == "master",
        _ => false,
    }
}

fn wrong(wrong: impl Into<String>) -> PlaceError {
    PlaceError { wrong: wrong.into() }
}

fn io(text: &'static str) -> RedisError {
    (ErrorKind::Io, text).into()
}

/// The slot of a key, whatever the place; the braces of a key decide.
#[must_use]
pub fn slot(key: &str) -> u16 {
    slots::slot(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(url: &str) -> String {
        Place::parse(url, None).unwrap_err().to_string()
    }

    #[test]
    fn urls_of_every_kind() {
        let place = |url| Place::parse(url, None).unwrap().to_string();
        assert_eq!(place("redis://u:secret@host:1/2"), "Redis at host:1");
        assert_eq!(place("rediss://u:secret@host"), "Redis at host:6379");
        assert_eq!(place("unix:///run/redis.sock"), "Redis at /run/redis.sock");
        assert_eq!(place("redis+cluster://u:secret@a:1,b,[::1]:3"), "Redis Cluster at a:1,b:6379,::1:3");
        let sentinel = place("rediss+sentinel://u:secret@a,[::1],b:7/main/3?sentinel_password=secret");
        assert_eq!(sentinel, "Redis master \"main\" of the sentinels at a:26379,::1:26379,b:7");
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        assert!(says("http://u:secret@host").contains("starts with \"http\""));
        assert!(says("localhost:6379").contains("has no scheme"));
        assert!(says("redis+sentinel://u:secret@h").contains("the name of the master"));
        assert!(says("redis+sentinel://u:secret@/main").contains("names no sentinel"));
        assert!(says("redis+sentinel://u:secret@h/main?x=secret").contains("sentinel_user"));
        assert!(says("redis+cluster://u:secret@h/1").contains("a cluster has only 0"));
        assert!(says("redis+cluster://u:secret@").contains("names no server"));
        for url in ["redis://u:secret@", "redis://u:secret@host/x", "redis+cluster://u:secret@h:x", "u:secret"] {
            let text = says(url);
            assert!(!text.contains("secret") && text.contains("right would be"), "{text}");
        }
        let missing = Place::parse("rediss://h", Some(Path::new("/none/ca.pem"))).unwrap_err().to_string();
        assert!(missing.contains("/none/ca.pem cannot be read"), "{missing}");
    }

    #[test]
    fn only_a_master_is_one() {
        let role = |name: &str| Value::Array(vec![Value::BulkString(name.as_bytes().to_vec()), Value::Int(0)]);
        assert!(is_master(&role("master")) && !is_master(&role("slave")) && !is_master(&Value::Nil));
    }
}
