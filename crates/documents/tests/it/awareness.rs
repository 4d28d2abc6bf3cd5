//! The rules of y-protocols for states, and what is ours: owners and limits.

use jackfield_documents::wire::{Message, read};
use jackfield_documents::{AwarenessError, AwarenessLimits, AwarenessTable};
use proptest::prelude::*;

use crate::fixtures::{bytes, list};

const LIMITS: AwarenessLimits = AwarenessLimits { clients: 4, state_bytes: 100 };

fn update(entries: &[(u8, u8, &str)]) -> Vec<u8> {
    let mut out = vec![u8::try_from(entries.len()).unwrap()];
    for (client, clock, state) in entries {
        out.extend([*client, *clock, u8::try_from(state.len()).unwrap()]);
        out.extend(state.as_bytes());
    }
    out
}

fn inside(frame: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match read(frame.as_deref()?) {
        Ok(Message::Awareness(update)) => Some(update.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_of_the_library_comes_goes_and_comes_back() {
    let states = list("awareness/states");
    let mut table = AwarenessTable::new(LIMITS);
    assert!(!table.apply(&states[0], 1).unwrap().is_news(), "the empty state at clock 0 is nothing to tell");
    assert_eq!(table.apply(&states[1], 1).unwrap().added, [42]);
    assert_eq!(table.apply(&states[2], 1).unwrap().updated, [42]);
    assert!(!table.apply(&states[2], 2).unwrap().is_news(), "an echo of somebody else");
    assert_eq!(inside(table.all()), Some(states[2].clone()));
    assert_eq!(inside(table.leave(2)), None, "an echo does not make an owner");
    assert_eq!(inside(table.leave(1)), Some(bytes("awareness/gone")));
    assert_eq!(table.all(), None);
    // It connects again with what it had. It is asked, and what it says then counts.
    let again = table.apply(&states[2], 3).unwrap();
    assert!(!again.is_news());
    assert_eq!(inside(again.answer), Some(bytes("awareness/gone")));
    let back = table.apply(&bytes("awareness/back"), 3).unwrap();
    assert_eq!((back.updated, back.answer), (vec![42], None));
    assert_eq!(table.apply(&bytes("awareness/left"), 3).unwrap().removed, [42]);
    assert!(table.is_empty());
}

#[test]
fn limits_leave_the_table_as_it_was() {
    let mut table = AwarenessTable::new(LIMITS);
    table.apply(&update(&[(1, 1, "{}"), (2, 1, "{}"), (3, 1, "{}")]), 1).unwrap();
    let all = table.all();
    assert_eq!(
        table.apply(&update(&[(1, 2, "{}"), (4, 1, "{}"), (5, 1, "{}")]), 1),
        Err(AwarenessError::TooManyClients { limit: 4 })
    );
    let long = format!("\"{}\"", "x".repeat(100));
    assert_eq!(
        table.apply(&update(&[(1, 2, "{}"), (2, 2, &long)]), 1),
        Err(AwarenessError::StateTooLarge { limit: 100 })
    );
    for wrong in
        [&update(&[(1, 2, "{}"), (2, 2, "{")])[..], &[1, 1, 2, 1, 0xff], &[2, 1, 2, 2, b'{', b'}'], &[0, 0], &[]]
    {
        assert!(matches!(table.apply(wrong, 1), Err(AwarenessError::Malformed(_))), "{wrong:?}");
    }
    assert_eq!(table.all(), all);
    assert_eq!(table.apply(&update(&[(1, 2, " null\n"), (4, 1, "{}")]), 1).unwrap().removed, [1]);
    assert_eq!(table.apply(&update(&[(5, 1, "{}")]), 1).unwrap().added, [5], "there is room again");
}

#[test]
fn who_went_is_remembered_for_a_while() {
    let mut table = AwarenessTable::new(LIMITS);
    for client in 0..100 {
        table.apply(&update(&[(client, 9, "{}")]), client.into()).unwrap();
        table.leave(client.into()).unwrap();
    }
    assert!(!table.apply(&update(&[(99, 9, "{}")]), 1).unwrap().is_news(), "remembered");
    assert!(table.apply(&update(&[(0, 9, "{}")]), 1).unwrap().is_news(), "forgotten");
    // The highest number of JavaScript has no next.
    let mut last = vec![1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 15, 2];
    last.extend(b"{}");
    assert!(table.apply(&last, 7).unwrap().is_news());
    assert_eq!(inside(table.leave(7)).map(|gone| gone[2..10] == last[2..10]), Some(true));
}

/// What `applyAwarenessUpdate` of y-protocols does, line by line.
#[derive(Default)]
struct Model(std::collections::BTreeMap<u8, (u8, Option<String>)>);

impl Model {
    fn apply(&mut self, entries: &[(u8, u8, &str)]) -> bool {
        let mut news = false;
        for (client, clock, state) in entries {
            let meta = self.0.get(client).map(|(clock, _)| *clock);
            let has = self.0.get(client).is_some_and(|(_, state)| state.is_some());
            let null = *state == "null";
            if meta.unwrap_or(0) < *clock || (meta.unwrap_or(0) == *clock && null && has) {
                self.0.insert(*client, (*clock, (!null).then(|| (*state).to_owned())));
                news |= !null || meta.is_some();
            }
        }
        news
    }
}

proptest! {
    #[test]
    fn clocks_decide_as_in_the_library(updates in prop::collection::vec(
        prop::collection::vec((0_u8..4, 0_u8..6, prop::sample::select(vec!["null", "{}", "1", "[2]"])), 0..4), 0..30)) {
        let (mut model, mut table) = (Model::default(), AwarenessTable::new(AwarenessLimits { clients: 12, ..LIMITS }));
        for entries in &updates {
            prop_assert_eq!(table.apply(&update(entries), 1).unwrap().is_news(), model.apply(entries));
            let all: Vec<(u8, u8, &str)> =
                model.0.iter().filter_map(|(client, (clock, state))| Some((*client, *clock, state.as_deref()?))).collect();
            prop_assert_eq!(inside(table.all()), (!all.is_empty()).then(|| update(&all)));
        }
    }
}
