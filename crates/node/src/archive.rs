//! The way of documents to the application and back: what it has stored when somebody opens one, and what is new while
//! somebody edits.
//!
//! One task keeps all of them in mind; what costs much (merging what was stored) is done beside it. A document is loaded by the
//! call `jackfield.document.load` and saved by `jackfield.document.save`. A save that fails is made again: until the
//! application has it, nothing of a document is let go.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_api::{Sample, Value};
use jackfield_bridge::{Door, Request};
use jackfield_documents::{Document, compact, merge};
use jackfield_hub::documents::{Documents, Keeper, Wish, payload};
use jackfield_hub::{Hub, Publishing};
use jackfield_model::app::{Answer, Event, EventKind, Origin};
use jackfield_model::{ClientError, Millis, Payload};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::assemble::millis;
use crate::config::Config;

const LOAD: &str = "jackfield.document.load";
const SAVE: &str = "jackfield.document.save";
/// The longest that a save which failed waits for its next try.
const LONGEST: Duration = Duration::from_secs(30);
/// From here on codes are the application's own; below, the protocol's.
const FINAL: u32 = 400;
/// How many saves are under way at most: many documents may end with one event, and the application has other work.
const MOST_SAVES: usize = 64;

/// The task that keeps documents.
#[derive(Debug)]
pub(crate) struct Archive {
    task: JoinHandle<()>,
    words: UnboundedSender<Word>,
}

/// What the task hears.
#[derive(Debug)]
enum Word {
    /// Somebody wants something.
    Wish(Wish),
    /// What was stored has been merged.
    Merged(Arc<str>, Box<Result<Merged, ClientError>>),
    /// The server goes down.
    Close,
}

/// What was stored of a document.
#[derive(Debug)]
struct Merged {
    document: Document,
    /// The same made small, and what it takes the place of, where it was stored in many parts.
    small: Option<(Bytes, Box<RawValue>)>,
}

/// What the hub says goes to the task.
#[derive(Debug)]
struct Post(UnboundedSender<Word>);

impl Keeper for Post {
    fn wish(&self, wish: Wish) {
        // Without the task the server is at its end.
        let _ended = self.0.send(Word::Wish(wish));
    }
}

impl Archive {
    /// Has documents kept from now on. `timeout`: how long the application may take for a call.
    pub(crate) fn open(config: &Config, hub: &Arc<Hub>, (door, timeout): (&Door, Duration), runtime: &Runtime) -> Self {
        let (words, heard) = unbounded_channel();
        hub.documents().set_keeper(Arc::new(Post(words.clone())));
        let archivist = Archivist {
            hub: Arc::clone(hub),
            door: door.clone(),
            timeout: millis(timeout),
            save_interval: config.yjs.save_interval,
            compact_after: config.yjs.compact_after,
            words: words.clone(),
            calls: HashMap::new(),
            numbers: 0,
            seq: 0,
            books: HashMap::new(),
            due: BinaryHeap::new(),
            saving: 0,
            is_closing: false,
        };
        Self { task: runtime.spawn(archivist.run(heard)), words }
    }

    /// Saves what is not saved, as far as that is done in time.
    pub(crate) async fn close(mut self, patience: Duration) {
        let _ended = self.words.send(Word::Close);
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            tracing::warn!(
                "some documents could not be saved before the end; clients that come back bring what is missing"
            );
            self.task.abort();
        }
    }
}

/// What operators are told.
pub(crate) static SAVES: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// The numbers of documents.
pub(crate) fn samples(documents: &Documents) -> Vec<Sample> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: usize| Value::Gauge(number as f64);
    let sample = |name, help, labels, value| Sample { name, help, labels, value };
    let mut samples = vec![
        sample("jackfield_documents", "Documents that somebody has open.", Vec::new(), gauge(documents.count())),
        sample("jackfield_document_bytes", "Bytes that they take.", Vec::new(), gauge(documents.bytes())),
    ];
    for (saves, result) in SAVES.iter().zip(["saved", "failed"]) {
        let labels = vec![("result", result.to_owned())];
        let help = "Calls that had the application save a document.";
        samples.push(sample("jackfield_document_saves", help, labels, Value::Counter(saves.load(Ordering::Relaxed))));
    }
    samples
}

