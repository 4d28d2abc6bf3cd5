//! The contract while all is well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_cluster::{Incoming, Interest, Outgoing};
use jackfield_hub::Forgetting;

use super::{Node, Open, body, breathe, fresh, interest, keep, number, numbered, position, soon};

/// All that holds of every engine; what only some can do is asked for by their powers.
pub async fn run(open: Open<'_>) {
    plain(open).await;
    words(open).await;
    hostile_names(open).await;
    let powers = open("powers").powers();
    if powers.history {
        history(open).await;
        trim(open).await;
        sent_again(open, async || ()).await;
        while_it_is_opened(open).await;
        forget(open).await;
    }
    if powers.values {
        values(open).await;
    }
    if powers.conditions {
        conditions(open).await;
    }
}

/// A channel that keeps nothing: who cares hears it, in order, and who does not care any more does not.
pub async fn plain(open: Open<'_>) {
    let (one, two, three) = (Node::new(open, "one"), Node::new(open, "two"), Node::new(open, "three"));
    let (channel, other) = (fresh("plain"), fresh("other"));
    let care = |name: &str| Interest { channel: name.into(), ..Interest::default() };
    assert_eq!(one.open(&care(&channel)).await, None);
    assert_eq!(two.open(&care(&channel)).await, None);
    assert_eq!(two.open(&care(&other)).await, None);
    let batch: Vec<Outgoing> = (1..=300).map(|n| numbered(&channel, n, None)).collect();
    let results = soon("publish", three.engine.publish(&batch)).await;
    assert!(results.iter().all(|result| result.as_ref().is_ok_and(|placed| placed.position.is_none())), "{results:?}");
    for node in [&one, &two] {
        for n in 1..=300 {
            let (place, body) = node.publication(&channel).await;
            assert_eq!((place, number(&body)), (None, n));
        }
    }
    let name: Arc<str> = channel.as_str().into();
    soon("close", two.engine.close(&[name])).await.unwrap();
    // What comes after shows that nothing came before: one path, one order.
    three.publish(numbered(&channel, 301, None)).await;
    three.publish(numbered(&other, 1, None)).await;
    assert_eq!(number(&one.publication(&channel).await.1), 301);
    let next = two.next("a publication", |incoming| match incoming {
        Incoming::Publication { channel, .. } => Some(channel),
        _ => None,
    });
    assert_eq!(*next.await, *other);
}

