//! The sections about the process: its name, its sockets, its log and its end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};

/// This node among others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    /// Name of this node, different on every one; empty to make it of host name and port.
    pub(crate) name: String,
}

/// What the system is told about sockets of clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sockets {
    /// Connections that may wait to be accepted, per listener; the system may allow fewer (`net.core.somaxconn`).
    pub(crate) backlog: usize,
    /// Unsent bytes the system takes for one client before it says that it is full; 0 for what the system does. They are
    /// old news to a slow reader, and pings wait behind them.
    pub(crate) notsent_lowat: usize,
    /// Time sent bytes may stay unacknowledged before the connection is given up; 0 for what the system does.
    #[serde(with = "duration")]
    pub(crate) user_timeout: Duration,
    /// Time of silence after which the system asks whether the other end is there; 0 for never.
    #[serde(with = "duration")]
    pub(crate) keepalive: Duration,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            backlog: 4096,
            notsent_lowat: 16_384,
            user_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(60),
        }
    }
}

/// What is written to the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// Least level that is written: `trace`, `debug`, `info`, `warn`, `error` or `none`.
    pub(crate) level: LogLevel,
    /// Lines for people (`text`) or for machines (`json`).
    pub(crate) format: LogFormat,
}

/// Least level that is written to the log, most talkative first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What may become trouble.
    Warn,
    /// Trouble.
    Error,
    /// Nothing.
    None,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// An object per line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// How the server ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// Time clients and queues have to finish before the server goes regardless.
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

/// The keys of `node`.
pub(super) const NODE: &[Key] = &[Key::new("name", Kind::Text)];

/// The keys of `sockets`.
pub(super) const SOCKETS: &[Key] = &[
    Key::new("backlog", Kind::Integer),
    Key::new("notsent_lowat", Kind::Integer),
    Key::new("user_timeout", Kind::Duration),
    Key::new("keepalive", Kind::Duration),
];

/// The keys of `log`.
pub(super) const LOG: &[Key] = &[
    Key::new("level", Kind::Choice(&["trace", "debug", "info", "warn", "error", "none"])),
    Key::new("format", Kind::Choice(&["text", "json"])),
];

/// The keys of `shutdown`.
pub(super) const SHUTDOWN: &[Key] = &[Key::new("timeout", Kind::Duration)];
