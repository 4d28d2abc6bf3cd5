//! Answers that the application allowed to be given again, for as long as it said.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_model::app::{Answer, Command, Event, EventKind, Target};
use jackfield_model::{Content, Millis};
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};

use crate::answer::{Read, is_cached};

/// Answers kept at most.
const MOST: usize = 10_000;
/// Bytes kept at most.
const MOST_BYTES: usize = 16 << 20;
/// Larger than this none is kept: it would push out too many others.
const LARGEST: usize = 1 << 20;
/// What an answer takes beside its bytes, about.
const OVERHEAD: usize = 320;
/// Users that share a count of how often they were forgotten.
const GENERATIONS: usize = 256;

/// What was asked, by whom. Ordered by user, so that all of a user's stand together.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Question {
    user: Arc<str>,
    /// Subscribe before rpc.
    is_rpc: bool,
    /// Channel or method.
    name: Arc<str>,
    /// Of what the client said beside it: SHA-256, so that no client can make its question look like another.
    digest: [u8; 32],
}

/// A question under way, to keep its answer by.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    question: Question,
    /// How often its user had been forgotten when it was asked.
    generation: u64,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    bytes: usize,
    end: (Instant, u64),
}

#[derive(Debug)]
struct Table {
    kept: BTreeMap<Question, Kept>,
    /// By when they end, then by their number.
    ends: BTreeMap<(Instant, u64), Question>,
    bytes: usize,
    serial: u64,
    generations: Vec<u64>,
}

/// The answers of all users.
#[derive(Debug)]
pub(crate) struct Remembered {
    table: Mutex<Table>,
    hasher: RandomState,
}

impl Default for Remembered {
    fn default() -> Self {
        let generations = vec![0; GENERATIONS];
        let table = Table { kept: BTreeMap::new(), ends: BTreeMap::new(), bytes: 0, serial: 0, generations };
        Self { table: Mutex::new(table), hasher: RandomState::new() }
    }
}

impl Remembered {
    /// The answer to an event, or what to keep its answer by; neither for what is never remembered.
    pub(crate) fn recall(&self, event: &Event, now: Instant) -> Result<Answer, Option<Asked>> {
        if !is_cached(event.kind) {
            return Err(None);
        }
        let question = question(event);
        let mut table = self.lock();
        table.drop_ended(now);
        match table.kept.get(&question) {
            Some(kept) => Ok(kept.answer.clone()),
            None => {
                let generation = table.generations[self.slot(&question.user)];
                Err(Some(Asked { question, generation }))
            }
        }
    }

    /// Keeps an answer if it says so, and its user was not forgotten since the question.
    ///
    /// Why: the answer may be older than what the application told of the user afterwards.
    pub(crate) fn keep(&self, asked: Option<Asked>, read: &Read, (now, millis): (Instant, Millis)) {
        let (Some(asked), Some(cache_for)) = (asked, read.cache_for) else { return };
        let lasts = cache_for.min(time_left(&read.answer, millis));
        let bytes = OVERHEAD + asked.question.user.len() + asked.question.name.len() + size(&read.answer);
        if lasts.is_zero() || bytes > LARGEST {
            return;
        }
        let mut table = self.lock();
        if table.generations[self.slot(&asked.question.user)] == asked.generation {
            table.insert(asked.question, (read.answer.clone(), bytes), now + lasts);
        }
    }

    /// Hears what the application commands: what was remembered of a user may be wrong after it.
    pub(crate) fn hear(&self, command: &Command) {
        match command {
            Command::BlockUser(block) => self.forget(&block.user),
            Command::Disconnect(ejection) => self.forget_target(&ejection.target),
            Command::InvalidateUserTokens(tokens) => self.forget(&tokens.user),
            Command::Refresh(refresh) => self.forget_target(&refresh.target),
            Command::Unsubscribe(unsubscribe) => self.forget_target(&unsubscribe.target),
            _ => {}
        }
    }

    /// A connection without its user's name may be anybody's.
    fn forget_target(&self, target: &Target) {
        match &target.user {
            Some(user) => self.forget(user),
            None => self.forget_all(),
        }
    }

    fn forget(&self, user: &Arc<str>) {
        let slot = self.slot(user);
        let mut table = self.lock();
        table.generations[slot] += 1;
        let first = Question { user: Arc::clone(user), is_rpc: false, name: "".into(), digest: [0; 32] };
        let theirs: Vec<Question> = table
            .kept
            .range(first..)
            .map(|(question, _)| question)
            .take_while(|one| one.user == *user)
            .cloned()
            .collect();
        for question in theirs {
            table.remove(&question);
        }
    }

    fn forget_all(&self) {
        let mut table = self.lock();
        table.generations.iter_mut().for_each(|generation| *generation += 1);
        table.kept.clear();
        table.ends.clear();
        table.bytes = 0;
    }

    fn slot(&self, user: &str) -> usize {
        self.hasher.hash_one(user) as usize % GENERATIONS
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing between the changes of a table can panic, so it is whole whatever its holder did.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, question: Question, (answer, bytes): (Answer, usize), end: Instant) {
        self.remove(&question);
        while self.kept.len() >= MOST || self.bytes + bytes > MOST_BYTES {
            // Whatever ends first had the least time left to be of use.
            let Some((_, first)) = self.ends.pop_first() else { return };
            self.remove(&first);
        }
        self.serial += 1;
        let end = (end, self.serial);
        self.bytes += bytes;
        self.ends.insert(end, question.clone());
        self.kept.insert(question, Kept { answer, bytes, end });
    }

    fn remove(&mut self, question: &Question) {
        if let Some(kept) = self.kept.remove(question) {
            self.ends.remove(&kept.end);
            self.bytes -= kept.bytes;
        }
    }

    fn drop_ended(&mut self, now: Instant) {
        while let Some(first) = self.ends.first_entry()
            && first.key().0 <= now
        {
            let question = first.remove();
            self.remove(&question);
        }
    }
}

fn question(event: &Event) -> Question {
    let mut digest = Sha256::new();
    let token = event.hello.as_ref().map_or("", |hello| &hello.token);
    // The length keeps a token's end and the data's beginning apart.
    digest.update((token.len() as u64).to_le_bytes());
    digest.update(token);
    digest.update([match event.data.content {
        Content::Binary => 0,
        Content::Json => 1,
        Content::Text => 2,
    }]);
    digest.update(&event.data.bytes);
    let name = event.channel.clone().unwrap_or_else(|| event.name.as_str().into());
    let is_rpc = event.kind == EventKind::Rpc;
    Question { user: Arc::clone(&event.origin.user), is_rpc, name, digest: digest.finalize().into() }
}

/// A subscription that has ended is granted to nobody.
fn time_left(answer: &Answer, millis: Millis) -> Duration {
    match answer {
        Answer::Subscribe(grant) => grant
            .expire_at
            .map_or(Duration::MAX, |at| Duration::from_millis(at.saturating_mul(1000).saturating_sub(millis))),
        _ => Duration::MAX,
    }
}

fn size(answer: &Answer) -> usize {
    match answer {
        Answer::Error(error) => error.message.len(),
        Answer::Rpc(payload) => payload.bytes.len(),
        Answer::Subscribe(grant) => {
            grant.info.as_ref().map_or(0, |info| info.len()) + grant.data.as_ref().map_or(0, |data| data.bytes.len())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
