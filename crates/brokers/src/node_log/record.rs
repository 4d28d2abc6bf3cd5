//! What nodes write to each other, as bytes: named fields, so that a newer node may say more.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::Forgetting;
use jackfield_model::Millis;
use serde::{Deserialize, Serialize};

/// One life of a partition's numbers. A higher count is a later one; of two with the same count the first counts.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Life {
    #[serde(rename = "n")]
    pub(super) count: u32,
    #[serde(rename = "e")]
    pub(super) name: Arc<str>,
}

/// What is done with a publication besides being heard.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Terms {
    #[serde(rename = "z")]
    pub(super) size: usize,
    #[serde(rename = "l")]
    pub(super) ttl: Millis,
    #[serde(rename = "m")]
    pub(super) meta_ttl: Millis,
    /// High and low half of the id.
    #[serde(rename = "i")]
    pub(super) id: (u64, u64),
    #[serde(rename = "q", skip_serializing_if = "String::is_empty")]
    pub(super) idempotency_key: String,
    #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<(u64, Arc<str>)>,
}

/// What a record says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Word {
    /// Where its writer reads itself it has read all that was there.
    #[serde(rename = "m")]
    Mark,
    /// Numbered and kept.
    #[serde(rename = "p")]
    Publication(Arc<str>, Bytes, Terms),
    /// Heard in its place, and not kept.
    #[serde(rename = "h")]
    Heard(Arc<str>, Bytes),
    #[serde(rename = "f")]
    Forget(Arc<str>, bool),
    #[serde(rename = "t")]
    Probe(u64),
    /// What was numbered before is void.
    #[serde(rename = "b")]
    Begin,
    #[serde(rename = "n")]
    Note(Bytes),
    /// Of a newer node.
    #[serde(other)]
    Unknown,
}

impl Word {
    pub(super) fn forget(channel: &Arc<str>, what: Forgetting) -> Self {
        Self::Forget(Arc::clone(channel), what == Forgetting::Life)
    }
}

/// One message.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Record {
    #[serde(rename = "w")]
    pub(super) word: Word,
    /// Who wrote it; another number with every start of a node.
    #[serde(rename = "a")]
    pub(super) writer: u64,
    /// The writer's own count.
    #[serde(rename = "s")]
    pub(super) seq: u64,
    /// The writer's clock.
    #[serde(rename = "t")]
    pub(super) time: Millis,
    /// The life that the writer knows; in a mark, what it would be if there is none.
    #[serde(rename = "g", default)]
    pub(super) life: Life,
    /// The writer has read the life, and did not make it up.
    #[serde(rename = "k", default)]
    pub(super) is_known: bool,
}

/// As bytes.
pub(super) fn write(record: &Record) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(record)
}

/// What came; none that is not ours, or of a newer layout.
pub(super) fn read(bytes: &[u8]) -> Option<Record> {
    match rmp_serde::from_slice(bytes) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(%error, "a message between nodes cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let terms = Terms { id: (1, u64::MAX), version: Some((7, "v".into())), size: 3, ..Terms::default() };
        let words = [
            Word::Mark,
            Word::Begin,
            Word::Probe(3),
            Word::Publication("é\0".into(), Bytes::from_static(b"\0\xff"), terms),
            Word::Heard("c".into(), Bytes::new()),
            Word::forget(&"c".into(), Forgetting::Life),
            Word::Note(Bytes::from_static(b"n")),
        ];
        for word in words {
            let life = Life { count: 2, name: "abc".into() };
            let record = Record { word, writer: u64::MAX, seq: 4, time: 5, life, is_known: true };
            assert_eq!(read(&write(&record).unwrap()), Some(record));
        }
        assert_eq!(read(b"\x01foreign"), None);
    }
}
