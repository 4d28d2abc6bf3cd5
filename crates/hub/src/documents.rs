//! Documents that are open here: what their updates fold into while somebody edits, and nothing when nobody does.
//!
//! A document is a channel whose publications are frames of y-websocket. An edit is published as it came; [`Documents::heard`]
//! keeps it, under the lock that publications are shown under. So whoever is in the channel before it reads the document
//! lacks nothing, and what it hears twice does no harm: updates of Yjs commute, and know themselves again.
//!
//! What is stored is the application's. A [`Keeper`] asks it for a document when the first client opens it, gives it what is
//! new, and lets go of what is stored when the last client has left.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use hashbrown::HashMap;
use jackfield_documents::wire::{self, Message};
use jackfield_documents::{AwarenessError, AwarenessLimits, AwarenessTable, Document, DocumentError, Malformed, check};
use jackfield_model::app::Answer;
use jackfield_model::{ClientError, Content, Payload, Publication};

use crate::people::Address;

/// Who is in a document: people, so few beside what a document may weigh.
const AWARENESS: AwarenessLimits = AwarenessLimits { clients: 10_000, state_bytes: 8 * 1024 };
/// Who said what came from elsewhere. No connection's: those are made of random numbers.
const ELSEWHERE: u64 = 0;
/// The worker that the answers to a keeper's calls go to: there are 64 at most.
const KEEPER: u16 = u16::MAX;

/// An update in which nothing is said.
const NOTHING: &[u8] = &[0, 0];

/// What somebody must do about a document.
#[derive(Debug)]
pub enum Wish {
    /// The application has answered a call of this number.
    Answered(u32, Box<Answer>),
    /// Somebody wants to open it: it is to be loaded.
    Load(Arc<str>),
    /// Nobody has it open any more.
    Left(Arc<str>),
    /// Another node has this of it, as a state vector, and wants what it lacks.
    Share(Arc<str>, Bytes),
    /// There is something to be saved.
    Save(Arc<str>),
}

/// Who loads documents and has them saved. It is called under locks, so it must not block and not call the hub.
pub trait Keeper: Debug + Send + Sync {
    /// Takes a wish.
    fn wish(&self, wish: Wish);
}

/// How a client finds a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opened {
    /// It can be read.
    Ready,
    /// It is being loaded; the session hears of it.
    Later,
    /// There is no way to the application that stores it.
    NoKeeper,
}

/// Who waits for a document: a session, and the number of its call.
pub type Waiting = (Address, u32);

/// One document that somebody has open.
#[derive(Debug)]
struct Page {
    /// What was heard and not looked at. Apart, so that whoever publishes never waits for a merge.
    heard: Mutex<Vec<Bytes>>,
    awareness: Mutex<AwarenessTable>,
    /// Who waits for it; none when it is there.
    waiting: Mutex<Option<Vec<Waiting>>>,
    document: Mutex<Option<Document>>,
    /// Bytes that it takes, what was not looked at among them.
    bytes: AtomicUsize,
}

/// How often a page is open, and what the keeper was told of it.
#[derive(Debug)]
struct Entry {
    page: Arc<Page>,
    readers: u32,
    is_loading: bool,
    is_dirty: bool,
}

/// The documents that are open.
///
/// Locks are taken in this order: the table, then what is on a page. None but the one of the document is held for long, and
/// nobody takes another one meanwhile.
#[derive(Debug, Default)]
pub struct Documents {
    entries: Mutex<HashMap<Arc<str>, Entry, ahash::RandomState>>,
    keeper: OnceLock<Arc<dyn Keeper>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Documents {
    /// Where a keeper's calls come from, for the answers to find it.
    #[must_use]
    pub fn keeper_address() -> Address {
        Address { worker: KEEPER, ..Address::default() }
    }

    /// Has documents kept, before the first connection; false if somebody does already.
    pub fn set_keeper(&self, keeper: Arc<dyn Keeper>) -> bool {
        self.keeper.set(keeper).is_ok()
    }

    fn wish(&self, wish: Wish) {
        if let Some(keeper) = self.keeper.get() {
            keeper.wish(wish);
        }
    }

    /// Takes an answer, if it is for the keeper.
    pub(crate) fn takes(&self, address: Address, call: u32, answer: Answer) -> Option<Answer> {
        if address.worker != KEEPER {
            return Some(answer);
        }
        self.wish(Wish::Answered(call, Box::new(answer)));
        None
    }

    fn page(&self, name: &str) -> Option<Arc<Page>> {
        lock(&self.entries).get(name).map(|entry| Arc::clone(&entry.page))
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.entries).values().map(|entry| entry.page.bytes.load(Ordering::Relaxed)).sum()
    }