/// What the application answers when it is asked for a document.
#[derive(Deserialize)]
struct Stored<'a> {
    updates: Vec<String>,
    #[serde(borrow, default)]
    upto: Option<&'a RawValue>,
}

/// A call under way.
#[derive(Debug)]
enum Call {
    Load(Arc<str>),
    /// What is saved; `true`: it takes the place of what was stored.
    Save(Arc<str>, Bytes, bool),
}

/// What is in mind of a document.
#[derive(Debug, Default)]
struct Book {
    /// When it is to be saved next.
    due: Option<Instant>,
    /// A save is under way.
    is_saving: bool,
    /// So many saves have failed, one after the other.
    failures: u32,
    /// Nobody had it open when that was last heard of.
    is_left: bool,
    /// What was asked of other nodes, which this node hears as well.
    asked: Option<Bytes>,
}

struct Archivist {
    hub: Arc<Hub>,
    door: Door,
    timeout: Millis,
    save_interval: Duration,
    compact_after: usize,
    words: UnboundedSender<Word>,
    calls: HashMap<u32, Call>,
    numbers: u32,
    seq: u64,
    books: HashMap<Arc<str>, Book>,
    due: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    saving: usize,
    is_closing: bool,
}

impl Archivist {
    async fn run(mut self, mut heard: UnboundedReceiver<Word>) {
        loop {
            self.save_due();
            if self.is_closing && self.saving == 0 && self.books.values().all(|book| book.due.is_none()) {
                return;
            }
            // At the limit the next answer is what makes room.
            let next = self.due.peek().map(|Reverse((due, _))| *due).filter(|_| self.saving < MOST_SAVES);
            let word = match next {
                None => heard.recv().await,
                Some(next) => match tokio::time::timeout_at(next, heard.recv()).await {
                    Ok(word) => word,
                    Err(_) => continue,
                },
            };
            match word {
                None => return,
                Some(Word::Wish(wish)) => self.grant(wish),
                Some(Word::Merged(name, merged)) => self.merged(&name, *merged),
                Some(Word::Close) => self.close(),
            }
        }
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Answered(number, answer) => self.answered(number, *answer),
            Wish::Left(name) => {
                self.books.entry(Arc::clone(&name)).or_default().is_left = true;
                self.put_down(&name);
            }
            Wish::Load(name) => self.load(name),
            Wish::Save(name) => self.save_in(&name, self.save_interval),
            Wish::Share(name, state_vector) => self.share(&name, &state_vector),
        }
    }

    fn load(&mut self, name: Arc<str>) {
        self.books.entry(Arc::clone(&name)).or_default().is_left = false;
        let data = serde_json::json!({"channel": &*name}).to_string();
        if let Err(error) = self.call(LOAD, data, Call::Load(Arc::clone(&name))) {
            self.told(&name, Err(error));
        }
    }

    /// Calls the application; an error where that cannot be.
    fn call(&mut self, method: &str, data: String, call: Call) -> Result<(), ClientError> {
        self.numbers = self.numbers.wrapping_add(1);
        let name = match &call {
            Call::Load(name) | Call::Save(name, ..) => Arc::clone(name),
        };
        let now = now();
        let event = Event {
            id: Uuid::now_v7(),
            kind: EventKind::Rpc,
            origin: Origin::default(),
            channel: Some(name),
            name: method.to_owned(),
            data: Payload::json(data),
            seq: 0,
            time: now,
            deadline: Some(now + self.timeout),
            hello: None,
        };
        let request = Request { from: Documents::keeper_address(), call: Some(self.numbers), event };
        self.calls.insert(self.numbers, call);
        if let Err(error) = self.door.submit(request, &mut self.seq) {
            self.calls.remove(&self.numbers);
            return Err(ClientError { message: error.to_string().into(), ..ClientError::INTERNAL });
        }
        Ok(())
    }

    fn answered(&mut self, number: u32, answer: Answer) {
        let Some(call) = self.calls.remove(&number) else { return };
        let answer = match answer {
            Answer::Rpc(payload) => Ok(payload),
            Answer::Error(error) => Err(error),
            Answer::Disconnect(disconnect) => {
                Err(ClientError { message: disconnect.reason, ..ClientError::PERMISSION_DENIED })
            }
            _ => Err(ClientError::INTERNAL),
        };
        match call {
            Call::Load(name) => match answer {
                Err(error) => self.told(&name, Err(error)),
                Ok(payload) => {
                    let (words, compact_after) = (self.words.clone(), self.compact_after);
                    // Much may have been stored, and what else runs here must not wait for it.
                    tokio::task::spawn_blocking(move || {
                        let merged = Box::new(merged(&name, &payload, compact_after));
                        let _ended = words.send(Word::Merged(name, merged));
                    });
                }
            },
            Call::Save(name, update, replaces) => self.saved(&name, (update, replaces), answer.map(drop)),
        }
    }

    fn merged(&mut self, name: &Arc<str>, merged: Result<Merged, ClientError>) {
        let small = match merged {
            Err(error) => return self.told(name, Err(error)),
            Ok(Merged { document, small }) => {
                self.told(name, Ok(document));
                small
            }
        };
        if let Some((update, replaced)) = small {
            self.save(name, update, Some(&replaced));
        }
        if self.hub.is_shared()
            && let Some(question) = self.hub.documents().question(name)
        {
            // Other nodes may have what is not stored yet.
            self.books.entry(Arc::clone(name)).or_default().asked = Some(question.clone());
            self.publish(name, question);
        }
    }

    /// A document is there, or will not be; whoever waits is told.
    fn told(&mut self, name: &Arc<str>, stored: Result<Document, ClientError>) {
        let answer = match &stored {
            Ok(_) => Answer::Published,
            Err(error) => {
                tracing::warn!(channel = %name, error = %error.message, "a document is not loaded; whoever wants it is sent away");
                Answer::Error(error.clone())
            }
        };
        for (address, call) in self.hub.documents().loaded(name, stored) {
            self.hub.resume(address, call, answer.clone());
        }
    }

    fn publish(&self, name: &str, frame: Bytes) {
        let publishing = Publishing { data: payload(frame), ..Publishing::default() };
        if let Err(error) = self.hub.publish_and_forget(name, publishing, now()) {
            tracing::debug!(channel = name, ?error, "nodes could not speak of a document");
        }
    }

    /// Another node asks what it lacks; what this one asked comes back to it as well.
    fn share(&mut self, name: &Arc<str>, state_vector: &Bytes) {
        let book = self.books.entry(Arc::clone(name)).or_default();
        if book.asked.as_ref().is_some_and(|question| question.ends_with(state_vector)) {
            book.asked = None;
        } else if let Some(frame) = self.hub.documents().share(name, state_vector) {
            self.publish(name, frame);
        }
        self.put_down(name);
    }

    fn save_in(&mut self, name: &Arc<str>, pause: Duration) {
        let book = self.books.entry(Arc::clone(name)).or_default();
        if book.due.is_none() && !book.is_saving {
            let is_last = self.is_closing && book.failures == 0;
            let due = Instant::now() + if is_last { Duration::ZERO } else { pause };
            book.due = Some(due);
            self.due.push(Reverse((due, Arc::clone(name))));
        }
    }

    fn save_due(&mut self) {
        let now = Instant::now();
        while self.saving < MOST_SAVES
            && let Some(Reverse((due, _))) = self.due.peek()
            && *due <= now
            && let Some(Reverse((due, name))) = self.due.pop()
        {
            let Some(book) = self.books.get_mut(&name).filter(|book| book.due == Some(due)) else { continue };
            book.due = None;
            match self.hub.documents().unsaved(&name) {
                Some(update) => self.save(&name, update, None),
                None => self.put_down(&name),
            }
        }
    }

    fn save(&mut self, name: &Arc<str>, update: Bytes, replaces: Option<&RawValue>) {
        let encoded = STANDARD.encode(&update);
        let replaced = replaces.map_or("null", RawValue::get);
        let channel = serde_json::Value::from(&**name);
        let data = format!("{{\"channel\":{channel},\"update\":\"{encoded}\",\"replaces\":{replaced}}}");
        self.books.entry(Arc::clone(name)).or_default().is_saving = true;
        self.saving += 1;
        let is_whole = replaces.is_some();
        if let Err(error) = self.call(SAVE, data, Call::Save(Arc::clone(name), update.clone(), is_whole)) {
            self.saved(name, (update, is_whole), Err(error));
        }
    }

    /// What came of a save.
    fn saved(&mut self, name: &Arc<str>, (update, is_whole): (Bytes, bool), outcome: Result<(), ClientError>) {
        self.saving = self.saving.saturating_sub(1);
        let book = self.books.entry(Arc::clone(name)).or_default();
        book.is_saving = false;
        SAVES[usize::from(outcome.is_err())].fetch_add(1, Ordering::Relaxed);
        let Err(error) = outcome else {
            book.failures = 0;
            // What was edited meanwhile was told while nobody noted it down.
            if self.hub.documents().is_unsaved(name) {
                self.save_in(name, self.save_interval);
            }
            return self.put_down(name);
        };
        if error.code >= FINAL && !error.temporary {
            tracing::error!(channel = %name, error = %error.message, "the application will not have a document; what was edited is dropped");
            return self.put_down(name);
        }
        book.failures = book.failures.saturating_add(1);
        let failures = book.failures;
        if failures == 1 || failures.is_power_of_two() {
            let error = &error.message;
            tracing::warn!(channel = %name, %error, failures, "the application has not saved a document; it is asked again");
        }
        // What takes the place of much that is stored is only smaller: the next who loads it tries anew.
        if !is_whole {
            self.hub.documents().put_back(name, update);
        }
        let pause = self.save_interval.saturating_mul(1 << failures.min(10)).min(LONGEST);
        if self.hub.documents().is_unsaved(name) {
            self.save_in(name, pause);
        }
        self.put_down(name);
    }

    /// Lets go of a document that nobody has open and of which all is saved.
    fn put_down(&mut self, name: &Arc<str>) {
        let Some(book) = self.books.get(name) else { return };
        if !book.is_left || book.is_saving || book.due.is_some() && book.failures > 0 {
            return;
        }
        if self.hub.documents().let_go(name) {
            self.books.remove(name);
            if self.books.len() * 8 < self.books.capacity() {
                self.books.shrink_to_fit();
            }
        } else if self.hub.documents().is_left(name) {
            // It is not waited for whoever might come back.
            if let Some(book) = self.books.get_mut(name) {
                book.due = None;
            }
            self.save_in(name, Duration::ZERO);
        } else if let Some(book) = self.books.get_mut(name) {
            book.is_left = false;
        }
    }

    fn close(&mut self) {
        self.is_closing = true;
        let names: Vec<Arc<str>> = self.books.keys().cloned().collect();
        for name in names {
            if let Some(book) = self.books.get_mut(&name).filter(|book| !book.is_saving) {
                book.due = None;
            }
            self.save_in(&name, Duration::ZERO);
        }
    }
}

