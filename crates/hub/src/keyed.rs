//! The latest value of every key of a channel: the state of a map, or the snapshot of a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;
use jackfield_model::{ClientId, Millis, Publication};

/// What a key has.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// What was published; for streams the very publication.
    pub(crate) publication: Arc<Publication>,
    /// When it runs out.
    pub(crate) ends: Millis,
    /// Who published it, if it was a client.
    pub(crate) owner: Option<ClientId>,
    /// How many hold it; for maps of users, where each connection does.
    pub(crate) holders: u32,
    /// The publisher's own count.
    pub(crate) version: (u64, Arc<str>),
}

type Place = (i64, Arc<str>);

/// Values by key. Without scores they stand in the order of their keys, with scores in that of the scores.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    values: BTreeMap<Place, Value>,
    scores: HashMap<Arc<str>, i64, ahash::RandomState>,
    ends: BTreeSet<(Millis, Arc<str>)>,
    scored: usize,
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Where it begins; empty for the first.
    pub cursor: &'a str,
    /// Entries at most.
    pub limit: usize,
    /// By rising score.
    pub asc: bool,
}

/// Between the score and the key of a cursor; no key may have it, because no key has control characters.
const BETWEEN: char = '\0';

impl Keyed {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let (key, score) = self.scores.get_key_value(key)?;
        self.values.get(&(*score, Arc::clone(key)))
    }

    pub(crate) fn edit(&mut self, key: &str) -> Option<&mut Value> {
        let (key, score) = self.scores.get_key_value(key)?;
        self.values.get_mut(&(*score, Arc::clone(key)))
    }

    /// Sets a value; what was there before is returned.
    pub(crate) fn put(&mut self, key: &Arc<str>, score: i64, value: Value) -> Option<Value> {
        let before = self.take(key);
        if value.ends != Millis::MAX {
            self.ends.insert((value.ends, Arc::clone(key)));
        }
        self.scored += usize::from(score != 0);
        self.scores.insert(Arc::clone(key), score);
        self.values.insert((score, Arc::clone(key)), value);
        before
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        let (key, score) = self.scores.remove_entry(key)?;
        self.scored -= usize::from(score != 0);
        let value = self.values.remove(&(score, Arc::clone(&key)))?;
        if value.ends != Millis::MAX {
            self.ends.remove(&(value.ends, key));
        }
        Some(value)
    }

    /// Lets a value live on.
    pub(crate) fn renew(&mut self, key: &str, ends: Millis) {
        let Some((key, score)) = self.scores.get_key_value(key) else { return };
        let key = Arc::clone(key);
        let Some(value) = self.values.get_mut(&(*score, Arc::clone(&key))) else { return };
        if value.ends != Millis::MAX {
            self.ends.remove(&(value.ends, Arc::clone(&key)));
        }
        value.ends = ends;
        if ends != Millis::MAX {
            self.ends.insert((ends, key));
        }
    }

    /// When the next value runs out.
    pub(crate) fn next_end(&self) -> Option<Millis> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// The value is told again when it has run out, because nobody could take it the first time.
    pub(crate) fn tell_again(&mut self, key: &str) {
        let Some(ends) = self.get(key).map(|value| value.ends).filter(|ends| *ends != Millis::MAX) else { return };
        self.ends.insert((ends, key.into()));
    }

    /// Keys whose values have run out. They are told once; the values stay until they are taken.
    pub(crate) fn expired(&mut self, now: Millis) -> Vec<Arc<str>> {
        let rest = self.ends.split_off(&(now.saturating_add(1), "".into()));
        let over = std::mem::replace(&mut self.ends, rest);
        over.into_iter().map(|(_, key)| key).collect()
    }

    /// The keys that a client published.
    pub(crate) fn of(&self, client: ClientId) -> Vec<Arc<str>> {
        let owned = |value: &Value| value.owner == Some(client);
        self.values.iter().filter(|(_, value)| owned(value)).map(|((_, key), _)| Arc::clone(key)).collect()
    }

    /// Every value, in the order in which they were published.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Publication>> {
        let mut all: Vec<_> = self.values.values().map(|value| Arc::clone(&value.publication)).collect();
        all.sort_by_key(|publication| publication.offset);
        all
    }

    /// A page of the state, without what is younger than `bound`, and where the next one begins.
    pub(crate) fn page(&self, page: Page<'_>, bound: Option<u64>) -> (Vec<Arc<Publication>>, String) {
        let is_ordered = self.scored > 0 || page.cursor.contains(BETWEEN);
        let descends = is_ordered && !page.asc;
        let start = if page.cursor.is_empty() { None } else { Some(place(page.cursor)) };
        let from = match (&start, descends) {
            (None, _) => (Bound::Unbounded, Bound::Unbounded),
            (Some(start), false) => (Bound::Excluded(start.clone()), Bound::Unbounded),
            (Some(start), true) => (Bound::Unbounded, Bound::Excluded(start.clone())),
        };
        let range = self.values.range(from);
        let mut walk: Box<dyn Iterator<Item = _>> = if descends { Box::new(range.rev()) } else { Box::new(range) };
        let mut entries = Vec::new();
        let mut last = None;
        for (place, value) in walk.by_ref().take(page.limit) {
            if bound.is_none_or(|bound| value.publication.offset <= bound) {
                entries.push(Arc::clone(&value.publication));
            }
            last = Some(place);
        }
        let more = walk.next().is_some();
        let cursor = match last.filter(|_| more) {
            Some((score, key)) if is_ordered => format!("{score}{BETWEEN}{key}"),
            Some((_, key)) => key.to_string(),
            None => String::new(),
        };
        (entries, cursor)
    }
}