    /// Opens a document for one more client, which must [`Self::close`] it, whatever comes of it. Where it is not there
    /// yet, the session hears when it is, by the answer to its call of this number.
    pub fn open(&self, name: &Arc<str>, session: Waiting) -> Opened {
        if self.keeper.get().is_none() {
            return Opened::NoKeeper;
        }
        let mut entries = lock(&self.entries);
        let entry = entries.entry(Arc::clone(name)).or_insert_with(|| Entry {
            page: Arc::new(Page::new()),
            readers: 0,
            is_loading: false,
            is_dirty: false,
        });
        entry.readers += 1;
        let is_ready = match &mut *lock(&entry.page.waiting) {
            None => true,
            Some(waiting) => {
                waiting.push(session);
                false
            }
        };
        if is_ready {
            return Opened::Ready;
        }
        if !std::mem::replace(&mut entry.is_loading, true) {
            drop(entries);
            self.wish(Wish::Load(Arc::clone(name)));
        }
        Opened::Later
    }

    /// One client less has it open.
    pub fn close(&self, name: &Arc<str>) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(name) else { return };
        entry.readers = entry.readers.saturating_sub(1);
        if entry.readers == 0 {
            drop(entries);
            self.wish(Wish::Left(Arc::clone(name)));
        }
    }

    /// What the application has stored, or why it told nothing. Whoever waited is to be told the same.
    pub fn loaded(&self, name: &str, stored: Result<Document, ClientError>) -> Vec<Waiting> {
        let Some(page) = self.page(name) else { return Vec::new() };
        let is_there = stored.is_ok();
        if let Ok(document) = stored {
            page.bytes.fetch_add(document.bytes(), Ordering::Relaxed);
            *lock(&page.document) = Some(document);
        }
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get_mut(name) {
            entry.is_loading = false;
        }
        let mut waiting = lock(&page.waiting);
        // Those who wait close what they have opened; whoever comes next asks anew.
        std::mem::replace(&mut *waiting, (!is_there).then(Vec::new)).unwrap_or_default()
    }

    /// Hears a publication of a document, under the lock of its channel.
    pub(crate) fn heard(&self, name: &Arc<str>, publication: &Publication) {
        let Some(page) = self.page(name).filter(|_| publication.data.content == Content::Binary) else { return };
        let frame = &publication.data.bytes;
        match wire::read(frame) {
            Ok(Message::Update(update) | Message::Step2(update)) => {
                // What a client says was looked at where it said it; the application may say anything.
                if publication.info.is_none() && check(update).is_err() {
                    tracing::warn!(channel = %name, "a publication of the application into a document is no update of Yjs");
                    return;
                }
                page.bytes.fetch_add(update.len(), Ordering::Relaxed);
                lock(&page.heard).push(frame.slice_ref(update));
                self.is_dirty(name);
            }
            Ok(Message::Awareness(update)) => {
                // Nobody to tell: whoever said too much was told where it said it.
                let _known = lock(&page.awareness).apply(update, ELSEWHERE);
            }
            Ok(Message::Step1(state_vector)) => {
                self.wish(Wish::Share(Arc::clone(name), frame.slice_ref(state_vector)));
            }
            Ok(Message::Denied(_) | Message::QueryAwareness) | Err(_) => {}
        }
    }

    fn is_dirty(&self, name: &Arc<str>) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(name).filter(|entry| !entry.is_dirty) else { return };
        entry.is_dirty = true;
        drop(entries);
        self.wish(Wish::Save(Arc::clone(name)));
    }

    /// Whether an update of a client can be published: it is one, and there is room for it. `limit`: bytes of a document.
    pub fn admit(&self, name: &str, update: &[u8], limit: usize) -> Result<(), DocumentError> {
        check(update)?;
        let Some(page) = self.page(name) else { return Ok(()) };
        let needed = |page: &Page| page.bytes.load(Ordering::Relaxed).saturating_add(update.len());
        if needed(&page) > limit {
            // Merged it may be smaller.
            page.with(|document| document.fold().map(drop))?;
        }
        if needed(&page) > limit { Err(DocumentError::TooLarge { limit }) } else { Ok(()) }
    }

    /// What somebody lacks who has this state vector, as a frame.
    pub fn difference(&self, name: &str, state_vector: &[u8]) -> Result<Option<Bytes>, Malformed> {
        let Some(page) = self.page(name) else { return Ok(None) };
        Ok(page.with(|document| document.step2(state_vector))?.map(|update| Message::Step2(&update).to_vec().into()))
    }

    /// The question what somebody has that is not here, as a frame.
    pub fn question(&self, name: &str) -> Option<Bytes> {
        let state_vector = self.page(name)?.with(Document::state_vector).ok()??;
        Some(Message::Step1(&state_vector).to_vec().into())
    }

    /// What another node lacks, as a frame; none where that is nothing.
    pub fn share(&self, name: &str, state_vector: &[u8]) -> Option<Bytes> {
        let update = self.page(name)?.with(|document| document.step2(state_vector)).ok()??;
        let is_news = *update != *NOTHING;
        is_news.then(|| Message::Update(&update).to_vec().into())
    }

    /// What a client says of who it is and where. `Ok(true)`: the others are to hear it.
    pub fn aware(&self, name: &str, update: &[u8], owner: u64) -> Result<(bool, Option<Bytes>), AwarenessError> {
        let Some(page) = self.page(name) else { return Ok((false, None)) };
        let applied = lock(&page.awareness).apply(update, owner)?;
        Ok((applied.is_news(), applied.answer.map(Bytes::from)))
    }

    /// Who is there and where, as a frame; none where nobody is.
    pub fn present(&self, name: &str) -> Option<Bytes> {
        lock(&self.page(name)?.awareness).all().map(Bytes::from)
    }

    /// A client is gone: the frame that tells the others.
    pub fn absent(&self, name: &str, owner: u64) -> Option<Bytes> {
        lock(&self.page(name)?.awareness).leave(owner).map(Bytes::from)
    }

    /// What is to be saved, as one update; none if nothing is new.
    pub fn unsaved(&self, name: &str) -> Option<Bytes> {
        let page = {
            let mut entries = lock(&self.entries);
            let entry = entries.get_mut(name)?;
            // Before it is taken: what comes meanwhile is told again.
            entry.is_dirty = false;
            Arc::clone(&entry.page)
        };
        page.with(Document::take_unsaved).unwrap_or_else(|error| {
            tracing::error!(channel = name, %error, "what was heard of a document cannot be merged");
            None
        })?
    }

    /// What could not be saved is kept for the next time.
    pub fn put_back(&self, name: &str, unsaved: Bytes) {
        let Some(page) = self.page(name) else { return };
        if let Err(error) = page.with(|document| document.restore_unsaved(unsaved)) {
            tracing::error!(channel = name, %error, "what could not be saved of a document cannot be kept");
        }
        if let Some(entry) = lock(&self.entries).get_mut(name) {
            entry.is_dirty = true;
        }
    }

    /// All of it as one update.
    pub fn whole(&self, name: &str) -> Option<Bytes> {
        self.page(name)?.with(Document::fold).ok()?
    }

    /// Whether something is to be saved.
    #[must_use]
    pub fn is_unsaved(&self, name: &str) -> bool {
        let is_dirty = lock(&self.entries).get(name).is_some_and(|entry| entry.is_dirty);
        is_dirty || self.page(name).is_some_and(|page| !page.is_saved())
    }

    /// Whether nobody has it open.
    #[must_use]
    pub fn is_left(&self, name: &str) -> bool {
        lock(&self.entries).get(name).is_none_or(|entry| entry.readers == 0)
    }

    /// Lets go of a document that nobody has open and of which nothing is to be saved; whether it is gone.
    pub fn let_go(&self, name: &str) -> bool {
        let Some(page) = self.page(name) else { return true };
        // What is heard from now on makes it dirty.
        if !page.is_saved() {
            return false;
        }
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get(name) else { return true };
        let is_saved = !entry.is_dirty && lock(&page.heard).is_empty();
        let is_over = entry.readers == 0 && is_saved && Arc::ptr_eq(&page, &entry.page);
        if is_over {
            entries.remove(name);
            // What ten thousand documents took at once is not kept for one.
            if entries.len() * 8 < entries.capacity() {
                entries.shrink_to_fit();
            }
        }
        is_over
    }
}

