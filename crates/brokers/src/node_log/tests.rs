//! What one partition's table makes of its records.

use jackfield_cluster::Keep;

use super::*;

fn life(count: u32, name: &str) -> Life {
    Life { count, name: name.into() }
}

fn record(word: Word, seq: u64) -> Record {
    Record { word, writer: 1, seq, time: 1000, life: life(1, "a"), is_known: true }
}

fn publication(seq: u64, size: usize) -> Record {
    let terms = Terms { size, ttl: 5000, meta_ttl: 9000, id: (0, seq), ..Terms::default() };
    record(Word::Publication("c".into(), Bytes::from(seq.to_string()), terms), seq)
}

fn of_channel(after: Option<Position>) -> Interest {
    Interest { channel: "c".into(), keep: Some(Keep::default()), after }
}

fn offset(outcome: Option<Outcome>) -> u64 {
    outcome.unwrap().placed.position.unwrap().offset
}

#[test]
fn each_publication_names_the_one_before_it() {
    let mut table = Table::default();
    assert_eq!(table.open(&of_channel(None), 0).position.offset, 0);
    let mut last = 0;
    for number in [0, 3, 7, 8] {
        let outcome = table.read(number, publication(number, 2)).unwrap();
        let Some(Incoming::Publication { place: Some(place), .. }) = outcome.incoming else { panic!("not heard") };
        assert_eq!((place.offset, place.previous), (number + 1, last));
        last = place.offset;
    }
    assert_eq!(table.read(8, publication(8, 2)), None, "it was read before");
    let kept = table.open(&of_channel(None), 1000);
    let offsets: Vec<u64> = kept.bodies.iter().map(|(offset, _)| *offset).collect();
    assert_eq!((offsets, kept.floor, kept.position.offset), (vec![8, 9], 4, 9));
    let after = Some(Position { offset: 8, epoch: Arc::clone(&kept.position.epoch) });
    assert_eq!(table.open(&of_channel(after), 1000).bodies.len(), 1);
    let foreign = Some(Position { offset: 8, epoch: "foreign".into() });
    assert_eq!(table.open(&of_channel(foreign), 1000).bodies.len(), 2);
    let late = table.open(&of_channel(None), 6000);
    assert_eq!((late.bodies.len(), late.floor), (0, 9), "they have had their time");
}

#[test]
fn a_table_that_begins_late_promises_nothing_of_what_came_before() {
    let mut table = Table::default();
    table.read(50, record(Word::Probe(1), 1));
    let kept = table.open(&of_channel(None), 0);
    assert_eq!((kept.position.offset, kept.floor), (50, 50));
    assert_eq!(offset(table.read(51, publication(2, 10))), 52);
}

#[test]
fn one_that_comes_again_is_known_by_its_id() {
    let mut table = Table::default();
    let first = offset(table.read(1, publication(9, 10)));
    let again = table.read(2, Record { seq: 10, ..publication(9, 10) }).unwrap();
    assert_eq!((again.placed.position.unwrap().offset, again.incoming), (first, None));
}

#[test]
fn keys_and_versions_hold_until_a_record_says_that_it_is_late() {
    let with = |seq: u64, time: Millis, key: &str, version: u64| {
        let mut record = Record { time, ..publication(seq, 10) };
        if let Word::Publication(_, _, terms) = &mut record.word {
            terms.idempotency_key = key.to_owned();
            terms.version = (version > 0).then(|| (version, "v".into()));
        }
        record
    };
    let mut table = Table::default();
    let reason = |outcome: Option<Outcome>| outcome.unwrap().placed.suppressed;
    assert_eq!(reason(table.read(1, with(1, 1000, "k", 0))), None);
    assert_eq!(reason(table.read(2, with(2, 2000, "k", 0))), Some("idempotency"));
    assert_eq!(reason(table.read(3, with(3, 1000, "", 7))), None);
    assert_eq!(reason(table.read(4, with(4, 5999, "", 7))), Some("version"));
    assert_eq!(reason(table.read(5, with(5, 6000, "", 6))), None, "its history has ended, and what it counted");
    assert_eq!(reason(table.read(6, with(6, 1000 + KEY_TTL - 1, "k", 0))), Some("idempotency"));
    assert_eq!(reason(table.read(7, with(7, 1000 + KEY_TTL, "k", 0))), None);
}

