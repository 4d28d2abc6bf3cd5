//! The embedded queue's memory: keys with streams, lists and strings, a bound on all of it, and expiry.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use jackfield_model::Millis;

use super::stream::{NewId, Stream, StreamId};

/// What a key or a list's element costs beside its bytes.
const OVERHEAD_BYTES: usize = 128;

/// What may be used beyond the limit by all but stream entries. Why: in a store that is full of entries a worker must
/// still be able to take its lease, make its group and answer, or nobody would ever empty it.
const RESERVE_BYTES: usize = 1 << 20;

/// Why the store did not do it; the text is what Redis would say.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum StoreError {
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    Memory,
    #[error("ERR The ID specified in XADD is equal or smaller than the target stream top item")]
    SmallId,
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
}

#[derive(Debug)]
enum Value {
    List(VecDeque<Bytes>),
    Stream(Stream),
    Text(Bytes),
}

#[derive(Debug)]
struct Slot {
    value: Value,
    expires: Option<Millis>,
}

/// All keys. Invariant: `used_bytes` is the sum of what keys and values weigh.
#[derive(Debug)]
pub(super) struct Store {
    slots: HashMap<Bytes, Slot>,
    expiries: BTreeSet<(Millis, Bytes)>,
    used_bytes: usize,
    limit_bytes: usize,
}

impl Store {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { slots: HashMap::new(), expiries: BTreeSet::new(), used_bytes: 0, limit_bytes }
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Refuses an entry that would go beyond the limit.
    pub(super) fn room_for_entry(&self, bytes: usize) -> Result<(), StoreError> {
        self.room_within(self.limit_bytes, bytes)
    }

    /// Refuses anything else that would go beyond the limit and the reserve.
    pub(super) fn room_for(&self, bytes: usize) -> Result<(), StoreError> {
        self.room_within(self.limit_bytes.saturating_add(RESERVE_BYTES), bytes)
    }

    fn room_within(&self, limit: usize, bytes: usize) -> Result<(), StoreError> {
        if self.used_bytes.saturating_add(bytes) > limit {
            return Err(StoreError::Memory);
        }
        Ok(())
    }

    /// Forgets what has run out; called before every command, so nobody sees a dead key.
    pub(super) fn expire(&mut self, now: Millis) {
        while let Some((when, key)) = self.expiries.first() {
            if *when > now {
                break;
            }
            let key = key.clone();
            self.remove(&key);
        }
    }

    pub(super) fn exists(&self, key: &[u8]) -> bool {
        self.slots.contains_key(key)
    }

    /// Deletes a key; false where there is none.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, slot)) = self.slots.remove_entry(key) else {
            return false;
        };
        self.used_bytes -= weight(&key, &slot.value);
        if let Some(when) = slot.expires {
            self.expiries.remove(&(when, key));
        }
        true
    }

    /// Sets when a key dies; false where there is no key.
    pub(super) fn set_expiry(&mut self, key: &[u8], when: Option<Millis>) -> bool {
        let Some((key, _)) = self.slots.get_key_value(key) else {
            return false;
        };
        let key = key.clone();
        let Some(slot) = self.slots.get_mut(&key) else {
            return false;
        };
        if let Some(old) = std::mem::replace(&mut slot.expires, when) {
            self.expiries.remove(&(old, key.clone()));
        }
        if let Some(when) = when {
            self.expiries.insert((when, key));
        }
        true
    }

    /// When a key dies: none without a key, `Some(None)` for never.
    pub(super) fn expiry(&self, key: &[u8]) -> Option<Option<Millis>> {
        self.slots.get(key).map(|slot| slot.expires)
    }

    pub(super) fn text(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.slots.get(key).map(|slot| &slot.value) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(Value::List(_) | Value::Stream(_)) => Err(StoreError::WrongType),
        }
    }

    /// Writes a string over whatever was there; an expiry is gone.
    pub(super) fn set_text(&mut self, key: &[u8], text: &[u8]) {
        self.remove(key);
        self.insert(key, Value::Text(Bytes::copy_from_slice(text)));
    }

    pub(super) fn list_len(&self, key: &[u8]) -> Result<usize, StoreError> {
        match self.slots.get(key).map(|slot| &slot.value) {
            None => Ok(0),
            Some(Value::List(list)) => Ok(list.len()),
            Some(Value::Stream(_) | Value::Text(_)) => Err(StoreError::WrongType),
        }
    }

    /// Appends to a list and tells its length.
    pub(super) fn push(&mut self, key: &[u8], elements: &[Bytes]) -> Result<usize, StoreError> {
        self.list_len(key)?;
        if !self.exists(key) {
            self.insert(key, Value::List(VecDeque::new()));
        }
        let Some(Value::List(list)) = self.slots.get_mut(key).map(|slot| &mut slot.value) else {
            return Err(StoreError::WrongType);
        };
        for element in elements {
            self.used_bytes += element.len() + OVERHEAD_BYTES;
            list.push_back(Bytes::copy_from_slice(element));
        }
        Ok(list.len())
    }

    /// Takes from the front of a list; an empty list is no key.
    pub(super) fn pop(&mut self, key: &[u8], count: usize) -> Result<Vec<Bytes>, StoreError> {
        let available = self.list_len(key)?;
        let Some(Value::List(list)) = self.slots.get_mut(key).map(|slot| &mut slot.value) else {
            return Ok(Vec::new());
        };
        let popped: Vec<Bytes> = list.drain(..count.min(available)).collect();
        let freed: usize = popped.iter().map(|element| element.len() + OVERHEAD_BYTES).sum();
        self.used_bytes -= freed;
        if popped.len() == available {
            self.remove(key);
        }
        Ok(popped)
    }

    pub(super) fn stream(&self, key: &[u8]) -> Result<Option<&Stream>, StoreError> {
        match self.slots.get(key).map(|slot| &slot.value) {
            None => Ok(None),
            Some(Value::Stream(stream)) => Ok(Some(stream)),
            Some(Value::List(_) | Value::Text(_)) => Err(StoreError::WrongType),
        }
    }

    /// Lets `work` change a stream and keeps count of what it weighs; none where there is no such key.
    pub(super) fn with_stream<R>(
        &mut self,
        key: &[u8],
        work: impl FnOnce(&mut Stream) -> R,
    ) -> Result<Option<R>, StoreError> {
        match self.slots.get_mut(key).map(|slot| &mut slot.value) {
            None => Ok(None),
            Some(Value::Stream(stream)) => {
                let before = stream.weight_bytes();
                let result = work(stream);
                self.used_bytes = self.used_bytes - before + stream.weight_bytes();
                Ok(Some(result))
            }
            Some(Value::List(_) | Value::Text(_)) => Err(StoreError::WrongType),
        }
    }

    /// Makes an empty stream where there is no key.
    pub(super) fn create_stream(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if self.stream(key)?.is_none() {
            self.insert(key, Value::Stream(Stream::default()));
        }
        Ok(())
    }

    /// Appends an entry whose body is its fields as a RESP array.
    pub(super) fn append(
        &mut self,
        key: &[u8],
        wanted: NewId,
        now: Millis,
        body: Bytes,
    ) -> Result<StreamId, StoreError> {
        let fresh = Stream::default();
        let id = self.stream(key)?.unwrap_or(&fresh).new_id(wanted, now);
        let id = id.ok_or(StoreError::SmallId)?;
        self.create_stream(key)?;
        self.with_stream(key, |stream| stream.append(id, body))?;
        Ok(id)
    }

    fn insert(&mut self, key: &[u8], value: Value) {
        let key = Bytes::copy_from_slice(key);
        self.used_bytes += weight(&key, &value);
        self.slots.insert(key, Slot { value, expires: None });
    }
}

