//! Restarts in order: history, values, versions and positions are what they were.

use std::sync::atomic::Ordering;

use jackfield_hub::{Page, PublishError, Publishing};
use jackfield_log::Fsync;
use jackfield_model::Payload;
use jackfield_model::app::{KeyMode, PublishMore};

use crate::node::{Node, text};

fn keyed(key: &str, data: &str) -> Publishing {
    let more = PublishMore { key: key.to_owned(), ..PublishMore::default() };
    Publishing { more: Some(Box::new(more)), ..text(data) }
}

#[test]
fn history_comes_back_under_every_policy() {
    for fsync in [Fsync::Always, Fsync::Interval(std::time::Duration::from_millis(1)), Fsync::Never] {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::open(folder.path(), fsync);
        for n in 1..=20 {
            let published = node.publish("news", text(n.to_string())).unwrap();
            assert_eq!(published.position.unwrap().offset, n);
        }
        let before = node.history("news");
        assert_eq!(before.0.len(), 20);
        assert_eq!(node.inbox.counters.publications.load(Ordering::Relaxed), 20);
        node.stop();
        let node = Node::open(folder.path(), fsync);
        assert!(!node.opening.has_jumped);
        assert_eq!(node.history("news"), before);
        assert_eq!(node.publish("news", text("more")).unwrap().position.unwrap().offset, 21);
        node.stop();
    }
}

#[test]
fn values_outlive_the_history_and_removals_are_final() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(folder.path(), Fsync::Never);
    for n in 0..10 {
        node.publish("short:a", keyed(&format!("k{n}"), &n.to_string())).unwrap();
    }
    let removal = Publishing { removes: true, ..keyed("k2", "") };
    node.publish("short:a", removal).unwrap();
    node.publish("short:a", keyed("k3", "new")).unwrap();
    node.publish("short:a", text("nameless")).unwrap();
    let values = |node: &Node| {
        let page = Page { cursor: "", limit: 100, asc: true };
        let page = node.hub.map_page("short:a", (page, None), None, 0).unwrap();
        page.entries.iter().map(|value| value.data.bytes.clone()).collect::<Vec<_>>()
    };
    let before = values(&node);
    assert_eq!(before, ["nameless", "0", "1", "new", "4", "5", "6", "7", "8", "9"]);
    node.stop();
    for _ in 0..3 {
        let node = Node::open(folder.path(), Fsync::Never);
        assert_eq!(node.history("short:a").0.len(), 3, "the history itself is short");
        assert_eq!(values(&node), before);
        node.stop();
    }
}

#[test]
fn a_map_keeps_its_values_versions_and_what_the_stream_did_not_say() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(folder.path(), Fsync::Never);
    let more = PublishMore {
        key: "k".to_owned(),
        version: 5,
        stream_data: Some(Payload::text("said")),
        ..PublishMore::default()
    };
    let publishing = Publishing { is_for_map: true, more: Some(Box::new(more)), ..text("meant") };
    node.publish("map:a", publishing.clone()).unwrap();
    let one = Publishing { is_for_map: true, ..keyed("other", "x") };
    node.publish("map:a", one.clone()).unwrap();
    node.publish("map:a", one.clone()).unwrap();
    node.publish("map:a", one).unwrap();
    node.stop();
    let node = Node::open(folder.path(), Fsync::Never);
    let page = node.hub.map_page("map:a", (Page::default(), Some("k")), None, 0).unwrap();
    assert_eq!(page.entries[0].data, Payload::text("meant"));
    assert_eq!(node.publish("map:a", publishing).unwrap().suppressed, Some("version"));
    node.stop();
}

