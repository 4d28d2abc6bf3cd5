//! NATS between nodes: JetStream holds the logs, plain subjects carry what is not kept.

mod wire;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jackfield_cluster::{Engine, EngineError};

use self::wire::NatsWire;
use crate::nats::Address;
use crate::node_log::{LogEngine, Plan, Retention, To};
use crate::registry::OpenError;

/// Names, and what the streams hold.
#[derive(Clone, Debug)]
struct Names {
    prefix: String,
    node: String,
    retention: Retention,
    replicas: usize,
}

impl Names {
    /// A partition's stream. Its name may hold no dots, and two prefixes must not have one name.
    fn stream(&self, partition: u16) -> String {
        format!("{}_history_{partition}", self.prefix.replace('.', "~"))
    }

    /// What a partition's stream takes.
    fn history(&self, partition: u16) -> String {
        format!("{}.history.{partition}", self.prefix)
    }

    /// What is not kept.
    fn subject(&self, to: &To) -> String {
        format!("{}.to.{to}", self.prefix)
    }
}

struct NatsPlan {
    description: String,
    address: Address,
    names: Names,
}

/// Makes an engine in NATS; it connects with the first call. `authority`: a file of certificates (PEM) that a server with
/// TLS is trusted by instead of the system's. `replicas`: on how many servers each record is.
pub fn nats_engine(
    url: &str,
    prefix: &str,
    node: &str,
    authority: Option<&Path>,
    (retention, replicas): (Retention, usize),
) -> Result<Arc<dyn Engine>, OpenError> {
    let address = Address::parse(url, authority)?;
    if prefix.split('.').any(str::is_empty) {
        return Err(OpenError::Option { name: "prefix", right: "words with single dots between them" });
    }
    let names = Names { prefix: prefix.to_owned(), node: node.to_owned(), retention, replicas };
    Ok(Arc::new(LogEngine::new(NatsPlan { description: address.describe(), address, names })))
}

#[async_trait]
impl Plan for NatsPlan {
    type Wire = NatsWire;

    fn describe(&self) -> &str {
        &self.description
    }

    fn node(&self) -> &str {
        &self.names.node
    }

    async fn connect(&self) -> Result<NatsWire, EngineError> {
        NatsWire::connect(&self.address, &self.names).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let open = |url, prefix| nats_engine(url, prefix, "n", None, (Retention::default(), 1)).map(|it| it.describe());
        for url in ["u:secret@host", "http://u:secret@host", "nats://u:secret@host:x"] {
            let text = open(url, "p").unwrap_err().to_string();
            assert!(!text.contains("secret") && text.contains("right would be"), "{text}");
        }
        for prefix in [".", "a.", "a..b"] {
            let text = open("nats://h", prefix).unwrap_err().to_string();
            assert_eq!(text, "prefix must be words with single dots between them");
        }
        assert_eq!(open("nats://u:secret@one,two:1", "p").unwrap(), "NATS at one:4222,two:1");
    }

    #[test]
    fn prefixes_with_dots_have_streams_of_their_own() {
        let names = |prefix: &str| Names {
            prefix: prefix.to_owned(),
            node: "n".to_owned(),
            retention: Retention::default(),
            replicas: 1,
        };
        assert_eq!(names("a.b").stream(3), "a~b_history_3");
        assert_ne!(names("a.b").stream(3), names("a_b").stream(3));
        assert_eq!(names("a.b").subject(&To::Group(7)), "a.b.to.group.7");
    }
}
