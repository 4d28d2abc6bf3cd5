//! The way to an engine that keeps messages itself: all in one line, in order, until it has them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_bridge::Backoff;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::sink::exchange::{ExchangeSession, ExchangeSink};
use crate::sink::inbox::Item;
use crate::sink::stream::{StreamSession, StreamSink};
use crate::sink::{Outlet, Stopped, over};
use crate::trouble::Trouble;

/// Publications that are sent before the first is confirmed.
const BATCH: usize = 256;
/// Pauses between attempts grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The engine.
#[derive(Debug)]
pub(crate) enum Engine {
    Exchange(ExchangeSink),
    Stream(StreamSink),
}

/// A connection to it.
enum Session {
    Exchange(Box<ExchangeSession>),
    Stream(Box<StreamSession>),
}

/// What became of the first ones of a batch: the engine has it, or never can. The trouble is that of all others.
pub(crate) struct Sent {
    pub(crate) done: Vec<Result<(), String>>,
    pub(crate) trouble: Option<Trouble>,
}

impl Engine {
    async fn connect(&self, name: &str) -> Result<Session, Trouble> {
        Ok(match self {
            Self::Exchange(exchange) => Session::Exchange(Box::new(exchange.connect(name).await?)),
            Self::Stream(stream) => Session::Stream(Box::new(stream.connect().await?)),
        })
    }
}

impl Session {
    async fn send(&mut self, items: &VecDeque<Item>) -> Sent {
        match self {
            Self::Exchange(exchange) => exchange.send(items).await,
            Self::Stream(stream) => stream.send(items).await,
        }
    }
}

/// Runs until it is told to stop, and then until all is sent or the time is up.
pub(crate) async fn run(outlet: Arc<Outlet>, engine: Engine, mut stopped: Stopped) {
    let mut end = stopped.clone();
    let mut held = VecDeque::new();
    tokio::select! {
        () = send_all(&outlet, &engine, &mut held, &mut stopped) => {}
        () = over(&mut end) => {}
    }
    held.extend(outlet.inbox.take(usize::MAX));
    for item in &held {
        outlet.give_up(item, "the server went down before it was sent", 0).await;
    }
}

async fn send_all(outlet: &Outlet, engine: &Engine, held: &mut VecDeque<Item>, stopped: &mut Stopped) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut session = None;
    let mut told = 0;
    loop {
        outlet.tell_overflow(&mut told);
        let connected = match session.take() {
            Some(session) => Ok(session),
            None => engine.connect(&outlet.options.name).await,
        };
        let trouble = match connected {
            Ok(mut connected) => {
                if held.is_empty() {
                    tell_up(outlet, &backoff);
                }
                if !more(outlet, held, stopped).await {
                    return;
                }
                let sent = connected.send(held).await;
                settle(outlet, held, sent.done).await;
                if sent.trouble.is_none() {
                    tell_up(outlet, &backoff);
                    backoff.reset();
                    session = Some(connected);
                }
                sent.trouble
            }
            Err(trouble) => Some(trouble),
        };
        if let Some(error) = trouble {
            outlet.counters.failed.fetch_add(1, Ordering::Relaxed);
            if outlet.is_up(false) || backoff.is_fresh() {
                warn!(sink = outlet.options.name, %error, "the sink takes no publications, retrying");
            }
            sleep(backoff.pause()).await;
        }
    }
}

/// An engine that is there is up, unless it has refused what waits for it.
fn tell_up(outlet: &Outlet, backoff: &Backoff) {
    if outlet.is_up(true) && !backoff.is_fresh() {
        info!(sink = outlet.options.name, "the sink takes publications again");
    }
}

/// Waits until there is something to send; false when there never will be.
async fn more(outlet: &Outlet, held: &mut VecDeque<Item>, stopped: &mut Stopped) -> bool {
    loop {
        if held.len() < BATCH {
            held.extend(outlet.inbox.take(BATCH - held.len()));
        }
        if !held.is_empty() {
            return true;
        }
        if stopped.borrow().is_some() {
            return false;
        }
        tokio::select! {
            () = outlet.inbox.arrival() => {}
            // An error says that whoever could give the order is gone.
            ordered = stopped.changed() => if ordered.is_err() { return false },
        }
    }
}

async fn settle(outlet: &Outlet, held: &mut VecDeque<Item>, done: Vec<Result<(), String>>) {
    let count = done.len();
    for (item, outcome) in held.drain(..count).zip(done) {
        match outcome {
            Ok(()) => outlet.delivered(&item),
            Err(reason) => outlet.give_up(&item, &reason, 1).await,
        }
    }
}
