//! NATS between nodes: the contract, and the server killed and started again.

use std::sync::Arc;

use jackfield_brokers::{Retention, nats_engine};
use jackfield_cluster::Engine;
use jackfield_testkit::broker_contract;
use jackfield_testkit::servers::NatsServer;

use crate::node_logs;

fn opener(url: String) -> impl Fn(&str) -> Arc<dyn Engine> {
    move |node| nats_engine(&url, "test.nodes", node, None, (Retention::default(), 1)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract() {
    let mut server = NatsServer::started();
    let open = opener(server.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
    // A record that a node has met is in the stream's file; a process that dies takes nothing of it along.
    broker_contract::restart(&open, &mut server, true).await;

    let small = Retention { bytes: 64 << 20, ..Retention::default() };
    node_logs::refused(
        nats_engine(&server.url(), "test.nodes", "small", None, (small, 1)).unwrap(),
        "test~nodes_history_",
    )
    .await;
    let remove = async {
        let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        for partition in 0..8 {
            context.delete_stream(format!("test~nodes_history_{partition}")).await.unwrap();
        }
    };
    node_logs::removed(&open, remove).await;
}
