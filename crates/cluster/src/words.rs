//! Words to other nodes, said in the order in which they were put.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::note::{self, Note};

/// To one node or to all, or a mark that all before it was said.
enum Word {
    Say(Option<Arc<str>>, Bytes),
    Mark(oneshot::Sender<()>),
}

/// Where they are put.
#[derive(Clone)]
pub(crate) struct Words(mpsc::UnboundedSender<Word>);

/// Where they are taken.
pub(crate) struct Said(mpsc::UnboundedReceiver<Word>);

pub(crate) fn words() -> (Words, Said) {
    let (words, said) = mpsc::unbounded_channel();
    (Words(words), Said(said))
}

impl Words {
    pub(crate) fn say(&self, to: Option<Arc<str>>, note: &Note) {
        // The task that says them ends with this node.
        let _ = self.0.send(Word::Say(to, note::write(note)));
    }

    /// Waits until all before this was said.
    pub(crate) async fn said(&self) {
        let (mark, passed) = oneshot::channel();
        if self.0.send(Word::Mark(mark)).is_ok() {
            let _ = passed.await;
        }
    }
}

impl Said {
    pub(crate) async fn run(mut self, engine: Arc<dyn Engine>) {
        while let Some(word) = self.0.recv().await {
            match word {
                Word::Say(to, note) => {
                    if let Err(error) = engine.tell(to.as_deref(), note).await {
                        // Who waits for an answer is told what is known when its time is up; counts are made anew.
                        tracing::debug!(%error, "a word to other nodes is lost");
                    }
                }
                // Who waited may have gone.
                Word::Mark(mark) => drop(mark.send(())),
            }
        }
    }
}
