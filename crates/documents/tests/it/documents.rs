//! Whatever order edits come in and however they are merged, everybody sees the same.

use bytes::Bytes;
use jackfield_documents::{Document, DocumentError, check, compact, diff, merge, state_vector};
use proptest::prelude::*;

use crate::fixtures::{bytes, documents, list, value};
use crate::replicas::{self, apply, edits, look, read, state_vector_of, work};

const NO_LIMIT: usize = usize::MAX;

fn push_all<'a>(document: &mut Document, updates: impl IntoIterator<Item = &'a Vec<u8>>) {
    for update in updates {
        document.push(update.clone().into()).unwrap();
    }
}

#[test]
fn documents_of_the_library() {
    for name in documents() {
        let path = |part: &str| format!("documents/{name}/{part}");
        let (updates, state) = (list(&path("updates")), bytes(&path("state")));
        let mut document = Document::open(Bytes::new(), NO_LIMIT).unwrap();
        push_all(&mut document, updates.iter().rev());
        let merged = document.fold().unwrap();
        check(&state).unwrap();
        let known = replicas::state_vector(&document.state_vector().unwrap());
        assert_eq!(known, replicas::state_vector(&bytes(&path("state_vector"))), "{name}");
        let expected = look(&read(&state));
        assert_eq!(value(&path("text")).as_str(), Some(&*expected.0), "{name}");
        assert_eq!(look(&read(&merged)), expected, "{name}");
        assert_eq!(look(&read(&compact(&merged).unwrap())), expected, "{name}");
        // The difference to what half of the updates make, for a client that has that half.
        let half = read(&merge(updates[..updates.len() / 2].iter().map(|update| &update[..])).unwrap());
        apply(&half, &document.step2(&bytes(&path("half"))).unwrap());
        assert_eq!(look(&half), expected, "{name}");
        let from_library = diff(&bytes(&path("merged")), &bytes(&path("half"))).unwrap();
        assert_eq!(merge([&from_library[..]]), merge([&bytes(&path("diff"))[..]]), "{name}");
    }
}

#[test]
fn a_compact_document_is_about_as_small_as_that_of_a_client() {
    for name in documents() {
        let state = bytes(&format!("documents/{name}/state"));
        let merged = bytes(&format!("documents/{name}/merged"));
        let compacted = compact(&merged).unwrap();
        // Short parts that are deleted stay where cutting them out would take more bytes; here are two.
        assert!(
            compacted.len() <= state.len() + 40,
            "{name}: {} bytes, the client needs {}",
            compacted.len(),
            state.len()
        );
        assert_eq!(compact(&compacted), Ok(compacted.clone()), "{name}");
    }
}

#[test]
fn what_was_deleted_weighs_nothing() {
    use yrs::{Array, MapPrelim, ReadTxn, StateVector, Text, Transact};
    let doc = replicas::editor(7);
    let (text, list) = (doc.get_or_insert_text("text"), doc.get_or_insert_array("list"));
    let mut document = Document::open(Bytes::new(), NO_LIMIT).unwrap();
    for round in 0..100 {
        let mut transaction = doc.transact_mut();
        text.insert(&mut transaction, round, &format!("{round:0500}"));
        list.insert(&mut transaction, 0, MapPrelim::from([("text", "x".repeat(500))]));
        document.push(transaction.encode_update_v1().into()).unwrap();
        drop(transaction);
        let mut transaction = doc.transact_mut();
        text.remove_range(&mut transaction, round, 499);
        list.remove(&mut transaction, 0);
        document.push(transaction.encode_update_v1().into()).unwrap();
    }
    let whole = document.fold().unwrap();
    let compacted = compact(&whole).unwrap();
    let state = doc.transact().encode_state_as_update_v1(&StateVector::default());
    assert!(whole.len() > 100_000, "{}", whole.len());
    assert!(compacted.len() <= state.len(), "{} bytes, the client needs {}", compacted.len(), state.len());
    assert_eq!(look(&read(&compacted)), look(&doc));
    assert_eq!(look(&doc).0.len(), 100);
}

/// Values as JSON, of which half are cut off, and an XML hook: yrs reads neither, so they are compared as bytes.
#[test]
fn what_only_the_library_reads() {
    let values = [1, 1, 7, 0, 2, 1, 1, b'a', 2, 1, b'1', 9, b'u', b'n', b'd', b'e', b'f', b'i', b'n', b'e', b'd', 0];
    assert_eq!(merge([&values[..]]).unwrap(), values);
    assert_eq!(diff(&values, &[1, 7, 1]).unwrap(), [&[1, 1, 7, 1, 0x82, 7, 0, 1][..], &values[11..]].concat());
    let hook = [1, 1, 7, 0, 7, 1, 1, b'a', 5, 2, b'h', b'k', 0];
    assert_eq!(merge([&hook[..]]).unwrap(), hook);
}

