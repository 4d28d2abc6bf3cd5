//! The contract of the leases of nodes.

use std::collections::BTreeSet;

use jackfield_bridge::{LostNode, NodeLease, Queue};

use super::{Bench, breathe, soon, text, until};

/// A node that is dropped without a word is reported, under one id however many see it; one that is closed is not. The
/// next node reports its predecessor where nobody else was there.
pub async fn lost_nodes(bench: &mut Bench<'_>) {
    let lease = |uid: &str| NodeLease { uid: uid.to_owned(), name: format!("name of {uid}") };
    let (watcher, other) = ((bench.open)("watcher"), (bench.open)("other"));
    let (lost, ended) = ((bench.open)("lost"), (bench.open)("ended"));
    for (queue, uid) in [(&watcher, "watcher"), (&other, "other"), (&lost, "lost"), (&ended, "ended")] {
        until("a lease", async || queue.lease(&lease(uid)).await.is_ok()).await;
    }
    soon("close", ended.close()).await;
    drop(lost);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    until("the loss is seen", async || {
        let first = report(bench, &*watcher, &lease("watcher")).await;
        let second = report(bench, &*other, &lease("other")).await;
        seen.extend(first.iter().chain(&second).map(|lost| lost.node.uid.clone()));
        !seen.is_empty()
    })
    .await;
    assert_eq!(seen, BTreeSet::from(["lost".to_owned()]));
    // Both go without a word; the next life is alone.
    drop((watcher, other));
    let next = (bench.open)("next");
    let mut before: BTreeSet<String> = BTreeSet::new();
    until("the predecessors are reported", async || {
        before.extend(report(bench, &*next, &lease("next")).await.iter().map(|lost| lost.node.uid.clone()));
        before.len() == 2
    })
    .await;
    assert_eq!(before, BTreeSet::from(["other".to_owned(), "watcher".to_owned()]));
    assert!(report(bench, &*next, &lease("next")).await.is_empty());
    soon("close", next.close()).await;
}

/// Renews a lease, tells what is lost and settles it, as the bridge does; returns what was told.
async fn report(bench: &mut Bench<'_>, queue: &dyn Queue, node: &NodeLease) -> Vec<LostNode> {
    let lost = soon("lease", queue.lease(node)).await.unwrap_or_default();
    for lost in &lost {
        assert_eq!(lost.node.name, format!("name of {}", lost.node.uid));
        assert!(lost.lost_at > 1_600_000_000_000, "{}", lost.lost_at);
        let event = lost.event(7);
        assert!(soon("send", queue.send(std::slice::from_ref(&event))).await.iter().all(Result::is_ok));
        let came = soon("events", bench.app.events(1)).await.remove(0);
        assert_eq!((text(&came, "type"), text(&came, "node")), ("node_lost".to_owned(), lost.node.uid.clone()));
        assert_eq!(text(&came, "id"), event.id.to_string());
        for absent in ["client", "seq", "event"] {
            assert_eq!(text(&came, absent), "", "{absent}");
        }
        soon("settle", queue.settle_lost(lost)).await.unwrap();
    }
    breathe().await;
    lost
}