#[test]
fn what_was_forgotten_stays_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(folder.path(), Fsync::Never);
    for n in 0..5 {
        node.publish("news", text("x")).unwrap();
        node.publish("map:a", Publishing { is_for_map: true, ..keyed(&n.to_string(), "x") }).unwrap();
    }
    let (_, top, epoch) = node.history("news");
    let (_, _, map_epoch) = node.history("map:a");
    node.hub.forget_history("news").unwrap();
    node.hub.clear_map("map:a").unwrap();
    node.stop();
    let node = Node::open(folder.path(), Fsync::Never);
    assert_eq!(node.history("news"), (Vec::new(), top, epoch));
    assert_eq!(node.hub.map_keys("map:a").unwrap(), 0);
    assert_ne!(node.history("map:a").2, map_epoch, "who knows the map as it was must begin anew");
    node.stop();
}

#[test]
fn versions_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let versioned = |version| {
        let more = PublishMore { version, ..PublishMore::default() };
        Publishing { more: Some(Box::new(more)), ..text("v") }
    };
    let node = Node::open(folder.path(), Fsync::Never);
    node.publish("short:v", versioned(10)).unwrap();
    for _ in 0..10 {
        node.publish("short:v", text("without")).unwrap();
    }
    node.stop();
    let node = Node::open(folder.path(), Fsync::Never);
    assert_eq!(node.publish("short:v", versioned(10)).unwrap().suppressed, Some("version"));
    assert_eq!(node.publish("short:v", versioned(11)).unwrap().suppressed, None);
    node.stop();
}

#[test]
fn what_the_log_refuses_is_not_taken_and_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open_with(folder.path(), Fsync::Always, 20_000);
    let (mut taken, mut refused) = (0, None);
    for n in 0..100 {
        let more = PublishMore { idempotency_key: n.to_string(), version: n + 1, ..PublishMore::default() };
        let publishing = Publishing { more: Some(Box::new(more)), ..text("x".repeat(1000)) };
        match node.publish("news", publishing.clone()) {
            Ok(published) => {
                assert_eq!(published.suppressed, None);
                taken = published.position.unwrap().offset;
            }
            Err(error) => {
                refused = Some((error, publishing));
                break;
            }
        }
    }
    let (error, publishing) = refused.unwrap();
    assert_eq!(error, PublishError::NotWritten);
    assert!(taken > 10);
    assert_eq!(node.history("news").1, taken, "nobody sees what was refused");
    assert!(node.inbox.counters.failures.load(Ordering::Relaxed) > 0);
    // Said again, it is no repetition.
    assert_eq!(node.publish("news", publishing.clone()), Err(PublishError::NotWritten));
    node.stop();
    let node = Node::open(folder.path(), Fsync::Always);
    assert_eq!(node.history("news").0.len() as u64, taken);
    let published = node.publish("news", publishing).unwrap();
    assert_eq!((published.suppressed, published.position.unwrap().offset), (None, taken + 1));
    node.stop();
}

#[test]
fn publications_of_one_batch_are_decided_by_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(folder.path(), Fsync::Always);
    let if_new = |data: &str| {
        let more = PublishMore { key: "lock".to_owned(), key_mode: KeyMode::IfNew, ..PublishMore::default() };
        Publishing { is_for_map: true, more: Some(Box::new(more)), ..text(data) }
    };
    let told: Vec<_> = (0..50).map(|n| node.begin("map:a", if_new(&n.to_string()))).collect();
    let outcomes: Vec<_> = told.iter().map(|told| told.recv().unwrap().unwrap().suppressed).collect();
    assert_eq!(outcomes[0], None);
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Some("key_exists")), "{outcomes:?}");
    node.stop();
}

#[test]
fn nobody_waits_for_a_scribe_that_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::open(folder.path(), Fsync::Never);
    let hub = std::sync::Arc::clone(&node.hub);
    let told: Vec<_> = (0..1_000).map(|n: u32| node.begin("news", text(n.to_string()))).collect();
    node.stop();
    assert!(told.iter().all(|told| told.recv().unwrap().is_ok()), "what was taken is written");
    let late = hub.publish("news", text("late"), None, 0);
    assert_eq!(late, Err(PublishError::Busy));
}
