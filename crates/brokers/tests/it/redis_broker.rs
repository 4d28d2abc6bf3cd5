//! Redis between nodes: the contract on one server, behind sentinels and in a cluster.

use std::sync::Arc;

use jackfield_brokers::RedisEngine;
use jackfield_cluster::Engine;
use jackfield_testkit::broker_contract;
use jackfield_testkit::servers::{RedisCluster, RedisSentinels, RedisServer};

fn opener(url: String) -> impl Fn(&str) -> Arc<dyn Engine> {
    move |node| Arc::new(RedisEngine::open(&url, "test", node, None).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_on_one_server() {
    let mut server = RedisServer::started();
    let open = opener(server.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
    // The test's server writes each command to the disk before it confirms it.
    broker_contract::restart(&open, &mut server, true).await;
}

/// A node may stand still between its look at the clock and its words to Redis. What then comes late has been sent by
/// another node, which was handed the same command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_long_on_its_way_is_not_taken_twice() {
    let server = RedisServer::started();
    let open = opener(server.url());
    broker_contract::late(&open, || server.freeze(), || server.thaw()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_behind_sentinels() {
    let servers = RedisSentinels::started();
    let open = opener(servers.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_in_a_cluster() {
    let cluster = RedisCluster::started(3, 0);
    let open = opener(cluster.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
}
