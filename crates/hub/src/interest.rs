//! Interest keys: what a subscriber wants to hear just now, by a name that publications carry.
//!
//! A filter is one for the whole subscription. Interest changes while it lasts, as often as a player walks on or a table is
//! scrolled, and costs one look into a set for each publication and subscriber.

use std::sync::Arc;

use hashbrown::HashSet;
use jackfield_model::Publication;

/// Keys that one subscription may have.
pub const MAX_KEYS: usize = 1_000;
/// Bytes of a key.
pub(crate) const MAX_KEY: usize = 255;

/// Where a publication's interest key stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum InterestBy {
    /// It is the publication's key.
    Key,
    /// It is the value of this tag.
    Tag(Arc<str>),
}

impl InterestBy {
    /// Reads the word of the configuration: `key` or `tag:NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "key").then_some(Self::Key),
            Some(("tag", name)) => (!name.is_empty()).then(|| Self::Tag(name.into())),
            Some(_) => None,
        }
    }

    /// The interest key of a publication; one without it is for everybody.
    #[must_use]
    pub fn of<'p>(&self, publication: &'p Publication) -> Option<&'p str> {
        match self {
            Self::Key => publication.key().map(|key| &**key),
            Self::Tag(name) => publication.tags().get(&**name).map(String::as_str),
        }
    }
}

/// The keys that a subscriber wants to hear.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Interest(HashSet<Box<str>, ahash::RandomState>);

/// Keys that are none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InterestError {
    /// Too many at once.
    #[error("{0} keys of interest; at most {MAX_KEYS} can be had")]
    Many(usize),
    /// One that no publication can have.
    #[error("a key of interest has {0} bytes; 1 to {MAX_KEY} are possible")]
    Size(usize),
}

impl Interest {
    /// A set of keys, each once.
    ///
    /// # Errors
    ///
    /// Why they cannot be had; error 107 to the client that named them.
    pub fn new<K: AsRef<str>>(keys: &[K]) -> Result<Self, InterestError> {
        if keys.len() > MAX_KEYS {
            return Err(InterestError::Many(keys.len()));
        }
        if let Some(key) = keys.iter().map(AsRef::as_ref).find(|key| !(1..=MAX_KEY).contains(&key.len())) {
            return Err(InterestError::Size(key.len()));
        }
        Ok(Self(keys.iter().map(|key| key.as_ref().into()).collect()))
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a publication is for who has this interest.
    #[must_use]
    pub fn wants(&self, by: &InterestBy, publication: &Publication) -> bool {
        by.of(publication).is_none_or(|key| self.0.contains(key))
    }

    /// Whether it has a key that the other one has not.
    #[must_use]
    pub fn is_new_beside(&self, before: &Self, by: &InterestBy, publication: &Publication) -> bool {
        by.of(publication).is_some_and(|key| self.0.contains(key) && !before.0.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jackfield_model::Rare;

    use super::*;

    fn publication(key: &str, area: &str) -> Publication {
        let tags = BTreeMap::from([("area".to_owned(), area.to_owned())]);
        let tags = (!area.is_empty()).then(|| Arc::new(tags));
        let key = (!key.is_empty()).then(|| key.into());
        Publication { tags, rare: Some(Box::new(Rare { key, ..Rare::default() })), ..Publication::default() }
    }

    #[test]
    fn words_of_the_configuration() {
        assert_eq!(InterestBy::parse("key"), Some(InterestBy::Key));
        assert_eq!(InterestBy::parse("tag:area"), Some(InterestBy::Tag("area".into())));
        for wrong in ["", "keys", "tag", "tag:", "key:a", "Key"] {
            assert_eq!(InterestBy::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_has_no_key_is_for_everybody() {
        let (by_key, by_area) = (InterestBy::Key, InterestBy::Tag("area".into()));
        let none = Interest::default();
        let some = Interest::new(&["a", "1:2"]).unwrap();
        for (key, area, in_key, in_area) in
            [("a", "", true, true), ("b", "1:2", false, true), ("", "1:3", true, false), ("1:2", "a", true, true)]
        {
            let publication = publication(key, area);
            assert_eq!(some.wants(&by_key, &publication), in_key, "{key} {area}");
            assert_eq!(some.wants(&by_area, &publication), in_area, "{key} {area}");
            assert_eq!(none.wants(&by_key, &publication), key.is_empty());
            assert_eq!(none.wants(&by_area, &publication), area.is_empty());
        }
    }

    #[test]
    fn too_much_is_refused_in_words() {
        let many = vec!["a".to_owned(); MAX_KEYS + 1];
        assert_eq!(Interest::new(&many).unwrap_err().to_string(), "1001 keys of interest; at most 1000 can be had");
        assert_eq!(Interest::new(&many[1..]).map(|interest| interest.len()), Ok(1));
        for wrong in ["", &"x".repeat(256)] {
            assert_eq!(Interest::new(&[wrong]), Err(InterestError::Size(wrong.len())));
        }
    }
}