/// Makes a document of what the application has stored.
fn merged(name: &str, payload: &Payload, compact_after: usize) -> Result<Merged, ClientError> {
    let wrong = |what: String| {
        tracing::error!(channel = name, "the answer to {LOAD} {what}");
        ClientError { message: "the document cannot be loaded".into(), ..ClientError::INTERNAL }
    };
    let stored: Stored<'_> = serde_json::from_slice(&payload.bytes)
        .map_err(|error| wrong(format!("is to be {{\"updates\":[\"base64\"..],\"upto\":..}}: {error}")))?;
    let mut updates = Vec::with_capacity(stored.updates.len());
    for (nth, update) in stored.updates.iter().enumerate() {
        updates
            .push(STANDARD.decode(update).map_err(|error| wrong(format!("has no base64 in updates[{nth}]: {error}")))?);
    }
    let count = updates.len();
    let whole = match updates.len() {
        0 => Vec::new(),
        1 => updates.remove(0),
        _ => {
            merge(updates.iter().map(Vec::as_slice)).map_err(|error| wrong(format!("has no update of Yjs: {error}")))?
        }
    };
    let small = match stored.upto {
        Some(upto) if count > compact_after => {
            let small = compact(&whole).map_err(|error| wrong(format!("cannot be made smaller: {error}")))?;
            Some((Bytes::from(small), upto.to_owned()))
        }
        _ => None,
    };
    let whole = small.as_ref().map_or_else(|| Bytes::from(whole), |(small, _)| small.clone());
    let document =
        Document::open(whole, usize::MAX).map_err(|error| wrong(format!("has no update of Yjs: {error}")))?;
    Ok(Merged { document, small })
}

fn now() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Millis::try_from(now).unwrap_or(Millis::MAX)
}
