//! A hub with a log in a folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use jackfield_hub::namespace::{Kind, MapMode, MapOptions};
use jackfield_hub::{Hub, Namespaces, Options, PublishError, Published, Publishing, Receipt, Ticket};
use jackfield_log::{Folder, Fsync, Inbox, Log, LogOptions, Opening, Scribe};
use jackfield_model::{Payload, Publication};

/// What came of a publication.
pub(crate) type Outcome = Result<Published, PublishError>;

pub(crate) struct Node {
    pub(crate) hub: Arc<Hub>,
    pub(crate) inbox: Arc<Inbox>,
    scribe: Option<Scribe>,
    /// What was found at start, but for the channels.
    pub(crate) opening: Opening,
}

impl Node {
    pub(crate) fn open(path: &Path, fsync: Fsync) -> Self {
        Self::open_with(path, fsync, 0)
    }

    pub(crate) fn open_with(path: &Path, fsync: Fsync, max_bytes: u64) -> Self {
        let namespaces = namespaces();
        let options = LogOptions { is_careful: fsync == Fsync::Always, max_bytes, ..LogOptions::default() };
        let disk = Box::new(Folder::open(path).unwrap());
        let rules = |channel: &str| jackfield_log::rules(&namespaces, channel);
        let (log, mut opening) = Log::open(disk, options, &rules, jackfield_log::now()).unwrap();
        let inbox = Arc::new(Inbox::default());
        let mut hub = Hub::new(namespaces, Vec::new(), 1 << 30, 7);
        hub.set_journal(Arc::clone(&inbox) as _);
        let hub = Arc::new(hub);
        jackfield_log::restore(&hub, std::mem::take(&mut opening.restored));
        let scribe = Scribe::start(log, Arc::clone(&inbox), Arc::clone(&hub), fsync).unwrap();
        Self { hub, inbox, scribe: Some(scribe), opening }
    }

    pub(crate) fn stop(mut self) {
        self.scribe.take().unwrap().stop();
    }

    /// Publishes; what comes of it is received later.
    pub(crate) fn begin(&self, channel: &str, publishing: Publishing) -> Receiver<Outcome> {
        let (tell, told) = channel_of_outcomes();
        let ticket = Ticket::Then(Box::new(move |outcome| _ = tell.send(outcome)));
        match self.hub.publish(channel, publishing, Some(ticket), jackfield_log::now()) {
            Ok(Receipt::Later) => told,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn publish(&self, channel: &str, publishing: Publishing) -> Outcome {
        self.begin(channel, publishing).recv().unwrap()
    }

    /// All that is kept of a channel, its top and its epoch.
    pub(crate) fn history(&self, channel: &str) -> (Vec<Arc<Publication>>, u64, Arc<str>) {
        let page = self.hub.history(channel, -1, (None, None), false, jackfield_log::now()).unwrap();
        (page.publications, page.position.offset, page.position.epoch)
    }
}

fn channel_of_outcomes() -> (std::sync::mpsc::Sender<Outcome>, Receiver<Outcome>) {
    channel()
}

pub(crate) fn text(data: impl Into<String>) -> Publishing {
    Publishing { data: Payload::text(data.into().into_bytes()), ..Publishing::default() }
}

fn namespaces() -> Namespaces {
    let hour = 3_600_000;
    let plain = Options { durable: true, history_size: 1_000_000, history_ttl: hour, ..Options::default() };
    let short = Options { history_size: 3, snapshot: true, ..plain.clone() };
    let map = MapOptions { mode: MapMode::Persistent, stream_size: 2, stream_ttl: hour, ..MapOptions::default() };
    let map = Options { kind: Kind::Map, map, ..plain.clone() };
    Namespaces {
        without: Some(Arc::new(plain)),
        named: [("short".to_owned(), Arc::new(short)), ("map".to_owned(), Arc::new(map))].into_iter().collect(),
        ..Namespaces::default()
    }
}
