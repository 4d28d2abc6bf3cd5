//! RabbitMQ between nodes: streams are the logs, one exchange carries what is not kept.

mod topology;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use jackfield_cluster::{Engine, EngineError};
use lapin::uri::AMQPUri;

use self::topology::Topology;
use self::wire::RabbitWire;
use crate::node_log::{LogEngine, Plan, Retention};
use crate::rabbitmq::uri;
use crate::registry::OpenError;

struct RabbitPlan {
    address: String,
    uri: AMQPUri,
    topology: Topology,
}

/// Makes an engine in RabbitMQ; it connects with the first call.
pub fn rabbitmq_engine(
    url: &str,
    prefix: &str,
    node: &str,
    retention: Retention,
) -> Result<Arc<dyn Engine>, OpenError> {
    let uri = uri(url)?;
    let address = format!("RabbitMQ at {}:{}", uri.authority.host, uri.authority.port);
    let topology = Topology { prefix: prefix.to_owned(), node: node.to_owned(), retention };
    Ok(Arc::new(LogEngine::new(RabbitPlan { address, uri, topology })))
}

#[async_trait]
impl Plan for RabbitPlan {
    type Wire = RabbitWire;

    fn describe(&self) -> &str {
        &self.address
    }

    fn node(&self) -> &str {
        &self.topology.node
    }

    async fn connect(&self) -> Result<RabbitWire, EngineError> {
        RabbitWire::connect(&self.uri, &self.topology).await.map_err(|error| wire::failed(&error))
    }
}