#[test]
fn who_reads_from_the_middle_decides_as_who_read_all() {
    let mut all = Table::default();
    for number in 0..100 {
        all.read(number, publication(number, 1000));
    }
    let mut late = Table::default();
    for number in 50..100 {
        late.read(number, publication(number, 1000));
    }
    for (number, seq) in [(100, 99), (101, 200), (102, 60), (103, 200)] {
        let of = |table: &mut Table| table.read(number, publication(seq, 1000)).unwrap().placed;
        assert_eq!(of(&mut all), of(&mut late));
    }
    let [one, two] = [&mut all, &mut late].map(|table| table.open(&of_channel(None), 0));
    assert_eq!((one.position, &one.bodies[50..]), (two.position, &two.bodies[..]));
    assert_eq!((one.floor, two.floor), (0, 50));
}

#[test]
fn of_two_lives_made_up_at_once_the_first_counts() {
    let mark = |name: &str, seq: u64| Record { life: life(1, name), is_known: false, ..record(Word::Mark, seq) };
    let epoch = |table: &mut Table| table.open(&of_channel(None), 0).position.epoch;
    let mut table = Table::default();
    table.read(0, mark("a", 1));
    table.read(1, mark("b", 2));
    assert_eq!(*epoch(&mut table), *"a1");
    // Who starts where the first is gone learns it from who read it.
    let mut late = Table::default();
    late.read(1, mark("b", 2));
    assert_eq!(*epoch(&mut late), *"b1");
    late.read(2, publication(3, 10));
    assert_eq!(*epoch(&mut late), *"a1");
}

#[test]
fn a_new_life_ends_what_was_kept_and_tells_so() {
    let mut table = Table::default();
    table.read(0, publication(1, 10));
    let before = table.open(&of_channel(None), 0).position;
    let begin = |name: &str| Record { life: life(2, name), is_known: false, ..record(Word::Begin, 5) };
    let outcome = table.read(1, begin("x")).unwrap();
    assert!(matches!(outcome.incoming, Some(Incoming::Interrupted(_))));
    assert_eq!(table.read(2, begin("y")).unwrap().incoming, None, "another node said so too");
    let kept = table.open(&of_channel(None), 0);
    assert_eq!((kept.bodies.len(), kept.position.offset, &*kept.position.epoch), (0, 0, "x2"));
    assert_ne!(kept.position.epoch, before.epoch);
    // Who has not read it yet writes with the old life: it is numbered in the new one.
    let stale = table.read(3, publication(6, 10)).unwrap();
    assert_eq!(*stale.placed.position.unwrap().epoch, *"x2");
}

#[test]
fn what_was_forgotten_goes_on_or_begins_anew() {
    let mut table = Table::default();
    table.read(1, publication(1, 10));
    let before = table.open(&of_channel(None), 0).position;
    table.read(2, record(Word::Forget("c".into(), false), 2));
    let kept = table.open(&of_channel(None), 0);
    assert_eq!((kept.bodies.len(), kept.floor, &kept.position), (0, before.offset, &before));
    table.read(3, record(Word::Forget("c".into(), true), 3));
    let anew = table.open(&of_channel(None), 0).position;
    assert_eq!(anew.offset, 0);
    assert_ne!(anew.epoch, before.epoch);
}

#[test]
fn a_stream_that_lost_its_end_is_found_out() {
    let filled = |count: u64| {
        let mut table = Table::default();
        for number in 0..count {
            table.read(number, publication(number, 10));
        }
        table
    };
    let mut table = filled(10);
    assert!(table.ends_with(9, Some(&publication(9, 10))) && !table.ends_with(9, Some(&publication(8, 10))));
    assert!(!table.lost_its_end(), "nothing was read anew");
    // The same again, further than before.
    table.begin_again();
    for number in 0..11 {
        table.read(number, publication(number, 10));
    }
    assert!(!table.lost_its_end());
    // Shorter than before.
    table.begin_again();
    table.read(0, publication(0, 10));
    assert!(table.lost_its_end());
    // As long, with something else in it.
    let mut table = filled(10);
    table.begin_again();
    for number in 0..12 {
        table.read(number, publication(number + 100, 10));
    }
    assert!(table.lost_its_end() && !table.lost_its_end());
    // Cut at its beginning only.
    let mut table = filled(10);
    table.begin_again();
    table.read(20, publication(20, 10));
    assert!(!table.lost_its_end());
}

#[test]
fn idle_channels_go_and_their_positions_are_not_given_again() {
    let mut table = Table::default();
    table.read(4, publication(4, 10));
    table.sweep(1000 + 8999);
    assert!(table.keeps("c"));
    table.sweep(1000 + 9000);
    assert!(!table.keeps("c"));
    let kept = table.open(&of_channel(None), 0);
    assert_eq!((kept.position.offset, kept.floor), (5, 5));
    table.sweep(Millis::MAX);
    assert!(table.keeps("c"), "somebody cares");
}