fn place(cursor: &str) -> Place {
    match cursor.split_once(BETWEEN) {
        // A cursor that nobody gave out leads somewhere, and nowhere else than into this map.
        Some((score, key)) => (score.parse().unwrap_or(0), key.into()),
        None => (0, cursor.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(offset: u64, ends: Millis) -> Value {
        let publication = Arc::new(Publication { offset, ..Publication::default() });
        Value { publication, ends, owner: None, holders: 1, version: (0, "".into()) }
    }

    fn walk(keyed: &Keyed, limit: usize, asc: bool) -> Vec<u64> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (entries, next) = keyed.page(Page { cursor: &cursor, limit, asc }, None);
            assert!(entries.len() <= limit);
            all.extend(entries.iter().map(|publication| publication.offset));
            if next.is_empty() {
                return all;
            }
            cursor = next;
        }
    }

    #[test]
    fn pages_show_every_key_once_whatever_their_size() {
        let mut keyed = Keyed::default();
        for n in 0..100_u64 {
            keyed.put(&format!("{:02}", (n * 37) % 100).into(), 0, value(n + 1, Millis::MAX));
        }
        let by_key: Vec<u64> = walk(&keyed, 1000, false);
        for limit in [1, 7, 99, 100, 101] {
            assert_eq!(walk(&keyed, limit, false), by_key, "{limit}");
        }
        let mut scored = Keyed::default();
        for n in 0..100_u64 {
            scored.put(&format!("{n:02}").into(), (n % 10) as i64 - 5, value(n + 1, Millis::MAX));
        }
        let down = walk(&scored, 3, false);
        let mut up = walk(&scored, 7, true);
        up.reverse();
        assert_eq!((down.len(), down[0]), (100, 100));
        assert_eq!(down, up);
    }

    #[test]
    fn a_page_leaves_out_what_is_younger_than_the_first_one() {
        let mut keyed = Keyed::default();
        for n in 1..=5_u64 {
            keyed.put(&n.to_string().into(), 0, value(n, Millis::MAX));
        }
        let (entries, cursor) = keyed.page(Page { cursor: "", limit: 10, asc: false }, Some(3));
        assert_eq!((entries.len(), cursor.as_str()), (3, ""));
    }

    #[test]
    fn values_end_in_their_order_and_renewed_ones_later() {
        let mut keyed = Keyed::default();
        for (key, ends) in [("a", 30), ("b", 10), ("c", Millis::MAX), ("d", 20)] {
            keyed.put(&key.into(), 0, value(1, ends));
        }
        assert_eq!(keyed.next_end(), Some(10));
        keyed.renew("b", 40);
        assert!(keyed.expired(19).is_empty());
        assert_eq!(keyed.expired(20), [Arc::from("d")]);
        assert!(keyed.expired(20).is_empty(), "once is enough");
        assert!(keyed.take("d").is_some() && keyed.take("d").is_none());
        assert_eq!(keyed.next_end(), Some(30));
        keyed.put(&"a".into(), 5, value(2, Millis::MAX));
        assert_eq!((keyed.next_end(), keyed.len()), (Some(40), 3));
        keyed.take("a");
        keyed.take("b");
        assert_eq!((keyed.next_end(), keyed.scored, keyed.len()), (None, 0, 1));
    }
}
