//! The sections about the process: its name, its log and its end.

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

/// The keys of `log`.
pub(super) const LOG: &[Key] = &[
    Key::new("level", Kind::Choice(&["trace", "debug", "info", "warn", "error", "none"])),
    Key::new("format", Kind::Choice(&["text", "json"])),
];

/// The keys of `shutdown`.
pub(super) const SHUTDOWN: &[Key] = &[Key::new("timeout", Kind::Duration)];
