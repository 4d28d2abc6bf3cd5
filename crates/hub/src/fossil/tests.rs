//! Deltas of payloads that are alike, unlike, moved about and made up, and deltas that are none.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Pieces that payloads are made of: long ones and short ones, of one byte and of several per character.
const PIECES: [&str; 12] = [
    "{\"symbol\":\"JACK\",\"bid\":101.25,\"ask\":101.5}",
    "{\"symbol\":\"FIELD\",\"bid\":99.0,\"ask\":99.75}",
    "Grüße aus Köln, 東京, Αθήνα und Київ",
    "😀😁😂🤣😃😄😅😆",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "0123456789abcdef",
    "é",
    "ü",
    "東",
    "x",
    ",",
    "",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => ".{0,20}",
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// Two payloads of which the second has much of the first, in another order and with gaps.
fn edited() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let edits = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), vec(any::<u8>(), 0..20)), 0..8);
    (vec(any::<u8>(), 0..2000), edits).prop_map(|(old, edits)| {
        let mut new = Vec::new();
        for (begin, end, added) in edits {
            let (begin, end) = (begin.index(old.len() + 1), end.index(old.len() + 1));
            new.extend_from_slice(&old[begin.min(end)..begin.max(end)]);
            new.extend(added);
        }
        (old, new)
    })
}

fn check(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let delta = delta(old, new);
    if let Some(delta) = &delta {
        assert!(delta.len() < new.len());
        assert_eq!(apply(old, delta).as_deref(), Ok(new));
    }
    delta
}

proptest! {
    #[test]
    fn any_delta_makes_the_new_payload(old in vec(any::<u8>(), 0..300), new in vec(any::<u8>(), 0..300)) {
        check(&old, &new);
    }

    #[test]
    fn few_letters_make_many_candidates(old in vec(0..2_u8, 0..600), new in vec(0..2_u8, 0..600)) {
        check(&old, &new);
    }

    #[test]
    fn what_was_moved_is_found((old, new) in edited()) {
        check(&old, &new);
    }

    #[test]
    fn deltas_of_texts_are_texts(old in text(), new in text()) {
        if let Some(delta) = check(old.as_bytes(), new.as_bytes()) {
            prop_assert!(std::str::from_utf8(&delta).is_ok());
        }
    }

    #[test]
    fn a_block_in_the_middle_of_something_else_is_found(
        before in vec(any::<u8>(), 0..100),
        block in vec(any::<u8>(), 80..200),
        after in vec(any::<u8>(), 0..100),
    ) {
        let new = [b"0", &block[..], b"1"].concat();
        let delta = check(&[before, block, after].concat(), &new).unwrap();
        // At worst three bytes of each end are left out, for they could belong to characters.
        prop_assert!(delta.len() < 40, "{}", delta.len());
    }

    #[test]
    fn no_delta_does_harm(old in vec(any::<u8>(), 0..50), delta in vec(any::<u8>(), 0..50)) {
        let _ = apply(&old, &delta);
    }

    #[test]
    fn no_change_of_a_delta_does_harm((old, new) in edited(), at in any::<prop::sample::Index>(), byte: u8) {
        let Some(mut delta) = delta(&old, &new) else {
            return Ok(());
        };
        let at = at.index(delta.len());
        delta[at] = byte;
        let _ = apply(&old, &delta);
        let _ = apply(&old, &delta[..at]);
        prop_assert!(apply(&old, &delta[..at]).is_err());
    }
}

#[test]
fn deltas_of_another_implementation_are_applied() {
    for (old, new, delta) in [
        ("", "abc", "3\n3:abc1XObC0;"),
        (
            "the quick brown fox jumps over the lazy dog, twice and then again",
            "the quick brown cat jumps over the lazy dog, twice and then again!",
            "12\nG@0,3:catj@J,1:!2~MP_E;",
        ),
        (
            "0123456789abcdefGHIJKLMNOPQRSTUV",
            "GHIJKLMNOPQRSTUV0123456789abcdef and more",
            "e\nG:GHIJKLMNOPQRSTUVG@0,9: and more3R34e8;",
        ),
    ] {
        assert_eq!(apply(old.as_bytes(), delta.as_bytes()).as_deref(), Ok(new.as_bytes()));
    }
}

#[test]
fn what_changed_is_all_that_is_added() {
    let (old, new) = (r#"{"symbol":"JACK","bid":101.25,"ask":101.5}"#, r#"{"symbol":"JACK","bid":101.50,"ask":101.5}"#);
    let delta = delta(old.as_bytes(), new.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(delta).unwrap(), "f\nR@0,2:50D@T,Mk93e;");
    assert_eq!(check(b"0123456789", b"0123456789"), None, "the checksum alone is as long");
    assert_eq!(check(b"", &[b'x'; 100]), None, "there is nothing to copy");
    assert_eq!(check(&[b'x'; 100], b""), None);
}

#[test]
fn faults_are_named() {
    let old = b"0123456789";
    for (delta, fault) in [
        (&b""[..], FossilError::Truncated),
        (b"\n", FossilError::Number { at: 0 }),
        (b"5", FossilError::Truncated),
        (b"5;", FossilError::Command { at: 1 }),
        (b"5\n5@0,", FossilError::Truncated),
        (b"5\n5?", FossilError::Command { at: 3 }),
        (b"5\n5@0;", FossilError::Command { at: 5 }),
        (b"5\n5@6,0;", FossilError::Outside { end: 11, length: 10 }),
        (b"5\n6@0,0;", FossilError::Size { made: 6, promised: 5 }),
        (b"5\n4@0,0;", FossilError::Size { made: 4, promised: 5 }),
        (b"5\n5@0,0;", FossilError::Checksum),
        (b"5\n9:abc", FossilError::Truncated),
        (b"3\n3:abc1XObC0;x", FossilError::Trailing { at: 14 }),
        (b"3\n3:abcZZZZZZ;", FossilError::Number { at: 7 }),
        (b"~~~~~\n", FossilError::Size { made: 0, promised: (1 << 30) - 1 }),
    ] {
        assert_eq!(apply(old, delta), Err(fault), "{delta:?}");
    }
}

#[test]
fn the_hash_slides() {
    let bytes: Vec<u8> = (0..200_u32).map(|number| (number * number % 251) as u8).collect();
    let mut hash = Rolling::of(bytes.first_chunk().unwrap());
    for at in 1..bytes.len() - BLOCK {
        hash.slide(bytes[at - 1], bytes[at + BLOCK - 1]);
        assert_eq!(hash.value(), Rolling::of(bytes[at..].first_chunk().unwrap()).value(), "{at}");
    }
}

#[test]
fn what_both_ends_have_in_common_is_counted() {
    for length in 0..40 {
        for same in 0..=length {
            let left: Vec<u8> = (0..length).collect();
            let mut right = left.clone();
            let expected = |found: usize| assert_eq!(found, usize::from(same), "{length}");
            if same < length {
                right[usize::from(same)] = 255;
            }
            expected(common_prefix(&left, &[&right[..], &[200][..usize::from(same < length)]].concat()));
            let (left, right): (Vec<u8>, Vec<u8>) =
                (left.into_iter().rev().collect(), right.into_iter().rev().collect());
            expected(common_suffix(&left, &right));
        }
    }
}
