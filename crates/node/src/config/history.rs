//! The section `history`: where durable channels keep what was published, and how safe that is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};

/// The log of durable channels (docs/history.md).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct History {
    /// Folder of the log, which this server has for itself; empty for no log. Needed by every namespace with `durable`.
    pub(crate) path: String,
    /// When the disk is told to make safe what is written: `always` before anybody sees it, `interval` every
    /// `fsync_interval`, `never`. A server that is killed loses nothing in any case, a machine that loses its power does.
    pub(crate) fsync: Fsync,
    /// How often, for `fsync = "interval"`: what a power cut may take.
    #[serde(with = "duration")]
    pub(crate) fsync_interval: Duration,
    /// Largest size of the log in bytes; publications into durable channels are refused beyond. 0 for no limit.
    pub(crate) max_bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { path: String::new(), fsync: Fsync::Interval, fsync_interval: Duration::from_secs(1), max_bytes: 0 }
    }
}

/// When what is written to the log is made safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fsync {
    /// Before anybody sees it.
    Always,
    /// Now and then.
    #[default]
    Interval,
    /// As the system likes.
    Never,
}

/// The keys of `history`.
pub(super) const KEYS: &[Key] = &[
    Key::new("path", Kind::Text),
    Key::new("fsync", Kind::Choice(&["always", "interval", "never"])),
    Key::new("fsync_interval", Kind::Duration),
    Key::new("max_bytes", Kind::Integer),
];
