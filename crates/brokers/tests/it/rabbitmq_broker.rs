//! RabbitMQ between nodes: the contract, and the server killed and started again.

use std::sync::Arc;

use jackfield_brokers::{Retention, rabbitmq_engine};
use jackfield_cluster::Engine;
use jackfield_testkit::broker_contract;
use jackfield_testkit::servers::RabbitServer;
use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};

use crate::node_logs;

fn opener(url: String) -> impl Fn(&str) -> Arc<dyn Engine> {
    move |node| rabbitmq_engine(&url, "test", node, Retention::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract() {
    let mut server = RabbitServer::started();
    let open = opener(server.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
    // A record that a node has met is in the stream's file; a process that dies takes nothing of it along.
    broker_contract::restart(&open, &mut server, true).await;

    let small = Retention { bytes: 64 << 20, ..Retention::default() };
    node_logs::refused(rabbitmq_engine(&server.url(), "test", "small", small).unwrap(), "x-max-length-bytes").await;
    let remove = async {
        let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for partition in 0..8 {
            let stream = format!("test.history.{partition}");
            channel.queue_delete(stream.into(), QueueDeleteOptions::default()).await.unwrap();
        }
    };
    node_logs::removed(&open, remove).await;
}
