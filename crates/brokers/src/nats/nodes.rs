//! The leases of nodes in NATS: a bucket in which each writes again and again; the time is that of the server.

use std::collections::HashMap;
use std::sync::Mutex as StdMutex;
use std::sync::PoisonError;

use async_nats::jetstream::kv::{Entry, Operation, Store};
use bytes::Bytes;
use futures_core::Stream as _;
use jackfield_bridge::{LostNode, NODE_LEASE, NodeLease, QueueError};

use super::session::Session;
use super::wire;

/// This node among the others.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Whether there is a lease to give back, and what was last written about those that are lost.
    known: StdMutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    is_leased: bool,
    lost: HashMap<String, u64>,
}

impl Nodes {
    pub(super) async fn lease(&self, session: &Session, node: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        self.known().is_leased = true;
        let store = store(session).await?;
        let name = Bytes::from(node.name.clone());
        let written = store.put(&node.uid, name).await.map_err(|error| unreachable(&error))?;
        let mut entries = Vec::new();
        let mut keys = store.keys().await.map_err(|error| unreachable(&error))?;
        while let Some(key) = std::future::poll_fn(|context| std::pin::Pin::new(&mut keys).poll_next(context)).await {
            let key = key.map_err(|error| unreachable(&error))?;
            let entry = store.entry(key).await.map_err(|error| unreachable(&error))?;
            entries.extend(entry.filter(|entry| entry.operation == Operation::Put));
        }
        // What was just written says what time it is at the server.
        let Some(now) = entries.iter().find(|entry| entry.revision == written).map(millis) else {
            return Ok(Vec::new());
        };
        let mut lost = Vec::new();
        for entry in entries {
            let ends = millis(&entry) + NODE_LEASE.as_millis();
            if ends < now {
                let name = String::from_utf8_lossy(&entry.value).into_owned();
                self.known().lost.insert(entry.key.clone(), entry.revision);
                let node = NodeLease { uid: entry.key, name };
                lost.push(LostNode { node, lost_at: u64::try_from(ends).unwrap_or_default() });
            }
        }
        Ok(lost)
    }

    /// Forgets a lost node, but not one that has written since.
    pub(super) async fn settle(&self, session: &Session, lost: &LostNode) -> Result<(), QueueError> {
        let uid = &lost.node.uid;
        let Some(revision) = self.known().lost.remove(uid) else { return Ok(()) };
        // Another one may have been quicker.
        if let Err(error) = store(session).await?.purge_expect_revision(uid, Some(revision)).await {
            tracing::debug!(%error, uid, "A lost node was settled by another, or has come back.");
        }
        Ok(())
    }

    pub(super) async fn release(&self, session: &Session, uid: &str) {
        if !self.known().is_leased {
            return;
        }
        let released = match store(session).await {
            Ok(store) => store.purge(uid).await.map_err(|error| unreachable(&error)),
            Err(error) => Err(error),
        };
        if let Err(error) = released {
            tracing::debug!(%error, "The lease of this node could not be given back; it will be told as lost.");
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn store(session: &Session) -> Result<Store, QueueError> {
    let store = session.context.get_key_value(session.names.stream("nodes")).await;
    store.map_err(|error| unreachable(&error))
}

fn millis(entry: &Entry) -> u128 {
    u128::try_from(entry.created.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> QueueError {
    QueueError::Unreachable(wire::chain(error))
}
