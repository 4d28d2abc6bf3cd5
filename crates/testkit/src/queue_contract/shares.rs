//! The contract of queues whose partitions are shared out evenly among nodes.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jackfield_bridge::{NodeLease, Queue};
use tokio::task::JoinHandle;

use super::flows::empty;
use super::{Bench, commands, soon, until};

/// Nodes that come later get their share of the partitions, and one that goes leaves its share to the others; meanwhile
/// every command comes once, and each partition in its order.
pub async fn shares(bench: &mut Bench<'_>) {
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let mut readers: Vec<Reader> = Vec::new();
    for name in ["one", "two", "three"] {
        let (queue, book) = ((bench.open)(name), Arc::clone(&seen));
        let lease = NodeLease { uid: name.to_owned(), name: name.to_owned() };
        let (kept, stop) = (Arc::clone(&queue), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let reading = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let _ = kept.lease(&lease).await;
                let deliveries = kept.receive().await.unwrap_or_default();
                let mut receipts = Vec::new();
                for delivery in deliveries {
                    let seen_now = (name, delivery.receipt.partition, number_of(&delivery.id));
                    book.lock().unwrap_or_else(PoisonError::into_inner).push(seen_now);
                    receipts.push(delivery.receipt);
                }
                assert!(kept.acknowledge(&receipts).await.is_ok());
            }
        });
        readers.push((queue, stop, reading));
        if name == "one" {
            until("the first has all", async || sharing(bench, &seen).await.len() == 1).await;
        }
    }
    until("each has a share", async || {
        let shares = sharing(bench, &seen).await;
        shares.len() == 3 && shares.values().all(|partitions| (2..=3).contains(&partitions.len()))
    })
    .await;
    end(readers.remove(0)).await;
    until("the others have all", async || sharing(bench, &seen).await.len() == 2).await;
    empty(bench).await;
    let mut last: HashMap<u32, usize> = HashMap::new();
    for (node, partition, number) in seen.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let before = last.insert(*partition, *number);
        assert!(before < Some(*number), "{node}: {number} of partition {partition} came after {before:?}");
    }
    for reader in readers {
        end(reader).await;
    }
}

/// A queue, what tells its reader to stop, and the reader.
type Reader = (Arc<dyn Queue>, Arc<AtomicBool>, JoinHandle<()>);

async fn end((queue, stop, reading): Reader) {
    stop.store(true, Ordering::Relaxed);
    assert!(soon("the reader's end", reading).await.is_ok());
    soon("close", queue.close()).await;
}

/// Who got it, of which partition, and its number.
type Seen = (&'static str, u32, usize);

fn number_of(id: &str) -> usize {
    id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Sends a few commands into every partition, and tells who read which.
async fn sharing(bench: &mut Bench<'_>, seen: &Mutex<Vec<Seen>>) -> HashMap<&'static str, BTreeSet<u32>> {
    let lock = || seen.lock().unwrap_or_else(PoisonError::into_inner);
    let before = lock().len();
    let sent = commands(before, 64);
    soon("send", bench.app.send(&sent)).await;
    until("all were read", async || lock().len() >= before + sent.len()).await;
    let mut shares: HashMap<&'static str, BTreeSet<u32>> = HashMap::new();
    for (node, partition, _) in &lock()[before..] {
        shares.entry(*node).or_default().insert(*partition);
    }
    shares
}