#[test]
fn nothing_is_something() {
    let mut document = Document::open(Bytes::new(), 0).unwrap();
    assert_eq!(&document.fold().unwrap()[..], [0, 0]);
    assert_eq!(&document.state_vector().unwrap()[..], [0]);
    assert_eq!(&document.step2(&[0]).unwrap()[..], [0, 0]);
    assert_eq!(&document.step2(&[1, 7, 3]).unwrap()[..], [0, 0]);
    assert!(document.step2(&[1, 7]).is_err());
    assert_eq!(document.push(Bytes::from_static(&[0, 0])), Ok(false));
    assert_eq!(document.take_unsaved(), Ok(None));
}

/// A key that somebody presses: one character behind the one before.
fn key(clock: u32) -> Bytes {
    let doc_head: &[u8] = &[1, 1, 7];
    let mut out = doc_head.to_vec();
    uint(clock, &mut out);
    match clock.checked_sub(1) {
        None => out.extend([4, 1, 4, b't', b'e', b'x', b't']),
        Some(before) => {
            out.extend([0x84, 7]);
            uint(before, &mut out);
        }
    }
    out.extend([1, b'a' + u8::try_from(clock % 26).unwrap(), 0]);
    out.into()
}

fn uint(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Keys that do not make one item: each stands before the one before.
fn key_before(clock: u32) -> Bytes {
    let mut out = vec![1, 1, 7];
    uint(clock, &mut out);
    match clock.checked_sub(1) {
        None => out.extend([4, 1, 4, b't', b'e', b'x', b't']),
        Some(before) => {
            out.extend([0x44, 7]);
            uint(before, &mut out);
        }
    }
    out.extend([1, b'a' + u8::try_from(clock % 26).unwrap(), 0]);
    out.into()
}

#[test]
fn what_many_keys_cost() {
    const KEYS: u32 = 260_000;
    for (press, limit) in [(key as fn(u32) -> Bytes, 3), (key_before, 20)] {
        let mut document = Document::open(Bytes::new(), NO_LIMIT).unwrap();
        let mut pushed = 0;
        for clock in 0..KEYS {
            let update = press(clock);
            pushed += update.len() as u64;
            document.push(update).unwrap();
        }
        let whole = document.fold().unwrap();
        let times = document.merged_bytes() / pushed;
        assert!(times <= limit, "each byte was merged {times} times");
        assert_eq!(&state_vector(&whole).unwrap()[..2], [1, 7]);
        // Twice costs nothing.
        let work = document.merged_bytes();
        document.step2(&[0]).unwrap();
        document.state_vector().unwrap();
        assert_eq!(document.merged_bytes(), work);
    }
}

#[test]
fn a_typed_document_is_its_text() {
    let mut document = Document::open(Bytes::new(), NO_LIMIT).unwrap();
    (0..5000).for_each(|clock| assert_eq!(document.push(key(clock)), Ok(true)));
    let whole = document.fold().unwrap();
    assert!(whole.len() < 5020, "{} bytes for 5000 characters", whole.len());
    assert_eq!(look(&read(&whole)).0.len(), 5000);
}

#[test]
fn a_full_document_stays_as_it_is() {
    let mut document = Document::open(Bytes::new(), 1000).unwrap();
    let (mut clock, mut refused) = (0, None);
    while refused.is_none() {
        refused = document.push(key(clock)).err();
        clock += 1;
    }
    assert_eq!(refused, Some(DocumentError::TooLarge { limit: 1000 }));
    assert!(clock > 800, "{clock} keys fit: what is merged is short");
    assert!(document.bytes() <= 1000);
    assert_eq!(look(&read(&document.fold().unwrap())).0.len() as u32, clock - 1);
    // What was saved under a higher limit can be read.
    let mut document = Document::open(document.fold().unwrap(), 10).unwrap();
    assert_eq!(document.push(key(0)), Err(DocumentError::TooLarge { limit: 10 }));
    assert!(document.step2(&[0]).unwrap().len() > 800);
}

#[test]
fn what_could_not_be_saved_comes_again() {
    let mut document = Document::open(key(0), NO_LIMIT).unwrap();
    assert!(!document.is_unsaved());
    document.push(key(1)).unwrap();
    let first = document.take_unsaved().unwrap().unwrap();
    assert_eq!(state_vector(&merge([&key(0)[..], &first]).unwrap()).unwrap(), [1, 7, 2]);
    document.push(key(2)).unwrap();
    document.restore_unsaved(first).unwrap();
    assert!(document.is_unsaved());
    let both = document.take_unsaved().unwrap().unwrap();
    assert_eq!(merge([&key(0)[..], &both]).unwrap(), document.fold().unwrap());
    assert_eq!((document.is_unsaved(), document.take_unsaved().unwrap()), (false, None));
    document.restore_unsaved(both.clone()).unwrap();
    assert_eq!(document.take_unsaved().unwrap(), Some(both), "nothing new, and still not saved");
    assert!(document.restore_unsaved(Bytes::from_static(b"x")).is_err());
}

proptest! {
    #[test]
    fn everybody_sees_the_same(edits in edits(), order in any::<u64>(), folds in any::<u64>(), saves in any::<u64>()) {
        let (editors, updates) = work(&edits);
        let whole: Vec<Vec<u8>> = editors.iter().map(|doc| {
            use yrs::{ReadTxn, Transact};
            doc.transact().encode_state_as_update_v1(&yrs::StateVector::default())
        }).collect();
        let expected = replicas::editor(1);
        whole.iter().for_each(|update| apply(&expected, update));
        // Any order, merged at any time, and some twice.
        let mut shuffled = updates;
        shuffled.sort_by_key(|update| update.iter().fold(order, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte)));
        let mut document = Document::open(Bytes::new(), NO_LIMIT).unwrap();
        let mut saved: Vec<Bytes> = Vec::new();
        for (at, update) in shuffled.iter().enumerate() {
            document.push(update.clone().into()).unwrap();
            if folds >> (at % 64) & 1 == 1 {
                document.fold().unwrap();
            }
            if saves >> (at % 64) & 1 == 1 {
                saved.extend(document.take_unsaved().unwrap());
            }
        }
        let merged = document.fold().unwrap();
        prop_assert_eq!(look(&read(&merged)), look(&expected));
        prop_assert_eq!(replicas::state_vector(&document.state_vector().unwrap()), look(&expected).3);
        saved.extend(document.take_unsaved().unwrap());
        let saved = merge(saved.iter().map(|update| &update[..])).unwrap();
        prop_assert_eq!(look(&read(&saved)), look(&expected));
        // Merging what is merged changes nothing.
        prop_assert_eq!(merge([&merged[..]]).unwrap(), &merged[..]);
        prop_assert_eq!(merge([&merged[..], &merged]).unwrap(), &merged[..]);
        let compacted = compact(&merged).unwrap();
        prop_assert!(compacted.len() <= merged.len());
        prop_assert_eq!(look(&read(&compacted)), look(&expected));
        for (editor, whole) in editors.iter().zip(&whole) {
            // An editor with its own state: the difference, and what was compacted meanwhile.
            let again = read(whole);
            apply(&again, &document.step2(&state_vector_of(&again)).unwrap());
            prop_assert_eq!(look(&again), look(&expected));
            let again = read(whole);
            apply(&again, &diff(&compacted, &state_vector_of(&again)).unwrap());
            prop_assert_eq!(look(&again), look(&expected));
            // What it does after that is understood by who has only the compacted one.
            let later = read(&compacted);
            apply(editor, &merged);
            let text = editor.get_or_insert_text("text");
            let update = {
                use yrs::{Text, Transact};
                let mut transaction = editor.transact_mut();
                text.insert(&mut transaction, 0, "later");
                transaction.encode_update_v1()
            };
            apply(&later, &update);
            apply(editor, &whole[..]);
            prop_assert_eq!(look(&later), look(editor));
        }
    }

    #[test]
    fn what_comes_after_compaction_is_understood(edits in edits(), cut in any::<prop::sample::Index>()) {
        let (_, updates) = work(&edits);
        let (before, after) = updates.split_at(cut.index(updates.len() + 1));
        let whole = merge(updates.iter().map(|update| &update[..])).unwrap();
        let before = merge(before.iter().map(|update| &update[..])).unwrap();
        let mut document = Document::open(compact(&before).unwrap().into(), NO_LIMIT).unwrap();
        push_all(&mut document, after);
        let merged = document.fold().unwrap();
        prop_assert_eq!(look(&read(&merged)), look(&read(&whole)));
        prop_assert_eq!(look(&read(&compact(&merged).unwrap())), look(&read(&whole)));
    }

    #[test]
    fn any_prefix_is_completed(edits in edits(), cut in any::<usize>()) {
        let (_, updates) = work(&edits);
        let mut document = Document::open(Bytes::new(), NO_LIMIT).unwrap();
        push_all(&mut document, &updates);
        let client = replicas::editor(1);
        updates[..cut % (updates.len() + 1)].iter().for_each(|update| apply(&client, update));
        apply(&client, &document.step2(&state_vector_of(&client)).unwrap());
        prop_assert_eq!(look(&client), look(&read(&document.fold().unwrap())));
    }
}
