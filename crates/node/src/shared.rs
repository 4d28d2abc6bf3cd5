//! The broker between nodes, and this node among the others.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use jackfield_api::Sample;
use jackfield_brokers::{RedisEngine, Retention, nats_engine, rabbitmq_engine};
use jackfield_cluster::{Cluster, ClusterOptions, Engine, Health};
use jackfield_hub::Hub;
use tokio::runtime::Handle;

use crate::config::{BrokerDriver, Config};

/// Joins the other nodes, where channels are shared.
pub(crate) fn join(config: &Config, hub: &Arc<Hub>, uid: &str, runtime: &Handle) -> anyhow::Result<Option<Cluster>> {
    let broker = &config.broker;
    let authority = (!broker.ca_pem_file.is_empty()).then(|| Path::new(&broker.ca_pem_file));
    let (url, prefix) = (broker.url.expose(), &broker.prefix);
    let retention = Retention { age: broker.stream_max_age, bytes: broker.stream_max_bytes as u64 };
    let engine: Result<Arc<dyn Engine>, anyhow::Error> = match broker.driver {
        BrokerDriver::Memory => return Ok(None),
        BrokerDriver::Nats => {
            nats_engine(url, prefix, uid, authority, (retention, broker.stream_replicas)).map_err(Into::into)
        }
        BrokerDriver::Rabbitmq => rabbitmq_engine(url, prefix, uid, retention).map_err(Into::into),
        BrokerDriver::Redis => match RedisEngine::open(url, prefix, uid, authority) {
            Ok(engine) => Ok(Arc::new(engine)),
            Err(error) => Err(error.into()),
        },
    };
    let engine = engine.context("open the broker (broker.url)")?;
    let name = if config.node.name.is_empty() { uid } else { &config.node.name };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let options = ClusterOptions { uid: uid.into(), name: name.to_owned(), version };
    tracing::info!(broker = engine.describe(), "channels are shared with other nodes");
    Ok(Some(Cluster::start(engine, Arc::clone(hub), options, runtime)))
}

/// What operators are told of it.
pub(crate) fn samples(hub: &Hub, health: &Health) -> Vec<Sample> {
    use jackfield_api::Value::{Counter, Gauge};
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: usize| Gauge(number as f64);
    vec![
        sample(
            "jackfield_nodes",
            "Nodes of the cluster that this node knows of, itself among them.",
            gauge(health.nodes()),
        ),
        sample(
            "jackfield_broker_ready",
            "1 while publications reach this node through the broker.",
            gauge(health.is_ready().into()),
        ),
        sample("jackfield_broker_channels", "Channels that this node hears through the broker.", gauge(hub.mirrored())),
        sample(
            "jackfield_broker_interruptions",
            "How often the connection to the broker was lost, and what was missed read again.",
            Counter(health.interruptions()),
        ),
    ]
}