impl Page {
    fn new() -> Self {
        Self {
            heard: Mutex::default(),
            awareness: Mutex::new(AwarenessTable::new(AWARENESS)),
            waiting: Mutex::new(Some(Vec::new())),
            document: Mutex::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Does something with the document, and all that was heard of it; none while it is not there.
    fn with<T>(&self, step: impl FnOnce(&mut Document) -> Result<T, Malformed>) -> Result<Option<T>, Malformed> {
        let mut document = lock(&self.document);
        let Some(document) = document.as_mut() else { return Ok(None) };
        let before = document.bytes();
        let heard = std::mem::take(&mut *lock(&self.heard));
        let heard_bytes: usize = heard.iter().map(Bytes::len).sum();
        for update in heard {
            if let Err(error) = document.push(update) {
                tracing::error!(%error, "what was checked cannot be taken into a document");
            }
        }
        let done = step(document)?;
        // Others add what they hear meanwhile, so only what changed here is reckoned.
        self.bytes.fetch_add(document.bytes(), Ordering::Relaxed);
        self.bytes.fetch_sub(before + heard_bytes, Ordering::Relaxed);
        Ok(Some(done))
    }

    /// Whether the application has all of it.
    fn is_saved(&self) -> bool {
        lock(&self.document).as_ref().is_none_or(|document| !document.is_unsaved())
    }
}

/// A frame as what is published.
#[must_use]
pub fn payload(frame: Bytes) -> Payload {
    Payload { content: Content::Binary, bytes: frame }
}
