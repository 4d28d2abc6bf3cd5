//! Three nodes, each with a hub and a bridge; every command is applied, and the order within its channel is checked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jackfield_bridge::{Bridge, BridgeOptions};
use jackfield_brokers::Options;
use jackfield_hub::{Hub, Mailbox, Namespaces, Wake};
use jackfield_model::app::Command;
use tokio::runtime::Handle;

use crate::{CHANNELS, Failure, Meter, Taken};

const NODES: usize = 3;

/// What the nodes have applied, all together.
struct Book {
    applied: AtomicUsize,
    /// The next number of each channel.
    next: Mutex<Vec<usize>>,
    is_broken: AtomicBool,
}

#[derive(Debug)]
struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

impl Book {
    fn note(&self, command: &Command) {
        let Command::Publish(publish) = command else { return };
        let number = std::str::from_utf8(&publish.data.bytes).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(number) = number else { return };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = &mut next[number % CHANNELS];
        if *expected != number {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        *expected = number + CHANNELS;
        drop(next);
        self.applied.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) async fn drain(driver: &str, url: &str, prefix: &str, count: usize) -> Result<Taken, Failure> {
    let book = Arc::new(Book {
        applied: AtomicUsize::new(0),
        next: Mutex::new((0..CHANNELS).collect()),
        is_broken: AtomicBool::new(false),
    });
    let mut bridges = Vec::new();
    let meter = Meter::start();
    for number in 0..NODES {
        let node = format!("node{number}");
        let options = Options { prefix: prefix.to_owned(), node, ..Options::default() };
        let queue = jackfield_brokers::open(driver, url, options)?;
        let mailbox = Arc::new(Mailbox::new(Box::new(Asleep)));
        let mut namespaces = Namespaces::default();
        namespaces.without.get_or_insert_default();
        let hub = Arc::new(Hub::new(namespaces, vec![mailbox], 100, 1));
        let heard = Arc::clone(&book);
        hub.listen(Box::new(move |command: &Command| heard.note(command)));
        let (_, bridge) = Bridge::start(Some(queue), hub, BridgeOptions::default(), &Handle::current());
        bridges.push(bridge);
    }
    while book.applied.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let taken = meter.stop();
    for bridge in bridges {
        bridge.stop(Duration::from_secs(10)).await;
    }
    if book.is_broken.load(Ordering::Relaxed) || book.applied.load(Ordering::Relaxed) != count {
        return Err("the order within a channel is broken".into());
    }
    Ok(taken)
}
