//! The configuration: `jackfield.toml`, then the environment, then flags, each over the one before.
//!
//! A layer is read into a tree that knows where each value stands (`tree`), held against the known keys (`check`,
//! `schema`), laid over the defaults (`layers`), turned into these structs by serde, and held against the rules that no
//! single value can break (`rules`). Whatever is wrong is told at once, with place, key, value and remedy (`fault`).

mod app;
mod broker;
mod channel;
mod check;
mod client;
mod connectors;
mod dev;
mod duration;
mod fault;
mod history;
mod layers;
mod layout;
mod listeners;
mod map;
mod namespace;
mod plain;
mod process;
mod proxy;
#[cfg(test)]
mod reference;
mod rules;
mod rules_app;
mod rules_broker;
mod rules_channel;
mod rules_connectors;
mod rules_doors;
mod rules_feeds;
mod rules_proxy;
mod rules_tls;
mod rules_token;
mod schema;
mod secret;
mod streams;
mod template;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_rules;
#[cfg(test)]
mod tests_rules_broker;
#[cfg(test)]
mod tests_rules_connectors;
#[cfg(test)]
mod tests_rules_proxy;
#[cfg(test)]
mod tests_rules_tls;
#[cfg(test)]
mod tests_rules_token;
mod tls;
mod token;
mod tree;

use serde::{Deserialize, Serialize};

#[cfg(test)]
use app::RpcNamespace;
pub(crate) use app::{AppLink, Driver, Embedded, EventType, Rpc, RpcOptions};
pub(crate) use broker::{Broker, BrokerDriver};
pub(crate) use channel::{Channel, Namespace};
pub(crate) use client::Client;
pub(crate) use connectors::{ContentForm, Sink, Source};
#[cfg(test)]
use fault::Fault;
pub(crate) use history::{Fsync, History};
pub(crate) use layout::layout;
#[cfg(test)]
use layout::{TcpField, TcpMark, TcpMessage};
pub(crate) use listeners::{ErrorMode, Forwarded, Health, HttpApi, HttpServer, Prometheus, WebSocket};
pub(crate) use map::{ClientKey, MapMode, MapOptions};
pub(crate) use namespace::{NamespaceOptions, PublishTo, RecoveryMode, SubscriptionType};
pub(crate) use plain::{DataForm, Feed, RawDialect, RawEndpoint, TcpDialect, TcpListener};
pub(crate) use process::{Log, LogFormat, LogLevel, Node, Shutdown, Sockets};
pub(crate) use proxy::{NamedProxy, Proxy, StatusTransform, is_address_header};
pub(crate) use rules_connectors::Engine;
pub(crate) use rules_doors::ip_address;
pub(crate) use rules_proxy::{APP, DEFAULT};
pub(crate) use streams::{Emulation, HttpStream, Sse, UniHttpStream, UniSse, UniWebSocket, Yjs};
pub(crate) use template::{Template, Variable};
#[cfg(test)]
use tls::Certificate;
pub(crate) use tls::{Autocert, ClientAuth, Tls, TlsVersion};
pub(crate) use token::{Token, pem};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Development mode: start from values with which everything a newcomer tries works; loopback only.
    pub(crate) dev: bool,
    /// Worker threads; 0 for one per core.
    pub(crate) workers: usize,
    /// This node among others.
    pub(crate) node: Node,
    /// The two HTTP ports: the public one for clients, the internal one for the application and operators.
    pub(crate) http_server: HttpServer,
    /// Who may connect, and what one connection may cost.
    pub(crate) client: Client,
    /// How channel names are read, and what may be done in which namespace.
    pub(crate) channel: Channel,
    /// The log of durable channels (docs/history.md).
    pub(crate) history: History,
    /// Calls of clients that the application answers.
    pub(crate) rpc: Rpc,
    /// Endpoints of the application that answer calls, for namespaces to name.
    pub(crate) proxies: Vec<NamedProxy>,
    /// The WebSocket endpoint of the client protocol.
    pub(crate) websocket: WebSocket,
    /// Server-sent events with the client protocol; what clients say comes through `emulation`.
    pub(crate) sse: Sse,
    /// A streamed HTTP response with the client protocol; what clients say comes through `emulation`.
    pub(crate) http_stream: HttpStream,
    /// What clients of `sse` and `http_stream` say; offered with either.
    pub(crate) emulation: Emulation,
    /// WebSocket for clients that only listen.
    pub(crate) uni_websocket: UniWebSocket,
    /// Server-sent events for clients that only listen; the `EventSource` of a browser needs no library.
    pub(crate) uni_sse: UniSse,
    /// A streamed HTTP response for clients that only listen: one push per line.
    pub(crate) uni_http_stream: UniHttpStream,
    /// Documents that people edit together, for clients of y-websocket (docs/documents.md).
    pub(crate) yjs: Yjs,
    /// WebSocket endpoints without a protocol: what is sent is the message.
    pub(crate) raw: Vec<RawEndpoint>,
    /// TCP ports.
    pub(crate) tcp: Vec<TcpListener>,
    /// The queue between the server and the application.
    pub(crate) app_link: AppLink,
    /// The queue inside the server, for `app_link.driver = "embedded"`.
    pub(crate) embedded: Embedded,
    /// What carries channels between nodes (docs/nodes.md).
    pub(crate) broker: Broker,
    /// Other systems whose messages become publications (docs/connectors.md).
    pub(crate) source: Vec<Source>,
    /// Other systems that publications go to (docs/connectors.md).
    pub(crate) sink: Vec<Sink>,
    /// The server API on the internal port.
    pub(crate) http_api: HttpApi,
    /// The health endpoint.
    pub(crate) health: Health,
    /// Metrics for Prometheus on the internal port.
    pub(crate) prometheus: Prometheus,
    /// What the system is told about sockets of clients.
    pub(crate) sockets: Sockets,
    /// What is written to the log.
    pub(crate) log: Log,
    /// How the server ends.
    pub(crate) shutdown: Shutdown,
}