/// Publications are numbered and heard in one order everywhere, each names the one before it, and whoever opens the
/// channel reads the same.
pub async fn history(open: Open<'_>) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let channel = fresh("history");
    let empty = one.open(&interest(&channel, 1000)).await.unwrap();
    assert_eq!((empty.position.offset, empty.bodies.len()), (0, 0));
    assert!(!empty.position.epoch.is_empty());
    let again = two.open(&interest(&channel, 1000)).await.unwrap();
    assert_eq!(again.position, empty.position, "the first life has begun");
    // Both publish at the same time.
    let batch = |first: u64| -> Vec<Outgoing> {
        (first..first + 200).map(|n| numbered(&channel, n, Some(keep(1000)))).collect()
    };
    let (left, right) = (batch(1000), batch(2000));
    let (left, right) = tokio::join!(one.engine.publish(&left), two.engine.publish(&right));
    for results in [&left, &right] {
        let offsets: Vec<u64> = results.iter().map(|result| position(result.as_ref().unwrap()).offset).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    }
    let mut orders = Vec::new();
    for node in [&one, &two] {
        let (mut order, mut last) = (Vec::new(), 0);
        for _ in 0..400 {
            let (place, body) = node.publication(&channel).await;
            let place = place.unwrap();
            assert_eq!((place.previous, &place.epoch), (last, &empty.position.epoch));
            last = place.offset;
            order.push((place.offset, number(&body)));
        }
        for first in [1000, 2000] {
            let own: Vec<u64> = order.iter().map(|(_, n)| *n).filter(|n| n / 1000 == first / 1000).collect();
            assert_eq!(own, (first..first + 200).collect::<Vec<_>>());
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    let three = Node::new(open, "three");
    let kept = three.open(&interest(&channel, 1000)).await.unwrap();
    let read: Vec<(u64, u64)> = kept.bodies.iter().map(|(offset, body)| (*offset, number(body))).collect();
    assert_eq!(read, orders[0]);
    assert_eq!((kept.position.offset, kept.floor), (read[399].0, 0));
    // Only what came after a position, where it is of the same life.
    let after = Interest {
        after: Some(jackfield_model::Position { offset: read[389].0, ..kept.position.clone() }),
        ..interest(&channel, 1000)
    };
    let rest = three.open(&after).await.unwrap();
    assert!(rest.floor <= read[389].0 && rest.position == kept.position);
    assert_eq!(rest.bodies.iter().filter(|(offset, _)| *offset > read[389].0).count(), 10);
    let foreign = Interest {
        after: Some(jackfield_model::Position { offset: 5, epoch: "foreign".into() }),
        ..interest(&channel, 1000)
    };
    assert_eq!(three.open(&foreign).await.unwrap().bodies.len(), 400);
}

/// Only so many are kept, and it is told from where on everything is there.
pub async fn trim(open: Open<'_>) {
    let node = Node::new(open, "one");
    let channel = fresh("trim");
    let mut offsets = Vec::new();
    for n in 1..=25 {
        offsets.push(position(&node.publish(numbered(&channel, n, Some(keep(10)))).await).offset);
    }
    let kept = node.open(&interest(&channel, 10)).await.unwrap();
    assert_eq!(kept.position.offset, offsets[24]);
    let read: Vec<u64> = kept.bodies.iter().map(|(_, body)| number(body)).collect();
    // An engine may keep a few more until it has time; never less.
    assert!(read.ends_with(&(16..=25).collect::<Vec<_>>()), "{read:?}");
    let first = kept.bodies[0].0;
    let before = offsets.iter().rev().find(|offset| **offset < first).copied().unwrap_or(0);
    assert!((before..first).contains(&kept.floor), "{} is not from {before} to {first}", kept.floor);
}

/// One that is sent again because its answer was lost is neither numbered nor heard twice, whatever happens meanwhile.
pub async fn sent_again(open: Open<'_>, meanwhile: impl AsyncFnOnce()) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let channel = fresh("again");
    two.open(&interest(&channel, 100)).await;
    let first = numbered(&channel, 1, Some(keep(100)));
    let placed = one.publish(first.clone()).await;
    one.publish(numbered(&channel, 2, Some(keep(100)))).await;
    // By any node: the queue may hand the command to another one.
    let again = two.publish(Outgoing { again: true, ..first }).await;
    assert_eq!(position(&again), position(&placed));
    // One that says so and never arrived is taken.
    let late = Outgoing { again: true, ..numbered(&channel, 3, Some(keep(100))) };
    let placed_late = one.publish(late.clone()).await;
    assert!(position(&placed_late).offset > position(&placed).offset);
    // What came since then is known, too, whether it had said so or not.
    let fourth = numbered(&channel, 4, Some(keep(100)));
    let placed_fourth = two.publish(fourth.clone()).await;
    meanwhile().await;
    for (out, placed) in [(late, placed_late), (fourth, placed_fourth)] {
        assert_eq!(position(&one.publish(Outgoing { again: true, ..out }).await), position(&placed));
    }
    one.publish(numbered(&channel, 5, Some(keep(100)))).await;
    for n in 1..=5 {
        assert_eq!(number(&two.publication(&channel).await.1), n);
    }
}

/// One that may be sent by another node when it takes too long is looked for if it did; one that came in time is not, and
/// neither is one that may take its time. The broker stands still in between.
pub async fn late(open: Open<'_>, freeze: impl Fn(), thaw: impl Fn()) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let channel = fresh("late");
    two.open(&interest(&channel, 100)).await;
    let within = |millis| Some(Duration::from_millis(millis));
    let first = numbered(&channel, 1, Some(keep(100)));
    let placed = one.publish(Outgoing { fresh_for: within(60_000), ..first.clone() }).await;
    let other = numbered(&channel, 2, Some(keep(100)));
    freeze();
    let both =
        async { tokio::join!(two.publish(Outgoing { fresh_for: within(300), ..first.clone() }), one.publish(other)) };
    let thawing = async {
        // The fault itself.
        tokio::time::sleep(Duration::from_millis(900)).await;
        thaw();
    };
    let ((late, other), ()) = tokio::join!(both, thawing);
    assert_eq!(position(&late), position(&placed), "it was long on its way, and taken again");
    assert_eq!(position(&other).offset, position(&placed).offset + 1);
    // Who is in time is believed.
    let third = one.publish(Outgoing { fresh_for: within(60_000), ..first }).await;
    assert_eq!(position(&third).offset, position(&placed).offset + 2);
}

/// Whoever opens a channel while others publish misses nothing between what it reads and what it hears.
pub async fn while_it_is_opened(open: Open<'_>) {
    let writer = Node::new(open, "writer");
    for round in 0..10 {
        let channel = fresh("opened");
        let reader = Node::new(open, &format!("reader{round}"));
        // The engine connects first, so that the race is about the channel.
        reader.open(&interest(&fresh("warm"), 1)).await;
        let publishing = async {
            for chunk in 0..20_u64 {
                let batch: Vec<Outgoing> =
                    (1..=10).map(|n| numbered(&channel, chunk * 10 + n, Some(keep(1000)))).collect();
                for result in soon("publish", writer.engine.publish(&batch)).await {
                    result.unwrap();
                }
            }
        };
        let reading = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            reader.open(&interest(&channel, 1000)).await.unwrap()
        };
        let ((), kept) = tokio::join!(publishing, reading);
        let mut seen: Vec<u64> = kept.bodies.iter().map(|(_, body)| number(body)).collect();
        let mut last = kept.position.offset;
        while seen.len() < 200 {
            let (place, body) = reader.publication(&channel).await;
            let place = place.unwrap();
            if place.offset > last {
                assert_eq!(place.previous, last);
                last = place.offset;
                seen.push(number(&body));
            }
        }
        assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    }
}

/// What is forgotten is not read any more; numbers go on, or a new life begins.
pub async fn forget(open: Open<'_>) {
    let node = Node::new(open, "one");
    let channel = fresh("forget");
    for n in 1..=5 {
        node.publish(numbered(&channel, n, Some(keep(100)))).await;
    }
    let before = node.open(&interest(&channel, 100)).await.unwrap();
    let name: Arc<str> = channel.as_str().into();
    soon("forget", node.engine.forget(&name, Forgetting::Publications)).await.unwrap();
    let after = node.open(&interest(&channel, 100)).await.unwrap();
    assert_eq!((after.bodies.len(), after.position == before.position), (0, true));
    assert_eq!(after.floor, after.position.offset, "nothing is promised of what was forgotten");
    let next = position(&node.publish(numbered(&channel, 6, Some(keep(100)))).await);
    assert!(next.offset > before.position.offset && next.epoch == before.position.epoch);
    soon("forget", node.engine.forget(&name, Forgetting::Life)).await.unwrap();
    let next = position(&node.publish(numbered(&channel, 7, Some(keep(100)))).await);
    assert_ne!(next.epoch, before.position.epoch);
}

/// The latest value of every key, up to so many keys.
pub async fn values(open: Open<'_>) {
    let node = Node::new(open, "one");
    let channel = fresh("values");
    let keyed = |n: u64, key: &str, removes: bool| Outgoing {
        key: Some(key.into()),
        removes,
        keep: Some(jackfield_cluster::Keep { keys: 3, ..keep(100) }),
        ..numbered(&channel, n, None)
    };
    for (n, key, removes) in [
        (1, "a", false),
        (2, "b", false),
        (3, "a", false),
        (4, "", false),
        (5, "d", false),
        (6, "b", true),
        (7, "e}", false),
    ] {
        node.publish(keyed(n, key, removes)).await;
    }
    let reads = Interest { keep: Some(jackfield_cluster::Keep { keys: 3, ..keep(100) }), ..interest(&channel, 100) };
    let kept = node.open(&reads).await.unwrap();
    let mut values: Vec<u64> = kept.values.iter().map(|(_, body)| number(body)).collect();
    values.sort_unstable();
    // `d` found no room, and `b` made some.
    assert_eq!(values, [3, 4, 7]);
    assert_eq!(kept.bodies.len(), 7);
}

/// Idempotency keys and versions of publishers.
pub async fn conditions(open: Open<'_>) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let channel = fresh("conditions");
    let with =
        |n: u64, key: &str| Outgoing { idempotency_key: key.to_owned(), ..numbered(&channel, n, Some(keep(100))) };
    let first = one.publish(with(1, "k")).await;
    let second = two.publish(with(2, "k")).await;
    assert_eq!((second.suppressed, &second.position), (Some("idempotency"), &first.position));
    assert_eq!(one.publish(with(3, "other")).await.suppressed, None);
    let other = fresh("conditions");
    let elsewhere = Outgoing { idempotency_key: "k".to_owned(), ..numbered(&other, 4, Some(keep(100))) };
    assert_eq!(one.publish(elsewhere).await.suppressed, None, "a key is of its channel");
    let version = |n: u64, version: u64, life: &str| Outgoing {
        version: Some((version, life.into())),
        ..numbered(&channel, n, Some(keep(100)))
    };
    assert_eq!(one.publish(version(5, 10, "x")).await.suppressed, None);
    assert_eq!(two.publish(version(6, 10, "x")).await.suppressed, Some("version"));
    assert_eq!(two.publish(version(7, 9, "x")).await.suppressed, Some("version"));
    assert_eq!(two.publish(version(8, 1, "y")).await.suppressed, None, "a new life counts anew");
    let kept = one.open(&interest(&channel, 100)).await.unwrap();
    let read: Vec<u64> = kept.bodies.iter().map(|(_, body)| number(body)).collect();
    assert_eq!(read, [1, 3, 5, 8]);
}

/// Words to one node and to all, and probes to oneself.
pub async fn words(open: Open<'_>) {
    let nodes = [Node::new(open, "word-1"), Node::new(open, "word-2"), Node::new(open, "word-3")];
    for node in &nodes {
        node.open(&Interest { channel: fresh("words").into(), ..Interest::default() }).await;
    }
    let note = |incoming| match incoming {
        Incoming::Note(note) => Some(note),
        _ => None,
    };
    soon("tell", nodes[0].engine.tell(None, Bytes::from_static(b"to all"))).await.unwrap();
    soon("tell", nodes[0].engine.tell(Some("word-2"), Bytes::from_static(b"to two"))).await.unwrap();
    soon("tell", nodes[0].engine.tell(None, Bytes::from_static(b"to all again"))).await.unwrap();
    for (nth, node) in nodes.iter().enumerate() {
        let mut came = Vec::new();
        while came.last().is_none_or(|last: &Bytes| last != "to all again") || came.len() < if nth == 1 { 3 } else { 2 }
        {
            came.push(node.next("a word", note).await);
        }
        let wanted: &[&str] =
            if nth == 1 { &["to all", "to all again", "to two"] } else { &["to all", "to all again"] };
        came.sort();
        assert_eq!(came, wanted);
    }
    let engine = &nodes[2].engine;
    for token in 1..=3 {
        soon("probe", engine.probe(token)).await.unwrap();
    }
    let mut heard = vec![0; engine.paths()];
    while heard.iter().any(|token| *token < 3) {
        let (path, token) = nodes[2]
            .next("a probe", |incoming| match incoming {
                Incoming::Probe { path, token } => Some((path, token)),
                _ => None,
            })
            .await;
        heard[path] = heard[path].max(token);
    }
}

/// Whatever a channel is called, it is another one than every other.
pub async fn hostile_names(open: Open<'_>) {
    let (one, two) = (Node::new(open, "one"), Node::new(open, "two"));
    let tail = fresh("x");
    let names = [
        "*",
        "#",
        ">",
        "a.b",
        "a.*",
        "a.>",
        "{a}",
        "}",
        "{",
        "{}",
        "a b",
        "a\tb",
        "a\u{7f}b",
        "é\u{1f600}",
        "..",
        "a..b",
        "$SYS",
        "to:x",
        "%2a",
        "a/b",
        "\"quoted\"",
        "'; DROP",
        "\u{202e}abc",
        "A",
        "a",
        "x\r\nPUBLISH y",
        "nul\0nul",
    ];
    let has_history = one.engine.powers().history;
    let keeps = || has_history.then(|| keep(10));
    let named = |name: &str| format!("{name}{tail}");
    for name in names {
        let channel = named(name).into();
        two.open(&Interest { channel, keep: keeps(), after: None }).await;
    }
    let batch: Vec<Outgoing> =
        names.iter().enumerate().map(|(n, name)| numbered(&named(name), n as u64, keeps())).collect();
    for (result, name) in soon("publish", one.engine.publish(&batch)).await.iter().zip(names) {
        assert!(result.is_ok(), "{name:?}: {result:?}");
    }
    for _ in names {
        let (channel, body) = two
            .next("a publication", |incoming| match incoming {
                Incoming::Publication { channel, body, .. } => Some((channel, body)),
                _ => None,
            })
            .await;
        assert_eq!(*channel, named(names[number(&body) as usize]));
    }
    // Long ones too.
    let long = "n".repeat(255);
    two.open(&Interest { channel: long.as_str().into(), keep: keeps(), after: None }).await;
    let id = uuid::Uuid::new_v4().as_u128();
    one.publish(Outgoing {
        channel: long.as_str().into(),
        body: body(1, id),
        id,
        keep: keeps(),
        ..Outgoing::default()
    })
    .await;
    assert_eq!(number(&two.publication(&long).await.1), 1);
    breathe().await;
}
