//! The connection to NATS, how it stands with it, and the streams that both sides declare.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{Context, kv};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use jackfield_bridge::QueueError;
use tokio::sync::watch;

use super::wire::{self, Names};
use crate::registry::OpenError;

/// An example for who wrote a wrong URL.
const RIGHT: &str = "nats://USER:PASSWORD@HOST:4222,HOST:4222, or tls:// for the same with TLS";
/// How long a reply of the server may take.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a call waits for the first connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the server is asked whether it is there.
const LOOK: Duration = Duration::from_secs(1);
/// How soon after a failure.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often the connection itself is proved.
const PING: Duration = Duration::from_secs(3);
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How long JetStream knows the id of a message.
const KNOWN: Duration = Duration::from_secs(300);
/// How many dead letters are kept.
const DEAD_MESSAGES: i64 = 100_000;
/// How long a lease holds without renewal, as the server counts it.
const LEASE: Duration = Duration::from_secs(5);

/// Where a NATS is.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    servers: Vec<ServerAddr>,
    options: Credentials,
}

#[derive(Clone, Default)]
struct Credentials {
    user: Option<(String, String)>,
    has_tls: bool,
    authority: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials")
    }
}

impl Address {
    /// Reads the URL; what is wrong with it is told without repeating it, for it may hold a password.
    pub(crate) fn parse(url: &str, authority: Option<&Path>) -> Result<Self, OpenError> {
        let wrong = |wrong: String| OpenError::Url { driver: "nats", wrong, right: RIGHT };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("has no scheme".to_owned()));
        };
        if !matches!(scheme, "nats" | "tls") {
            let scheme = if scheme.len() < 20 { scheme } else { "something else" };
            return Err(wrong(format!("starts with {scheme:?}")));
        }
        let start = rest.rfind('@').map_or(0, |at| at + 1);
        let (user, hosts) = rest.split_at(start);
        let mut servers = Vec::new();
        for host in hosts.trim_end_matches('/').split(',').filter(|host| !host.is_empty()) {
            // The parser's own text may repeat parts of the URL.
            let server: Result<ServerAddr, _> = format!("{scheme}://{user}{host}").parse();
            servers.push(server.map_err(|_| wrong("cannot be read".to_owned()))?);
        }
        let Some(first) = servers.first() else {
            return Err(wrong("names no server".to_owned()));
        };
        let user = first.username().zip(first.password());
        let user = user.map(|(user, password)| (wire::decoded(user), wire::decoded(password)));
        let has_tls = scheme == "tls";
        if has_tls {
            // The one of the whole server; another one that is there already is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let authority = authority.map(Path::to_owned);
        Ok(Self { servers, options: Credentials { user, has_tls, authority } })
    }

    /// The servers.
    pub(crate) fn servers(&self) -> &[ServerAddr] {
        &self.servers
    }

    /// Name and password.
    pub(crate) fn user(&self) -> Option<(String, String)> {
        self.options.user.clone()
    }

    /// With TLS, where the URL says so.
    pub(crate) fn secured(&self, options: ConnectOptions) -> ConnectOptions {
        let options = options.require_tls(self.options.has_tls);
        match self.options.authority.clone().filter(|_| self.options.has_tls) {
            Some(file) => options.add_root_certificates(file),
            None => options,
        }
    }

    /// The servers, without a password.
    pub(crate) fn describe(&self) -> String {
        let names: Vec<String> = self.servers.iter().map(|one| format!("{}:{}", one.host(), one.port())).collect();
        format!("NATS at {}", names.join(","))
    }

    /// Connects once, for a visit.
    pub(super) async fn connect_once(&self) -> Result<Client, QueueError> {
        let connecting = self.options().name("jackfield dead").connect(&self.servers[..]);
        match tokio::time::timeout(REPLY_TIMEOUT, connecting).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error))
                if matches!(
                    error.kind(),
                    ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
                ) =>
            {
                Err(QueueError::Refused(wire::chain(&error)))
            }
            Ok(Err(error)) => Err(QueueError::Unreachable(wire::chain(&error))),
            Err(_) => Err(QueueError::Unreachable("no connection in time".to_owned())),
        }
    }

    /// What the URL says.
    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new().connection_timeout(LAST_PAUSE).request_timeout(Some(REPLY_TIMEOUT));
        let options = self.secured(options);
        match self.user() {
            Some((user, password)) => options.user_and_password(user, password),
            None => options,
        }
    }

    async fn connect(&self, connections: watch::Sender<u64>) -> Result<Client, QueueError> {
        let pause = |attempt: usize| {
            let factor = u32::try_from(attempt.min(5)).unwrap_or(5);
            (FIRST_PAUSE * 2_u32.pow(factor)).min(LAST_PAUSE)
        };
        let options = self
            .options()
            .name("jackfield")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(pause)
            .ping_interval(PING)
            .event_callback(move |event| {
                let connections = connections.clone();
                async move {
                    if matches!(event, Event::Connected | Event::Disconnected) {
                        connections.send_modify(|number| *number += 1);
                    }
                }
            });
        let connected = options.connect(&self.servers[..]).await;
        connected.map_err(|error| QueueError::Refused(wire::chain(&error)))
    }
}

/// How it stands with the server.
#[derive(Clone, Debug)]
pub(super) enum State {
    Connecting,
    Down(QueueError),
    Up,
}

/// A connection that comes back by itself.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) names: Names,
    max_backlog: i64,
    state: watch::Sender<State>,
    /// Counts how often the connection came or went.
    connections: watch::Receiver<u64>,
}

