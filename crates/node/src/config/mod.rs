//! The configuration: `jackfield.toml`, then the environment, then flags, each over the one before.
//!
//! A layer is read into a tree that knows where each value stands (`tree`), held against the known keys (`check`,
//! `schema`), laid over the defaults (`layers`), turned into these structs by serde, and held against the rules that no
//! single value can break (`rules`). Whatever is wrong is told at once, with place, key, value and remedy (`fault`).

mod app;
mod channel;
mod check;
mod client;
mod dev;
mod duration;
mod fault;
mod layers;
mod listeners;
mod process;
#[cfg(test)]
mod reference;
mod rules;
mod rules_app;
mod rules_channel;
mod rules_doors;
mod schema;
mod secret;
mod template;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_rules;
mod tree;

use serde::{Deserialize, Serialize};

pub(crate) use app::{AppLink, Driver, Embedded, EventType, Rpc, RpcOptions};
pub(crate) use channel::{Channel, Namespace, NamespaceOptions, PublishTo};
pub(crate) use client::Client;
#[cfg(test)]
use fault::Fault;
pub(crate) use listeners::{
    DataForm, Feed, Health, HttpApi, HttpServer, RawEndpoint, TcpDialect, TcpListener, WebSocket,
};
pub(crate) use process::{Log, LogFormat, LogLevel, Node, Shutdown};
pub(crate) use rules_doors::ip_address;
pub(crate) use template::{Template, Variable};

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
    /// Calls of clients that the application answers.
    pub(crate) rpc: Rpc,
    /// The WebSocket endpoint of the client protocol.
    pub(crate) websocket: WebSocket,
    /// WebSocket endpoints without a protocol: what is sent is the message.
    pub(crate) raw: Vec<RawEndpoint>,
    /// Plain TCP ports.
    pub(crate) tcp: Vec<TcpListener>,
    /// The queue between the server and the application.
    pub(crate) app_link: AppLink,
    /// The queue inside the server, for `app_link.driver = "embedded"`.
    pub(crate) embedded: Embedded,
    /// The server API on the internal port.
    pub(crate) http_api: HttpApi,
    /// The health endpoint.
    pub(crate) health: Health,
    /// What is written to the log.
    pub(crate) log: Log,
    /// How the server ends.
    pub(crate) shutdown: Shutdown,
}
