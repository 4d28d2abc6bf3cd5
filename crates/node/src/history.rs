//! The hub and, where channels are durable, the log beneath it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use jackfield_hub::{Hub, Mailbox, Namespaces, Tap};
use jackfield_log::{Folder, Fsync, Inbox, Log, LogOptions, Opening, Scribe};

use crate::assemble;
use crate::config::{self, Config};

/// The log while the server runs.
#[derive(Debug)]
pub(crate) struct History {
    /// Where publications wait for it, and what it measures.
    pub(crate) inbox: Arc<Inbox>,
    scribe: Scribe,
}

impl History {
    /// Writes what waits, and closes the log.
    pub(crate) fn stop(self) {
        self.scribe.stop();
    }
}

/// Builds the hub; with a log if any channel is durable, and then with all that the log knows.
pub(crate) fn hub(
    config: &Config,
    (namespaces, tap): (Namespaces, Option<Arc<dyn Tap>>),
    mailboxes: Vec<Arc<Mailbox>>,
    seed: u64,
) -> anyhow::Result<(Arc<Hub>, Option<History>)> {
    let mut hub = Hub::new(namespaces, mailboxes, config.client.history_max_publication_limit, seed);
    hub.set_recovery_cap(assemble::recovery_cap(config));
    if let Some(tap) = tap {
        hub.set_tap(tap);
    }
    if !config.has_durable_channels() {
        return Ok((Arc::new(hub), None));
    }
    let history = &config.history;
    let (log, opening) = open(&hub, history).context("open the log (history.path)")?;
    let inbox = Arc::new(Inbox::default());
    hub.set_journal(Arc::clone(&inbox) as _);
    let hub = Arc::new(hub);
    jackfield_log::restore(&hub, opening.restored);
    let fsync = match history.fsync {
        config::Fsync::Always => Fsync::Always,
        config::Fsync::Interval => Fsync::Interval(history.fsync_interval),
        config::Fsync::Never => Fsync::Never,
    };
    let scribe = Scribe::start(log, Arc::clone(&inbox), Arc::clone(&hub), fsync).context("start the log's thread")?;
    Ok((hub, Some(History { inbox, scribe })))
}

fn open(hub: &Hub, history: &config::History) -> anyhow::Result<(Log, Opening)> {
    let begun = Instant::now();
    let disk = Box::new(Folder::open(Path::new(&history.path))?);
    let options = LogOptions {
        is_careful: history.fsync == config::Fsync::Always,
        max_bytes: history.max_bytes as u64,
        ..LogOptions::default()
    };
    let rules = |channel: &str| jackfield_log::rules(hub.namespaces(), channel);
    let (log, opening) = Log::open(disk, options, &rules, jackfield_log::now())?;
    tracing::info!(
        path = history.path,
        channels = opening.restored.len(),
        publications = opening.restored.iter().map(|channel| channel.publications.len()).sum::<usize>(),
        bytes = log.usage().total,
        milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "the log is open"
    );
    if opening.torn_bytes > 0 {
        tracing::warn!(
            bytes = opening.torn_bytes,
            "the log ended in the middle of a write that nobody had seen; it was cut off"
        );
    }
    if opening.has_jumped {
        tracing::warn!(
            "the machine went down without closing the log, or the log comes from a backup: publications may be lost that \
             clients have seen, so clients that come back are told that they cannot recover"
        );
    }
    if opening.orphans > 0 {
        tracing::warn!(
            channels = opening.orphans,
            "the log has channels whose namespaces are not durable any more; they stay in it until they expire"
        );
    }
    Ok((log, opening))
}
