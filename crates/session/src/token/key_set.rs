//! Keys that an identity provider publishes and exchanges by itself (JWKS, RFC 7517).

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, PublishedKey};

/// Keys one set may have.
const KEYS: usize = 100;

/// Keys by their names, as an identity provider published them at some time.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Box<str>, Key)>,
    passed_over: usize,
}

/// Why something is no set of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeySetError {
    /// It is none at all.
    #[error("it is no JSON object with a list of keys")]
    Malformed,
    /// It is larger than any honest one.
    #[error("it has more than 100 keys")]
    TooMany,
}

impl KeySet {
    /// Reads what an identity provider publishes.
    ///
    /// Keys that have no name, are of no use here or are broken are passed over: a provider may publish kinds of keys
    /// that are younger than this server.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Published {
            keys: Vec<Value>,
        }
        let Ok(Published { keys: all }) = serde_json::from_slice(json) else { return Err(KeySetError::Malformed) };
        if all.len() > KEYS {
            return Err(KeySetError::TooMany);
        }
        let count = all.len();
        let read = |value: Value| {
            let key: PublishedKey = serde_json::from_value(value).ok()?;
            Some((key.name.as_deref()?.into(), Key::published(&key)?))
        };
        let keys: Vec<_> = all.into_iter().filter_map(read).collect();
        Ok(Self { passed_over: count - keys.len(), keys })
    }

    /// Usable keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no token can be checked with it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keys that cannot be used.
    #[must_use]
    pub fn passed_over(&self) -> usize {
        self.passed_over
    }

    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |(known, _)| **known == *name).map(|(_, key)| key)
    }
}

/// The keys of the moment, shared by all who check tokens and exchanged by who fetches them.
pub struct Keys {
    current: ArcSwap<KeySet>,
    unknown: Box<dyn Fn() + Send + Sync>,
}

impl Keys {
    /// No keys yet. `unknown` is called whenever a token names a key that is not here; it must not block, and it decides
    /// how often somebody looks for new keys.
    #[must_use]
    pub fn new(unknown: impl Fn() + Send + Sync + 'static) -> Self {
        Self { current: ArcSwap::default(), unknown: Box::new(unknown) }
    }

    /// Exchanges the keys; tokens that are checked from now on are checked with these.
    pub fn replace(&self, keys: KeySet) {
        self.current.store(Arc::new(keys));
    }

    /// The keys of the moment.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        self.current.load_full()
    }

    pub(super) fn tell_unknown(&self) {
        (self.unknown)();
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("keys", &self.current.load().len()).finish_non_exhaustive()
    }
}
