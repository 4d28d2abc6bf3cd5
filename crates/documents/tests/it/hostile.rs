//! Bytes that nobody should send: they are refused, or they can be merged, cut and compacted for ever.

use bytes::Bytes;
use jackfield_documents::{Document, MAX_DEPTH, check, compact, diff, merge, state_vector, wire};
use proptest::prelude::*;

use crate::fixtures::{bytes, documents, list};
use crate::replicas::{edits, work};

/// Everything that is done with an update; if it is let in, nothing may go wrong.
fn torture(update: &[u8], others: &[Vec<u8>]) {
    let _ = wire::read(update);
    let _ = diff(update, update);
    let mut document = Document::open(Bytes::new(), usize::MAX).unwrap();
    for other in others {
        document.push(other.clone().into()).unwrap();
    }
    if check(update).is_err() {
        document.push(Bytes::copy_from_slice(update)).unwrap_err();
        return;
    }
    document.push(Bytes::copy_from_slice(update)).unwrap();
    let merged = document.fold().unwrap();
    assert_eq!(check(&merged), Ok(()));
    assert_eq!(merge([&merged[..]]).unwrap(), &merged[..]);
    let compacted = compact(&merged).unwrap();
    assert_eq!(check(&compacted), Ok(()));
    assert_eq!(state_vector(&compacted), state_vector(&merged));
    for known in [&[1, 7, 3][..], &[2, 7, 1, 172, 2, 2]] {
        check(&document.step2(known).unwrap()).unwrap();
        check(&diff(&compacted, known).unwrap()).unwrap();
    }
}

#[test]
fn claims_are_not_believed() {
    let huge = [0xff, 0xff, 0xff, 0xff, 7];
    let with = |head: &[u8]| [head, &huge[..]].concat();
    for update in [
        with(&[]),
        with(&[1]),
        with(&[1, 1, 7, 0, 8, 1, 1, b'a']),
        with(&[1, 1, 7, 0, 2, 1, 1, b'a']),
        with(&[1, 1, 7, 0, 3, 1, 1, b'a']),
        with(&[1, 1, 7, 0, 4, 1, 1, b'a']),
        with(&[1, 1, 7, 0, 8, 1, 1, b'a', 1, 118]),
        with(&[1, 1, 7, 0, 8, 1, 1, b'a', 1, 117]),
        with(&[1, 1, 7, 0, 0]),
        with(&[0]),
        with(&[0, 1, 7]),
        with(&[0, 1, 7, 1]),
    ] {
        assert!(check(&update).is_err(), "{update:?}");
    }
    for known in [with(&[]), with(&[1]), [&with(&[1, 7])[..], &[0]].concat()] {
        assert!(diff(&[0, 0], &known).is_err(), "{known:?}");
    }
    // Places to the last clock there is, and one more.
    let range = |length: [u8; 5]| [&[1, 1, 7, 0, 0][..], &length, &[0]].concat();
    torture(&range([0xff, 0xff, 0xff, 0xff, 7]), &[vec![1, 1, 7, 5, 0, 9, 0]]);
    assert!(check(&range([0x80, 0x80, 0x80, 0x80, 8])).is_err());
    assert!(check(&[1, 1, 7, 1, 0, 0xff, 0xff, 0xff, 0xff, 7, 0]).is_err());
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let mut update = vec![1, 1, 7, 0, 8, 1, 1, b'a', 1];
        (0..depth).for_each(|_| update.extend([117, 1]));
        update.extend([126, 0]);
        update
    };
    torture(&nested(MAX_DEPTH - 1), &[]);
    assert!(check(&nested(MAX_DEPTH)).is_err());
    assert!(check(&nested(1_000_000)).is_err());
}

#[test]
fn what_clients_would_choke_on() {
    for (name, update) in [
        ("JSON that is none", &[1, 1, 7, 0, 5, 1, 1, b'a', 1, b'{', 0][..]),
        ("text that is not UTF-8", &[1, 1, 7, 0, 4, 1, 1, b'a', 1, 0xff, 0]),
        ("behind itself", &[1, 1, 7, 0, 0x84, 7, 0, 1, b'a', 0]),
        ("before what it makes later", &[1, 1, 7, 0, 0x44, 7, 9, 1, b'a', 0]),
        ("in itself", &[1, 1, 7, 0, 4, 0, 7, 0, 1, b'a', 0]),
        ("an unknown type", &[1, 1, 7, 0, 7, 1, 1, b'a', 9, 0]),
        ("a place of no length", &[1, 1, 7, 0, 0, 0, 0]),
        ("more behind its end", &[0, 0, 0]),
    ] {
        assert!(check(update).is_err(), "{name}");
    }
}

