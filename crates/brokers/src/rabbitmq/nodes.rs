//! The leases of nodes in RabbitMQ, which keeps no time. Each node has a token in a queue that one of them, the watcher,
//! holds without settling it, and says again and again that it lives. When the watcher goes the broker hands the tokens
//! to the next one; a node that starts alone gets those of its predecessors.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jackfield_bridge::{LostNode, NODE_LEASE, NodeLease, QueueError};
use lapin::BasicProperties;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::session::Session;
use super::wire;

/// A token is put in anew before the broker thinks that its holder has forgotten it; that is after 30 minutes.
const RENEWAL: Duration = Duration::from_secs(600);

/// What comes of nodes.
#[derive(Debug)]
pub(super) enum Word {
    /// A token, with its tag on a connection.
    Token { generation: u32, tag: u64, body: Vec<u8> },
    /// What a node says to all.
    Sign(Vec<u8>),
}

/// What a node says of itself: in its token, and to all.
#[derive(Debug, Deserialize, Serialize)]
struct Said {
    uid: String,
    name: String,
    /// It ends in good order.
    #[serde(default)]
    ends: bool,
}

/// A token that this node holds for another, or for itself.
#[derive(Debug)]
struct Token {
    generation: u32,
    tag: u64,
    name: String,
    came: Instant,
}

/// The nodes as this one sees them.
pub(super) struct Nodes {
    words: Mutex<mpsc::UnboundedReceiver<Word>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// This node, once it has a token.
    own: Option<NodeLease>,
    tokens: HashMap<String, Token>,
    heard: HashMap<String, Instant>,
    /// Who ended in good order. The watcher settles a token only with its next round; if it dies before, the token comes to
    /// the next watcher, who has heard the goodbye as well.
    ended: HashMap<String, Instant>,
}

impl Nodes {
    pub(super) fn new(words: mpsc::UnboundedReceiver<Word>) -> Self {
        Self { words: Mutex::new(words), known: Mutex::default() }
    }

    /// What is published to keep a lease: the token the first time, where it is due again, and the sign to all.
    pub(super) async fn lease(&self, session: &Session, node: &NodeLease) -> Result<Vec<LostNode>, QueueError> {
        let is_new = lock(&self.known).own.as_ref() != Some(node);
        if is_new {
            session.publish_token(&said(node, false)).await?;
            lock(&self.known).own = Some(node.clone());
        }
        session.publish_sign(&said(node, false)).await?;
        let settled = self.listen(session.generation);
        session.settle_tokens(&settled).await?;
        self.renew(session).await?;
        Ok(self.lost())
    }

    /// Hears what has come; returns the tags of tokens that nobody needs any more.
    fn listen(&self, generation: u32) -> Vec<u64> {
        let now = Instant::now();
        let (mut words, mut settled) = (lock(&self.words), Vec::new());
        let mut known = lock(&self.known);
        // Those of an earlier connection are the broker's again.
        known.tokens.retain(|_, token| token.generation == generation);
        while let Ok(word) = words.try_recv() {
            match word {
                Word::Token { generation: of, tag, body } if of == generation => match read(&body) {
                    Some(Said { uid, .. }) if known.ended.contains_key(&uid) => settled.push(tag),
                    Some(Said { uid, name, .. }) => {
                        known.heard.entry(uid.clone()).or_insert(now);
                        let token = Token { generation, tag, name, came: now };
                        settled.extend(known.tokens.insert(uid, token).map(|old| old.tag));
                    }
                    None => settled.push(tag),
                },
                Word::Token { .. } => {}
                Word::Sign(body) => match read(&body) {
                    Some(Said { uid, ends: true, .. }) => {
                        known.heard.remove(&uid);
                        settled.extend(known.tokens.remove(&uid).map(|token| token.tag));
                        known.ended.insert(uid, now);
                    }
                    Some(Said { uid, .. }) => _ = known.heard.insert(uid, now),
                    None => {}
                },
            }
        }
        let Known { tokens, heard, ended, .. } = &mut *known;
        heard.retain(|uid, at| tokens.contains_key(uid) || now - *at < RENEWAL);
        ended.retain(|_, at| now - *at < RENEWAL);
        settled
    }

    /// Puts tokens in anew that are held for long; the old one is settled when the new one comes.
    async fn renew(&self, session: &Session) -> Result<(), QueueError> {
        let mut due = Vec::new();
        for (uid, token) in &mut lock(&self.known).tokens {
            if token.came.elapsed() >= RENEWAL {
                token.came = Instant::now();
                due.push(NodeLease { uid: uid.clone(), name: token.name.clone() });
            }
        }
        for node in due {
            session.publish_token(&said(&node, false)).await?;
        }
        Ok(())
    }

