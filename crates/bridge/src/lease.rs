//! Which nodes are there: each keeps a lease in the queue, and those that see one run out tell the application.

use std::sync::Arc;
use std::time::Duration;

use jackfield_model::app::{Event, EventKind, Origin};
use jackfield_model::{Millis, Payload, Uuid};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::bridge::millis;
use crate::outcome::Node;
use crate::queue::Queue;

/// How often a node renews its lease and looks for those of others.
const ROUND: Duration = Duration::from_secs(3);
/// How long a lease holds; a node that is silent for so long is lost.
pub const NODE_LEASE: Duration = Duration::from_secs(15);

/// What a node says of itself.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct NodeLease {
    /// What tells this life of the node from any other.
    pub uid: String,
    /// Its name, which may be another life's too.
    pub name: String,
}

/// A node that went without a word.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct LostNode {
    /// Who it was.
    pub node: NodeLease,
    /// When its lease had run out, by the clock of the queue.
    pub lost_at: Millis,
}

impl LostNode {
    /// The event that tells the application. Two nodes may see the same loss, so its id is made of the lost node's.
    #[must_use]
    pub fn event(&self, now: Millis) -> Event {
        let NodeLease { uid, name } = &self.node;
        let data = json!({ "name": name, "uid": uid, "lost_at": self.lost_at });
        Event {
            id: loss_id(uid),
            kind: EventKind::NodeLost,
            origin: Origin::default(),
            channel: None,
            name: uid.clone(),
            data: Payload::json(data.to_string()),
            seq: 0,
            time: now,
            deadline: None,
            hello: None,
        }
    }
}

/// The task that keeps this node's lease.
pub(crate) struct Keeper {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) node: Node,
}

impl Keeper {
    /// Runs until it is aborted; closing the queue gives the lease back.
    pub(crate) async fn run(self) {
        let lease = NodeLease { uid: self.node.uid.clone(), name: self.node.name.clone() };
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut works = true;
        // Since when without a gap, and when last.
        let mut unbroken: Option<(Instant, Instant)> = None;
        loop {
            round.tick().await;
            match self.queue.lease(&lease).await {
                Ok(lost) => {
                    works = true;
                    let now = Instant::now();
                    let kept = unbroken.filter(|(_, last)| now - *last < NODE_LEASE);
                    let since = kept.map_or(now, |(since, _)| since);
                    unbroken = Some((since, now));
                    // Who has not been there for so long cannot tell: the queue may have been away from all of them.
                    if now - since >= NODE_LEASE {
                        for lost in lost {
                            self.tell(&lost).await;
                        }
                    }
                }
                Err(error) => {
                    if works {
                        warn!(%error, "lease of this node cannot be renewed; the others may count it as lost, retrying");
                    }
                    works = false;
                }
            }
        }
    }

    /// What is not told or not noted is seen again.
    async fn tell(&self, lost: &LostNode) {
        let event = lost.event(millis());
        match self.queue.send(std::slice::from_ref(&event)).await.pop() {
            Some(Ok(())) => {
                let LostNode { node, lost_at } = lost;
                info!(name = node.name, uid = node.uid, lost_at, "a node is lost; the application is told");
                if let Err(error) = self.queue.settle_lost(lost).await {
                    warn!(uid = node.uid, %error, "loss of a node is told but cannot be noted; it will be told again");
                }
            }
            Some(Err(error)) => warn!(uid = lost.node.uid, %error, "loss of a node cannot be told, retrying"),
            None => {}
        }
    }
}

/// An id that is the same wherever the same loss is seen: FNV-1a of the name, in the form of a UUID.
fn loss_id(uid: &str) -> Uuid {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mix = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    let hash = b"node_lost ".iter().chain(uid.as_bytes()).fold(OFFSET, mix);
    uuid::Builder::from_random_bytes(hash.to_be_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_see_one_loss_tell_one_event() {
        let lost = |uid: &str, lost_at| {
            let node = NodeLease { uid: uid.to_owned(), name: "n\"1".to_owned() };
            LostNode { node, lost_at }.event(7)
        };
        let (one, two) = (lost("a", 1), lost("a", 2));
        assert_eq!(one.id, two.id);
        assert_ne!(one.id, lost("b", 1).id);
        assert_eq!(one.data, Payload::json(r#"{"lost_at":1,"name":"n\"1","uid":"a"}"#));
    }
}