/// Who refers to whom in a circle across clients, in a deleted type and out of one.
#[test]
fn circles_end() {
    let circle = [2, 1, 8, 0, 0x84, 7, 0, 1, b'a', 1, 7, 0, 0x84, 8, 0, 1, b'b', 0];
    torture(&circle, &[]);
    let parents = [2, 1, 8, 0, 7, 0, 7, 0, 2, 1, 7, 0, 7, 0, 8, 0, 2, 1, 7, 1, 0, 1];
    torture(&parents, &[]);
    assert_eq!(compact(&parents).unwrap()[..5], [2, 1, 8, 0, 0], "what is in a deleted type is a number");
}

#[test]
fn long_chains_do_not_recurse() {
    // Each item is in the one before, and the first is deleted.
    let mut update = vec![1, 0xa0, 0x8d, 6, 7, 0, 7, 1, 1, b'a', 0];
    for clock in 0..99_999_u32 {
        update.extend([7, 0, 7]);
        let mut value = clock;
        while value > 0x7f {
            update.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        update.extend([value.to_le_bytes()[0], 0]);
    }
    update.extend([1, 7, 1, 0, 1]);
    let compacted = compact(&update).unwrap();
    assert!(compacted.len() < 30, "one place and one range of numbers: {compacted:?}");
}

/// A text, or values, of which every other part is deleted. It ends, or nobody has the time to see it.
#[test]
fn many_cuts_in_one_struct() {
    const PART: usize = 100;
    const PARTS: usize = 5_000;
    let length = |value: usize| {
        let mut out = Vec::new();
        let mut value = value;
        while value > 0x7f {
            out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        out.push(value.to_le_bytes()[0]);
        out
    };
    let elements = PART * PARTS;
    let text = [&[4, 1, 1, b'a'][..], &length(elements * 4), "😀".repeat(elements).as_bytes()].concat();
    let values = [&[8, 1, 1, b'a'][..], &length(elements * 2), &vec![126; elements * 2]].concat();
    for item in [text, values] {
        let mut update = [&[1, 1, 7, 0][..], &item, &[1, 7], &length(PARTS)].concat();
        for part in 0..PARTS {
            // From the middle of a character to that of another.
            update.extend([length(part * PART * 2 + 1), length(PART)].concat());
        }
        let compacted = compact(&update).unwrap();
        check(&compacted).unwrap();
        assert!(compacted.len() < update.len() * 2 / 3, "{} of {} bytes", compacted.len(), update.len());
        assert_eq!(state_vector(&compacted), state_vector(&update));
    }
}

#[test]
fn every_byte_of_the_library_s_updates_wrong() {
    for name in documents() {
        let updates = list(&format!("documents/{name}/updates"));
        for update in updates.iter().chain([&bytes(&format!("documents/{name}/state"))]) {
            for at in 0..update.len() {
                for wrong in [0, 1, 7, 0x7f, 0x80, 0xff, update[at] ^ 1, update[at] ^ 0x80, update[at].wrapping_add(1)]
                {
                    let mut mutated = update.clone();
                    mutated[at] = wrong;
                    torture(&mutated, &updates[..updates.len().min(3)]);
                }
                torture(&update[..at], &[]);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes(update in prop::collection::vec(prop_oneof![0_u8..12, any::<u8>()], 0..60)) {
        torture(&update, &[]);
    }

    #[test]
    fn mutated_updates(edits in edits(), which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0_u8..12, any::<u8>()], 0..3), 1..4)) {
        let (_, mut updates) = work(&edits);
        prop_assume!(!updates.is_empty());
        let mut update = updates.remove(which.index(updates.len()));
        for (at, byte, how) in changes {
            let at = at.index(update.len());
            match how {
                0 => update[at] = byte,
                1 => update.insert(at, byte),
                _ if update.len() > 1 => drop(update.remove(at)),
                _ => {}
            }
        }
        torture(&update, &updates);
    }
}
