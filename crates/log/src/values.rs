//! Values of keys: a publication that is the latest of its key counts even when the history has moved on.
//!
//! A removal counts as long as an older value of its key may still lie in a file: until a record of the stream is
//! written, which names the values that count.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::record::Key;
use crate::streams::Entry;

/// Removals that may gather before a stream's record is written anew; more, if there are more values.
const GRAVES: usize = 64;

/// What a publication does to its key.
#[derive(Clone, Debug)]
struct Word {
    key: Arc<str>,
    is_removed: bool,
}

/// The keys of one stream.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Offset of the last publication of each key.
    latest: HashMap<Arc<str>, u64, ahash::RandomState>,
    /// What publications say that count, by offset.
    words: HashMap<u64, Word, ahash::RandomState>,
    /// Publications that count and have left the history.
    held: BTreeMap<u64, Entry>,
    graves: usize,
    /// Keys that have a value.
    count: usize,
}

impl Values {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Publications that count and have left the history.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Entry> {
        self.held.values()
    }

    /// Offsets of those that set a value.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        let sets = |offset: &&u64| self.words.get(*offset).is_some_and(|word| !word.is_removed);
        self.held.keys().filter(sets).copied().collect()
    }

    pub(crate) fn entry(&self, offset: u64) -> Option<&Entry> {
        self.held.get(&offset)
    }

    pub(crate) fn entry_mut(&mut self, offset: u64) -> Option<&mut Entry> {
        self.held.get_mut(&offset)
    }

    /// Takes note of a publication of a key; what counts no longer because of it is returned if the history has not got it.
    pub(crate) fn hear(&mut self, offset: u64, key: Key, most: usize) -> Option<Entry> {
        let Key { name, is_removed } = key;
        let had_value =
            self.latest.get(&name).and_then(|offset| self.words.get(offset)).is_some_and(|word| !word.is_removed);
        // As in the hub: where there are as many keys as may be, another one is not kept.
        if !is_removed && !had_value && self.count >= most {
            return None;
        }
        self.count = self.count + usize::from(!is_removed) - usize::from(had_value);
        self.words.insert(offset, Word { key: Arc::clone(&name), is_removed });
        let before = self.latest.insert(name, offset)?;
        let word = self.words.remove(&before);
        let entry = self.held.remove(&before)?;
        self.graves -= usize::from(word.is_some_and(|word| word.is_removed));
        Some(entry)
    }

    /// Holds a publication that leaves the history, if it is the latest of its key.
    pub(crate) fn hold(&mut self, entry: Entry) -> bool {
        let Some(word) = self.words.get(&entry.offset) else { return false };
        self.graves += usize::from(word.is_removed);
        self.held.insert(entry.offset, entry);
        true
    }

    /// Whether it is time to write down which values count.
    pub(crate) fn has_many_graves(&self) -> bool {
        self.graves > GRAVES.max(self.held.len() / 2)
    }

    /// Takes out the removals that have left the history.
    pub(crate) fn take_graves(&mut self) -> Vec<Entry> {
        if self.graves == 0 {
            return Vec::new();
        }
        self.graves = 0;
        let mut graves = Vec::new();
        let (words, latest) = (&mut self.words, &mut self.latest);
        self.held.retain(|offset, entry| {
            let Some(word) = words.get(offset).filter(|word| word.is_removed) else { return true };
            latest.remove(&word.key);
            words.remove(offset);
            graves.push(*entry);
            false
        });
        graves
    }
}
