//! What a sink gives up: counted, told, and kept in a file where there is one.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::calendar;
use crate::sink::inbox::Item;
use crate::sink::{Outlet, event};

/// One line of the file.
#[derive(Serialize)]
struct Letter<'l> {
    time: String,
    sink: &'l str,
    reason: &'l str,
    attempts: usize,
    event: Box<RawValue>,
}

impl Outlet {
    /// Gives an item up, after so many attempts.
    pub(crate) async fn give_up(&self, item: &Item, reason: &str, attempts: usize) {
        self.inbox.finished(item);
        self.counters.given_up.fetch_add(1, Ordering::Relaxed);
        let sink = &self.options.name;
        if let Some(unsaid) = self.complain() {
            let channel = &*item.channel;
            tracing::warn!(sink, channel, reason, attempts, unsaid, "a publication is not sent any more");
        }
        let Some(path) = self.options.dead_letters.clone() else { return };
        let line = self.letter(item, reason, attempts);
        let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
        let failed =
            written.map_or_else(|error| Some(error.to_string()), |done| done.err().map(|error| error.to_string()));
        if let Some(error) = failed {
            tracing::error!(sink, error, "a dead letter cannot be written (dead_letters)");
        }
    }

    fn letter(&self, item: &Item, reason: &str, attempts: usize) -> Vec<u8> {
        let event = event::event(item, &self.options.origin);
        // Our own event is JSON.
        let event = serde_json::from_slice(&event).unwrap_or_default();
        let time = calendar::rfc3339(calendar::now());
        let letter = Letter { time, sink: &self.options.name, reason, attempts, event };
        let mut line = serde_json::to_vec(&letter).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn append(path: &Path, line: &[u8]) -> std::io::Result<()> {
    // One write, so that lines of several sinks do not mix.
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(line)
}
