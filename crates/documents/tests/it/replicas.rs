//! Editors that are not ours: documents of yrs, and random edits.

use proptest::prelude::*;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Array, Doc, GetString, Map, MapPrelim, OffsetKind, Options, Out, ReadTxn, StateVector, Text, Transact, Update,
};

/// What an editor does.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Delete(usize, usize),
    /// Puts a map into the list, which goes with all that is in it when it is removed.
    Grow(usize),
    Hear(usize),
    Insert(usize, String),
    Inside(usize, i32),
    Remove(usize),
    Set(u8, i32),
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<(usize, Edit)>> {
    let edit = prop_oneof![
        5 => (any::<usize>(), "[a-cä😀]{1,3}").prop_map(|(at, text)| Edit::Insert(at, text)),
        3 => (any::<usize>(), 1_usize..4).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => any::<usize>().prop_map(Edit::Grow),
        2 => (any::<usize>(), any::<i32>()).prop_map(|(at, value)| Edit::Inside(at, value)),
        1 => any::<usize>().prop_map(Edit::Remove),
        1 => (0_u8..3, any::<i32>()).prop_map(|(key, value)| Edit::Set(key, value)),
        2 => (0_usize..3).prop_map(Edit::Hear),
    ];
    prop::collection::vec((0_usize..3, edit), 1..60)
}

pub(crate) fn editor(client: u64) -> Doc {
    // Yjs counts text in UTF-16.
    Doc::with_options(Options {
        offset_kind: OffsetKind::Utf16,
        ..Options::with_client_id(yrs::block::ClientID::new(client))
    })
}

/// Lets three editors work; what each of them sent, in the order it was made.
pub(crate) fn work(edits: &[(usize, Edit)]) -> (Vec<Doc>, Vec<Vec<u8>>) {
    let editors: Vec<Doc> = [7, 4_000_000_000, 300].map(editor).into();
    let mut updates = Vec::new();
    for (who, edit) in edits {
        let doc = &editors[*who];
        let (text, map, list) =
            (doc.get_or_insert_text("text"), doc.get_or_insert_map("map"), doc.get_or_insert_array("list"));
        if let Edit::Hear(from) = edit {
            let known = doc.transact().state_vector();
            let heard = editors[*from].transact().encode_state_as_update_v1(&known);
            apply(doc, &heard);
            continue;
        }
        let mut transaction = doc.transact_mut();
        match edit {
            Edit::Insert(at, new) => {
                let at = boundary(&text.get_string(&transaction), *at);
                text.insert(&mut transaction, at, new);
            }
            Edit::Delete(at, length) => {
                let whole = text.get_string(&transaction);
                let from = boundary(&whole, *at);
                let to = boundary(&whole, from as usize + length).max(from);
                text.remove_range(&mut transaction, from, to - from);
            }
            Edit::Grow(at) => {
                let at = u32::try_from(at % (list.len(&transaction) as usize + 1)).unwrap();
                list.insert(&mut transaction, at, MapPrelim::from([("a", 1), ("b", 2)]));
            }
            Edit::Inside(at, value) => {
                let length = list.len(&transaction) as usize;
                if length > 0
                    && let Some(Out::YMap(inner)) = list.get(&transaction, u32::try_from(at % length).unwrap())
                {
                    inner.insert(&mut transaction, "a", *value);
                }
            }
            Edit::Remove(at) => {
                let length = list.len(&transaction) as usize;
                if length > 0 {
                    list.remove(&mut transaction, u32::try_from(at % length).unwrap());
                }
            }
            Edit::Set(key, value) => {
                map.insert(&mut transaction, key.to_string(), *value);
            }
            Edit::Hear(_) => {}
        }
        let update = transaction.encode_update_v1();
        drop(transaction);
        if update != [0, 0] {
            updates.push(update);
        }
    }
    (editors, updates)
}

/// A place between two characters of a text, in UTF-16.
fn boundary(text: &str, wish: usize) -> u32 {
    let places: Vec<usize> = std::iter::once(0)
        .chain(text.chars().scan(0, |at, one| {
            *at += one.len_utf16();
            Some(*at)
        }))
        .collect();
    let wish = wish % (places.last().unwrap() + 1);
    u32::try_from(*places.iter().rfind(|place| **place <= wish).unwrap()).unwrap()
}

pub(crate) fn apply(doc: &Doc, update: &[u8]) {
    doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
}

/// All that a reader sees of a document, and what it has.
pub(crate) fn look(doc: &Doc) -> (String, String, String, StateVector) {
    use yrs::types::ToJson;
    let (text, map, list) =
        (doc.get_or_insert_text("text"), doc.get_or_insert_map("map"), doc.get_or_insert_array("list"));
    let transaction = doc.transact();
    let map = map.to_json(&transaction);
    let mut entries = match map {
        yrs::Any::Map(entries) => entries.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        other => vec![other.to_string()],
    };
    entries.sort();
    let list = match list.to_json(&transaction) {
        yrs::Any::Array(values) => values
            .iter()
            .map(|value| match value {
                yrs::Any::Map(inner) => {
                    let mut inner: Vec<String> = inner.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    inner.sort();
                    inner.join(",")
                }
                other => other.to_string(),
            })
            .collect::<Vec<_>>()
            .join(";"),
        other => other.to_string(),
    };
    (text.get_string(&transaction), entries.join(","), list, transaction.state_vector())
}

/// A new document with an update.
pub(crate) fn read(update: &[u8]) -> Doc {
    let doc = editor(99);
    apply(&doc, update);
    doc
}

pub(crate) fn state_vector(bytes: &[u8]) -> StateVector {
    StateVector::decode_v1(bytes).unwrap()
}

pub(crate) fn state_vector_of(doc: &Doc) -> Vec<u8> {
    doc.transact().state_vector().encode_v1()
}