    fn lost(&self) -> Vec<LostNode> {
        let known = lock(&self.known);
        let mut lost = Vec::new();
        for (uid, token) in &known.tokens {
            let silence = known.heard.get(uid).map_or(Duration::ZERO, Instant::elapsed);
            if silence > NODE_LEASE {
                let since = SystemTime::now() - (silence - NODE_LEASE);
                let lost_at = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
                let node = NodeLease { uid: uid.clone(), name: token.name.clone() };
                lost.push(LostNode { node, lost_at: u64::try_from(lost_at).unwrap_or_default() });
            }
        }
        lost
    }

    /// Forgets a lost node, but not one that has been heard since.
    pub(super) async fn settle(&self, session: &Session, lost: &LostNode) -> Result<(), QueueError> {
        let uid = &lost.node.uid;
        let tag = {
            let mut known = lock(&self.known);
            let is_silent = known.heard.get(uid).is_none_or(|heard| heard.elapsed() > NODE_LEASE);
            let token = if is_silent { known.tokens.remove(uid) } else { None };
            token.filter(|token| token.generation == session.generation).map(|token| token.tag)
        };
        session.settle_tokens(tag.as_slice()).await
    }

    /// Ends in good order: settles this node's token, or asks the watcher to.
    pub(super) async fn release(&self, session: &Session) {
        let Some(own) = lock(&self.known).own.take() else { return };
        let settled = self.listen(session.generation);
        let tag = lock(&self.known).tokens.remove(&own.uid).map(|token| token.tag);
        let released = async {
            session.settle_tokens(&settled).await?;
            match tag {
                Some(tag) => session.settle_tokens(&[tag]).await,
                None => session.publish_sign(&said(&own, true)).await,
            }
        };
        if let Err(error) = released.await {
            tracing::debug!(%error, "The token of this node could not be given back; it will be told as lost.");
        }
    }
}

fn said(node: &NodeLease, ends: bool) -> Vec<u8> {
    let said = Said { uid: node.uid.clone(), name: node.name.clone(), ends };
    // Invariant: two texts and a switch always are JSON.
    serde_json::to_vec(&said).unwrap_or_default()
}

fn read(body: &[u8]) -> Option<Said> {
    serde_json::from_slice(body).ok()
}

/// The properties of a token: it outlives the broker.
pub(super) fn token_properties() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(wire::PERSISTENT)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_heard_of_is_not_lost_and_a_token_of_old_is_nobodys() {
        let (sender, words) = mpsc::unbounded_channel();
        let nodes = Nodes::new(words);
        let node = |uid: &str| NodeLease { uid: uid.to_owned(), name: "n".to_owned() };
        let token = |generation, tag, uid| Word::Token { generation, tag, body: said(&node(uid), false) };
        sender.send(token(1, 1, "a")).unwrap();
        sender.send(token(1, 2, "b")).unwrap();
        sender.send(Word::Token { generation: 1, tag: 3, body: b"no token".to_vec() }).unwrap();
        assert_eq!(nodes.listen(1), [3]);
        // It was put in anew.
        sender.send(token(1, 4, "a")).unwrap();
        assert_eq!(nodes.listen(1), [1]);
        sender.send(Word::Sign(said(&node("b"), true))).unwrap();
        assert_eq!(nodes.listen(1), [2]);
        assert!(nodes.lost().is_empty());
        // On a new connection the broker hands it out again.
        sender.send(token(1, 9, "a")).unwrap();
        sender.send(token(2, 1, "a")).unwrap();
        assert!(nodes.listen(2).is_empty());
        assert_eq!(lock(&nodes.known).tokens["a"].tag, 1);
    }

    #[test]
    fn a_token_of_who_said_goodbye_is_settled_whoever_held_it_before() {
        let (sender, words) = mpsc::unbounded_channel();
        let nodes = Nodes::new(words);
        let node = |uid: &str| NodeLease { uid: uid.to_owned(), name: "n".to_owned() };
        // The watcher was another one, and is gone before it settled the token.
        sender.send(Word::Sign(said(&node("a"), true))).unwrap();
        assert!(nodes.listen(1).is_empty());
        for (tag, uid) in [(1, "a"), (2, "b")] {
            sender.send(Word::Token { generation: 1, tag, body: said(&node(uid), false) }).unwrap();
        }
        assert_eq!(nodes.listen(1), [1]);
        assert_eq!(lock(&nodes.known).tokens.keys().collect::<Vec<_>>(), ["b"]);
    }
}