impl Session {
    /// Starts connecting.
    pub(super) async fn open(address: &Address, names: Names, max_backlog: u64) -> Result<Self, QueueError> {
        let (sender, connections) = watch::channel(0);
        let client = address.connect(sender).await?;
        let builder = ContextBuilder::new().timeout(REPLY_TIMEOUT).ack_timeout(REPLY_TIMEOUT);
        let context = builder.build(client.clone());
        // Checked to fit when the options were.
        let max_backlog = i64::try_from(max_backlog).unwrap_or(i64::MAX);
        Ok(Self { client, context, names, max_backlog, state: watch::Sender::new(State::Connecting), connections })
    }

    /// Looks after the state; runs until it is aborted.
    pub(super) async fn watch(&self) {
        let mut is_declared = false;
        loop {
            let looked = async {
                if is_declared {
                    let asked = self.client.request("$JS.API.INFO", Bytes::new()).await;
                    asked.map(drop).map_err(|error| QueueError::Unreachable(wire::chain(&error)))
                } else {
                    self.declare().await
                }
            };
            let result = match tokio::time::timeout(REPLY_TIMEOUT, looked).await {
                Ok(result) => result,
                Err(_) => Err(QueueError::Unreachable("no reply in time".to_owned())),
            };
            is_declared = result.is_ok();
            let pause = if is_declared { LOOK } else { LOOK_AGAIN };
            self.state.send_replace(result.map_or_else(State::Down, |()| State::Up));
            let mut connections = self.connections.clone();
            connections.mark_unchanged();
            // What happens to the connection is looked at without waiting.
            let _ = tokio::time::timeout(pause, connections.changed()).await;
        }
    }

    async fn declare(&self) -> Result<(), QueueError> {
        let work = |what: &str| Config {
            name: self.names.stream(what),
            subjects: vec![self.names.subject(&format!("{what}.*"))],
            retention: RetentionPolicy::WorkQueue,
            duplicate_window: KNOWN,
            ..Config::default()
        };
        let events = Config {
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_messages_per_subject: self.max_backlog,
            ..work("events")
        };
        let dead = Config {
            name: self.names.stream("dead"),
            subjects: vec![self.names.subject("dead"), self.names.subject("dead.app")],
            max_messages: DEAD_MESSAGES,
            ..Config::default()
        };
        let (leases, nodes) = (self.bucket("leases", LEASE), self.bucket("nodes", Duration::ZERO));
        for config in [work("commands"), events, dead, leases, nodes] {
            self.context.create_stream(config).await.map_err(|error| wire::refused(&error))?;
        }
        Ok(())
    }

    /// The stream of a bucket. Why by hand: the client asks the server first for what older servers do not say.
    fn bucket(&self, what: &str, life: Duration) -> Config {
        let bucket = self.names.stream(what);
        Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            max_age: life,
            ..Config::default()
        }
    }

    /// Who reads which partition.
    pub(super) async fn leases(&self) -> Result<kv::Store, QueueError> {
        let store = self.context.get_key_value(self.names.stream("leases")).await;
        store.map_err(|error| QueueError::Unreachable(wire::chain(&error)))
    }

    /// Returns if the server can be spoken to; waits only while the first attempt is under way.
    pub(super) async fn up(&self) -> Result<(), QueueError> {
        let mut states = self.state.subscribe();
        let known = states.wait_for(|state| !matches!(state, State::Connecting));
        let connecting = || QueueError::Unreachable("still connecting".to_owned());
        match tokio::time::timeout(PATIENCE, known).await {
            Ok(Ok(state)) => match &*state {
                State::Up => Ok(()),
                State::Down(error) => Err(error.clone()),
                State::Connecting => Err(connecting()),
            },
            Ok(Err(_)) | Err(_) => Err(connecting()),
        }
    }

    /// Waits until the server can be spoken to.
    pub(super) async fn wait_until_up(&self) {
        let mut states = self.state.subscribe();
        // The sender lives as long as this does.
        let _ = states.wait_for(|state| matches!(state, State::Up)).await;
    }

    /// Waits until it cannot, and says why.
    pub(super) async fn wait_until_down(&self) -> QueueError {
        let mut states = self.state.subscribe();
        let down = states.wait_for(|state| matches!(state, State::Down(_))).await;
        match down.as_deref() {
            Ok(State::Down(error)) => error.clone(),
            Ok(_) | Err(_) => QueueError::Unreachable("the connection ended".to_owned()),
        }
    }

    /// A request failed so that the server must be away.
    pub(super) fn doubt(&self, error: &QueueError) {
        if matches!(error, QueueError::Unreachable(_)) {
            self.state.send_replace(State::Down(error.clone()));
        }
    }

    /// To hear of the connection going: what was on its way then is lost.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        let mut connections = self.connections.clone();
        connections.mark_unchanged();
        connections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        let says = |url| Address::parse(url, None).unwrap_err().to_string();
        assert!(says("http://u:secret@host").contains("starts with \"http\""));
        assert!(says("localhost:4222").contains("has no scheme"));
        assert!(says("nats://u:secret@").contains("names no server"));
        for url in ["nats://u:secret@h:x", "nats://u:secret@,", "u:secret", "http://u:secret@h"] {
            let text = says(url);
            assert!(!text.contains("secret") && text.contains("right would be"), "{text}");
        }
        let address = Address::parse("nats://u:secret@a:1,b", None).unwrap();
        assert_eq!(address.describe(), "NATS at a:1,b:4222");
        assert!(!format!("{address:?}").contains("u:secret"));
    }
}
