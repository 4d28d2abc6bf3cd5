//! RabbitMQ between nodes: the contract, and the server killed and started again.

use std::sync::Arc;

use jackfield_brokers::{RabbitEngine, Retention};
use jackfield_cluster::Engine;
use jackfield_testkit::broker_contract;
use jackfield_testkit::servers::RabbitServer;

fn opener(url: String) -> impl Fn(&str) -> Arc<dyn Engine> {
    move |node| Arc::new(RabbitEngine::open(&url, "test", node, Retention::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract() {
    let mut server = RabbitServer::started();
    let open = opener(server.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
    // A record that a node has met is in the stream's file; a process that dies takes nothing of it along.
    broker_contract::restart(&open, &mut server, true).await;
}