fn weight(key: &[u8], value: &Value) -> usize {
    let value = match value {
        Value::List(list) => list.iter().map(|element| element.len() + OVERHEAD_BYTES).sum(),
        Value::Stream(stream) => stream.weight_bytes(),
        Value::Text(text) => text.len(),
    };
    key.len() + OVERHEAD_BYTES + value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_up_and_down() {
        let mut store = Store::new(1000);
        store.push(b"list", &[Bytes::from_static(b"a"), Bytes::from_static(b"b")]).unwrap();
        store.set_text(b"text", b"one");
        store.set_text(b"text", b"two");
        let id = store.append(b"s", NewId::Clock, 5, Bytes::from_static(b"*0\r\n")).unwrap();
        store.with_stream(b"s", |stream| stream.create_group(b"g", StreamId::default())).unwrap();
        store.with_stream(b"s", |stream| stream.take_new(b"g", b"c", 5, (9, 99))).unwrap();
        assert_eq!(store.room_for_entry(1000), Err(StoreError::Memory));
        assert_eq!(store.room_for(1000), Ok(()));
        assert_eq!(store.room_for(RESERVE_BYTES + 1000), Err(StoreError::Memory));
        assert_eq!(store.pop(b"list", 9).unwrap().len(), 2);
        assert!(!store.exists(b"list"));
        assert!(store.with_stream(b"s", |stream| stream.remove(id)).unwrap().unwrap());
        assert!(store.remove(b"s") && store.remove(b"text"));
        assert_eq!(store.used_bytes(), 0);
    }

    #[test]
    fn a_key_dies_on_time() {
        let mut store = Store::new(1000);
        store.set_text(b"key", b"text");
        assert!(store.set_expiry(b"key", Some(10)));
        assert!(store.set_expiry(b"key", Some(20)));
        assert!(!store.set_expiry(b"other", Some(20)));
        store.expire(19);
        assert_eq!(store.expiry(b"key"), Some(Some(20)));
        store.expire(20);
        assert_eq!((store.expiry(b"key"), store.used_bytes()), (None, 0));
        store.set_text(b"key", b"text");
        store.set_expiry(b"key", Some(30));
        store.set_text(b"key", b"for ever");
        store.expire(99);
        assert_eq!(store.text(b"key").unwrap().unwrap(), "for ever");
    }

    #[test]
    fn kinds_are_not_mixed() {
        let mut store = Store::new(1000);
        store.set_text(b"key", b"text");
        assert_eq!(store.push(b"key", &[]), Err(StoreError::WrongType));
        assert_eq!(store.pop(b"key", 1), Err(StoreError::WrongType));
        assert_eq!(store.append(b"key", NewId::Clock, 1, Bytes::new()), Err(StoreError::WrongType));
        assert_eq!(store.with_stream(b"key", |_| ()), Err(StoreError::WrongType));
        assert_eq!(store.with_stream(b"none", |_| ()), Ok(None));
    }
}
